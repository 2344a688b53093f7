"""What one wrong line does to a GAN: five mistakes, each beside the right line, trained on eight Gaussians on a ring.

The last three are from published articles; see docs/bug_museum.md. Every run has the same networks, initial weights,
data and latent vectors, and differs in its one line.
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
from minigan.figures.svg import FAINT, FAKE, INK, REAL, THIRD, Chart
from minigan.metrics import modes
from minigan.nn import Dense, LeakyReLU, Module, Sequential, init
from minigan.ops import mean_softplus
from minigan.optim import Adam
from minigan.study.section import Numbers, Section, beside, figure, picture, table, text

TARGET = mixtures.ring(modes=8, radius=1.0, sigma=0.1)
STEPS, BATCH, WIDTH, SEED = 1000, 128, 32, 1
SAMPLES, DRAWN = 2_500, 400
OTHER_SEED = 3  # of initial weights for which the cosines are quite different
BLEND = 0.7  # of the reals, in the blended batch
SHRUNK = math.sqrt(BLEND**2 / (1 - (1 - BLEND) ** 2))
"""What the blended batch leaves of the data's standard deviation."""

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Game:
    """What both players minimise; `forgets` to clear D's gradients, which the generator's step has added to."""

    discriminator: Callable[[Network, Tensor, Tensor], Tensor]
    generator: Callable[[Network, Tensor], Tensor]
    forgets: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a game: `samples` (n, 2), and D's logits (n,) on fresh reals and on the samples.

    variances: those of the fakes of each step of the second half, summed over both coordinates.
    """

    samples: np.ndarray
    real_logits: np.ndarray
    fake_logits: np.ndarray
    variances: np.ndarray

    @property
    def scores(self) -> modes.ModeScores:
        """How the samples fall on the modes."""
        return modes.score_samples(self.samples, TARGET)

    @property
    def accuracy(self) -> float:
        """The share that D takes for what it is."""
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
        """V = mean log D(x) + mean log(1 - D(G(z))): -log 4 = -1.386 if D cannot tell."""
        return float(-np.logaddexp(0, -self.real_logits).mean() - np.logaddexp(0, self.fake_logits).mean())

    @property
    def spread(self) -> float:
        """The standard deviation of what G made in the second half of the training, over that of the data.

        Over many steps, because that of a single one swings around it.
        """
        of_data = math.sqrt((TARGET.modes**2).sum(axis=1).mean() + 2 * TARGET.sigma**2)
        return math.sqrt(self.variances.mean()) / of_data


# The right lines and the wrong ones.


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


GAMES = {
    "right": Game(_right_discriminator, _non_saturating),
    "sign": Game(_right_discriminator, _wrong_sign),
    "minimax": Game(_right_discriminator, _minimax),
    "uncleared minimax": Game(_right_discriminator, _minimax, forgets=True),
    "uncleared": Game(_right_discriminator, _non_saturating, forgets=True),
    "blend": Game(_blended, _non_saturating),
    "minus": Game(_minus_fake, _non_saturating),
    "fakes": Game(_fakes_only, _non_saturating),
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


@functools.lru_cache(maxsize=len(GAMES))
def play(name: str) -> Outcome:
    """STEPS steps of the game of that name."""
    game, (generator, discriminator) = GAMES[name], networks()
    climber, judge = (Adam(network.parameters(), 1e-3, beta2=0.99) for network in (generator, discriminator))
    left_over: list[Tensor] | None = None
    variances = []
    for step in range(STEPS):
        fake = generator(latents(BATCH, "train", step))
        gradients = grad(game.discriminator(discriminator, reals(BATCH, "train", step), fake), judge.parameters)
        if left_over is not None:
            gradients = [g + more for g, more in zip(gradients, left_over, strict=True)]
        judge.step(gradients)
        loss = game.generator(discriminator, fake)
        left_over = grad(loss, judge.parameters) if game.forgets else None
        climber.step(grad(loss, climber.parameters))
        if step >= STEPS // 2:
            variances.append(fake.numpy().var(axis=0, ddof=1).sum(dtype=np.float64))
    with no_grad():
        samples = generator(latents(SAMPLES, "test"))
        logits = [discriminator(points).numpy()[:, 0] for points in (reals(SAMPLES, "test"), samples)]
    return Outcome(*(array.astype(np.float64) for array in (samples.numpy(), *logits, np.array(variances))))


def cosine(name: str, seed: int) -> float:
    """Between the right gradient and that of the game `name`, of the player whose line is wrong, before any step.

    `seed` draws the initial weights.
    """
    generator, discriminator = networks(seed)
    real, fake = reals(BATCH, "train"), generator(latents(BATCH, "train"))
    fair, wrong = GAMES["minimax" if name == "uncleared minimax" else "right"], GAMES[name]
    if name == "sign":
        learning = generator
        losses = [game.generator(discriminator, fake) for game in (fair, wrong)]
    else:
        learning = discriminator
        losses = [game.discriminator(discriminator, real, fake) for game in (fair, wrong)]
        losses[1] = losses[1] + wrong.generator(discriminator, fake) if wrong.forgets else losses[1]
    a, b = (
        np.concatenate([g.numpy().reshape(-1) for g in grad(loss, list(learning.parameters().values()))])
        for loss in losses
    )
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


# The best answer to the blended batch.

_BLUR = 1.0
_REAL_AT, _FAKE_AT = np.array([-1.0, 0.0]), np.array([1.0, 0.0])


@dataclass(frozen=True)
class BlendedAnswer:
    """D along a line through two Gaussians after training on the blended batch, and what it should be.

    errors: mean |D - best| over points of both kinds, for the best answer to the blend, and for that to the data.
    """

    x: np.ndarray
    learned: np.ndarray
    to_the_blend: np.ndarray
    to_the_data: np.ndarray
    errors: tuple[float, float]


def best_answers(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p_blend / (p_blend + p_g) and p_data / (p_data + p_g) at `points` (n, 2), for Gaussians: each (n,).

    0.7 X + 0.3 Y of independent X from N(a, s^2 I) and Y from N(b, s^2 I) is N(0.7 a + 0.3 b, (0.7^2 + 0.3^2) s^2 I).
    """
    rest = 1 - BLEND
    of_fakes = _log_gaussian(points, _FAKE_AT, _BLUR)
    blend = _log_gaussian(points, BLEND * _REAL_AT + rest * _FAKE_AT, math.hypot(BLEND, rest) * _BLUR)
    return _sigmoid(blend - of_fakes), _sigmoid(_log_gaussian(points, _REAL_AT, _BLUR) - of_fakes)


