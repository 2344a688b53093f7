"""The section on two Gaussians: a GAN whose samples have an exactly known density, to check three claims of 2014.

Goodfellow et al., 2014: the optimal discriminator is D* = p_data / (p_data + p_g) (proposition 1), its value is
2 JSD - log 4 (theorem 1), and where p_g = p_data the value is -log 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad, no_grad
from minigan.core import random
from minigan.data import mixtures
from minigan.figures.html_parts import picture, side_by_side, slideshow, table
from minigan.figures.svg import FAINT, FAKE, INK, PLANE, REAL, Chart
from minigan.gan import GAN, losses, penalties
from minigan.metrics.divergences import Grid, jsd, optimal_discriminator, optimal_logits, optimal_value, value
from minigan.nn import Dense, LeakyReLU, Sequential
from minigan.optim import Adam
from minigan.optim.schedules import Cosine
from minigan.study import invertible
from minigan.study.section import Numbers, Section

DATA = mixtures.two_gaussians()
PERFECT = -math.log(4)
SEED = 0
STEPS, BATCH, LEARNING_RATE = 3_000, 256, 2e-3
R1_WEIGHT, R1_EVERY = 0.1, 4
SNAPSHOT_STEPS = (*range(0, 600, 50), *range(600, 1200, 100), *range(1200, STEPS + 1, 200))
FROZEN_STEPS, FROZEN_BATCH, FROZEN_LEARNING_RATE = 2_000, 512, 3e-3
FROZEN_SNAPSHOT_STEPS = (0, 25, 50, 100, 200, 400, 800, FROZEN_STEPS)
FROZEN_SIGMA = 2.0  # standard deviation of the frozen generator G(z) = 2 z

_GRID = Grid(np.array([[-12.0, -12.0], [12.0, 12.0]]), (120, 120))
_FINE = Grid(np.array([[-12.0, -12.0], [12.0, 12.0]]), (160, 160))
_FROZEN_GRID = Grid(np.array([[-16.0, -16.0], [16.0, 16.0]]), (128, 128))
_VIEW = (-6.0, 6.0)
_PIXELS = 60  # of a side of the pictures of D
_LEVELS = (0.003, 0.015, 0.04, 0.07)  # of the contours of densities; p_data is at most 0.08
_OPTIMAL = "D* = p_data / (p_data + p_g)"
_ARROWS, _ARROW_LENGTH = 70, 1.5


@dataclass(frozen=True)
class Snapshot:
    """The state of the training at a step: copies of both networks, and their measurements.

    value: V(D, G). optimal_value: V(D*, G). divergence: JSD(p_data, p_g). error: mean |D - D*| over the mixture
    (p_data + p_g) / 2. gradient_norm: mean norm of the gradient of the generator's loss by a sample.
    """

    step: int
    generator: Sequential
    discriminator: Sequential
    value: float
    optimal_value: float
    divergence: float
    error: float
    gradient_norm: float


@dataclass(frozen=True)
class FrozenSnapshot:
    """A discriminator after `step` steps against a frozen generator; see Snapshot."""

    step: int
    discriminator: Sequential
    value: float
    error: float


@lru_cache(maxsize=2)
def train(seed: int = SEED, steps: int = STEPS) -> tuple[Snapshot, ...]:
    """Train the GAN and take a snapshot at each of SNAPSHOT_STEPS up to `steps`.

    Non-saturating loss, R1 (Mescheder et al., 2018) with weight 0.1 at every fourth step, Adam (0.5, 0.99), and a
    learning rate that falls along a cosine to a hundredth, because the players circle at a constant one.
    """
    gan = _gan(seed, steps)
    kept = [_snapshot(gan)]
    for step in range(steps):
        gan.train_step(DATA.sample(BATCH, random.generator(seed, "data", step)).astype(np.float32))
        if gan.step in SNAPSHOT_STEPS:
            kept.append(_snapshot(gan))
    return tuple(kept)


@lru_cache(maxsize=2)
def frozen_discriminator(seed: int = SEED) -> tuple[FrozenSnapshot, ...]:
    """Train a discriminator by the minimax loss against the frozen generator G(z) = 2 z, whose density is N(0, 4 I).

    Adam (0.9, 0.999), fresh samples of both at each step, a learning rate that falls along a cosine to a hundredth.
    """
    network = _discriminator(random.generator(seed, "frozen/weights"))
    rate, loss = Cosine(FROZEN_LEARNING_RATE, FROZEN_LEARNING_RATE / 100, FROZEN_STEPS), losses.get("minimax")
    optimizer = Adam(network.parameters(), rate, beta1=0.9)
    kept = [_frozen_snapshot(network, 0)]
    for step in range(FROZEN_STEPS):
        real = DATA.sample(FROZEN_BATCH, random.generator(seed, "frozen/data", step)).astype(np.float32)
        latent = random.generator(seed, "frozen/latent", step).standard_normal((FROZEN_BATCH, 2), dtype=np.float32)
        logits = network(Tensor(real)), network(Tensor(np.float32(FROZEN_SIGMA) * latent))
        optimizer.step(grad(loss.discriminator(*logits), optimizer.parameters))
        if step + 1 in FROZEN_SNAPSHOT_STEPS:
            kept.append(_frozen_snapshot(network, step + 1))
    return tuple(kept)


def frozen_log_density(points: np.ndarray) -> np.ndarray:
    """log p_g of the frozen generator at `points` (n, 2): (n,)."""
    return mixtures.GaussianMixture("frozen", ((0.0, 0.0),), FROZEN_SIGMA).log_density(points)


def logits_of(network: Sequential, points: np.ndarray) -> np.ndarray:
    """The discriminator's logits at `points` (n, 2), as (n,) in float64."""
    with no_grad():
        return network(points.astype(np.float32)).numpy()[:, 0].astype(np.float64)


