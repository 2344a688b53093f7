"""Every primitive with inputs, from the self-test's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigan import Tensor
from minigan.selftest import primitives


@dataclass(frozen=True)
class Case:
    """An operation, as a function of tensors, and inputs for it."""

    operation: str
    number: int
    function: Callable[..., Tensor]
    inputs: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        return f"{self.operation}-{self.number}-{'x'.join(str(i.shape) for i in self.inputs)}".replace(" ", "")


def _cases(table: primitives.Table) -> list[Case]:
    return [Case(name, i, f, inputs) for name, rows in table.items() for i, (f, inputs) in enumerate(rows)]


CASES = _cases(primitives.primitives())
COMPOSED_CASES = _cases(primitives.composed())
