"""Arrays as examples and labels: which are accepted, how they are converted, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core.errors import DataError

_MOST_CLASSES = 1 << 24  # whole numbers up to this are exact in float32, as which networks get them
_CHUNK_BYTES = 1 << 26


def as_examples(name: str, values: Any) -> np.ndarray:
    """`values` as a read-only array of uint8, float32 or float64, (N, ...), without a copy where it is one already.

    float16 becomes float32, and other whole numbers and truth values become float64.

    Raises DataError for other things than numbers, no number at all, or numbers that are not finite.
    """
    array = _as_array(f"the examples of '{name}'", values)
    if array.dtype.kind not in "fiub":
        raise _not_numbers(f"the examples of '{name}'", array)
    if array.ndim == 0 or array.size == 0:
        raise DataError(
            f"the examples of '{name}' are {array.dtype} of shape {array.shape}, expected an array of shape (N, ...) "
            "with no dimension zero; give at least one example"
        )
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype.kind in "iub" and array.dtype != np.uint8:
        array = array.astype(np.float64)
    elif array.dtype not in (np.uint8, np.float32, np.float64):  # longer floats
        raise _not_numbers(f"the examples of '{name}'", array)
    _require_finite(f"the examples of '{name}'", array)
    return _read_only(array)


def as_labels(name: str, values: Any, count: int) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """`values` as a read-only array of `count` labels, and the names of the classes if `values` are words.

    Whole numbers other than uint8 become int64. Words become numbers of classes, in alphabetical order.

    Raises DataError if their count differs, if they are neither numbers nor words, or if one is not finite.
    """
    what = f"the labels of '{name}'"
    array, classes = _as_array(what, values), None
    if array.dtype.kind == "U" and array.ndim == 1:
        names, array = np.unique(array, return_inverse=True)
        classes = tuple(str(word) for word in names)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype.kind in "iub" and array.dtype != np.uint8:
        array = array.astype(np.int64, copy=False)
    if array.dtype not in (np.uint8, np.int64, np.float32, np.float64):
        raise _not_numbers(what, array)
    if array.ndim == 0 or len(array) != count or array.size == 0:
        raise DataError(
            f"{what} are {array.dtype} of shape {array.shape}, expected shape ({count}, ...), one label for each of "
            f"the {count:,} examples; give as many or pass None"
        )
    _require_finite(what, array)
    if array.dtype == np.int64 and np.abs(array).max() > _MOST_CLASSES:
        raise DataError(
            f"{what} go up to {np.abs(array).max():,}, expected at most {_MOST_CLASSES:,}, beyond which whole numbers "
            "are not exact in float32; number the classes from 0"
        )
    return _read_only(array), classes


def update(digest: Any, array: np.ndarray) -> None:
    """Add the bytes of `array`, in row-major order, to a digest of hashlib."""
    for part in _chunks(array):
        digest.update(np.ascontiguousarray(part).data)


def sha256(array: np.ndarray) -> Any:
    """The SHA-256 of the bytes of `array`, in row-major order, to which more can be added."""
    digest = hashlib.sha256()
    update(digest, array)
    return digest


def _as_array(what: str, values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray):
        array = values  # as it is: a file that is mapped into memory stays one
    elif isinstance(values, Tensor):
        array = values.numpy()
    else:
        try:
            array = np.asarray(values)
        except ValueError:  # rows of several lengths
            raise DataError(
                f"{what} have several shapes, expected one shape for all; make an array of them first"
            ) from None
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _not_numbers(what: str, array: np.ndarray) -> DataError:
    return DataError(
        f"{what} are {array.dtype} of shape {array.shape}, expected uint8, float32 or float64 of shape (N, ...); "
        "convert them first"
    )


def _require_finite(what: str, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        return
    start = 0
    for part in _chunks(array):
        finite = np.isfinite(part)
        if not finite.all():
            index = tuple(int(i) for i in np.argwhere(~finite)[0])
            place = ", ".join(map(str, (start + index[0], *index[1:])))
            raise DataError(f"{what} hold {part[index]} at [{place}], expected finite numbers; remove that example")
        start += len(part)


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of `array`, (n, ...) each, of limited size, so that of a file mapped into memory one is there at a time."""
    rows = max(1, _CHUNK_BYTES // max(1, array.nbytes // len(array)))
    return (array[start : start + rows] for start in range(0, len(array), rows))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False  # otherwise the recorded digest could become wrong
    return view