@functools.lru_cache(maxsize=1)
def blended_answer(steps: int = 800, batch: int = 256) -> BlendedAnswer:
    """Train D alone on the blended batch, against fakes that stay."""
    _, discriminator = networks()
    optimizer = Adam(discriminator.parameters(), 2e-3)

    def draw(purpose: str, step: int = 0) -> tuple[Tensor, Tensor]:
        noise = random.generator(SEED, f"blend/{purpose}", step).standard_normal((2, batch, 2))
        return tuple(  # type: ignore[return-value]
            Tensor((at + _BLUR * part).astype(np.float32)) for at, part in zip((_REAL_AT, _FAKE_AT), noise, strict=True)
        )

    for step in range(steps):
        loss = _blended(discriminator, *draw("train", step))
        optimizer.step(grad(loss, optimizer.parameters))
    probes = np.concatenate([part.numpy() for part in draw("test")])
    x = np.linspace(-3, 3, 121)
    line = np.stack([x, np.zeros_like(x)], axis=1)
    with no_grad():
        learned, at_probes = (
            _sigmoid(discriminator(Tensor(p.astype(np.float32))).numpy()[:, 0]) for p in (line, probes)
        )
    errors = tuple(float(np.abs(at_probes - best).mean()) for best in best_answers(probes))
    return BlendedAnswer(x, learned, *best_answers(line), (errors[0], errors[1]))


