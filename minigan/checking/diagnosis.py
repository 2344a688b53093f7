"""What may have gone wrong: known mistakes, each as a change of the claimed derivative that would make it right.

A candidate is believed only when the changed derivative agrees with measurements along directions that it has not
seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minigan.checking.probe import Finding, Prober
from minigan.checking.problem import Arrays
from minigan.checking.ranges import restricted

_EXPLAINS = 1e-3  # of the error may be left over
_OPINIONS = 2  # more, along directions that no candidate was chosen by
_KNOWN_FACTOR = 1e-6


@dataclass(frozen=True)
class Cause:
    """A mistake by name, and in a sentence."""

    name: str
    explanation: str


_Candidate = tuple[Cause, np.ndarray]  # a mistake, and the derivative without it


@dataclass(frozen=True)
class Suspect:
    """The array with the worst entry among `gradients`, which are claimed for the arrays of `point`, by `names`.

    output_shape: of the function.
    """

    which: int
    names: Sequence[str]
    point: Arrays
    gradients: Arrays
    output_shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of the array."""
        return self.names[self.which]

    @property
    def gradient(self) -> np.ndarray:
        """The claimed derivative for it."""
        return self.gradients[self.which]


def diagnose(
    prober: Prober,
    suspect: Suspect,
    starts: list[int],
    entry: tuple[float, float],
    rng: np.random.Generator,
) -> Cause:
    """The most likely cause; its name is empty if none fits.

    entry: the claimed and the measured derivative of the worst entry.
    """
    if not suspect.gradient.any():
        return Cause("detached", f"the derivative of {suspect.name} is zero everywhere: it was detached on the way")
    first, last = starts[suspect.which], starts[suspect.which + 1]
    direction = restricted(prober.limits.direction(rng), first, last)
    finding = prober.measure(direction)
    error = abs(finding.numeric - finding.analytic)

    def explains(changed: np.ndarray, along: np.ndarray, found: Finding) -> bool:
        left_over = abs(float(changed.reshape(-1) @ along) - found.numeric)
        return left_over <= _EXPLAINS * error + 2 * found.slope.mean.bar

    fresh: list[tuple[np.ndarray, Finding]] = []
    for cause, changed in _candidates(suspect, finding.analytic, finding.numeric):
        if not explains(changed, direction[first:last], finding):
            continue
        if not fresh:
            for _ in range(_OPINIONS):
                other = restricted(prober.limits.direction(rng), first, last)
                fresh.append((other[first:last], prober.measure(other)))
        if all(explains(changed, along, found) for along, found in fresh):
            return cause
    return _by_the_entry(suspect, entry)


def one_entry(s: Suspect, entry: tuple[float, float]) -> Cause:
    """The cause where one entry accounts for the whole error."""
    cause = _by_the_entry(s, entry)
    words = f"this entry of {s.name} is wrong, and the rest agrees"
    return Cause(cause.name or "one entry", f"{words}; {cause.explanation}" if cause.name else words)


def _candidates(s: Suspect, analytic: float, numeric: float) -> Iterator[_Candidate]:
    """Changes of the suspect's derivative, the most telling first."""
    yield from _rescaled(s, analytic, numeric, known=True)
    yield from _rearranged(s)
    yield from _exchanged(s)
    yield from _rescaled(s, analytic, numeric, known=False)


def _rescaled(s: Suspect, analytic: float, numeric: float, *, known: bool) -> Iterator[_Candidate]:
    """By a factor that is known to be forgotten or added often; or by any other."""
    if analytic == 0:
        return
    factor = numeric / analytic
    if not known:
        yield _by_a_factor(s.name, factor), s.gradient * factor
        return
    if abs(factor) <= _KNOWN_FACTOR:
        yield Cause("missing gate", f"the derivative of {s.name} should be zero"), 0 * s.gradient
        return
    for value, name, words in _factors(s):
        if abs(factor - value) <= _KNOWN_FACTOR * abs(value):
            yield Cause(name, words.format(name=s.name)), s.gradient * value
            return


