"""The likely cause of a wrong derivative: known mistakes, each tried as a change of the derivative that corrects it.

A candidate cause is accepted only if the changed derivative agrees with measurements along directions by which it was
not chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minigan.checking import tuning
from minigan.checking.directional import Comparison, DirectionalChecker
from minigan.checking.problem import Arrays
from minigan.checking.ranges import restricted


@dataclass(frozen=True)
class Cause:
    """A mistake: its name, and a sentence that explains it."""

    name: str
    explanation: str


_Candidate = tuple[Cause, np.ndarray]  # a mistake, and the derivative without it


@dataclass(frozen=True)
class WrongArray:
    """The input whose derivative has the entry with the largest error.

    which: its number among the inputs. names, point, gradients: of all inputs, their names, values and analytic
    derivatives. output_shape: of the function.
    """

    which: int
    names: Sequence[str]
    point: Arrays
    gradients: Arrays
    output_shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of this input."""
        return self.names[self.which]

    @property
    def gradient(self) -> np.ndarray:
        """The analytic derivative by this input."""
        return self.gradients[self.which]


def find_cause(
    checker: DirectionalChecker,
    wrong: WrongArray,
    offsets: list[int],
    entry: tuple[float, float],
    rng: np.random.Generator,
) -> Cause:
    """The most likely cause; its name is empty if no known mistake explains the error.

    entry: the analytic and the numeric derivative of the worst entry.
    """
    if not wrong.gradient.any():
        return Cause("detached", f"the derivative of {wrong.name} is zero everywhere: it was detached on the way")
    first, last = offsets[wrong.which], offsets[wrong.which + 1]
    direction = restricted(checker.limits.direction(rng), first, last)
    comparison = checker.compare(direction)
    error = abs(comparison.numeric - comparison.analytic)

    def explains(changed: np.ndarray, along: np.ndarray, measured: Comparison) -> bool:
        unexplained = abs(float(changed.reshape(-1) @ along) - measured.numeric)
        error_bar = measured.estimate.central.error_bar
        return unexplained <= tuning.MAX_UNEXPLAINED * error + tuning.ERROR_BARS * error_bar

    confirmations: list[tuple[np.ndarray, Comparison]] = []
    for cause, changed in _candidates(wrong, comparison.analytic, comparison.numeric):
        if not explains(changed, direction[first:last], comparison):
            continue
        if not confirmations:
            for _ in range(tuning.CONFIRMATIONS):
                other = restricted(checker.limits.direction(rng), first, last)
                confirmations.append((other[first:last], checker.compare(other)))
        if all(explains(changed, along, measured) for along, measured in confirmations):
            return cause
    return _cause_of_entry(wrong, entry)


def single_entry_cause(wrong: WrongArray, entry: tuple[float, float]) -> Cause:
    """The cause where a single entry has all of the error; `entry` as for `find_cause`."""
    cause = _cause_of_entry(wrong, entry)
    text = f"this entry of {wrong.name} is wrong, and the rest agrees"
    return Cause(cause.name or "one entry", f"{text}; {cause.explanation}" if cause.name else text)


def _candidates(wrong: WrongArray, analytic: float, numeric: float) -> Iterator[_Candidate]:
    """Candidate causes, the most specific first."""
    yield from _rescaled(wrong, analytic, numeric, known=True)
    yield from _rearranged(wrong)
    yield from _exchanged(wrong)
    yield from _rescaled(wrong, analytic, numeric, known=False)


def _rescaled(wrong: WrongArray, analytic: float, numeric: float, *, known: bool) -> Iterator[_Candidate]:
    """The derivative times a factor: one that is often forgotten or added, if `known`, otherwise any other."""
    if analytic == 0:
        return
    factor = numeric / analytic
    if not known:
        yield _cause_of_factor(wrong.name, factor), wrong.gradient * factor
        return
    if abs(factor) <= tuning.FACTOR_PRECISION:
        yield Cause("missing gate", f"the derivative of {wrong.name} should be zero"), 0 * wrong.gradient
        return
    for value, name, words in _factors(wrong):
        if abs(factor - value) <= tuning.FACTOR_PRECISION * abs(value):
            yield Cause(name, words.format(name=wrong.name)), wrong.gradient * value
            return


