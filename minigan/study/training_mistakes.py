"""The section on training mistakes: five GANs with one wrong line each, trained on eight Gaussians on a ring.

The last three mistakes are from published articles; see docs/bug_museum.md. All runs have the same networks, initial
weights, data and latent vectors, and differ in one line only.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad
from minigan.checking import Report, check_pair
from minigan.core import random
from minigan.data import mixtures
from minigan.figures.html_parts import figure, picture, side_by_side, table, text
from minigan.figures.svg import FAINT, FAKE, INK, REAL, THIRD, Chart
from minigan.metrics import modes
from minigan.nn import Dense, LeakyReLU, Module, Sequential, init
from minigan.ops import mean_softplus
from minigan.optim import Adam
from minigan.study.section import Numbers, Section

TARGET = mixtures.ring(modes=8, radius=1.0, sigma=0.1)
STEPS, BATCH, WIDTH, SEED = 1000, 128, 32, 1
SAMPLES, DRAWN = 2_500, 400
OTHER_SEED = 3  # of initial weights for which the cosines are quite different
BLEND = 0.7  # weight of the real points in the blended batch
BLENDED_SPREAD = math.sqrt(BLEND**2 / (1 - (1 - BLEND) ** 2))
"""The standard deviation of the samples over that of the data, after training on the blended batch."""

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Losses:
    """The losses of both networks; with `accumulates`, D's gradients from the generator's step are not cleared.

    discriminator: a function of (D, real points, fakes). generator: a function of (D, fakes).
    """

    discriminator: Callable[[Network, Tensor, Tensor], Tensor]
    generator: Callable[[Network, Tensor], Tensor]
    accumulates: bool = False


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run: `samples` (n, 2), and D's logits (n,) for new real points and for the samples.

    variances: of the fakes in each step of the second half, summed over both coordinates.
    """

    samples: np.ndarray
    real_logits: np.ndarray
    fake_logits: np.ndarray
    variances: np.ndarray

    @property
    def scores(self) -> modes.ModeScores:
        """The modes that the samples cover, and their quality."""
        return modes.score_samples(self.samples, TARGET)

    @property
    def accuracy(self) -> float:
        """The fraction of real points and samples that D classifies correctly."""
        return float(((self.real_logits > 0).mean() + (self.fake_logits < 0).mean()) / 2)

    @property
    def real_score(self) -> float:
        """Mean D(x)."""
        return float(_sigmoid(self.real_logits).mean())

    @property
    def fake_score(self) -> float:
        """Mean D(G(z))."""
        return float(_sigmoid(self.fake_logits).mean())

    @property
    def value(self) -> float:
        """V = mean log D(x) + mean log(1 - D(G(z))); it is -log 4 = -1.386 where D = 1/2."""
        return float(-np.logaddexp(0, -self.real_logits).mean() - np.logaddexp(0, self.fake_logits).mean())

    @property
    def spread(self) -> float:
        """The standard deviation of the fakes in the second half of the training, over that of the data.

        It is an average over many steps, because that of a single step oscillates.
        """
        of_data = math.sqrt((TARGET.modes**2).sum(axis=1).mean() + 2 * TARGET.sigma**2)
        return math.sqrt(self.variances.mean()) / of_data


# The right losses and the wrong ones.


def _right_discriminator(D: Network, real: Tensor, fake: Tensor) -> Tensor:
    return mean_softplus(D(real), -1) + mean_softplus(D(fake))


def _non_saturating(D: Network, fake: Tensor) -> Tensor:
    return mean_softplus(D(fake), -1)


def _minimax(D: Network, fake: Tensor) -> Tensor:
    return -mean_softplus(D(fake))


def _wrong_sign(D: Network, fake: Tensor) -> Tensor:
    return -mean_softplus(D(fake), -1)


def _blended(D: Network, real: Tensor, fake: Tensor) -> Tensor:
    return mean_softplus(D(real * BLEND + fake * (1 - BLEND)), -1) + mean_softplus(D(fake))


def _minus_fake(D: Network, real: Tensor, fake: Tensor) -> Tensor:
    return mean_softplus(D(real), -1) - mean_softplus(D(fake))


