"""What can be measured of a GAN between two steps without disturbing it: signs of how the training fares.

Each is a ratio, so that it means the same for points and for pictures, and for losses whose scores have different
units; what number is a bad sign is said in minigan.training.findings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad
from minigan.core import random
from minigan.gan import GAN, Pass
from minigan.gan.inputs import UpdateInputs
from minigan.gan.losses import Loss
from minigan.gan.penalties import drawn, repeatable
from minigan.nn.module import preserved
from minigan.ops import reshape
from minigan.ops import sum as sum_
from minigan.optim.schedules import at

_EXAMPLES = 256  # looked at, at most: distances between all pairs of more would take longer than they tell
_SCORES = (0.0, 0.25, -0.25, 0.5, -0.5, 0.75, -0.75, 1.0, -1.0)  # the undecided one is 0 or 1/2 in every known loss


@dataclass(frozen=True)
class Undecided:
    """What a loss says of a discriminator that gives every example the same score, the best of a few.

    loss: of that discriminator. slopes: d loss / d logit of the reals and of the fakes, and that of the generator's
    loss for the fakes; each the sum over the examples of a kind.
    """

    loss: float
    of_real: float
    of_fake: float
    of_generator: float

    @classmethod
    def by(cls, loss: Loss) -> Undecided:
        """Ask the loss."""
        return min((cls._at(loss, score) for score in _SCORES), key=lambda found: found.loss)

    @classmethod
    def _at(cls, loss: Loss, score: float) -> Undecided:
        real, fake = (Tensor(np.full((2, 1), score)) for _ in range(2))
        value = loss.discriminator(real, fake)
        slopes = [*grad(value, [real, fake]), *grad(loss.generator(fake, real), [fake])]
        return cls(value.item(), *(float(slope.numpy().sum()) for slope in slopes))


@dataclass(frozen=True)
class Given:
    """The gradient that an optimiser was given, held against the ones expected at the same weights.

    agreement: its cosine with that of the player's objective: 1 if the player descends that, -1 if it climbs, but for
    the noise of a batch. reversed_penalty: its cosine with that of the loss less the penalty. NaN where not known.
    zero: whether it was zero to the last bit where the one expected was not.
    """

    agreement: float = math.nan
    reversed_penalty: float = math.nan
    zero: bool = False


class Comparison:
    """Compares the next gradient that a player's optimiser is given with those `expected`: see Given.

    Nothing is read from the device before `given` is asked for.
    """

    def __init__(self, *expected: list[Any]) -> None:
        self._expected = expected
        self._products: list[list[Any]] = []

    @property
    def is_due(self) -> bool:
        """Whether no gradient has been compared yet."""
        return bool(self._expected)

    def compare(self, gradients: Sequence[Tensor]) -> None:
        """Compare these, if none has been before."""
        expected, self._expected = self._expected, ()
        given = [g.data for g in gradients]
        if expected and [g.shape for g in given] == [
            g.shape for g in expected[0]
        ]:  # if not, the optimiser refuses them
            self._products = [[_product(a, b) for a, b in ((given, x), (given, given), (x, x))] for x in expected]

    def products(self) -> np.ndarray:
        """For each gradient expected, its product with the one given, and both squared norms, (k, 3).

        (0, 3) if none was given. Waits for the device.
        """
        return np.array([list(map(float, products)) for products in self._products], np.float64).reshape(-1, 3)

    @classmethod
    def of_products(cls, products: np.ndarray) -> Comparison:
        """One that has been made, with these `products`."""
        made = cls()
        made._products = products.tolist()
        return made

    def given(self) -> Given:
        """What the gradient was, of NaN if none was given."""
        found = self.products().tolist()
        if not found:
            return Given()
        cosines = [across / math.sqrt(a * b) if a * b > 0 else math.nan for across, a, b in found]
        return Given(cosines[0], cosines[1] if len(cosines) > 1 else math.nan, found[0][1] == 0 < found[0][2])


@dataclass(frozen=True)
class Signs:
    """What `measure` saw at `step`; d is the mean distance between a real example and a fake one.

    A ratio to what is 0 is not known, and NaN: to the distances of reals that are all equal, or to a d of 0.

    finite: whether all samples, scores and losses are.
    spread: mean distance between fakes, over that between reals: 1 for a generator that varies as the data do.
    reach: d over the mean distance between reals: 1 if the fakes lie among the reals.
    missed, strayed: mean distance from a real to the nearest fake, and from a fake to the nearest real, each less that
        from a real to the nearest other real, over the mean distance between reals: both near 0 of perfect samples.
    gap: by how much reals score higher on average. steepness: gap / d, the least Lipschitz constant that needs.
    doubt: mean |d loss / d logit| of the discriminator's loss, over that of an undecided one.
    advantage: by how much the generator's loss would fall if fakes were scored as reals are.
    pull: d * mean |d generator loss / d fake| * examples, over the advantage; by the mean value theorem the slope at
        the samples over the average slope on the way to the data. Infinite if there is a slope and no advantage.
    push: mean |d generator loss / d logit of a fake|, over that of an undecided discriminator.
    objective: what the discriminator minimises, its loss + the weighted penalty; idle: the same of one that gives
        every example the same score; unit: what to measure their difference by, d if the loss knows none.
    penalty: with its weight, NaN without one.
    generator, discriminator: what their optimisers were given in the step after the look before.
    """

    step: int
    finite: bool
    spread: float
    reach: float
    missed: float
    strayed: float
    gap: float
    steepness: float
    doubt: float
    advantage: float
    pull: float
    push: float
    objective: float
    idle: float
    unit: float
    penalty: float
    generator: Given
    discriminator: Given

    @property
    def bounded(self) -> bool:
        """Whether the discriminator's objective can only fall so far; that of Wasserstein can fall for ever."""
        return self.idle > 0

    def numbers(self) -> list[float]:
        """All there is, in order."""
        *own, generator, discriminator = astuple(self)
        return [float(value) for value in (*own, *generator, *discriminator)]

    @classmethod
    def of_numbers(cls, numbers: Sequence[float]) -> Signs:
        """The inverse of `numbers`."""
        step, finite, *others = numbers
        own, generator, discriminator = others[:-6], others[-6:-3], others[-3:]
        given = [Given(agreement, reversed_, bool(zero)) for agreement, reversed_, zero in (generator, discriminator)]
        values: list[Any] = [int(step), bool(finite), *own, *given]
        return cls(*values)


