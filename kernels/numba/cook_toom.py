"""The matrices of Winograd's algorithm F(m, 2): m outputs of a convolution with two taps by m + 1 multiplications.

    y[i] = x[i] w[0] + x[i + 1] w[1]   for i < m        y = A^T ((G w) * (B^T x))

The direct sum takes 2 m multiplications. The Toom-Cook construction (Winograd, 1980; Lavin and Gray, 2016): w and y are
the coefficients of polynomials, a product of two polynomials is determined by its values at enough interpolation
points, one of them at infinity, and F(m, 2) is the transpose of that algorithm. The choice of the points decides how
much rounding errors are amplified.

A family is a sequence of points; F(m, 2) uses the first m of them, and infinity. So the transformed weights G w of the
largest member of a family contain those of the smaller members, and an image can be divided into tiles of different
sizes that share transformed weights: 7 outputs = 3 + 2 + 2.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

# The finite points of each family, by their number, which is the largest m of its members.
_FAMILIES = {
    # These matrices need additions and halves only: the rounding error is about that of the direct sum.
    3: (Fraction(0), Fraction(-1), Fraction(1)),
    # The best of some 800 choices that were tried: with it F(4, 2) has two to three times the rounding error of the
    # direct sum, while the usual points 0, 1, -1, 2 have ten times as much.
    4: (Fraction(0), Fraction(3, 2), Fraction(-3, 2), Fraction(1, 2)),
}

Matrix = list[list[Fraction]]


@lru_cache
def matrices(family: int, outputs: int) -> tuple[Matrix, Matrix, Matrix]:
    """(A^T, G, B^T) of F(outputs, 2) as exact fractions; the largest entry of each row of G is scaled to 1."""
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
    """The transpose of `matrix`."""
    return [list(column) for column in zip(*matrix, strict=True)]


def _monic(roots: list[Fraction]) -> list[Fraction]:
    """The coefficients, constant first, of the product of (x - root) over all roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [a - root * b for a, b in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _value(coefficients: list[Fraction], x: Fraction) -> Fraction:
    """The value of the polynomial at x."""
    return sum((c * x**i for i, c in enumerate(coefficients)), Fraction(0))