def _fakes_only(D: Network, real: Tensor, fake: Tensor) -> Tensor:
    half = len(fake) // 2
    return mean_softplus(D(fake[:half]), -1) + mean_softplus(D(fake[half:]))


VARIANTS = {
    "right": Losses(_right_discriminator, _non_saturating),
    "sign": Losses(_right_discriminator, _wrong_sign),
    "minimax": Losses(_right_discriminator, _minimax),
    "uncleared minimax": Losses(_right_discriminator, _minimax, accumulates=True),
    "uncleared": Losses(_right_discriminator, _non_saturating, accumulates=True),
    "blend": Losses(_blended, _non_saturating),
    "minus": Losses(_minus_fake, _non_saturating),
    "fakes": Losses(_fakes_only, _non_saturating),
}


def _network(sizes: Sequence[int], purpose: str, seed: int) -> Sequential:
    rng = random.generator(seed, f"{purpose}/weights")
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [Dense(inputs, outputs, rng, initializer=init.he_normal), LeakyReLU()]
    return Sequential(*layers[:-1])


def networks(seed: int = SEED) -> tuple[Sequential, Sequential]:
    """The generator 2-32-32-2 and the discriminator 2-32-32-32-1, untrained."""
    sizes = {"generator": (2, WIDTH, WIDTH, 2), "discriminator": (2, WIDTH, WIDTH, WIDTH, 1)}
    generator, discriminator = (_network(widths, purpose, seed) for purpose, widths in sizes.items())
    return generator, discriminator


def reals(count: int, purpose: str, step: int = 0) -> Tensor:
    """Points of TARGET, (count, 2)."""
    return Tensor(TARGET.sample(count, random.generator(SEED, f"{purpose}/reals", step)).astype(np.float32))


def latents(count: int, purpose: str, step: int = 0) -> Tensor:
    """Standard normal points, (count, 2)."""
    rng = random.generator(SEED, f"{purpose}/latents", step)
    return Tensor(rng.standard_normal((count, 2), dtype=np.float32))


@functools.lru_cache(maxsize=len(VARIANTS))
def train(name: str) -> TrainingResult:
    """Train for STEPS steps with the losses of that name."""
    losses, (generator, discriminator) = VARIANTS[name], networks()
    g_adam, d_adam = (Adam(network.parameters(), 1e-3, beta2=0.99) for network in (generator, discriminator))
    uncleared: list[Tensor] | None = None
    variances = []
    for step in range(STEPS):
        fake = generator(latents(BATCH, "train", step))
        gradients = grad(losses.discriminator(discriminator, reals(BATCH, "train", step), fake), d_adam.parameters)
        if uncleared is not None:
            gradients = [g + old for g, old in zip(gradients, uncleared, strict=True)]
        d_adam.step(gradients)
        loss = losses.generator(discriminator, fake)
        uncleared = grad(loss, d_adam.parameters) if losses.accumulates else None
        g_adam.step(grad(loss, g_adam.parameters))
        if step >= STEPS // 2:
            variances.append(fake.numpy().var(axis=0, ddof=1).sum(dtype=np.float64))
    with no_grad():
        samples = generator(latents(SAMPLES, "test"))
        logits = [discriminator(points).numpy()[:, 0] for points in (reals(SAMPLES, "test"), samples)]
    return TrainingResult(*(array.astype(np.float64) for array in (samples.numpy(), *logits, np.array(variances))))


def cosine(name: str, seed: int) -> float:
    """The cosine of the angle between the right gradient and the wrong one of the variant `name`, before any step.

    The gradients are those of the network whose loss is wrong; `seed` is that of the initial weights.
    """
    generator, discriminator = networks(seed)
    real, fake = reals(BATCH, "train"), generator(latents(BATCH, "train"))
    right, wrong = VARIANTS["minimax" if name == "uncleared minimax" else "right"], VARIANTS[name]
    if name == "sign":
        network = generator
        values = [losses.generator(discriminator, fake) for losses in (right, wrong)]
    else:
        network = discriminator
        values = [losses.discriminator(discriminator, real, fake) for losses in (right, wrong)]
        values[1] = values[1] + wrong.generator(discriminator, fake) if wrong.accumulates else values[1]
    a, b = (
        np.concatenate([g.numpy().reshape(-1) for g in grad(value, list(network.parameters().values()))])
        for value in values
    )
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


