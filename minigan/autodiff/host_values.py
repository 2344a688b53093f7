"""What the host reads from a Tensor: its numbers as a NumPy array, as a Python number, or as text."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.core import backend

_SHOWN = 100  # elements; of larger Tensors, `repr` shows the first and last three along each axis


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def method(self: HostValues, other: Any) -> Any:
        if isinstance(other, HostValues):
            other = other.item()
        return bool(compare(self.item(), other)) if isinstance(other, (int, float, np.number)) else NotImplemented

    return method


class HostValues:
    """The base of `Tensor` that reads its numbers. On a GPU each of these waits for the device."""

    __slots__ = ()
    data: Any
    if TYPE_CHECKING:

        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def dtype(self) -> np.dtype: ...

        def __lt__(self, other: Any) -> bool: ...
        def __le__(self, other: Any) -> bool: ...
        def __gt__(self, other: Any) -> bool: ...
        def __ge__(self, other: Any) -> bool: ...
    else:  # type checkers would take `array + tensor` for an array, if they saw __array__
        __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
        __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            """A copy on the host, for `np.asarray`; raises ValueError if NumPy asks for none (copy=False)."""
            if copy is False:
                raise ValueError("the numbers of a Tensor are copied to a NumPy array; leave out copy=False")
            return self.numpy().astype(dtype or self.dtype, copy=False)

    def numpy(self) -> np.ndarray:
        """A copy on the host. Waits for the device."""
        backend.note_host_read("an array")
        return backend.of(self.data).to_numpy(self.data)

    def item(self) -> float:
        """The only element as a Python number. Waits for the device. Raises ValueError if there are others or none."""
        if self.data.size != 1:
            raise ValueError(f"only a Tensor of one element is a number, this one has shape {self.shape}; use .numpy()")
        backend.note_host_read("a number")
        return self.data.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        raise TypeError("a Tensor has no truth value; compare its .numpy() or .item() instead")

    def __eq__(self, other: object) -> bool:
        """With a number, whether the only element equals it. Two Tensors are equal only if they are one object.

        The engine keeps Tensors in sets and dicts by their identity.
        """
        return bool(self.item() == other) if isinstance(other, (int, float, np.number)) else NotImplemented

    __hash__ = object.__hash__

    def __format__(self, specification: str) -> str:
        """The only element in a format such as ".3f"; without a format any Tensor as `repr` shows it."""
        return format(self.item(), specification) if specification else repr(self)

    def __repr__(self) -> str:
        """The numbers as NumPy prints them, shortened, with shape and dtype."""
        before, after = f"{type(self).__name__}(", f"shape={self.shape}, dtype={self.dtype})"
        text = before + np.array2string(self.numpy(), separator=", ", prefix=before, threshold=_SHOWN)
        fits = len(text) - text.rfind("\n") + len(after) < np.get_printoptions()["linewidth"]
        return f"{text}, {after}" if fits else f"{text},\n{' ' * len(before)}{after}"