def descent_directions(discriminator: Sequential, samples: np.ndarray) -> np.ndarray:
    """Minus the gradient of the generator's loss -log D(x) by each sample x, (n, 2)."""
    x = Tensor(samples.astype(np.float32))
    (slope,) = grad(ops.sum(ops.softplus(-discriminator(x))), [x])
    return -slope.numpy()


def samples_of(generator: Sequential) -> np.ndarray:
    """The samples that are shown, (n, 2), from latent vectors that are the same in every picture."""
    latent = random.generator(SEED, "shown").standard_normal((_ARROWS, 2), dtype=np.float32)
    with no_grad():
        return generator(latent).numpy()


def mean_error(logits: np.ndarray, log_p: np.ndarray, log_q: np.ndarray, grid: Grid) -> float:
    """Mean |D - D*| over the mixture (p + q) / 2, from the logits of D on `grid`."""
    difference = np.abs(_probabilities(logits) - optimal_discriminator(log_p, log_q))
    return grid.integral((np.exp(log_p) + np.exp(log_q)) / 2 * difference)


def _gan(seed: int, steps: int) -> GAN:
    rng = random.generator(seed, "weights")
    generator, discriminator = invertible.generator(2, 6, rng), _discriminator(rng)
    rate = Cosine(LEARNING_RATE, LEARNING_RATE / 100, steps)
    optimizers = [Adam(network.parameters(), rate, beta2=0.99) for network in (generator, discriminator)]
    return GAN(
        generator, discriminator, losses.get("non-saturating"), *optimizers, latent_size=2, seed=seed,
        penalty=penalties.r1, penalty_weight=R1_WEIGHT, penalty_every=R1_EVERY,
    )  # fmt: skip


def _discriminator(rng: np.random.Generator) -> Sequential:
    return Sequential(Dense(2, 64, rng), LeakyReLU(0.2), Dense(64, 64, rng), LeakyReLU(0.2), Dense(64, 1, rng))


def _copy(network: Sequential, fresh: Sequential) -> Sequential:
    fresh.load_state(network.state())
    return fresh


def _snapshot(gan: GAN) -> Snapshot:
    rng = random.generator(0, "replaced")
    generator = _copy(gan.generator, invertible.generator(2, 6, rng))  # type: ignore[arg-type]
    discriminator = _copy(gan.discriminator, _discriminator(rng))  # type: ignore[arg-type]
    log_p, log_q = DATA.log_density(_GRID.points), invertible.log_density(generator, _GRID.points)
    logits = logits_of(discriminator, _GRID.points)
    directions = descent_directions(discriminator, samples_of(generator))
    return Snapshot(
        gan.step, generator, discriminator, value(logits, log_p, log_q, _GRID),
        value(optimal_logits(log_p, log_q), log_p, log_q, _GRID), jsd(log_p, log_q, _GRID),
        mean_error(logits, log_p, log_q, _GRID), float(np.hypot(*directions.T).mean()),
    )  # fmt: skip


def _frozen_snapshot(network: Sequential, step: int) -> FrozenSnapshot:
    log_p, log_q = DATA.log_density(_FROZEN_GRID.points), frozen_log_density(_FROZEN_GRID.points)
    kept = _copy(network, _discriminator(random.generator(0, "replaced")))
    logits = logits_of(kept, _FROZEN_GRID.points)
    error = mean_error(logits, log_p, log_q, _FROZEN_GRID)
    return FrozenSnapshot(step, kept, value(logits, log_p, log_q, _FROZEN_GRID), error)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -logits))


# The section.