def _log_gaussian(points: np.ndarray, centre: np.ndarray, sigma: float) -> np.ndarray:
    return -((points - centre) ** 2).sum(axis=1) / (2 * sigma**2) - 2 * math.log(sigma)


# What a gradient check says: of the loss as it should be, and of the gradient by the logits that the wrong line gives.


def checks() -> dict[str, Report]:
    """The report on each mistake, by name; logits (4,) of reals and of fakes."""
    real, fake = random.generator(SEED, "checked logits").standard_normal((2, 4))
    n = len(real)

    def loss(real: np.ndarray, fake: np.ndarray) -> float:
        return float(np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean())

    def right(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -_sigmoid(-real) / n, _sigmoid(fake) / n

    def through_the_blend(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        of_blend = -_sigmoid(-(BLEND * real + (1 - BLEND) * fake)) / n  # of a linear D, whose logit is the blend's
        return BLEND * of_blend, (1 - BLEND) * of_blend + _sigmoid(fake) / n

    both = (real, fake)
    return {
        "sign": check_pair(lambda fake: float(np.logaddexp(0, -fake).mean()), lambda fake: _sigmoid(-fake) / n, fake),
        "uncleared minimax": check_pair(loss, lambda r, f: (right(r, f)[0], np.zeros(n)), both),
        "blend": check_pair(loss, through_the_blend, both),
        "minus": check_pair(loss, lambda r, f: (right(r, f)[0], -right(r, f)[1]), both),
        "fakes": check_pair(loss, lambda r, f: (np.zeros(n), right(f, f)[0] + right(f, f)[1]), both),
    }


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x.astype(np.float64)))


# The section.


@dataclass(frozen=True)
class Mistake:
    """A wrong line beside the right one; `fair` names the game without it, `checked` how its report is called."""

    name: str
    title: str
    right: str
    wrong: str
    fair: str = "right"