# The optimal discriminator for the blended batch.

_SIGMA = 1.0
_REAL_AT, _FAKE_AT = np.array([-1.0, 0.0]), np.array([1.0, 0.0])


@dataclass(frozen=True)
class BlendedDiscriminator:
    """D along a line through two Gaussians after training on the blended batch, beside the optimal discriminators.

    optimal_for_blend, optimal_for_data: for the blended and for the real batch. errors: mean |D - optimum| over real
    points and fakes, for both in this order.
    """

    x: np.ndarray
    learned: np.ndarray
    optimal_for_blend: np.ndarray
    optimal_for_data: np.ndarray
    errors: tuple[float, float]


def optimal_discriminators(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p_blend / (p_blend + p_g) and p_data / (p_data + p_g) at `points` (n, 2), for Gaussians: each (n,).

    0.7 X + 0.3 Y of independent X from N(a, s^2 I) and Y from N(b, s^2 I) is N(0.7 a + 0.3 b, (0.7^2 + 0.3^2) s^2 I).
    """
    rest = 1 - BLEND
    of_fakes = _log_gaussian(points, _FAKE_AT, _SIGMA)
    blend = _log_gaussian(points, BLEND * _REAL_AT + rest * _FAKE_AT, math.hypot(BLEND, rest) * _SIGMA)
    return _sigmoid(blend - of_fakes), _sigmoid(_log_gaussian(points, _REAL_AT, _SIGMA) - of_fakes)


@functools.lru_cache(maxsize=1)
def blended_discriminator(steps: int = 800, batch: int = 256) -> BlendedDiscriminator:
    """Train D alone on the blended batch, against fakes of a fixed distribution."""
    _, discriminator = networks()
    optimizer = Adam(discriminator.parameters(), 2e-3)

    def draw(purpose: str, step: int = 0) -> tuple[Tensor, Tensor]:
        noise = random.generator(SEED, f"blend/{purpose}", step).standard_normal((2, batch, 2))
        return tuple(  # type: ignore[return-value]
            Tensor((centre + _SIGMA * part).astype(np.float32))
            for centre, part in zip((_REAL_AT, _FAKE_AT), noise, strict=True)
        )

    for step in range(steps):
        loss = _blended(discriminator, *draw("train", step))
        optimizer.step(grad(loss, optimizer.parameters))
    points = np.concatenate([part.numpy() for part in draw("test")])
    x = np.linspace(-3, 3, 121)
    line = np.stack([x, np.zeros_like(x)], axis=1)
    with no_grad():
        learned, at_points = (
            _sigmoid(discriminator(Tensor(p.astype(np.float32))).numpy()[:, 0]) for p in (line, points)
        )
    errors = tuple(float(np.abs(at_points - optimal).mean()) for optimal in optimal_discriminators(points))
    return BlendedDiscriminator(x, learned, *optimal_discriminators(line), (errors[0], errors[1]))


def _log_gaussian(points: np.ndarray, centre: np.ndarray, sigma: float) -> np.ndarray:
    return -((points - centre) ** 2).sum(axis=1) / (2 * sigma**2) - 2 * math.log(sigma)


# Gradient checks of the wrong gradients by the logits, with the right loss as the function.


def checks() -> dict[str, Report]:
    """The report on each mistake, by name, at the logits (4,) of real points and of fakes."""
    real, fake = random.generator(SEED, "checked logits").standard_normal((2, 4))
    n = len(real)

    def loss(real: np.ndarray, fake: np.ndarray) -> float:
        return float(np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean())

    def right(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -_sigmoid(-real) / n, _sigmoid(fake) / n

    def gradient_of_blend(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # A linear D, whose logit for a blend is the blend of the logits.
        by_blend = -_sigmoid(-(BLEND * real + (1 - BLEND) * fake)) / n
        return BLEND * by_blend, (1 - BLEND) * by_blend + _sigmoid(fake) / n

    both = (real, fake)
    return {
        "sign": check_pair(lambda fake: float(np.logaddexp(0, -fake).mean()), lambda fake: _sigmoid(-fake) / n, fake),
        "uncleared minimax": check_pair(loss, lambda r, f: (right(r, f)[0], np.zeros(n)), both),
        "blend": check_pair(loss, gradient_of_blend, both),
        "minus": check_pair(loss, lambda r, f: (right(r, f)[0], -right(r, f)[1]), both),
        "fakes": check_pair(loss, lambda r, f: (np.zeros(n), right(f, f)[0] + right(f, f)[1]), both),
    }


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x.astype(np.float64)))


# The section.


@dataclass(frozen=True)
class Mistake:
    """The variant `name` with its wrong line, beside the right line of the variant `reference`."""

    name: str
    title: str
    right: str
    wrong: str
    reference: str = "right"


MISTAKES = (
    Mistake(
        "sign", "The sign of the generator's loss",
        "loss = mean_softplus(D(G(z)), -1)    # -log D(G(z))", "loss = -mean_softplus(D(G(z)), -1)   # +log D(G(z))",
    ),
    Mistake(
        "uncleared minimax", "A forgotten detach, or D's gradients not cleared",
        "D.grad = grad(D_loss, D)", "D.grad += grad(D_loss, D)   # it still holds those of G's step", "minimax",
    ),
    Mistake(
        "blend", "A batch of blended pictures, labelled real",
        "real = x", "real = 0.7 * x + 0.3 * G(z)",
    ),
    Mistake(
        "minus", "The cross-entropy of the reals minus that of the fakes",
        "loss = mean_softplus(D(x), -1) + mean_softplus(D(G(z)))",
        "loss = mean_softplus(D(x), -1) - mean_softplus(D(G(z)))",
    ),
    Mistake(
        "fakes", "Fakes only, with both labels",
        "loss = mean_softplus(D(x), -1) + mean_softplus(D(G(z)))",
        "loss = mean_softplus(D(G(z1)), -1) + mean_softplus(D(G(z2)))",
    ),
)  # fmt: skip


def section() -> Section:
    """Each mistake: the right and the wrong line, their effects, and the report of the gradient check."""
    shown = Numbers()
    explanations = {
        "sign": _explain_sign, "uncleared minimax": _explain_uncleared, "blend": _explain_blend,
        "minus": _explain_minus, "fakes": _explain_fakes,
    }  # fmt: skip
    reports = checks()
    parts = "".join(_part(mistake, explanations[mistake.name](shown), reports[mistake.name]) for mistake in MISTAKES)
    body = f"""
<p>Most mistakes in a GAN raise no error. The losses change, samples are generated, and they are bad, as they are in the
first minutes of a run without a mistake. Here are five mistakes, the last three from published articles, each beside
the right line and trained for {STEPS:,} steps on eight Gaussians on a ring. All runs have the same networks, initial
weights, data and latent vectors, and one line changed. Data are blue, generated samples orange.</p>
{parts}
<h3>All of them</h3>
<p>A mode counts as found if one of {SAMPLES:,} samples lies within 3 &sigma; of it; HQ is the fraction of samples that
lie so near to a mode. The last columns are the cosine of the angle between the gradient with the wrong line and that
with the right one, before the first step, for two draws of the initial weights. Except for the wrong sign, this cosine
depends more on the draw than on the mistake, because an untrained discriminator may give data and fakes similar logits,
or quite different ones. The gradient by the logits, entry by entry, always shows the mistake.</p>
{_all(shown)}
"""
    return Section("one-wrong-line", "One wrong line", body, shown.figures)


def _part(mistake: Mistake, explanation: str, report: Report) -> str:
    right, wrong = train(mistake.reference), train(mistake.name)
    pictures = side_by_side(_scatter(right, "right", mistake), _scatter(wrong, "wrong", mistake))
    return f"""
<h3>{mistake.title}</h3>
<pre>right   {text(mistake.right)}
wrong   {text(mistake.wrong)}</pre>
{figure(pictures, f"After {STEPS:,} steps: data in blue, {DRAWN} samples in orange. The axes differ.")}
{explanation}
<p>The report of <code>check_pair</code> on the right loss and the gradient that the wrong line follows:</p>
<pre>{text(chr(10).join(str(report).splitlines()[:2]))}</pre>
"""


def _scatter(result: TrainingResult, title: str, mistake: Mistake) -> str:
    points, data = result.samples[:DRAWN], reals(DRAWN, "test").numpy().astype(np.float64)
    reach = max(1.5, 1.1 * float(np.abs(points).max()))
    span = (-reach, reach)
    chart = Chart(span, span, title=title, size=(300, 300))
    for dots, colour in ((data, REAL), (points, FAKE)):
        chart.arrows(dots, np.zeros_like(dots), colour, width=2.4)
    return picture(chart.svg(), f"{mistake.title}: samples after training with the {title} line, beside the data")


def _explain_sign(shown: Numbers) -> str:
    wrong = train("sign")
    return f"""<p>The generator now minimises log D(G(z)): it moves to where D is surest of a fake, without limit, and D
learns to be surer still. At the end D is right about
{shown("sign: accuracy of D, %", 100 * wrong.accuracy, 1)}% of all points, and the samples are up to
{shown("sign: farthest sample", float(np.abs(wrong.samples).max()), 0)} away from a ring of
radius 1. The gradient by a logit has the right magnitude, (1 &minus; D) / n, and the wrong sign.</p>"""


def _explain_uncleared(shown: Numbers) -> str:
    wrong, uncleared = train("uncleared minimax"), train("uncleared")
    best = 2 / 3
    return f"""<p>Frameworks that store gradients with the weights accumulate them until they are cleared. The step of
the generator computes D's gradients, too, and if these are not cleared, D's next step follows the sum. With the minimax
loss the generator's gradient by a fake's logit is the negative of D's own, so the sum is D / n &minus; D / n = 0. On
average D learns nothing from fakes, nothing keeps its logits low there, and the generator diverges: its samples end
up to {shown("uncleared minimax: farthest sample", float(np.abs(wrong.samples).max()), 0)} away.</p>
<p>With the non-saturating loss the damage of the same line is hard to see. By a fake's logit the sum is D / n
&minus; (1 &minus; D) / n = (2D &minus; 1) / n, as if each fake had both labels. With data of density p and samples of
density q the optimal D is then (p + q) / (p + 2q), not p / (p + q): where p = q it is 2/3, not 1/2. It still increases
with p / q, so the generator still learns, and finds
{shown("uncleared: modes", uncleared.scores.covered, 0)} of 8 modes; but mean D(x) is
{shown("uncleared: D(x)", uncleared.real_score)} and mean D(G(z)) {shown("uncleared: D(G(z))", uncleared.fake_score)},
near {shown("uncleared: best D at equilibrium", best)}. If both means settle at 2/3, look for gradients that are not
cleared. (If the fakes are not detached in D's step, the generator gets D's gradients by the same sums: 0 with the
minimax loss, (2D &minus; 1) / n with the other.)</p>"""


def _explain_blend(shown: Numbers) -> str:
    wrong, alone = train("blend"), blended_discriminator()
    chart = Chart((-3, 3), (0, 1), x_label="x", y_label="D")
    for values, colour, label, dashed in (
        (alone.optimal_for_data, FAINT, "optimal D for the data", True),
        (alone.optimal_for_blend, INK, "optimal D for the blend", False),
        (alone.learned, THIRD, "D after training on the blend", False),
    ):
        chart.line(np.stack([alone.x, values], axis=1), colour, label=label, dashed=dashed)
    alt = "D along a line: the learned D follows the optimal one for the blend, and not that for the data"
    return f"""<p>The batch that is labelled real holds points between a real one and a fake. The optimal D becomes
p<sub>blend</sub> / (p<sub>blend</sub> + p<sub>g</sub>). For two Gaussians it is known exactly: with data N(a, I) and
samples N(b, I) the blend is N(0.7a + 0.3b, 0.58 I). After training on the blend, D differs from this optimum by
{shown("blend: mean error against the blend", alone.errors[0])} on average, and from the right one by
{shown("blend: mean error against the data", alone.errors[1])}.</p>
{figure(picture(chart.svg(), alt), "D along the line through both centres, data at -1, samples at 1.")}
<p>So the generator converges to a distribution that equals its own blend, G = 0.7 X + 0.3 G' with an independent copy
G', which is that of 0.7 (X<sub>0</sub> + 0.3 X<sub>1</sub> + 0.09 X<sub>2</sub> + ...): it has the right mean and is
narrower. Its variance v solves v = 0.49 &sigma;&sup2; + 0.09 v, so the predicted ratio of the standard deviations is
&radic;(0.49 / 0.91) = {shown("blend: predicted spread", BLENDED_SPREAD)}. Measured over the second half of the steps it
is {shown("blend: spread", wrong.spread)}, and {shown("right: spread", train("right").spread)} with the right line.
Meanwhile D outputs about 1/2 (mean D(x) {shown("blend: D(x)", wrong.real_score)}, mean D(G(z))
{shown("blend: D(G(z))", wrong.fake_score)}) and the losses look as if the training had converged.</p>"""


def _explain_minus(shown: Numbers) -> str:
    wrong = train("minus")
    return f"""<p>Goodfellow et al. (2014, equation 1) maximise the sum of two logarithms; as cross-entropies to be
minimised both have a plus. With the minus, D's loss falls with every fake that D classifies as real, without a lower
bound: mean D(G(z)) is {shown("minus: D(G(z))", wrong.fake_score)} at the end. The generator's gradient,
&minus;(1 &minus; D) / n, is 0 there, and its training stops at an arbitrary place:
{shown("minus: high quality, %", 100 * wrong.scores.high_quality, 1)}% of its samples are near a mode. The gradient by
a fake's logit is &minus;D / n, which should be D / n.</p>"""


def _explain_fakes(shown: Numbers) -> str:
    wrong = train("fakes")
    logits = wrong.fake_logits
    loss = float((np.logaddexp(0, -logits) + np.logaddexp(0, logits)).mean())
    return f"""<p>Both batches come from the generator, one labelled real and one labelled fake. The data are not used:
every derivative by their logits is 0. The derivative by a fake's logit is, on average over the labels, (2D &minus; 1) /
2n, so the optimal D is 1/2 wherever samples are, whatever their distribution. Mean D(G(z)) ends at
{shown("fakes: D(G(z))", wrong.fake_score)} and D's loss at {shown("fakes: loss of D", loss)}, about 2 log 2 =
{shown("2 log 2", 2 * math.log(2))}, just as after a successful training; but other data would give the same samples,
and it is chance that {shown("fakes: high quality, %", 100 * wrong.scores.high_quality, 1)}% of them are near a
mode.</p>"""


def _all(shown: Numbers) -> str:
    names = {
        "right": "none", "sign": "sign of G's loss", "minimax": "none, minimax",
        "uncleared minimax": "uncleared, minimax", "uncleared": "uncleared",
        "blend": "blended batch", "minus": "minus for fakes", "fakes": "fakes only",
    }  # fmt: skip
    titles = ["mistake", "modes", "HQ, %", "D right, %", "D(x)", "D(G(z))", "cosine", "cosine, other weights"]
    return table(titles, [[title, *_row(name, shown)] for name, title in names.items()])


def _row(name: str, shown: Numbers) -> list[str]:
    result = train(name)
    return [
        shown(f"{name}: modes", result.scores.covered, 0),
        shown(f"{name}: high quality, %", 100 * result.scores.high_quality, 1),
        shown(f"{name}: accuracy of D, %", 100 * result.accuracy, 1),
        shown(f"{name}: D(x)", result.real_score),
        shown(f"{name}: D(G(z))", result.fake_score),
        shown(f"{name}: cosine", cosine(name, SEED)),
        shown(f"{name}: cosine with other weights", cosine(name, OTHER_SEED)),
    ]