def _cause_of_factor(name: str, factor: float) -> Cause:
    """The cause for a factor that is no extent of the inputs or the output."""
    for value, way, other in (
        (factor, "small", "a sum was averaged"),
        (1 / factor, "large", "a mean's 1/n is missing"),
    ):
        count = round(value)
        if count > 2 and abs(value - count) <= tuning.FACTOR_PRECISION * count:
            words = f"the derivative of {name} is too {way} by {count}; if that is the size of a batch, {other}"
            return Cause(f"factor {count if way == 'small' else f'1/{count}'}", words)
    return Cause("factor", f"the derivative of {name} must be multiplied by {factor:.8g}")


def _factors(wrong: WrongArray) -> Iterator[tuple[float, str, str]]:
    """Factors that correct known mistakes: (factor, name of the mistake, sentence)."""
    yield -1.0, "sign", "the derivative of {name} has the wrong sign"
    yield 2.0, "factor 2", "the derivative of {name} is half of what it should be"
    yield 0.5, "factor 1/2", "the derivative of {name} is twice what it should be"
    extents = [
        (wrong.output_shape, "the result"),
        *((x.shape, n) for x, n in zip(wrong.point, wrong.names, strict=True)),
    ]
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


def _rearranged(wrong: WrongArray) -> Iterator[_Candidate]:
    """The derivative with its axes permuted or reversed, or with its entries shifted by one."""
    g = wrong.gradient
    for axes in itertools.permutations(range(g.ndim)):
        if g.ndim > tuning.MAX_AXES or axes == tuple(range(g.ndim)):
            continue
        permuted = g.transpose(axes)
        changed = permuted if permuted.shape == g.shape else g.reshape(permuted.shape).transpose(np.argsort(axes))
        words = f"the derivative of {wrong.name} is transposed: its axes are in the order {axes}"
        yield Cause("transposed", words), changed
    wide = [axis for axis, extent in enumerate(g.shape) if extent > 1]
    for count in range(1, len(wide) + 1):
        for some in itertools.combinations(wide, count):
            words = f"the derivative of {wrong.name} is reversed along axis {' and '.join(map(str, some))}"
            yield Cause("flipped", words), np.flip(g, some)
    for axis in wide:
        for by in (1, -1):
            words = f"the derivative of {wrong.name} is shifted by one along axis {axis}: "
            words += "an offset or a padding is off by one"
            yield Cause("shifted", words), _shifted(g, by, axis)
            yield Cause("shifted", words), np.roll(g, by, axis)


def _shifted(g: np.ndarray, by: int, axis: int) -> np.ndarray:
    """The array shifted by one along an axis, with zeros at the free end."""
    shifted = np.roll(g, by, axis)
    shifted[(slice(None),) * axis + (0 if by > 0 else -1,)] = 0
    return shifted


def _exchanged(wrong: WrongArray) -> Iterator[_Candidate]:
    """The derivatives by the other inputs of the same shape."""
    for other, (name, g) in enumerate(zip(wrong.names, wrong.gradients, strict=True)):
        if other != wrong.which and g.shape == wrong.gradient.shape and g.any():
            if np.array_equal(-g, wrong.gradient) or np.array_equal(g, wrong.gradient):
                continue  # a wrong sign, or the same derivative twice
            words = f"the derivative of {wrong.name} was returned for {name}: "
            words += "the rules of the two arguments are exchanged"
            yield Cause("exchanged arguments", words), g


def _cause_of_entry(wrong: WrongArray, entry: tuple[float, float]) -> Cause:
    """The cause that the values of the worst entry suggest."""
    analytic, numeric = entry
    equal = [
        name
        for i, (name, g) in enumerate(zip(wrong.names, wrong.gradients, strict=True))
        if i != wrong.which and g.shape == wrong.gradient.shape and np.array_equal(g, wrong.gradient)
    ]
    if equal and wrong.gradient.any():
        return Cause("another argument's rule", f"{wrong.name} has the same derivative as {equal[0]}")
    if analytic == 0:
        return Cause("gate", f"the derivative of {wrong.name} is zero here, but should not be: a mask blocks too much")
    if abs(numeric) <= tuning.ZERO_PRECISION * abs(analytic):
        return Cause("missing gate", f"the derivative of {wrong.name} should be zero here: a mask or a gate is missing")
    return Cause("", f"no known mistake explains the derivative of {wrong.name}; a term may be missing")
