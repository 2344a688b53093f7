"""The matrices of fast convolution with two taps: F(m, 2) makes m outputs with m + 1 multiplications instead of 2 m.

    y[i] = x[i] w[0] + x[i + 1] w[1]   for i < m        y = A^T ((G w) * (B^T x))

Toom and Cook's way (Winograd, 1980; Lavin and Gray, 2016): w and y are polynomials; the product of two polynomials
is known from its values at enough points, one of them at infinity; this is that algorithm transposed. The points
decide how much rounding is amplified.

A family is a sequence of points: F(m, 2) uses the first m of them, and infinity. So the values G w of its largest
member contain those of the smaller ones, and outputs can be divided among tiles of different sizes: 7 = 3 + 2 + 2.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

# By the number of points, which is the most outputs that a member of the family makes.
_FAMILIES = {
    # Additions and halves only: the rounding is of the class of the plain sum's.
    3: (Fraction(0), Fraction(-1), Fraction(1)),
    # The best of some 800 choices: F(4, 2) then has two to three times the plain sum's rounding error, where the
    # customary 0, 1, -1, 2 has ten times as much.
    4: (Fraction(0), Fraction(3, 2), Fraction(-3, 2), Fraction(1, 2)),
}

Matrix = list[list[Fraction]]


@lru_cache
def matrices(family: int, outputs: int) -> tuple[Matrix, Matrix, Matrix]:
    """(A^T, G, B^T) of F(outputs, 2), exactly; each row of G is scaled to a largest entry of 1."""
    points = _FAMILIES[family][:outputs]
    output = [[p**i for p in points] + [Fraction(i == outputs - 1)] for i in range(outputs)]
    weights, inputs = [], []
    for p in points:
        others = _monic([q for q in points if q != p])
        scale = max(Fraction(1), abs(p))
        weights.append([1 / scale, p / scale])
        inputs.append([c * scale / _value(others, p) for c in others] + [Fraction(0)])
    return output, [*weights, [Fraction(0), Fraction(1)]], [*inputs, _monic(list(points))]


def transposed(matrix: Matrix) -> Matrix:
    """The rows as columns."""
    return [list(column) for column in zip(*matrix, strict=True)]


def _monic(roots: list[Fraction]) -> list[Fraction]:
    """The coefficients, constant first, of the product of (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [a - root * b for a, b in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _value(coefficients: list[Fraction], x: Fraction) -> Fraction:
    return sum((c * x**i for i, c in enumerate(coefficients)), Fraction(0))
