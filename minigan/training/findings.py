"""What signs mean: what goes wrong in the training of a GAN, by name, with the likely remedy.

Some mistakes are certain at one look: an optimiser that holds another network's parameters, a gradient that is exactly
zero, a penalty that is a reward. The others are judged by several looks in a row, for healthy runs pass through phases
in which one player wins. A sign that is not known, and so NaN (such as a ratio to the distances between data that are
all equal), is no sign of anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from minigan.autodiff import Tensor
from minigan.gan import GAN
from minigan.nn import LeakyReLU, Module, Sequential, Sigmoid, Tanh
from minigan.optim import Optimizer
from minigan.training.statistics import Signs, Undecided

LOOKS = 3
"""As many in a row have to agree, where one could mislead: two can be one swing of a game that circles."""

_SURE = 0.01  # of the doubt of an undecided discriminator: it is 99% sure of examples, of both kinds, on average
_FLAT = 0.01  # of the average slope on the way to the data: what drives the generator has all but gone
_ALIKE = 0.25  # of the data's own distances: weak generators of digits and points begin at 0.2 to 0.5, and rise
_GROWS = 1.5  # times: samples that part within the looks are not collapsed
_FAR = 0.35  # of the mean distance between reals: of 8 modes on a ring 0.38 is missed if 3, well apart, are left
_ONE_SIDED = 2.0  # times as far: a generator that lies beside the data misses as much as it strays
_STEEP = 10.0  # a critic as the Wasserstein distance wants it has 1; with clipped weights more, but then it stays
_ALONG = 0.5  # mean cosine of two looks or three: that of a gradient with itself is 1, but for the noise of batches
_AGAINST = -0.5  # mean cosine of two looks or three: a descent has 0 at least, by the noise of batches a little less
_OUTSIDE = 0.01  # of the data's numbers: more than the few that rounding or a rare extreme puts there

_ANTI_COLLAPSE = "lower the generator's learning rate (generator_rate), or try penalty=r1, or packing=2"

Seen = tuple[str, str]  # a name and its sentence

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
NAMES = {*_CONSEQUENCES, *_OUTCOMES}
"""Of all findings."""


def without_consequences(seen: dict[str, str]) -> dict[str, str]:
    """Those that do not follow from another: the discriminator is sure of all samples if the generator cannot move."""
    explained = {effect for name in seen for effect in _CONSEQUENCES.get(name, ())}
    return {name: sentence for name, sentence in seen.items() if name not in explained}


def mistakes(gan: GAN, undecided: Undecided, now: Signs, real: Tensor) -> Iterator[Seen]:
    """What no state of the training can bring about by itself."""
    yield from _foreign_parameters(gan)
    yield from _out_of_range(gan.generator, real)
    if undecided.of_real > 0 or undecided.of_fake < 0:
        said = "the discriminator's loss falls as reals score lower or fakes higher; change its sign"
        yield "discriminator-sign", said
    if undecided.of_generator > 0:
        said = "the generator's loss falls as its samples score lower, so it learns to be found out; change its sign"
        yield "generator-sign", said
    if now.penalty < 0:
        said = f"the penalty with its weight is {now.penalty:.3g}, a reward; both must be positive"
        yield "penalty-sign", said
    if not now.finite:
        said = (
            "a score or a sample is not finite; train anew with a lower learning rate (minigan train --resume RUN "
            "--checkpoint STEP goes back to an earlier checkpoint, but the same steps lead here again)"
        )
        yield "exploding-gradient", said


def detached(gan: GAN, now: Signs, updates: list[int], steps: int) -> Iterator[Seen]:
    """Players that do not move; `updates`: how many each had made at the look before, `steps` ago."""
    for (role, optimizer, _), before in zip(players(gan), updates, strict=True):
        if optimizer.steps == before:
            yield f"detached-{role}", f"the {role}'s optimiser has made no update in {steps} steps; call its step"
    copied = "compute its loss from the {} themselves, not from a copy of their numbers"
    if now.generator.zero and now.pull > 0:
        said = "the generator's optimiser is given a gradient of exactly zero, and its loss has another; "
        yield "detached-generator", said + copied.format("fakes")
    if now.discriminator.zero and now.doubt > _SURE:
        said = "the discriminator's optimiser is given a gradient of exactly zero, and its loss has another; "
        yield "detached-discriminator", said + copied.format("logits")


def _foreign_parameters(gan: GAN) -> Iterator[Seen]:
    for role, optimizer, network in players(gan):
        own, held = set(network.parameters().values()), optimizer.parameters
        if foreign := sum(p not in own for p in held):
            said = f"of {len(held)} parameters that the {role}'s optimiser holds {foreign} are not the {role}'s; "
            yield "wrong-parameters", said + f"make it from {role}.parameters(), after the network is built"


def _out_of_range(generator: Module, real: Tensor) -> Iterator[Seen]:
    low, high = _range(generator)
    slack, numbers = 1e-3, real.numpy()  # rounding does not count
    share = ((numbers < low - slack) | (numbers > high + slack)).mean()
    if share > _OUTSIDE:
        said = f"{share:.0%} of the data's numbers are not between {low:g} and {high:g}, which is all that "
        yield "data-range", said + "the generator's last layer can give; scale the data, or change that layer"


def _range(generator: Module) -> tuple[float, float]:
    """What the last layer can give, as far as it is known to be limited."""
    last = generator[-1] if isinstance(generator, Sequential) and len(generator) else None
    if isinstance(last, Tanh):
        return -1.0, 1.0
    if isinstance(last, Sigmoid):
        return 0.0, 1.0
    return (0.0 if isinstance(last, LeakyReLU) and last.slope == 0 else -math.inf), math.inf


def players(gan: GAN) -> list[tuple[str, Optimizer, Module]]:
    """(role, optimiser, network) of both."""
    return [
        ("generator", gan.generator_optimizer, gan.generator),
        ("discriminator", gan.discriminator_optimizer, gan.discriminator),
    ]


def by_looks(looks: list[Signs]) -> Iterator[Seen]:
    """What several looks in a row agree on, causes first."""
    if len(looks) == LOOKS:
        for name, rule in _RULES:
            if sentence := rule(looks):
                yield name, sentence


def _penalty_sign(looks: list[Signs]) -> str | None:
    added = _mean(s.discriminator.agreement for s in looks)
    subtracted = _mean(s.discriminator.reversed_penalty for s in looks)
    if subtracted > _ALONG and subtracted - added > 2 * _ALONG:
        return (
            f"the discriminator climbs its penalty (now {looks[-1].penalty:.3g} with its weight) instead of descending "
            "it; add the penalty to the loss, do not subtract it"
        )
    return None


def _discriminator_sign(looks: list[Signs]) -> str | None:
    return _climbs("discriminator", _mean(s.discriminator.agreement for s in looks))


def _generator_sign(looks: list[Signs]) -> str | None:
    return _climbs("generator", _mean(s.generator.agreement for s in looks))


def _climbs(role: str, agreement: float) -> str | None:
    if agreement < _AGAINST:
        return (
            f"the {role} climbs its loss (cosine {agreement:.2f} between the gradient of that and what its optimiser "
            "is given); change the sign of what it is given"
        )
    return None


def _exploding(looks: list[Signs]) -> str | None:
    now, steep = looks[-1], [abs(s.steepness) for s in looks]
    worse = all(s.objective - s.idle > s.unit for s in looks)
    if not now.bounded and (worse or (all(s > _STEEP for s in steep) and steep[-1] == max(steep))):
        return (
            f"the critic's scores of reals and fakes differ by {abs(now.gap):.3g}, {steep[-1]:.3g} times as much as "
            "those of a 1-Lipschitz one can; constrain it with penalty=wgan-gp, or clip its weights (weight_limit)"
        )
    if worse:
        return (
            f"the discriminator's loss with its penalty is {now.objective:.3g}, where giving every example the same "
            f"score costs {now.idle:.3g}: its steps overshoot; take a lower rate, or a gradient_limit"
        )
    return None


def _vanishing(looks: list[Signs]) -> str | None:
    if not all(s.pull < _FLAT or _found_out(s) for s in looks):
        return None
    now = looks[-1]
    where = f"where the samples are, its loss is {now.pull:.1e} times as steep as on the way to the data"
    if _found_out(now):
        where = f"the discriminator finds out every sample, and leaves that loss {now.push:.1e} of its slope"
    return f"the generator's gradient has vanished: {where}; use the loss non-saturating, or a slower discriminator"


def _found_out(now: Signs) -> bool:
    """Whether the discriminator is sure, and the generator's loss flat for samples that it is sure of.

    Of minimax that is so whenever the discriminator is sure: then mean sigmoid(fake) is at most `doubt`, and `push` is
    twice that.
    """
    return now.doubt < _SURE and now.push < 2 * _SURE


def _saturated(looks: list[Signs]) -> str | None:
    if all(s.doubt < _SURE for s in looks):
        return (
            f"the discriminator is sure of every example: {looks[-1].doubt:.1e} of an undecided one's gradient is "
            "left; slow it down (a lower rate, n_critic=1), or smooth it with penalty=r1"
        )
    return None


def _collapsed(looks: list[Signs]) -> str | None:
    """A clump that wanders is now a small one, now a string to its next place, which misses most of the data."""
    now = looks[-1]
    if not all(_alike(s) or _one_sided(s) for s in looks) or now.spread > _GROWS * looks[0].spread:
        return None
    if _alike(now):
        return f"the samples differ from each other only {now.spread:.1%} as much as the data do; {_ANTI_COLLAPSE}"
    return (
        f"the samples miss a part of the data: from the data to the nearest sample it is {now.missed:.0%} of the "
        f"mean distance between data, the other way {max(0.0, now.strayed):.0%}; {_ANTI_COLLAPSE}"
    )


def _alike(now: Signs) -> bool:
    return now.spread < _ALIKE


def _one_sided(now: Signs) -> bool:
    return now.missed > max(_FAR, _ONE_SIDED * now.strayed)


_RULES: list[tuple[str, Callable[[list[Signs]], str | None]]] = [
    ("penalty-sign", _penalty_sign),
    ("discriminator-sign", _discriminator_sign),
    ("generator-sign", _generator_sign),
    ("exploding-gradient", _exploding),
    ("vanishing-gradient", _vanishing),
    ("saturated-discriminator", _saturated),
    ("mode-collapse", _collapsed),
]


def _mean(values: Iterable[float]) -> float:
    """Of those that are known; NaN, with which no comparison is true, of fewer than two."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if len(known) > 1 else math.nan
