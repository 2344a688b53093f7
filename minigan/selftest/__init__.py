"""The self-test: everything in minigan that has a derivative, as cases for the gradient checker."""

from __future__ import annotations

from minigan.selftest import layers, losses, primitives, recipes, sizes
from minigan.selftest.case import Case, CheckedFunction

__all__ = ["Case", "CheckedFunction", "all_cases"]


def all_cases(seed: int = 0, dtype: str = "float64") -> list[Case]:
    """Every case, in `dtype` ("float32" or "float64"), with random numbers from `seed`; names are unique."""
    return [case for group in (primitives, layers, losses, recipes, sizes) for case in group.cases(seed, dtype)]
