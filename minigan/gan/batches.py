"""A batch as a program gives it, data x or a pair (x, y) with conditions y, and what the networks get of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import backend

Batch = Tensor | tuple[Tensor, Tensor]
"""Examples x (n, ...), or a pair of them and their conditions y: class numbers (n,), or an array (n, ...)."""

_PICTURE_AXES = 3  # of an array of 8-bit numbers that is no array of class numbers


def parts(batch: Batch) -> tuple[Tensor, Tensor | None]:
    """(x, y) of a batch, where y is None if it has no conditions."""
    return batch if isinstance(batch, tuple) else (batch, None)


def as_batch(batch: Any, dtype: np.dtype) -> Batch:
    """`batch`, arrays or Tensors, as Tensors of `dtype`.

    Raises TypeError or ValueError for a tuple that is no pair, numbers that have to be scaled first, and conditions of
    another number than the examples.
    """
    if not isinstance(batch, tuple):
        return as_input(batch, dtype, "the data")
    if len(batch) != 2:
        raise ValueError(f"a batch is x, or a pair (x, y) of data and conditions; got a tuple of {len(batch)}")
    x = as_input(batch[0], dtype, "the data")
    with backend.staying_on_host():  # from where it is copied to the device with all other inputs of the step
        y = as_input(batch[1], dtype, "the conditions")
    if len(x) != len(y):
        raise ValueError(f"a batch of {len(x)} examples has {len(y)} conditions; expected one for each, the first axis")
    return x, y


def as_input(values: Any, dtype: np.dtype, what: str) -> Tensor:
    """`values`, an array, nested numbers or a Tensor, as a Tensor (n, ...) of `dtype`; `what` names it in errors.

    Raises TypeError for 8-bit pictures, whose scale no network can know, and ValueError for a single number.
    """
    if isinstance(values, Tensor) and values.data.dtype == dtype and values.data.ndim:
        return values
    array = _array(values, what)
    if not array.ndim:
        raise ValueError(f"{what} are the single number {array}; expected an array (n, ...) of n examples")
    if array.dtype == np.uint8 and (what == "the data" or array.ndim >= _PICTURE_AXES):
        raise TypeError(
            f"{what} are uint8, from 0 to 255, but the networks compute with {dtype}; scale them, such as "
            f'x.astype("{dtype}") / 127.5 - 1 for -1 to 1, the range of Tanh'
        )
    return Tensor(array if array.dtype == dtype else array.astype(dtype))


def _array(values: Any, what: str) -> Any:
    if isinstance(values, Tensor):
        return values.data
    try:
        array = values if type(values) in backend.by_array_type else np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{what} are no array: the lists in them differ in length, or hold arrays of several shapes; a pair (x, y) "
            "is a tuple"
        ) from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} are {_kind(values)}; expected real numbers in an array (n, ...)")
    return array


def _kind(values: Any) -> str:
    return f"an array of {values.dtype}" if isinstance(values, np.ndarray) else f"a {type(values).__name__}"


def require_finite(batch: Any) -> None:
    """Raise ValueError if a number of `batch`, as a program gives it, is NaN or infinite; reads nothing on a device."""
    x, y = batch if isinstance(batch, tuple) else (batch, 0.0)
    for what, values in (("the data", x), ("the conditions", y)):
        array = values.data if isinstance(values, Tensor) else values
        if type(array) in backend.by_array_type and not isinstance(array, np.ndarray):
            continue
        bad = int((~np.isfinite(np.asarray(array))).sum())
        if bad:
            raise ValueError(f"{what} contain {bad} numbers that are NaN or infinite; leave these examples out")


def require_equal_shapes(real: Tensor, fake: Tensor) -> None:
    """Raise ValueError unless the generator's samples have the shape of the real examples."""
    if real.data.shape != fake.data.shape:
        raise ValueError(unequal_shapes(real, fake))


def unequal_shapes(real: Tensor, fake: Tensor) -> str:
    """The sentence for samples that do not have the shape of the real examples."""
    return (
        f"the generator makes samples of shape {fake.shape[1:]}, but the data's examples have shape {real.shape[1:]}; "
        "change the generator's last layers, or reshape the data"
    )


class FirstBatches:
    """Checks the numbers of the first batch of each shape, and reads no others, which would take time at every step."""

    def __init__(self) -> None:
        self._shapes: set[tuple[int, ...]] = set()

    def require_finite(self, batch: Any, converted: Batch) -> None:
        """Raise ValueError if `batch` is the first of its shape and one of its numbers is NaN or infinite."""
        shape = parts(converted)[0].data.shape
        if shape not in self._shapes:
            require_finite(batch)
            self._shapes.add(shape)
