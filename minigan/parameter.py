"""Parameter: the one kind of Tensor that changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import backend
from minigan.autodiff import Tensor
from minigan_kernels.memo import Memo


class Parameter(Tensor):
    """A Tensor that learning changes in place; `version` counts the changes.

    `grad` compares versions: a loss computed from a Parameter that has changed since is refused. `memo` holds what
    kernels made of the present numbers.
    """

    __slots__ = ("home", "memo", "version")
    mutable = True

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.version = 0
        self.memo = Memo()
        self.home: object | None = None  # stands for the optimiser whose flat buffer holds the numbers

    def assign(self, values: Any) -> None:
        """Replace the numbers; raises ValueError unless the shape is the same."""
        values = values.data if isinstance(values, Tensor) else values
        if tuple(np.shape(values)) != self.shape:
            raise ValueError(f"cannot assign shape {np.shape(values)} to a parameter of shape {self.shape}")
        self.data[...] = backend.of(self.data).asarray(values, dtype=str(self.dtype))
        self.changed()

    def changed(self) -> None:
        """Say that the numbers in `data` have been changed in place."""
        self.version += 1
        self.memo.forget()

    def convert(self, dtype: str) -> None:
        """Keep the numbers as `dtype`, "float32" or "float64", from now on."""
        self.data = self.data.astype(dtype)
        self.memo = Memo()  # arrays of the other type would not do
        self.version += 1