def _by_a_factor(name: str, factor: float) -> Cause:
    """A factor that is no extent of anything the checker knows of."""
    for value, way, other in (
        (factor, "small", "a sum was averaged"),
        (1 / factor, "large", "a mean's 1/n is missing"),
    ):
        count = round(value)
        if count > 2 and abs(value - count) <= _KNOWN_FACTOR * count:
            words = f"the derivative of {name} is too {way} by {count}; if that is the size of a batch, {other}"
            return Cause(f"factor {count if way == 'small' else f'1/{count}'}", words)
    return Cause("factor", f"the derivative of {name} must be multiplied by {factor:.8g}")


def _factors(s: Suspect) -> Iterator[tuple[float, str, str]]:
    """By what a derivative may have to be multiplied: (factor, name, sentence)."""
    yield -1.0, "sign", "the derivative of {name} has the wrong sign"
    yield 2.0, "factor 2", "the derivative of {name} is half of what it should be"
    yield 0.5, "factor 1/2", "the derivative of {name} is twice what it should be"
    extents = [(s.output_shape, "the result"), *((x.shape, n) for x, n in zip(s.point, s.names, strict=True))]
    for shape, owner in extents:
        for count in dict.fromkeys([*shape, int(np.prod(shape))]):
            if count > 2:
                what = f"{count}, an extent of {owner}" if count in shape else f"{count}, the size of {owner}"
                yield (
                    1 / count,
                    "mean taken as sum",
                    f"the derivative of {{name}} is too large by {what}: a mean's 1/n is missing",
                )
                yield (
                    count,
                    "sum taken as mean",
                    f"the derivative of {{name}} is too small by {what}: a sum was averaged",
                )


def _rearranged(s: Suspect) -> Iterator[_Candidate]:
    g = s.gradient
    for axes in itertools.permutations(range(g.ndim)):
        if g.ndim > 4 or axes == tuple(range(g.ndim)):
            continue
        turned = g.transpose(axes)
        changed = turned if turned.shape == g.shape else g.reshape(turned.shape).transpose(np.argsort(axes))
        words = f"the derivative of {s.name} is transposed: its axes are in the order {axes}"
        yield Cause("transposed", words), changed
    wide = [axis for axis, extent in enumerate(g.shape) if extent > 1]
    for count in range(1, len(wide) + 1):
        for some in itertools.combinations(wide, count):
            words = f"the derivative of {s.name} runs backwards along axis {' and '.join(map(str, some))}"
            yield Cause("flipped", words), np.flip(g, some)
    for axis in wide:
        for by in (1, -1):
            words = (
                f"the derivative of {s.name} is shifted by one along axis {axis}: an offset or a padding is off by one"
            )
            yield Cause("shifted", words), _shifted(g, by, axis)
            yield Cause("shifted", words), np.roll(g, by, axis)


def _shifted(g: np.ndarray, by: int, axis: int) -> np.ndarray:
    """Moved along an axis, with zeros where nothing comes from."""
    moved = np.roll(g, by, axis)
    moved[(slice(None),) * axis + (0 if by > 0 else -1,)] = 0
    return moved


def _exchanged(s: Suspect) -> Iterator[_Candidate]:
    for other, (name, g) in enumerate(zip(s.names, s.gradients, strict=True)):
        if other != s.which and g.shape == s.gradient.shape and g.any():
            if np.array_equal(-g, s.gradient) or np.array_equal(g, s.gradient):
                continue  # a sign, or the same rule twice
            words = f"what {s.name} should have was given to {name}: the rules of the two arguments are exchanged"
            yield Cause("exchanged arguments", words), g


def _by_the_entry(s: Suspect, entry: tuple[float, float]) -> Cause:
    """What the worst entry alone suggests."""
    analytic, numeric = entry
    equal = [
        name
        for i, (name, g) in enumerate(zip(s.names, s.gradients, strict=True))
        if i != s.which and g.shape == s.gradient.shape and np.array_equal(g, s.gradient)
    ]
    if equal and s.gradient.any():
        return Cause("another argument's rule", f"{s.name} was given the same derivative as {equal[0]}")
    if analytic == 0:
        return Cause(
            "gate", f"here the derivative of {s.name} is claimed to be zero and is not: a mask lets too little through"
        )
    if abs(numeric) <= 1e-9 * abs(analytic):
        return Cause("missing gate", f"here the derivative of {s.name} should be zero: a mask or a gate is missing")
    return Cause("", f"no known mistake explains the derivative of {s.name}; a term may be missing")
