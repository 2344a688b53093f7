"""A self-test case: a function of minigan that has a derivative, and a point at which to check it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter
from minigan.checking import Report, gradcheck
from minigan.nn import Module


@dataclass(frozen=True)
class CheckedFunction:
    """The arguments of `gradcheck`: f, its inputs and their names, its parameters, the modules whose buffers change.

    f may be a Module; then `parameters` and `modules` may be left out, because `gradcheck` finds them.
    """

    f: Callable[..., Tensor]
    inputs: Sequence[np.ndarray]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    modules: Sequence[Module] = ()
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class Case:
    """`make` builds the function anew on the backend in use; `order` is the highest derivative that is checked."""

    name: str
    order: int
    make: Callable[[], CheckedFunction]

    def __str__(self) -> str:
        return self.name

    def check(self, order: int | None = None, seed: int = 0) -> Report:
        """The report of `gradcheck`, up to derivatives of `order` (default: the case's own order)."""
        checked = self.make()
        return gradcheck(
            checked.f, list(checked.inputs), order=order or self.order, parameters=checked.parameters,
            modules=checked.modules, names=checked.names, seed=seed,
        )  # fmt: skip
