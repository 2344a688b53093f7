"""The section on distances: for two parallel lines the JS divergence is constant, and W1 is their distance.

Arjovsky, Chintala and Bottou, 2017, example 1: with Z uniform in [0, 1], the data are (0, Z), the samples (theta, Z).
JSD = log 2 for every theta but 0, where it is 0; W1 = |theta|.
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
from minigan.figures.html_parts import picture, side_by_side, slideshow
from minigan.figures.svg import FAINT, FAKE, INK, REAL, THIRD, Chart
from minigan.gan import losses, penalties
from minigan.nn import Dense, LeakyReLU, Sequential
from minigan.optim import Adam
from minigan.study.section import Numbers, Section

THETAS = tuple(0.25 * i for i in range(9))
SEED = 0
BATCH, LEARNING_RATE, PENALTY_WEIGHT = 64, 2e-3, 10.0
FIRST_STEPS, MORE_STEPS = 800, 150  # for the first theta, and for each of the others, continuing the training
_HEIGHTS = ((np.arange(200) + 0.5) / 200)[:, None]  # of the points over which means over Z are taken
_ACROSS = 41  # points from one line to the other at which slopes are measured


@dataclass(frozen=True)
class Learned:
    """The estimates of two trained networks for lines at distance theta.

    divergence: (V(D, G) + log 4) / 2, a lower bound of the JSD. difference: mean f(0, Z) - mean f(theta, Z), the
    critic's estimate of W1. steepest: the largest |grad f| found between the lines. difference / steepest is a lower
    bound of W1 if f is nowhere steeper. generator_gradients: by theta, of the minimax and of the Wasserstein loss.
    """

    theta: float
    discriminator: Sequential
    critic: Sequential
    divergence: float
    difference: float
    steepest: float
    generator_gradients: tuple[float, float]

    @property
    def bound(self) -> float:
        """The lower bound of W1: difference / steepest."""
        return self.difference / self.steepest if self.steepest else 0.0


def line(theta: float, heights: np.ndarray) -> np.ndarray:
    """The points (theta, height), (n, 2), in float32, from heights (n, 1)."""
    return np.concatenate([np.full_like(heights, theta), heights], axis=1).astype(np.float32)


def exact_divergence(theta: float) -> float:
    """The JSD of the two lines."""
    return math.log(2) if theta else 0.0


@lru_cache(maxsize=2)
def train(seed: int = SEED) -> tuple[Learned, ...]:
    """Train a discriminator (minimax) and a critic (Wasserstein, WGAN-GP with weight 10) at each theta in turn.

    The training goes from the largest theta to the smallest and keeps the networks, as in a GAN.
    """
    rng = random.generator(seed, "distances/weights")
    discriminator, critic = _network(rng), _network(rng)
    optimizers = Adam(discriminator.parameters(), LEARNING_RATE), Adam(critic.parameters(), LEARNING_RATE, beta2=0.9)
    found: list[Learned] = []
    step = 0
    for theta in reversed(THETAS):
        for _ in range(MORE_STEPS if found else FIRST_STEPS):
            draws = random.generator(seed, "distances/step", step)
            real, fake = (Tensor(line(at, draws.random((BATCH, 1)))) for at in (0.0, theta))
            loss = losses.get("minimax").discriminator(discriminator(real), discriminator(fake))
            optimizers[0].step(grad(loss, optimizers[0].parameters))
            loss = losses.get("wasserstein").discriminator(critic(real), critic(fake))
            loss = loss + PENALTY_WEIGHT * penalties.wgan_gp(critic, real, fake, draws)
            optimizers[1].step(grad(loss, optimizers[1].parameters))
            step += 1
        found.append(_learned(theta, _copy(discriminator), _copy(critic)))
    return tuple(reversed(found))


def slopes(critic: Sequential, points: np.ndarray) -> np.ndarray:
    """The gradient of the critic at each of `points` (n, 2): (n, 2)."""
    x = Tensor(points)
    (slope,) = grad(ops.sum(critic(x)), [x])
    return slope.numpy()


def section() -> Section:
    """Both distances over theta, in closed form and estimated by networks."""
    learned, shown = train(), Numbers()
    frames, captions = [_picture(learned, now) for now in learned], [_caption(now, shown) for now in learned]
    body = f"""
