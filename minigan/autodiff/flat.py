"""The parameters of a network in one contiguous buffer, and their gradients in another."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from minigan.autodiff.engine import Tensor
from minigan.autodiff.parameter import Parameter
from minigan.core import backend

_ALIGNMENT = 16  # numbers between the starts of two parameters: a cache line of float32


class FlatParameters:
    """Parameters, moved into one buffer: what is done to all of them is one call of a kernel.

    names, parameters: in order. bounds: (count, 2), where in the buffers the numbers of each begin and end; the few
    numbers between them are always 0. values: the numbers of all parameters, to which `Parameter.data` are views.
    gradients: a buffer of the same layout, made when it is first wanted.

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
        self.bounds = _bounds(self.parameters)
        self.size = -(-int(self.bounds[-1, 1]) // _ALIGNMENT) * _ALIGNMENT
        self.values = self.zeros()
        home = weakref.ref(self)
        for p, place in zip(self.parameters, self._places(self.values), strict=True):
            place[...] = p.data
            p.data, p.owner = place, home

    def zeros(self) -> Any:
        """Another buffer of this layout."""
        return self.backend.zeros(self.size, self.dtype)

    @cached_property
    def gradients(self) -> Any:
        return self.zeros()

    @cached_property
    def _gradient_places(self) -> list[Any]:
        return self._places(self.gradients)

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
                raise RuntimeError(f"{name} has since been given to another optimiser; make a new one for it")
        assign = self.backend.kernel("assign")
        for place, g in zip(self._gradient_places, gradients, strict=True):
            assign(place, g.data)

    def increment_versions(self) -> None:
        """Say that the numbers in `values` have been changed in place."""
        for p in self.parameters:
            p.increment_version()

    def _places(self, buffer: Any) -> list[Any]:
        return [
            buffer[first:last].reshape(p.shape) for p, (first, last) in zip(self.parameters, self.bounds, strict=True)
        ]


def find_flat_parameters(parameters: Iterable[Parameter]) -> FlatParameters | None:
    """What holds exactly these parameters, in this order, in one buffer; None if nothing does."""
    parameters = list(parameters)
    homes = {p.owner for p in parameters}
    home = homes.pop() if len(homes) == 1 else None
    flat = home() if home is not None else None
    if flat is None or len(flat.parameters) != len(parameters):
        return None
    return flat if all(p is q for p, q in zip(flat.parameters, parameters, strict=True)) else None


def _bounds(parameters: Iterable[Parameter]) -> np.ndarray:
    bounds, start = [], 0
    for p in parameters:
        bounds.append((start, start + p.size))
        start += -(-p.size // _ALIGNMENT) * _ALIGNMENT
    return np.array(bounds, np.int64)
