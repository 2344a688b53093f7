"""Tensors whose numbers change in place: Parameters, which are trained, and Buffers, the other state of Modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.autodiff.engine import Tensor, copied, no_grad
from minigan.core import backend
from minigan_kernels.packed_weights import PackedWeights


class Variable(Tensor):
    """A Tensor whose numbers change in place; `version` counts the changes.

    `grad` compares versions, and raises if a Variable has changed since the loss was computed from it.
    """

    __slots__ = ("version",)
    mutable = True

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.version = 0

    def assign(self, values: Any) -> None:
        """Replace the numbers by `values`. Raises ValueError unless these have the same shape."""
        values = values.data if isinstance(values, Tensor) else values
        if tuple(np.shape(values)) != self.shape:
            raise ValueError(
                f"cannot assign shape {np.shape(values)} to a {type(self).__name__.lower()} of shape {self.shape}"
            )
        B = backend.of(self.data)  # noqa: N806 - the name that operations give it
        B.kernel("assign")(self.data, B.asarray(values, dtype=str(self.dtype)))
        self.increment_version()

    def increment_version(self) -> None:
        """Count a change, after `data` has been changed in place."""
        self.version += 1

    def convert(self, dtype: str) -> None:
        """Convert the numbers to `dtype`, "float32" or "float64"."""
        self.data = self.data.astype(dtype)
        self.version += 1


class Parameter(Variable):
    """A Variable that is trained.

    packed_weights: copies of the numbers in the layouts that kernels need. owner: a weak reference to the
    FlatParameters whose buffer holds the numbers; None if no FlatParameters do.
    """

    __slots__ = ("owner", "packed_weights")

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.packed_weights = PackedWeights()
        self.owner: Callable[[], Any] | None = None

    def increment_version(self) -> None:
        super().increment_version()
        self.packed_weights.invalidate()

    def convert(self, dtype: str) -> None:
        super().convert(dtype)
        self.packed_weights = PackedWeights()  # the old ones have the old dtype


class Buffer(Variable):
    """A Variable of a Module that its forward passes change, such as running statistics; it is not trained.

    A Python int makes it a count: an int64 of shape (), which lies on the host on every backend.
    """

    __slots__ = ()

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        if isinstance(values, int):
            self.data = np.asarray(values, np.int64)

    @property
    def is_count(self) -> bool:
        """Whether it is a count: a whole number on the host."""
        return self.dtype.kind == "i"

    def assign(self, values: Any) -> None:
        if self.is_count:
            self.data[...] = values
            self.increment_version()
        else:
            super().assign(values)

    def constant_copy(self) -> Tensor:
        """A constant Tensor with the present numbers. Graphs that use it stay valid when the Buffer changes."""
        with no_grad():
            return copied(self)
