"""A case: something of minigan that has a derivative, and a point at which to check it."""

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
    """What `gradcheck` takes: `f` of `inputs`, the parameters it depends on, and the modules whose buffers it changes.

    f may be a Module, whose parameters and buffers then take part without being named.
    """

    f: Callable[..., Tensor]
    inputs: Sequence[np.ndarray]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    modules: Sequence[Module] = ()
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class Case:
    """`make` gives a fresh subject on the backend in use; `order` is the highest derivative that is checked."""

    name: str
    order: int
    make: Callable[[], CheckedFunction]

    def __str__(self) -> str:
        return self.name

    def check(self, order: int | None = None, seed: int = 0) -> Report:
        """The checker's report, to `order` (None: the case's own)."""
        s = self.make()
        return gradcheck(
            s.f, list(s.inputs), order=order or self.order, parameters=s.parameters, modules=s.modules, names=s.names,
            seed=seed,
        )  # fmt: skip