def section() -> Section:
    """Both trainings, as slideshows, and the three claims."""
    snapshots, frozen, shown = train(), frozen_discriminator(), Numbers()
    frozen_captions = [_frozen_caption(snapshot, shown) for snapshot in frozen]
    captions = [_caption(snapshot, shown) for snapshot in snapshots]
    body = f"""
<p>The data are those of the article that this project began with: two Gaussians with means (&minus;2, &minus;2) and (2,
2) and identity covariance. Goodfellow et al. (2014) make three claims about the two-player game</p>
<p class="formula">min<sub>G</sub> max<sub>D</sub> V(D, G) = E<sub>x ~ data</sub> log D(x) + E<sub>x ~ G</sub> log(1
&minus; D(x)).</p>
<ol>
<li>For a fixed generator the optimal discriminator is D*(x) = p<sub>data</sub>(x) / (p<sub>data</sub>(x) +
p<sub>g</sub>(x)) (proposition 1).</li>
<li>Its value is V(D*, G) = 2 JSD(p<sub>data</sub>, p<sub>g</sub>) &minus; log 4, with the Jensen-Shannon divergence
(theorem 1).</li>
<li>So the minimum over G is reached where p<sub>g</sub> = p<sub>data</sub>: then D* = 1/2 and V = &minus;log 4 (theorem
1).</li>
</ol>
<p>To check them p<sub>g</sub> must be known. The generator here is an invertible network (twice a monotone function of
each coordinate followed by a 2 &times; 2 matrix), so that p<sub>g</sub>(x) = p<sub>z</sub>(z) / |det dG/dz| with z =
G<sup>&minus;1</sup>(x) is exact: there is no kernel density and no estimation error. All integrals are sums over a
grid.</p>
<h3>Claim 1: the generator is frozen, the discriminator learns</h3>
<p>G(z) = 2z does not change, so p<sub>g</sub> is one broad Gaussian, N(0, 4 I). A network 2-64-64-1 learns by the
minimax loss from new samples at each step. Its mean distance from D*, weighted by (p<sub>data</sub> + p<sub>g</sub>) /
2, falls to
{shown("frozen: mean |D - D*|", frozen[-1].error, 4)}; its value rises towards V(D*, G) =
{shown("frozen: V(D*, G)", _frozen_optimum(), 4)}, which it cannot exceed.</p>
{slideshow("frozen", [_frozen_picture(m) for m in frozen], frozen_captions, slider="step of the discriminator")}
<h3>Claims 2 and 3: both learn</h3>
<p>{STEPS:,} steps with batches of {BATCH}, the non-saturating loss, a light R1 penalty, and a learning rate that falls
along a cosine. Each frame is computed from the networks at that step. The arrows are minus the gradient of the
generator&rsquo;s loss, &minus;log D(x), by the samples: they show in which direction a generator step moves them. V(D,
G) first rises, when D has learned the difference between data and samples, and then falls to &minus;log 4 as the
difference vanishes.</p>
{slideshow("two-gaussians", _pictures(snapshots), captions, slider="training step")}
<p>At the end of the training, with the divergence computed once more on a finer grid than V(D*, G), so that the two
sides of claim 2 agree only if both are right:</p>
{_last_table(snapshots[-1], shown)}
<p>Far from both Gaussians D and D* may differ, because hardly any sample lies there, and the weight in the mean is
nearly 0. Where samples lie, D is not quite D* either, because it learned from {BATCH} of them at a time. This explains
the remaining difference between V(D, G) and V(D*, G).</p>"""
    title = "Two Gaussians: the optimal discriminator and the value of the game"
    return Section("two-gaussians", title, body, shown.figures)


def _last_table(last: Snapshot, shown: Numbers) -> str:
    again = _divergence_on_a_finer_grid(last)
    rows = (
        ("V(D, G), both networks trained", "V(D, G)", last.value),
        ("V(D*, G)", "V(D*, G)", last.optimal_value),
        ("2 JSD(p<sub>data</sub>, p<sub>g</sub>) &minus; log 4", "2 JSD - log 4", again),
        ("difference of the last two", "|V(D*, G) - (2 JSD - log 4)|", abs(last.optimal_value - again)),
        ("&minus;log 4", "-log 4", PERFECT),
    )
    return table(("quantity", "value"), [(words, shown(f"end: {name}", value, 4)) for words, name, value in rows])


def _frozen_optimum() -> float:
    points = _FROZEN_GRID.points
    return optimal_value(DATA.log_density(points), frozen_log_density(points), _FROZEN_GRID)


def _divergence_on_a_finer_grid(snapshot: Snapshot) -> float:
    """2 JSD - log 4, from a finer grid than that of the snapshots."""
    log_q = invertible.log_density(snapshot.generator, _FINE.points)
    return optimal_value(DATA.log_density(_FINE.points), log_q, _FINE)