NUMBERS = len(fields(Signs)) - 2 + 2 * len(fields(Given))
"""As many has `Signs.numbers`."""


GIVEN = {"heard.generator": 1, "heard.discriminator": 2}
"""The names in the state of an observer, and with how many gradients at most the one given is compared."""


class Observer:
    """Looks at a GAN; after a look, it compares the gradients that the optimisers are given first."""

    def __init__(self, gan: GAN) -> None:
        self._gan, self.undecided = gan, Undecided.by(gan.loss)
        self._comparisons: dict[str, Comparison] = {}  # of the generator and of the discriminator, in this order

    @property
    def is_due(self) -> bool:
        """Whether `observe` has not been told since the last look what each optimiser is given."""
        return any(comparison.is_due for comparison in self._comparisons.values())

    def observe(self, player: str, gradients: list[Tensor]) -> None:
        """What `GAN.train_step` tells of the gradients; of each player the first after a look counts."""
        self._comparisons[player].compare(gradients)

    def state(self) -> dict[str, np.ndarray]:
        """What was given since the last look (see Comparison.products), by name; waits for the device."""
        return {name: made.products() for name, made in zip(GIVEN, self._comparisons.values(), strict=True)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` gave, or nothing if it is empty, and compare no more before the next look.

        Also where an optimiser had not been given anything yet: `measure` again at the same step for that.
        """
        made = [Comparison.of_products(state[name]) for name in GIVEN] if state else []
        self._comparisons = dict(zip(("generator", "discriminator"), made, strict=False))

    def measure(self, real: Tensor) -> Signs:
        """The signs at this step, with real data (n, ...).

        Changes no parameter, draws nothing that training draws, and puts back what the networks' passes leave behind.
        """
        packing = self._gan.rules.packing
        count = max(packing, min(len(real), _EXAMPLES) // packing * packing)
        with np.errstate(all="ignore"), preserved(self._gan.generator, self._gan.discriminator):
            return self._measure(real if len(real) == count else real[:count])

    def _measure(self, real: Tensor) -> Signs:
        gan = self._gan
        given = {player: comparison.given() for player, comparison in self._comparisons.items()}
        inputs = _inputs(gan, real)
        judged = gan.discriminator_pass(inputs)
        fake, logits = judged.fake, _logits(judged)
        generator_loss = gan.loss.generator(logits[1], logits[0])  # as it is before the discriminator's update
        at_samples, at_logits, *gradients = grad(generator_loss, [fake, logits[1], *gan.generator_optimizer.parameters])
        critic, expected = _of_the_discriminator(gan, inputs, judged, self.undecided)
        self._comparisons = {
            "generator": Comparison([g.data for g in gradients]), "discriminator": Comparison(*expected)
        }  # fmt: skip
        apart = _Distances(real, fake)
        gap = float(logits[0].numpy().mean() - logits[1].numpy().mean())
        advantage = _advantage(gan.loss, *logits)
        slope = float(np.linalg.norm(_rows(at_samples), axis=1).sum())
        return Signs(
            step=gan.step,
            finite=all(map(math.isfinite, (apart.fakes, apart.between, gap, critic["objective"]))),
            spread=_ratio(apart.fakes, apart.reals),
            reach=_ratio(apart.between, apart.reals),
            missed=_ratio(apart.missed, apart.reals),
            strayed=_ratio(apart.strayed, apart.reals),
            gap=gap,
            steepness=_ratio(gap, apart.between),
            advantage=advantage,
            pull=_pull(slope, apart.between, advantage),
            push=_ratio(_total(at_logits), abs(self.undecided.of_generator)),
            unit=critic["idle"] if critic["idle"] > 0 else apart.between or math.nan,
            generator=given.get("generator", Given()),
            discriminator=given.get("discriminator", Given()),
            **critic,
        )


def _inputs(gan: GAN, real: Tensor) -> UpdateInputs:
    """Those of the next update of the discriminator on `real`, but with draws of the diagnosis's own.

    The penalty is computed at each look, and has the weight that it would have if every update computed it.
    """
    inputs = replace(gan.draw_update(real), latent=gan.latent(len(real), "diagnosis", gan.step))
    if gan.penalty is None:
        return inputs
    rng = random.generator(gan.seed, "diagnosis/penalty", gan.step)
    draws = drawn(gan.penalty, rng, gan.rules.shown_shape(real.shape), real.dtype)
    weight = Tensor(real.dtype.type(at(gan.penalty_weight, gan.step)))
    return replace(inputs, penalty_draws=draws, penalty_weight=weight)


def _of_the_discriminator(
    gan: GAN, inputs: UpdateInputs, judged: Pass, undecided: Undecided
) -> tuple[dict[str, Any], list[list[Any]]]:
    """The signs that its loss and its penalty give, and the gradients to expect: with the penalty, and against it."""
    penalty, idle_penalty = math.nan, 0.0
    slopes = grad(judged.loss, _logits(judged))
    parameters = gan.discriminator_optimizer.parameters
    expected = [[g.data for g in grad(judged.loss, parameters)]]
    if gan.penalty is not None and judged.penalty is not None:
        weighted = judged.penalty * inputs.penalty_weight
        idle = gan.penalty(_indifferent, *judged.shown, repeatable(inputs.penalty_draws)) * inputs.penalty_weight
        penalty, idle_penalty = weighted.item(), idle.item()
        if gan.step * gan.rules.n_critic % gan.penalty_every == 0:  # the next update computes it
            of_penalty = [g.data * gan.penalty_every for g in grad(weighted, parameters, keep_graph=False)]
            expected = [[x + sign * y for x, y in zip(expected[0], of_penalty, strict=True)] for sign in (1, -1)]
    signs = {
        "doubt": _ratio(sum(map(_total, slopes)), abs(undecided.of_real) + abs(undecided.of_fake)),
        "objective": judged.loss.item() + (0.0 if gan.penalty is None else penalty),
        "idle": undecided.loss + idle_penalty,
        "penalty": penalty,
    }
    return signs, expected


def _logits(judged: Pass) -> tuple[Tensor, Tensor]:
    assert judged.real_logits is not None  # of the discriminator's pass
    return judged.real_logits, judged.fake_logits


def _indifferent(x: Tensor) -> Tensor:
    """A critic that gives every example the same score: (n, ...) to (n, 1)."""
    return sum_(reshape(x * 0.0, (len(x), -1)), axis=1, keepdims=True)


def _advantage(loss: Loss, real_logits: Tensor, fake_logits: Tensor) -> float:
    return (loss.generator(fake_logits, real_logits) - loss.generator(real_logits, fake_logits)).item()


def _total(slopes: Tensor) -> float:
    return float(abs(slopes.numpy()).sum())


def _product(some: list[Any], others: list[Any]) -> Any:
    """Of the vectors that two lists of arrays are together; a scalar on the device."""
    return sum((x * y).sum() for x, y in zip(some, others, strict=True))


class _Distances:
    """Mean distances: between two reals, two fakes, a real and a fake; and those behind Signs.missed and strayed."""

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        reals, fakes = _rows(real), _rows(fake)
        among, between = _distances(reals, reals), _distances(reals, fakes)
        self.reals, self.fakes = _mean_of_pairs(among), _mean_of_pairs(_distances(fakes, fakes))
        self.between = float(between.mean())
        np.fill_diagonal(among, np.inf)
        nearest = float(among.min(axis=1).mean()) if len(reals) > 1 else 0.0
        self.missed = float(between.min(axis=1).mean()) - nearest
        self.strayed = float(between.min(axis=0).mean()) - nearest


def _rows(examples: Tensor) -> np.ndarray:
    return examples.numpy().reshape(len(examples), -1)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a_i - b_j|, (n, m), of points (n, d) and (m, d).

    About a point of b, so that little cancels, and that the distances are exactly 0 if all points are equal.
    """
    a, b = (a - b[0]).astype(np.float64), (b - b[0]).astype(np.float64)
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _mean_of_pairs(among: np.ndarray) -> float:
    """Of the distances (n, n) between points, those of different ones."""
    return float(among.sum() / max(1, len(among) * (len(among) - 1)))


def _pull(slope: float, distance: float, advantage: float) -> float:
    if not distance:
        return math.nan  # there is no way to the data
    if advantage <= 0:
        return math.inf if slope else 0.0
    return distance * slope / advantage


def _ratio(above: float, below: float) -> float:
    """Not known, and so NaN, if it is to nothing."""
    return above / below if below else math.nan