<p>The first example of the Wasserstein GAN (Arjovsky et al., 2017): all data lie on the line x = 0, all samples on the
parallel line x = θ, both uniform in height from 0 to 1. Wherever θ ≠ 0 the two do not overlap, and</p>
<p class="formula">JSD = log 2 = {shown("log 2", math.log(2), 4)} for every θ ≠ 0 (and 0 for θ = 0),
&emsp; W<sub>1</sub> = |θ|.</p>
<p>The divergence does not depend on the distance, so its gradient by θ is 0 and a generator that follows it learns
nothing. W<sub>1</sub>, the least work that moves one line to the other, is the distance, and its gradient is ±1.</p>
<p>Networks can estimate both. A discriminator D bounds the divergence from below by (V(D, G) + log 4) / 2. A critic f
with slopes of at most 1 bounds W<sub>1</sub> from below by mean f(data) &minus; mean f(samples) (Kantorovich and
Rubinstein). Here the slope of the critic is limited by the penalty of Gulrajani et al. (2017), λ (|∇f| &minus; 1)² with
λ = {PENALTY_WEIGHT:g}, which is not a strict limit: for this problem the optimal slope is 1 + θ / 2λ, not 1. So the
difference of the means is too large, and is divided by the steepest slope found between the lines; the caption states
the remaining error.</p>
{slideshow("distances", frames, captions, slider="distance θ", start=4)}
"""
    return Section("distances", "Distances: the JS divergence of disjoint lines is constant", body, shown.figures)


def _network(rng: np.random.Generator) -> Sequential:
    return Sequential(Dense(2, 32, rng), LeakyReLU(0.2), Dense(32, 32, rng), LeakyReLU(0.2), Dense(32, 1, rng))


def _copy(network: Sequential) -> Sequential:
    copy = _network(random.generator(0, "replaced"))
    copy.load_state(network.state())
    return copy


def _learned(theta: float, discriminator: Sequential, critic: Sequential) -> Learned:
    real, fake = line(0.0, _HEIGHTS), line(theta, _HEIGHTS)
    with no_grad():
        logits = [discriminator(x).numpy().astype(np.float64) for x in (real, fake)]
        scores = [critic(x).numpy().astype(np.float64) for x in (real, fake)]
    value = -np.logaddexp(0, -logits[0]).mean() - np.logaddexp(0, logits[1]).mean()
    between = np.concatenate([line(at, _HEIGHTS) for at in np.linspace(0, theta, _ACROSS)])
    steepest = float(np.hypot(*slopes(critic, between).T).max())
    gradients = (_generator_gradient("minimax", discriminator, fake), _generator_gradient("wasserstein", critic, fake))
    difference = float(scores[0].mean() - scores[1].mean())
    return Learned(
        theta, discriminator, critic, float((value + math.log(4)) / 2), difference, steepest, gradients
    )  # fmt: skip


def _generator_gradient(loss: str, network: Sequential, fake: np.ndarray) -> float:
    """The derivative of the generator's loss by theta, which moves all samples along x."""
    x = Tensor(fake)
    (slope,) = grad(losses.get(loss).generator(network(x)), [x])
    return float(slope.numpy()[:, 0].sum(dtype=np.float64))


def _caption(now: Learned, shown: Numbers) -> str:
    at = f"theta {now.theta:g}"
    minimax, wasserstein = now.generator_gradients
    gradients = (
        f"Gradient of the generator&rsquo;s loss by θ: minimax {shown(f'{at}: minimax gradient', minimax)}, "
        f"Wasserstein {shown(f'{at}: Wasserstein gradient', wasserstein)}."
        if now.theta
        else "The two lines are the same here, so the networks cannot learn any difference."
    )
    return (
        f"θ = {now.theta:g}. JSD = {shown(f'{at}: JSD', exact_divergence(now.theta))}, learned "
        f"{shown(f'{at}: JSD learned', now.divergence)}. W<sub>1</sub> = {shown(f'{at}: W1', now.theta)}; the "
        f"critic&rsquo;s difference {shown(f'{at}: difference', now.difference)}, steepest slope "
        f"{shown(f'{at}: steepest slope', now.steepest)}, so W<sub>1</sub> ≥ {shown(f'{at}: bound', now.bound)}, error "
        f"{shown(f'{at}: error', now.bound - now.theta)}. {gradients}"
    )


def _picture(learned: Sequence[Learned], now: Learned) -> str:
    plane = Chart((-0.5, 2.5), (-0.1, 1.1), title="data and samples", x_label="x")
    plane.line([(0, 0), (0, 1)], REAL, label="data: x = 0", width=4)
    plane.line([(now.theta, 0), (now.theta, 1)], FAKE, label="samples: x = θ", width=4)
    if now.theta:
        starts = line(now.theta, np.linspace(0.1, 0.9, 5)[:, None])
        arrow = (-0.35 * now.generator_gradients[1], 0.0)
        label = "minus the gradient of the Wasserstein loss, times 0.35"
        plane.arrows(starts, np.tile(arrow, (5, 1)), THIRD, label=label)
    over = Chart((-0.1, 2.1), (-0.1, 2.1), title="distances over θ", x_label="θ")
    over.line([(now.theta, -1), (now.theta, 3)], FAINT, width=1)
    over.line([(0, math.log(2)), (THETAS[-1], math.log(2))], INK, label="JSD, closed form (0 at θ = 0)")
    over.dots([(each.theta, each.divergence) for each in learned], INK, label="JSD, learned by a discriminator")
    over.line([(0, 0), (THETAS[-1], THETAS[-1])], THIRD, label="W1, closed form")
    over.dots([(each.theta, each.bound) for each in learned], THIRD, label="W1, learned by a critic (lower bound)")
    return side_by_side(
        picture(plane.svg(), f"two parallel lines at distance {now.theta:g}, and the gradient that moves the samples"),
        picture(over.svg(), f"JSD flat at log 2, W1 rising with theta; now at {now.theta:g}"),
    )