MISTAKES = (
    Mistake(
        "sign", "The sign of the generator's loss",
        "loss = mean_softplus(D(G(z)), -1)    # -log D(G(z))", "loss = -mean_softplus(D(G(z)), -1)   # +log D(G(z))",
    ),
    Mistake(
        "uncleared minimax", "A forgotten detach, or D's gradients not cleared",
        "D.grad = grad(D_loss, D)", "D.grad += grad(D_loss, D)   # G's step left its own there", "minimax",
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
    """Each mistake: both lines, what they do, and what gives them away."""
    shown = Numbers()
    told = {
        "sign": _told_of_the_sign, "uncleared minimax": _told_of_uncleared, "blend": _told_of_the_blend,
        "minus": _told_of_the_minus, "fakes": _told_of_fakes,
    }  # fmt: skip
    reports = checks()
    parts = "".join(_part(mistake, told[mistake.name](shown), reports[mistake.name]) for mistake in MISTAKES)
    body = f"""
<p>Most mistakes in a GAN raise no error. The losses move, pictures come out, and they are bad, as they are without a
mistake in the first minutes. Below are five, the last three from published articles, each with the right line beside
it, trained for {STEPS:,} steps on eight Gaussians on a ring: the same networks, initial weights, data and latent
vectors, and one line changed. Blue are data, orange is what the generator makes.</p>
{parts}
<h3>All of them</h3>
<p>A mode counts as found with one of {SAMPLES:,} samples within 3 &sigma; of it; HQ is the share of samples so near to
any mode. The last columns compare the gradient of the wrong line with that of the right one before the first step, as
the cosine of the angle between them, for two draws of the initial weights. But for the plain sign they say more of the
draw than of the mistake: an untrained network takes data and fakes for much the same, or for quite different. The
gradient by the logits, entry by entry, tells always.</p>
{_all(shown)}
"""
    return Section("one-wrong-line", "One wrong line", body, shown.figures)


def _part(mistake: Mistake, told: str, report: Report) -> str:
    fair, wrong = play(mistake.fair), play(mistake.name)
    pictures = beside(_scatter(fair, "right", mistake), _scatter(wrong, "wrong", mistake))
    return f"""
<h3>{mistake.title}</h3>
<pre>right   {text(mistake.right)}
wrong   {text(mistake.wrong)}</pre>
{figure(pictures, f"After {STEPS:,} steps: data in blue, {DRAWN} samples in orange. Mind the axes.")}
{told}
<p>What <code>check_pair</code> says of the gradient that the wrong line follows, and of the loss that is meant:</p>
<pre>{text(chr(10).join(str(report).splitlines()[:2]))}</pre>
"""


def _scatter(outcome: Outcome, title: str, mistake: Mistake) -> str:
    points, data = outcome.samples[:DRAWN], reals(DRAWN, "test").numpy().astype(np.float64)
    reach = max(1.5, 1.1 * float(np.abs(points).max()))
    span = (-reach, reach)
    chart = Chart(span, span, title=title, size=(300, 300))
    for dots, colour in ((data, REAL), (points, FAKE)):
        chart.arrows(dots, np.zeros_like(dots), colour, width=2.4)
    return picture(chart.svg(), f"{mistake.title}: samples after training with the {title} line, beside the data")


def _told_of_the_sign(shown: Numbers) -> str:
    wrong = play("sign")
    return f"""<p>The generator now minimises log D(G(z)): it makes what D finds most fake, and there is no end to that.
D helps it along. At the end D is right about {shown("sign: accuracy of D, %", 100 * wrong.accuracy, 1)}% of all points,
and the samples are up to {shown("sign: farthest sample", float(np.abs(wrong.samples).max()), 0)} away from a ring of
radius 1. The gradient by a logit has its magnitude right, (1 &minus; D) / n, and its sign wrong.</p>"""


def _told_of_uncleared(shown: Numbers) -> str:
    wrong, kept = play("uncleared minimax"), play("uncleared")
    best = 2 / 3
    return f"""<p>Frameworks that keep gradients in the weights add to them until they are told to stop. In the
generator's step they form D's gradients, too, and if these are not cleared, D's next step follows the sum. Under the
minimax loss the generator's is the negative of D's own on fakes: D / n &minus; D / n = 0 by every logit. On average D
learns nothing from fakes, nothing holds its verdicts down where they are, and the generator runs off: its samples end
up to {shown("uncleared minimax: farthest sample", float(np.abs(wrong.samples).max()), 0)} away.</p>
<p>Under the non-saturating loss the same line does damage that nobody sees. By a fake's logit the sum is D / n
&minus; (1 &minus; D) / n = (2D &minus; 1) / n: as if each fake came with both labels. The best D is then (p + q) / (p +
2q) for data of density p and samples of density q, not p / (p + q): where the generator is right, 2/3 and not 1/2. It
still rises with p / q, so the generator still learns, and finds
{shown("uncleared: modes", kept.scores.covered, 0)} of 8 modes; but mean D(x) is
{shown("uncleared: D(x)", kept.real_score)} and mean D(G(z)) {shown("uncleared: D(G(z))", kept.fake_score)}, near
{shown("uncleared: best D at equilibrium", best)}. If both means settle at 2/3, look for what is not cleared. (With the
fakes not detached the generator gets D's gradients in turn, by the same sums: none under minimax, (2D &minus; 1) / n
under the other.)</p>"""


def _told_of_the_blend(shown: Numbers) -> str:
    wrong, answer = play("blend"), blended_answer()
    chart = Chart((-3, 3), (0, 1), x_label="x", y_label="D")
    for values, colour, label, dashed in (
        (answer.to_the_data, FAINT, "best answer to the data", True),
        (answer.to_the_blend, INK, "best answer to the blend", False),
        (answer.learned, THIRD, "D after training on the blend", False),
    ):
        chart.line(np.stack([answer.x, values], axis=1), colour, label=label, dashed=dashed)
    alt = "D along a line: what is learned lies on the best answer to the blend, away from that to the data"
    return f"""<p>D is shown points that lie on the way from a real one to a fake, and told that they are real. Its
best answer becomes p<sub>blend</sub> / (p<sub>blend</sub> + p<sub>g</sub>). Between two Gaussians that is known
exactly: with data N(a, I) and samples N(b, I) the blend is N(0.7a + 0.3b, 0.58 I). Trained on it, D is off by
{shown("blend: mean error against the blend", answer.errors[0])} on average from that answer, and by
{shown("blend: mean error against the data", answer.errors[1])} from the right one.</p>
{figure(picture(chart.svg(), alt), "D along the line through both centres, data at -1, samples at 1.")}
<p>So the generator is drawn to a law that equals its own blend, G = 0.7 X + 0.3 G' with an independent copy G', which
is that of 0.7 (X<sub>0</sub> + 0.3 X<sub>1</sub> + 0.09 X<sub>2</sub> + ...): right in the mean, and narrower. Its
variance solves v = 0.49 &sigma;&sup2; + 0.09 v, so &radic;(0.49 / 0.91) = {shown("blend: predicted spread", SHRUNK)}
of the spread is left. Measured over the second half of the steps: {shown("blend: spread", wrong.spread)}; with the
right line {shown("right: spread", play("right").spread)}. All the while D cannot tell (mean D(x)
{shown("blend: D(x)", wrong.real_score)}, mean D(G(z)) {shown("blend: D(G(z))", wrong.fake_score)} of 1/2 each) and the
losses look as if the game were won.</p>"""


def _told_of_the_minus(shown: Numbers) -> str:
    wrong = play("minus")
    return f"""<p>What Goodfellow et al. (2014, equation 1) maximise are two logarithms added up; as cross-entropies to
minimise both have a plus. With a minus D is rewarded for every fake that it calls real, without a lower bound: mean
D(G(z)) is {shown("minus: D(G(z))", wrong.fake_score)} in the end. The generator's gradient, &minus;(1 &minus; D) / n,
is 0 there, and it stops wherever it happens to be:
{shown("minus: high quality, %", 100 * wrong.scores.high_quality, 1)}% of its samples are near a mode. The gradient by
a fake's logit is &minus;D / n, which should be D / n.</p>"""


def _told_of_fakes(shown: Numbers) -> str:
    wrong = play("fakes")
    logits = wrong.fake_logits
    loss = float((np.logaddexp(0, -logits) + np.logaddexp(0, logits)).mean())
    return f"""<p>Both batches come from the generator, one labelled real and one fake. The data take no part: by them
every derivative is 0. By the logit of a fake it is, on average over the labels, (2D &minus; 1) / 2n, so the best D is
1/2 wherever samples are, whatever they are. Mean D(G(z)) ends at {shown("fakes: D(G(z))", wrong.fake_score)} and D's
own loss at {shown("fakes: loss of D", loss)}, about 2 log 2 = {shown("2 log 2", 2 * math.log(2))}, just as at the end
of a game that was won; but other data would leave the same samples, and it is chance that
{shown("fakes: high quality, %", 100 * wrong.scores.high_quality, 1)}% of them are near a mode.</p>"""


def _all(shown: Numbers) -> str:
    names = {
        "right": "none", "sign": "sign of G's loss", "minimax": "none, minimax",
        "uncleared minimax": "uncleared, minimax", "uncleared": "uncleared",
        "blend": "blended batch", "minus": "minus for fakes", "fakes": "fakes only",
    }  # fmt: skip
    titles = ["mistake", "modes", "HQ, %", "D right, %", "D(x)", "D(G(z))", "cosine", "cosine, other weights"]
    return table(titles, [[title, *_row(name, shown)] for name, title in names.items()])


def _row(name: str, shown: Numbers) -> list[str]:
    outcome = play(name)
    return [
        shown(f"{name}: modes", outcome.scores.covered, 0),
        shown(f"{name}: high quality, %", 100 * outcome.scores.high_quality, 1),
        shown(f"{name}: accuracy of D, %", 100 * outcome.accuracy, 1),
        shown(f"{name}: D(x)", outcome.real_score),
        shown(f"{name}: D(G(z))", outcome.fake_score),
        shown(f"{name}: cosine", cosine(name, SEED)),
        shown(f"{name}: cosine with other weights", cosine(name, OTHER_SEED)),
    ]
