"""The matrices of fast convolution with two taps, in exact fractions."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from support.environment import needs_numba

pytestmark = needs_numba  # the module is part of the numba package

Matrix = list[list[Fraction]]
MEMBERS = [(family, outputs) for family in (3, 4) for outputs in range(1, family + 1)]


@pytest.fixture
def cook_toom() -> Any:
    return importlib.import_module("minigan_kernels.numba.cook_toom")


@pytest.fixture
def matrices(cook_toom: Any) -> Callable[[int, int], tuple[Matrix, Matrix, Matrix]]:
    return cook_toom.matrices


def _times(matrix: Matrix, vector: list) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


def _product(one: list, two: list) -> list:
    return [a * b for a, b in zip(one, two, strict=True)]


@pytest.mark.parametrize(("family", "outputs"), MEMBERS)
def test_the_matrices_compute_a_convolution_with_two_taps(matrices: Callable, family: int, outputs: int) -> None:
    """sum over the points j of A[i][j] G[j][s] B[j][t] = 1 if t = i + s, else 0: this is equivalent to correctness."""
    output, weights, inputs = matrices(family, outputs)
    points = outputs + 1
    assert [len(output), *map(len, output)] == [outputs] + [points] * outputs
    assert [len(weights), *map(len, weights)] == [points] + [2] * points
    assert [len(inputs), *map(len, inputs)] == [points] + [points] * points
    for i in range(outputs):
        for s in range(2):
            for t in range(points):
                found = sum(output[i][j] * weights[j][s] * inputs[j][t] for j in range(points))
                assert found == (t == i + s), (i, s, t)


@pytest.mark.parametrize(("family", "outputs"), MEMBERS)
def test_the_matrices_are_exact_fractions(matrices: Callable, family: int, outputs: int) -> None:
    for matrix in matrices(family, outputs):
        assert {type(entry) for row in matrix for entry in row} == {Fraction}


@pytest.mark.parametrize(("family", "outputs"), MEMBERS)
def test_a_convolution_of_integers_is_exact(matrices: Callable, family: int, outputs: int) -> None:
    output, weights, inputs = matrices(family, outputs)
    rng = random.Random(1)
    for _ in range(50):
        x, w = ([rng.randint(-1000, 1000) for _ in range(n)] for n in (outputs + 1, 2))
        y = _times(output, _product(_times(weights, w), _times(inputs, x)))
        assert y == [x[i] * w[0] + x[i + 1] * w[1] for i in range(outputs)]


@pytest.mark.parametrize(("family", "outputs"), MEMBERS)
def test_the_transposed_matrices_give_the_gradient_of_the_taps(cook_toom: Any, family: int, outputs: int) -> None:
    output, weights, inputs = cook_toom.matrices(family, outputs)
    rng = random.Random(2)
    for _ in range(50):
        x, g = ([rng.randint(-1000, 1000) for _ in range(n)] for n in (outputs + 1, outputs))
        points = _product(_times(cook_toom.transposed(output), g), _times(inputs, x))
        dw = _times(cook_toom.transposed(weights), points)
        assert dw == [sum(g[i] * x[i + s] for i in range(outputs)) for s in range(2)]


def test_two_outputs_need_additions_only(matrices: Callable) -> None:
    for matrix in matrices(3, 2):
        assert {entry for row in matrix for entry in row} <= {0, 1, -1}


def test_three_outputs_need_additions_and_halves_only(matrices: Callable) -> None:
    for matrix in matrices(3, 3):
        assert {abs(entry) for row in matrix for entry in row} <= {0, 1, Fraction(1, 2)}


@pytest.mark.parametrize(("family", "outputs"), MEMBERS)
def test_the_largest_factor_of_a_tap_is_one(matrices: Callable, family: int, outputs: int) -> None:
    assert [max(map(abs, row)) for row in matrices(family, outputs)[1]] == [1] * (outputs + 1)


@pytest.mark.parametrize(("family", "outputs"), MEMBERS)
def test_the_largest_member_of_a_family_contains_the_weights_of_all(
    matrices: Callable, family: int, outputs: int
) -> None:
    """All members use the same points in the same order; the point at infinity is the last one."""
    own, largest = matrices(family, outputs)[1], matrices(family, family)[1]
    assert own == [*largest[:outputs], largest[-1]]
