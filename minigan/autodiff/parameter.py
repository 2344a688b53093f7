"""The Tensors whose numbers change in place: Parameters, which learn, and Buffers, which modules keep beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.autodiff.engine import Tensor, copied, no_grad
from minigan.core import backend
from minigan_kernels.packed_weights import PackedWeights


class Variable(Tensor):
    """A Tensor whose numbers change in place; `version` counts the changes.

    `grad` compares versions: a loss computed from a Variable that has changed since is refused.
    """

    __slots__ = ("version",)
    mutable = True

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.version = 0

    def assign(self, values: Any) -> None:
        """Replace the numbers; raises ValueError unless the shape is the same."""
        values = values.data if isinstance(values, Tensor) else values
        if tuple(np.shape(values)) != self.shape:
            raise ValueError(
                f"cannot assign shape {np.shape(values)} to a {type(self).__name__.lower()} of shape {self.shape}"
            )
        room = backend.of(self.data)
        room.kernel("assign")(self.data, room.asarray(values, dtype=str(self.dtype)))
        self.increment_version()

    def increment_version(self) -> None:
        """Say that the numbers in `data` have been changed in place."""
        self.version += 1

    def convert(self, dtype: str) -> None:
        """Keep the numbers as `dtype`, "float32" or "float64", from now on."""
        self.data = self.data.astype(dtype)
        self.version += 1


class Parameter(Variable):
    """A Variable that learning changes. `packed_weights` holds what kernels made of the present numbers."""

    __slots__ = ("owner", "packed_weights")

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.packed_weights = PackedWeights()
        self.owner: Callable[[], Any] | None = None  # a weak reference to the flat memory that holds the numbers

    def increment_version(self) -> None:
        super().increment_version()
        self.packed_weights.invalidate()

    def convert(self, dtype: str) -> None:
        super().convert(dtype)
        self.packed_weights = PackedWeights()  # arrays of the other type would not do


class Buffer(Variable):
    """A Variable of a Module that its own passes change, not learning: running statistics, counts.

    A Python int makes a count: int64 of shape (), which lies on the host whatever the backend.
    """

    __slots__ = ()

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        if isinstance(values, int):
            self.data = np.asarray(values, np.int64)

    @property
    def is_count(self) -> bool:
        """Whether it is a whole number on the host."""
        return self.dtype.kind == "i"

    def assign(self, values: Any) -> None:
        if self.is_count:
            self.data[...] = values
            self.increment_version()
        else:
            super().assign(values)

    def constant_copy(self) -> Tensor:
        """The numbers as they are now, constant: what is computed from them does not see them change."""
        with no_grad():
            return copied(self)
