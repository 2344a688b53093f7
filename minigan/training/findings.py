"""Rules that turn the statistics of a training into findings: what goes wrong, by name, with the likely remedy.

Some mistakes are certain after one check: an optimiser that holds another network's parameters, a gradient that is
exactly zero, a negative penalty. For the others several checks in a row have to agree, since healthy runs pass through
phases in which one player wins. A statistic that is NaN (such as a ratio to the distance between data that are all
equal) leads to no finding, since no comparison with NaN is true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from minigan.autodiff import Tensor
from minigan.gan import GAN
from minigan.nn import LeakyReLU, Module, Sequential, Sigmoid, Tanh
from minigan.optim import Optimizer
from minigan.training.statistics import ConstantDiscriminator, TrainingStatistics

CONSECUTIVE_CHECKS = 3
"""How many checks in a row have to agree where one could mislead; two can fall into one swing of an oscillation."""

# The thresholds, and where they come from. benchmarks/diagnosis.py shows which runs they separate.

# Fraction of the gradient by the logits that a constant discriminator has. Below it the discriminator is, on average,
# 99% sure of real and of fake examples.
_SATURATED = 0.01
# Fraction of the average slope of the generator's loss on the way to the data. Below it next to nothing moves the
# samples.
_VANISHED = 0.01
# Fraction of the mean distance between real examples. Weak generators of digits and points begin at 0.2 to 0.5, and
# rise.
_COLLAPSED_DIVERSITY = 0.25
# Factor, within the checks that have to agree. Samples whose diversity grows by more are not collapsed.
_RECOVERING_GROWTH = 1.5
# Fraction of the mean distance between real examples. It is 0.38 if samples cover 3 of 8 modes on a ring, well apart.
_MISSED_DISTANCE = 0.35
# Ratio of the distance from the data to the samples, to that from the samples to the data. Samples that lie beside the
# data are as far in both directions.
_MISSED_RATIO = 2.0
# Lipschitz constant of a critic, which is 1 for the Wasserstein distance. Clipped weights allow more, but then it does
# not go on growing.
_STEEP = 10.0
# Mean cosine over two or three checks. It is 1 for a gradient with itself, up to the noise of batches.
_ALIGNED = 0.5
# Mean cosine over two or three checks. It is at least 0 for a descent, up to the noise of batches.
_OPPOSED = -0.5
# Fraction of the data's numbers. Rounding or rare extremes put fewer outside of a range.
_OUTSIDE_RANGE = 0.01
# How far outside of a range a number has to be, so that rounding alone does not count.
_RANGE_SLACK = 1e-3

_ANTI_COLLAPSE = "lower the generator's learning rate (generator_rate), or try penalty=r1, or packing=2"

NamedSentence = tuple[str, str]  # name and sentence of a finding

_OUTCOMES = ("exploding-gradient", "vanishing-gradient", "saturated-discriminator", "mode-collapse")
_CONSEQUENCES: dict[str, tuple[str, ...]] = {
    "wrong-parameters": _OUTCOMES,
    "detached-generator": _OUTCOMES,
    "detached-discriminator": _OUTCOMES,
    "penalty-sign": ("discriminator-sign", *_OUTCOMES),
    "discriminator-sign": _OUTCOMES,
    "generator-sign": _OUTCOMES,
    "data-range": ("vanishing-gradient", "saturated-discriminator"),
    "vanishing-gradient": ("saturated-discriminator", "mode-collapse"),
}
FINDING_NAMES = {*_CONSEQUENCES, *_OUTCOMES}


def without_consequences(findings: dict[str, str]) -> dict[str, str]:
    """The findings, sentences by name, that do not follow from others.

    A generator that cannot move, for example, explains a discriminator that is sure of all samples.
    """
    explained = {effect for name in findings for effect in _CONSEQUENCES.get(name, ())}
    return {name: sentence for name, sentence in findings.items() if name not in explained}


def certain_mistakes(
    gan: GAN, constant: ConstantDiscriminator, now: TrainingStatistics, real: Tensor
) -> Iterator[NamedSentence]:
    """Findings that one check proves, since no correct training can cause them."""
    yield from _foreign_parameters(gan)
    yield from _data_out_of_range(gan.generator, real)
    if constant.real_slope > 0 or constant.fake_slope < 0:
        sentence = "the discriminator's loss falls as reals score lower or fakes higher; change its sign"
        yield "discriminator-sign", sentence
    if constant.generator_slope > 0:
        sentence = (
            "the generator's loss falls as its samples score lower, so it learns to be found out; change its sign"
        )
        yield "generator-sign", sentence
    if now.penalty < 0:
        sentence = f"the penalty with its weight is {now.penalty:.3g}, a reward; both must be positive"
        yield "penalty-sign", sentence
    if not now.all_finite:
        sentence = (
            "a score or a sample is not finite; train anew with a lower learning rate (minigan train --resume RUN "
            "--checkpoint STEP goes back to an earlier checkpoint, but the same steps lead here again)"
        )
        yield "exploding-gradient", sentence


def idle_players(gan: GAN, now: TrainingStatistics, updates: list[int], steps: int) -> Iterator[NamedSentence]:
    """Findings about players that do not move.

    updates: how many updates each player's optimiser had made at the check before, the generator's first. steps: since
    that check.
    """
    for (role, optimizer, _), before in zip(players(gan), updates, strict=True):
        if optimizer.steps == before:
            yield f"detached-{role}", f"the {role}'s optimiser has made no update in {steps} steps; call its step"
    copied = "compute its loss from the {} themselves, not from a copy of their numbers"
    if now.generator_gradient.is_zero and now.sample_gradient > 0:
        sentence = "the generator's optimiser is given a gradient of exactly zero, and its loss has another; "
        yield "detached-generator", sentence + copied.format("fakes")
    if now.discriminator_gradient.is_zero and now.discriminator_logit_gradient > _SATURATED:
        sentence = "the discriminator's optimiser is given a gradient of exactly zero, and its loss has another; "
        yield "detached-discriminator", sentence + copied.format("logits")


def _foreign_parameters(gan: GAN) -> Iterator[NamedSentence]:
    for role, optimizer, network in players(gan):
        own, held = set(network.parameters().values()), optimizer.parameters
        if foreign := sum(p not in own for p in held):
            sentence = f"of {len(held)} parameters that the {role}'s optimiser holds {foreign} are not the {role}'s; "
            yield "wrong-parameters", sentence + f"make it from {role}.parameters(), after the network is built"


def _data_out_of_range(generator: Module, real: Tensor) -> Iterator[NamedSentence]:
    low, high = output_range(generator)
    numbers = real.numpy()
    outside = ((numbers < low - _RANGE_SLACK) | (numbers > high + _RANGE_SLACK)).mean()
    if outside > _OUTSIDE_RANGE:
        sentence = f"{outside:.0%} of the data's numbers are not between {low:g} and {high:g}, which is all that "
        yield "data-range", sentence + "the generator's last layer can give; scale the data, or change that layer"


def output_range(generator: Module) -> tuple[float, float]:
    """(lowest, highest) output of the last layer, infinite where no limit is known."""
    last = generator[-1] if isinstance(generator, Sequential) and len(generator) else None
    if isinstance(last, Tanh):
        return -1.0, 1.0
    if isinstance(last, Sigmoid):
        return 0.0, 1.0
    return (0.0 if isinstance(last, LeakyReLU) and last.slope == 0 else -math.inf), math.inf


def players(gan: GAN) -> list[tuple[str, Optimizer, Module]]:
    """(role, optimiser, network) of both players, the generator first."""
    return [
        ("generator", gan.generator_optimizer, gan.generator),
        ("discriminator", gan.discriminator_optimizer, gan.discriminator),
    ]


def persistent_findings(history: list[TrainingStatistics]) -> Iterator[NamedSentence]:
    """Findings on which the last CONSECUTIVE_CHECKS checks agree, causes first; none before so many checks."""
    if len(history) == CONSECUTIVE_CHECKS:
        for name, rule in _RULES:
            if sentence := rule(history):
                yield name, sentence


def _penalty_sign(history: list[TrainingStatistics]) -> str | None:
    added = _mean(s.discriminator_gradient.cosine for s in history)
    subtracted = _mean(s.discriminator_gradient.cosine_penalty_subtracted for s in history)
    if subtracted > _ALIGNED and subtracted - added > 2 * _ALIGNED:
        return (
            f"the discriminator climbs its penalty (now {history[-1].penalty:.3g} with its weight) instead of "
            "descending it; add the penalty to the loss, do not subtract it"
        )
    return None


def _discriminator_sign(history: list[TrainingStatistics]) -> str | None:
    return _climbs("discriminator", _mean(s.discriminator_gradient.cosine for s in history))


def _generator_sign(history: list[TrainingStatistics]) -> str | None:
    return _climbs("generator", _mean(s.generator_gradient.cosine for s in history))


def _climbs(role: str, cosine: float) -> str | None:
    if cosine < _OPPOSED:
        return (
            f"the {role} climbs its loss (cosine {cosine:.2f} between the gradient of that and what its optimiser "
            "is given); change the sign of what it is given"
        )
    return None


def _exploding_gradient(history: list[TrainingStatistics]) -> str | None:
    now, slopes = history[-1], [abs(s.lipschitz_bound) for s in history]
    worse_than_constant = all(s.discriminator_objective - s.constant_objective > s.objective_unit for s in history)
    growing_steep = all(slope > _STEEP for slope in slopes) and slopes[-1] == max(slopes)
    if not now.objective_is_bounded and (worse_than_constant or growing_steep):
        return (
            f"the critic's scores of reals and fakes differ by {abs(now.logit_gap):.3g}, {slopes[-1]:.3g} times as "
            "much as those of a 1-Lipschitz one can; constrain it with penalty=wgan-gp, or clip its weights "
            "(weight_limit)"
        )
    if worse_than_constant:
        return (
            f"the discriminator's loss with its penalty is {now.discriminator_objective:.3g}, where giving every "
            f"example the same score costs {now.constant_objective:.3g}: its steps overshoot; take a lower rate, or a "
            "gradient_limit"
        )
    return None


def _vanishing_gradient(history: list[TrainingStatistics]) -> str | None:
    if not all(s.sample_gradient < _VANISHED or _rejects_all_samples(s) for s in history):
        return None
    now = history[-1]
    where = f"where the samples are, its loss is {now.sample_gradient:.1e} times as steep as on the way to the data"
    if _rejects_all_samples(now):
        slope = f"{now.generator_logit_gradient:.1e}"
        where = f"the discriminator finds out every sample, and leaves that loss {slope} of its slope"
    return f"the generator's gradient has vanished: {where}; use the loss non-saturating, or a slower discriminator"


def _rejects_all_samples(now: TrainingStatistics) -> bool:
    """Whether the discriminator is sure, and the generator's loss flat for samples that it is sure of.

    For the minimax loss a sure discriminator is enough: then mean sigmoid(fake) is at most
    `discriminator_logit_gradient`, and `generator_logit_gradient` is twice that.
    """
    return now.discriminator_logit_gradient < _SATURATED and now.generator_logit_gradient < 2 * _SATURATED


def _saturated_discriminator(history: list[TrainingStatistics]) -> str | None:
    if all(s.discriminator_logit_gradient < _SATURATED for s in history):
        return (
            f"the discriminator is sure of every example: {history[-1].discriminator_logit_gradient:.1e} of an "
            "undecided one's gradient is left; slow it down (a lower rate, n_critic=1), or smooth it with penalty=r1"
        )
    return None


def _mode_collapse(history: list[TrainingStatistics]) -> str | None:
    """Samples that are all alike, or miss most of the data.

    Either is enough at each check, since a cluster of samples that wanders from mode to mode is small at one check and
    stretched out towards its next place at another.
    """
    now = history[-1]
    collapsed = all(_are_alike(s) or _miss_data(s) for s in history)
    if not collapsed or now.diversity > _RECOVERING_GROWTH * history[0].diversity:
        return None
    if _are_alike(now):
        return f"the samples differ from each other only {now.diversity:.1%} as much as the data do; {_ANTI_COLLAPSE}"
    there, back = now.nearest_fake_distance, max(0.0, now.nearest_real_distance)
    return (
        f"the samples miss a part of the data: from the data to the nearest sample it is {there:.0%} of the mean "
        f"distance between data, the other way {back:.0%}; {_ANTI_COLLAPSE}"
    )


def _are_alike(now: TrainingStatistics) -> bool:
    return now.diversity < _COLLAPSED_DIVERSITY


def _miss_data(now: TrainingStatistics) -> bool:
    return now.nearest_fake_distance > max(_MISSED_DISTANCE, _MISSED_RATIO * now.nearest_real_distance)


_RULES: list[tuple[str, Callable[[list[TrainingStatistics]], str | None]]] = [
    ("penalty-sign", _penalty_sign),
    ("discriminator-sign", _discriminator_sign),
    ("generator-sign", _generator_sign),
    ("exploding-gradient", _exploding_gradient),
    ("vanishing-gradient", _vanishing_gradient),
    ("saturated-discriminator", _saturated_discriminator),
    ("mode-collapse", _mode_collapse),
]


def _mean(values: Iterable[float]) -> float:
    """The mean of the values that are not NaN; NaN, with which no comparison is true, if they are fewer than two."""
    numbers = [value for value in values if not math.isnan(value)]
    return math.fsum(numbers) / len(numbers) if len(numbers) > 1 else math.nan
