"""Comparison of the gradients that optimisers receive with the gradients of what the players should minimise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor


@dataclass(frozen=True)
class GradientAgreement:
    """How the gradient that an optimiser received agrees with the expected ones at the same weights.

    cosine: with the gradient of the player's objective: 1 if the player descends the objective, -1 if it climbs, up to
    the noise of a batch. cosine_penalty_subtracted: with the gradient of the discriminator's loss minus its penalty.
    is_zero: whether the received gradient is exactly zero and that of the objective is not. Unknown cosines are NaN.
    """

    cosine: float = math.nan
    cosine_penalty_subtracted: float = math.nan
    is_zero: bool = False


class GradientComparison:
    """Compares the first gradient that an optimiser receives with the `expected` ones (see GradientAgreement).

    expected: each gradient as a list of arrays, one for each parameter; the objective's first. Only `inner_products`
    and `agreement` read anything from the device.
    """

    def __init__(self, *expected: list[Any]) -> None:
        self._expected = expected
        self._inner_products: list[list[Any]] = []

    @property
    def is_pending(self) -> bool:
        """Whether no gradient has been compared yet."""
        return bool(self._expected)

    def compare(self, gradients: Sequence[Tensor]) -> None:
        """Compare `gradients`, unless others were compared before."""
        expected, self._expected = self._expected, ()
        received = [g.data for g in gradients]
        # If the shapes differ, the optimiser refuses the gradients.
        if expected and [g.shape for g in received] == [g.shape for g in expected[0]]:
            self._inner_products = [
                [_inner_product(a, b) for a, b in ((received, x), (received, received), (x, x))] for x in expected
            ]

    def inner_products(self) -> np.ndarray:
        """For each expected gradient x and the received g: <g, x>, <g, g>, <x, x>, (k, 3); (0, 3) if none was received.

        Waits for the device.
        """
        rows = [list(map(float, products)) for products in self._inner_products]
        return np.array(rows, np.float64).reshape(-1, 3)

    @classmethod
    def from_inner_products(cls, inner_products: np.ndarray) -> GradientComparison:
        """A finished comparison, from what `inner_products` returned."""
        finished = cls()
        finished._inner_products = inner_products.tolist()
        return finished

    def agreement(self) -> GradientAgreement:
        """The result; all NaN if no gradient was received. Waits for the device."""
        rows = self.inner_products().tolist()
        if not rows:
            return GradientAgreement()
        cosines = [across / math.sqrt(a * b) if a * b > 0 else math.nan for across, a, b in rows]
        _, received_square, expected_square = rows[0]
        return GradientAgreement(
            cosines[0], cosines[1] if len(cosines) > 1 else math.nan, received_square == 0 < expected_square
        )


def _inner_product(a: list[Any], b: list[Any]) -> Any:
    """The inner product of two gradients, each a list of arrays; a scalar on the device."""
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))
