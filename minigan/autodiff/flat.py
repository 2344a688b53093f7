"""Flat storage: the parameters of a network in one contiguous buffer, their gradients in another."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from minigan.autodiff.engine import Tensor
from minigan.autodiff.parameter import Parameter
from minigan.core import backend

_ALIGNMENT = 16  # each parameter starts at a multiple of so many elements: a cache line of float32


class FlatParameters:
    """Parameters moved into one buffer, so that one call of a kernel updates all of them.

    names, parameters: in order. values: the buffer; each `Parameter.data` becomes a view of it. bounds: (count, 2),
    start and end of each parameter in the buffer, on its device; the padding between them stays 0. gradients: a buffer
    of the same layout, allocated on first use.

    Raises ValueError unless there are parameters, all of one dtype and on one backend.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        if not parameters:
            raise ValueError("flat memory needs at least one parameter")
        if len({(p.dtype, type(p.data)) for p in parameters.values()}) != 1:
            raise ValueError("parameters in one buffer must all have the same dtype and lie on the same backend")
        self.names, self.parameters = list(parameters), list(parameters.values())
        self.backend = backend.of(self.parameters[0].data)
        self.dtype = self.parameters[0].dtype
        self._slices = _slices(self.parameters)
        self.bounds = self.backend.asarray([(part.start, part.stop) for part in self._slices], "int64")
        self.size = -(-self._slices[-1].stop // _ALIGNMENT) * _ALIGNMENT
        self.values = self.zeros()
        owner = weakref.ref(self)
        for p, view in zip(self.parameters, self._views(self.values), strict=True):
            view[...] = p.data
            p.data, p.owner = view, owner

    def __deepcopy__(self, memo: dict[int, Any]) -> FlatParameters:
        """The same parameters, copied into buffers of their own."""
        twin = memo[id(self)] = object.__new__(FlatParameters)
        twin.__init__(dict(zip(self.names, copy.deepcopy(self.parameters, memo), strict=True)))  # type: ignore[misc]
        memo[id(self.gradients)] = twin.gradients  # to which optimisers refer, too
        return twin

    def zeros(self) -> Any:
        """A new buffer of zeros with the same layout."""
        return self.backend.zeros(self.size, self.dtype)

    @cached_property
    def gradients(self) -> Any:
        return self.zeros()

    @cached_property
    def _gradient_views(self) -> list[Any]:
        return self._views(self.gradients)

    def gather(self, gradients: Sequence[Tensor]) -> None:
        """Copy `gradients`, in the order of the parameters, into `self.gradients`.

        Raises ValueError or TypeError unless they fit, RuntimeError if a parameter has been moved to another buffer.
        """
        for name, p, g in zip(self.names, self.parameters, gradients, strict=True):
            if g.data.shape != p.data.shape:
                raise ValueError(f"the gradient of {name} has shape {g.shape}, the parameter {p.shape}")
            if g.data.dtype != p.data.dtype:
                raise TypeError(f"the gradient of {name} is {g.dtype}, the parameter {p.dtype}")
            if p.owner is None or p.owner() is not self:
                raise RuntimeError(f"{name} now belongs to another optimiser; make a new one for it")
        assign = self.backend.kernel("assign")
        for view, g in zip(self._gradient_views, gradients, strict=True):
            assign(view, g.data)

    def increment_versions(self) -> None:
        """Increment the version of every parameter, after `values` has been changed in place."""
        for p in self.parameters:
            p.increment_version()

    def _views(self, buffer: Any) -> list[Any]:
        return [buffer[part].reshape(p.shape) for p, part in zip(self.parameters, self._slices, strict=True)]


def find_flat_parameters(parameters: Iterable[Parameter]) -> FlatParameters | None:
    """The FlatParameters that hold exactly these parameters, in this order; None if there are none."""
    parameters = list(parameters)
    owners = {p.owner for p in parameters}
    owner = owners.pop() if len(owners) == 1 else None
    flat = owner() if owner is not None else None
    if flat is None or len(flat.parameters) != len(parameters):
        return None
    return flat if all(p is q for p, q in zip(flat.parameters, parameters, strict=True)) else None


def _slices(parameters: Iterable[Parameter]) -> list[slice]:
    """The place of each parameter in the buffer."""
    slices, start = [], 0
    for p in parameters:
        slices.append(slice(start, start + p.size))
        start += -(-p.size // _ALIGNMENT) * _ALIGNMENT
    return slices
