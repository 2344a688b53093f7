"""Reading .npy and .npz, NumPy's files of arrays, from unknown origin: nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from minigan.core.errors import DataError, clause

SUFFIXES = (".npy", ".npz")
MAX_BYTES = 4 << 30
"""The limit of the arrays of a .npz file, which are read into memory; a .npy file is mapped, and has none."""

_EXAMPLES = ("examples", "images", "x", "x_train", "data", "samples", "arr_0")
_LABELS = ("labels", "y", "y_train", "targets", "classes", "arr_1")


def read_npy(path: Path) -> np.ndarray:
    """The array in the .npy file `path`, mapped into memory: what is used is read when it is used.

    Raises DataError if the file cannot be read, is damaged, or holds Python objects.
    """
    _require_file(path)
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError, OverflowError) as error:
        if "Python objects" in str(error):
            raise _objects(path) from None
        raise DataError(
            f"{path} cannot be read as an array ({clause(error)}), expected a .npy file as numpy.save writes it; "
            "save the array again"
        ) from None


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """(examples, labels): the arrays of the .npz file `path`; labels are None if it has none.

    A single array is taken as the examples. Otherwise the names decide: examples, images, x, x_train, data, samples or
    arr_0, and labels, y, y_train, targets, classes or arr_1, whatever their case.

    Raises DataError if the file cannot be read, is damaged or too large, or its names do not say what is what.
    """
    _require_file(path)
    try:
        _require_archive(path)
        with np.load(path, allow_pickle=False) as arrays:
            names = {name.lower(): name for name in arrays.files}
            examples = _first(names, _EXAMPLES) or (arrays.files[0] if len(names) == 1 else None)
            if examples is None:
                raise DataError(
                    f"{path} holds the arrays {', '.join(sorted(arrays.files)) or 'none'}, expected one named 'x' or "
                    "'images', and one named 'y' or 'labels' if there are labels; read them with numpy.load and make a "
                    "Dataset(examples, labels)"
                )
            labels = _first(names, _LABELS)
            _require_moderate(path, [examples, *([labels] if labels else [])])
            return arrays[examples], None if labels is None else arrays[labels]
    except (OSError, ValueError, KeyError, EOFError, OverflowError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            raise _objects(path) from None
        raise DataError(
            f"{path} cannot be read as arrays ({clause(error)}), expected a .npz file as numpy.savez writes it; save "
            "the arrays again"
        ) from None


def _require_archive(path: Path) -> None:
    if not zipfile.is_zipfile(path):  # numpy.load would go on to read other formats
        raise ValueError("it is no archive")


def _first(names: dict[str, str], known: tuple[str, ...]) -> str | None:
    return next((names[name] for name in known if name in names), None)


def _require_moderate(path: Path, arrays: list[str]) -> None:
    """Raise DataError if the arrays have more bytes than MAX_BYTES or than the archive says: a header can lie."""
    with zipfile.ZipFile(path) as archive:
        total = 0
        for name in arrays:
            member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
            stored = archive.getinfo(member).file_size
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(stream)
            size = dtype.itemsize * int(np.prod(shape, dtype=object))
            if not dtype.hasobject and size > stored:
                raise ValueError(f"'{name}' declares {size:,} bytes and has {stored:,}")
            total += size
    if total > MAX_BYTES:
        raise DataError(
            f"{path} holds {total:,} bytes of arrays, expected at most {MAX_BYTES:,}; save the examples with "
            "numpy.save as .npy, of which only what is used is read"
        )


def _objects(path: Path) -> DataError:
    return DataError(
        f"{path} holds Python objects, which minigan does not unpickle, expected arrays of numbers; save the numbers "
        "alone"
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        kind = "is not a file" if path.exists() else "does not exist"
        raise DataError(f"{path} {kind}, expected a file of arrays, .npy or .npz; check the path")
