"""Save and read named arrays and a JSON note about them in one safetensors file. Nothing is ever unpickled.

This module reads the files itself, because the reader of the package safetensors maps them into memory. It checks the
header before it uses it, and allocates memory only for arrays that the file contains.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from minigan.core import files, strict_json

_NOTE_KEY = "minigan"  # one key only: safetensors writes several in no fixed order, and equal content gives equal bytes
_DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}
_MAX_HEADER_BYTES = 1 << 24  # the largest recipe's header takes 10,000
_MAX_AXES = 32
_NAME_LENGTH = 80  # characters of a name in a message


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: `start`, the offset of its first byte in the file, its shape and its dtype."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Its size in bytes, as a Python integer, which cannot overflow."""
        size = self.dtype.itemsize
        for extent in self.shape:
            size *= extent
        return size

    def read(self, file: IO[bytes]) -> np.ndarray:
        """Read the array. Raises OSError or ValueError if `file` ends before the array does."""
        file.seek(self.start)
        return np.frombuffer(bytearray(file.read(self.nbytes)), self.dtype).reshape(self.shape)


def save(path: Path, arrays: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> None:
    """Write `arrays` and `note`, a JSON object, atomically. Equal content gives equal bytes."""
    from safetensors.numpy import save as serialise

    # safetensors stores the memory of an array as it is, so it must be in row-major order.
    ordered = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    content = serialise(ordered, metadata={_NOTE_KEY: json.dumps(note, sort_keys=True)})
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_header(file: IO[bytes]) -> tuple[Any, dict[str, StoredArray]]:
    """The note and the arrays in `file`, without reading the arrays. Raises OSError or ValueError if it is damaged.

    The format: 8 bytes with the length of the header (little-endian), the header in JSON, the arrays without a gap.
    """
    total = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(_MAX_HEADER_BYTES, total - 8):
        raise ValueError(f"its header would take {length:,} of {total:,} bytes")
    try:
        header = strict_json.parse(file.read(length).decode("utf-8"))
        note = strict_json.parse(header.pop("__metadata__")[_NOTE_KEY])
        arrays = _stored_arrays(header, 8 + length)
    except KeyError:
        raise ValueError("it lacks entries that minigan writes into its header") from None
    except (TypeError, AttributeError) as error:  # a value of the JSON has another type than expected
        raise ValueError(str(error)) from None
    if (end := 8 + length + sum(array.nbytes for array in arrays.values())) != total:
        raise ValueError(f"it has {total:,} bytes, and its arrays end at {end:,}")
    return note, arrays


def _stored_arrays(header: dict[str, Any], start: int) -> dict[str, StoredArray]:
    """The arrays by name. Raises ValueError unless they follow one another from `start` on, without gaps."""
    arrays, ranges = {}, []
    for name, entry in header.items():
        if entry.keys() != {"dtype", "shape", "data_offsets"} or entry["dtype"] not in _DTYPES:
            raise ValueError(f"its array '{name[:_NAME_LENGTH]}' is of no type that minigan writes")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not all(isinstance(numbers, list) and all(map(_is_count, numbers)) for numbers in (shape, offsets)):
            raise ValueError(f"the place of its array '{name[:_NAME_LENGTH]}' is not given by whole numbers")
        if len(shape) > _MAX_AXES:  # the product of very many extents could take too long to compute
            raise ValueError(f"its array '{name[:_NAME_LENGTH]}' has {len(shape):,} axes, expected at most {_MAX_AXES}")
        first, last = offsets
        arrays[name] = StoredArray(start + first, tuple(shape), np.dtype(_DTYPES[entry["dtype"]]))
        ranges.append((first, last, arrays[name].nbytes, name))
    end = 0
    for first, last, size, name in sorted(ranges):
        if first != end or last != first + size:
            raise ValueError(
                f"its array '{name[:_NAME_LENGTH]}' does not lie where the one before it ends, or has another size"
            )
        end = last
    return arrays


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