def _frozen_caption(snapshot: FrozenSnapshot, shown: Numbers) -> str:
    at = f"frozen, step {snapshot.step}"
    return (
        f"Step {snapshot.step}: mean |D &minus; D*| = {shown(f'{at}: mean |D - D*|', snapshot.error, 4)}, "
        f"V(D, G) = {shown(f'{at}: V(D, G)', snapshot.value, 4)}"
    )


def _caption(snapshot: Snapshot, shown: Numbers) -> str:
    at = f"step {snapshot.step}"
    return (
        f"Step {snapshot.step}: V(D, G) = {shown(f'{at}: V(D, G)', snapshot.value)}, "
        f"V(D*, G) = {shown(f'{at}: V(D*, G)', snapshot.optimal_value)}, "
        f"JSD = {shown(f'{at}: JSD', snapshot.divergence)}, "
        f"mean |D &minus; D*| = {shown(f'{at}: mean |D - D*|', snapshot.error)}, "
        f"mean length of the arrows {shown(f'{at}: mean length of the arrows', snapshot.gradient_norm)}"
    )


def _frozen_picture(snapshot: FrozenSnapshot) -> str:
    points = _pixels().points
    logits = logits_of(snapshot.discriminator, points)
    optimal = optimal_logits(DATA.log_density(points), frozen_log_density(points))
    return side_by_side(
        _probability_picture(logits, "D, learned"),
        _probability_picture(optimal, _OPTIMAL),
    )


def _pictures(snapshots: Sequence[Snapshot]) -> list[str]:
    points = _pixels().points
    log_p, pictures = DATA.log_density(points), []
    for snapshot in snapshots:
        log_q = invertible.log_density(snapshot.generator, points)
        learned, optimal = logits_of(snapshot.discriminator, points), optimal_logits(log_p, log_q)
        pictures.append(
            side_by_side(
                _density_picture(snapshot, np.exp(log_p), np.exp(log_q)),
                _value_picture(snapshots, snapshot),
                _probability_picture(learned, "D, learned"),
                _probability_picture(optimal, _OPTIMAL),
            )
        )
    return pictures


def _density_picture(snapshot: Snapshot, real: np.ndarray, fake: np.ndarray) -> str:
    samples, axis = samples_of(snapshot.generator), np.unique(_pixels().points[:, 0])
    chart = Chart(_VIEW, _VIEW, title="densities and samples", size=PLANE)
    for density, colour, label in ((real, REAL, "p_data"), (fake, FAKE, "p_g")):
        chart.contours(axis, axis, density.reshape(_PIXELS, _PIXELS), _LEVELS, colour, label=label)
    vectors = _ARROW_LENGTH * descent_directions(snapshot.discriminator, samples)
    chart.arrows(samples, vectors, INK, label=f"minus the gradient at samples, times {_ARROW_LENGTH:g}")
    alt = f"contours of p_data and p_g at step {snapshot.step}, with an arrow at each of {_ARROWS} samples"
    return picture(chart.svg(), alt)


def _value_picture(snapshots: Sequence[Snapshot], now: Snapshot) -> str:
    chart = Chart((0, STEPS), (-1.5, -1.0), title="the value of the game", x_label="step", size=PLANE)
    chart.line([(0, PERFECT), (STEPS, PERFECT)], FAINT, label="&minus;log 4", dashed=True)
    chart.line([(m.step, 2 * m.divergence + PERFECT) for m in snapshots], REAL, label="2 JSD &minus; log 4 = V(D*, G)")
    chart.line([(m.step, m.value) for m in snapshots], INK, label="V(D, G)")
    chart.dots([(now.step, now.value)], INK).dots([(now.step, now.optimal_value)], REAL)
    return picture(chart.svg(), f"V(D, G) and 2 JSD - log 4 over the steps; now at step {now.step}")


def _probability_picture(logits: np.ndarray, title: str) -> str:
    shares = _probabilities(logits).reshape(_PIXELS, _PIXELS)
    axis = np.unique(_pixels().points[:, 0])
    chart = Chart(_VIEW, _VIEW, title=title, size=PLANE).heat(shares)
    chart.contours(axis, axis, shares, (0.25, 0.75), FAINT, label="1/4 and 3/4; orange: fake, blue: real", dashed=True)
    chart.contours(axis, axis, shares, (0.5,), INK, label="1/2")
    return picture(chart.svg(), f"{title}: a map of the plane, blue where D classifies as real, orange where as fake")


@lru_cache(maxsize=1)
def _pixels() -> Grid:
    return Grid(np.array([[_VIEW[0], _VIEW[0]], [_VIEW[1], _VIEW[1]]]), (_PIXELS, _PIXELS))
