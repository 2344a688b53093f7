"""The optimisers on the GPU against the reference: the bits are equal, and non-finite gradients are recorded alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.updates import SETTINGS, FlatArrays, numbers_of

import minigan_kernels

REFERENCE = minigan_kernels.table("reference", np)
FLOATS = ["float32", "float64"]
SIZES = [1, 3, 17, 0, 64, 65, 1023, 2051]  # a block computes 1024 elements; with the gaps between the parameters


def _flat(name: str, dtype: str) -> FlatArrays:
    return FlatArrays(SIZES, dtype, 2 if name == "adam" else 1)


def _step(table: dict[str, Callable], name: str, flat: FlatArrays, g: np.ndarray, step: int) -> None:
    rate, *others = SETTINGS[name]
    numbers = numbers_of(name, step, rate, *others)
    table[name](flat.p, g, flat.bounds, *flat.slots, flat.first_bad, numbers, *others)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", SETTINGS)
def test_the_bits_are_those_of_the_reference(cuda: dict[str, Callable], name: str, dtype: str) -> None:
    one, two = _flat(name, dtype), _flat(name, dtype)
    gaps, before = one.gaps(), one.p.copy()
    for step in range(1, 6):
        g = one.in_place(one.gradients())
        _step(cuda, name, one, g, step)
        _step(REFERENCE, name, two, g, step)
    for found, expected in zip((one.p, *one.slots), (two.p, *two.slots), strict=True):
        assert found.tobytes() == expected.tobytes()
    assert one.p[gaps].tobytes() == before[gaps].tobytes()
    assert (one.first_bad == -1).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*SETTINGS, "record_nonfinite"])
def test_the_first_nonfinite_step_of_each_parameter_is_recorded(
    cuda: dict[str, Callable], name: str, dtype: str
) -> None:
    """At the ends of parameters, several at once, all at once; a later one changes nothing."""
    optimiser = name if name in SETTINGS else "sgd"
    one, two = _flat(optimiser, dtype), _flat(optimiser, dtype)
    bounds = one.bounds
    bad = {
        2: [bounds[4, 1] - 1, bounds[2, 0]],
        3: [bounds[0, 0], bounds[7, 1] - 1, bounds[4, 0]],
        4: range(bounds[6, 0], bounds[6, 1]),
        5: range(one.p.size),
    }
    for step in range(1, 6):
        g = one.in_place(one.gradients())
        for count, i in enumerate(bad.get(step, ())):
            g[i] = [np.nan, np.inf, -np.inf][count % 3]
        with np.errstate(all="ignore"):
            for table, flat in ((cuda, one), (REFERENCE, two)):
                if name in SETTINGS:
                    _step(table, name, flat, g, step)
                else:
                    table[name](g, flat.bounds, flat.first_bad, np.array([step, 0.5]))
        assert one.first_bad.tolist() == two.first_bad.tolist()
    assert one.first_bad.tolist() == [3, 5, 2, -1, 2, 5, 4, 3]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_nonfinite_number_between_two_parameters_belongs_to_neither(cuda: dict[str, Callable], name: str) -> None:
    flat = FlatArrays([5, 7], "float32", 2 if name == "adam" else 1)
    for i in (flat.bounds[0, 1], flat.bounds[1, 0] - 1, flat.bounds[1, 1]):
        g = flat.in_place(flat.gradients())
        g[i] = np.nan
        _step(cuda, name, flat, g, 1)
        assert flat.first_bad.tolist() == [-1, -1]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", SETTINGS)
def test_huge_gradients_are_finite(cuda: dict[str, Callable], name: str, dtype: str) -> None:
    one, two = _flat(name, dtype), _flat(name, dtype)
    largest = np.finfo(dtype).max
    g = one.in_place([np.full(size, largest * (-1) ** size, dtype) for size in SIZES])
    with np.errstate(all="ignore"):
        for step in (1, 2):
            _step(cuda, name, one, g, step)
            _step(REFERENCE, name, two, g, step)
    assert one.p.tobytes() == two.p.tobytes()
    assert (one.first_bad == -1).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_in_another_layout_and_float_settings(cuda: dict[str, Callable], name: str) -> None:
    """1 - beta is computed in double precision: float32(0.999) is off by 100 times as much as float32(0.001)."""
    one, two = _flat(name, "float32"), _flat(name, "float32")
    g = one.in_place(one.gradients())
    spread = np.repeat(g, 2)[::2]
    _step(cuda, name, one, spread, 1)
    _step(REFERENCE, name, two, g, 1)
    for found, expected in zip((one.p, *one.slots), (two.p, *two.slots), strict=True):
        assert found.tobytes() == expected.tobytes()
