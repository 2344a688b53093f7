"""A data set of whatever a user has: an array, a pair of arrays, or a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core.errors import DataError, UsageError
from minigan.data import array_file
from minigan.data.dataset import Dataset, ImageShape
from minigan.data.folder import from_folder
from minigan.data.idx import read_idx
from minigan.data.idx_folder import is_idx


def as_dataset(
    source: Any,
    *,
    image_shape: ImageShape | None = None,
    pad: bool = False,
    folder_labels: bool = False,
    name: str | None = None,
) -> Dataset:
    """`source` as a Dataset; one that is a Dataset already is returned as it is.

    source: an array (N, ...) of uint8, float32 or float64, or what NumPy makes one of; a pair (examples, labels); or a
    path: of a folder of pictures or IDX files, of a .npy file (mapped into memory), of a .npz file whose arrays are
    named x and y or images and labels, or of an IDX file. In a pair, paths of files stand for their arrays.
    image_shape: (H, W, C) to which pictures in a folder are cropped, or padded with black if `pad`, and resized; None:
    they must have one size.
    folder_labels: whether the subfolders of a folder of pictures are classes. name: of the data set.

    Raises DataError if the data cannot be read or are not such numbers, UsageError for options that do not apply.
    """
    if isinstance(source, Dataset):
        return source
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    if path is not None and path.is_dir():
        return from_folder(path, image_shape, folder_labels=folder_labels, name=name, pad=pad)
    if image_shape is not None or folder_labels or pad:
        raise UsageError(
            "image_shape, pad and folder_labels are about a folder of pictures, and this is none; leave them out"
        )
    if path is not None:
        examples, labels = _arrays(path)
        return Dataset(examples, labels, name=name or path.name.partition(".")[0], source=str(path))
    if isinstance(source, tuple):
        if len(source) != 2:
            raise UsageError(
                f"the data are a tuple of {len(source)}, expected (examples, labels) or an array of examples; give one "
                "of both"
            )
        examples, labels = (_array(part) for part in source)
        paths = [str(part) for part in source if isinstance(part, str | os.PathLike)]
        return Dataset(examples, labels, name=name or "data", source=" and ".join(paths) or "arrays in memory")
    return Dataset(source, name=name or "data")


def _array(part: Any) -> Any:
    """The array of a file, or `part` itself if it is no path."""
    if not isinstance(part, str | os.PathLike):
        return part
    array, labels = _arrays(Path(part))
    if labels is not None:
        raise DataError(f"{part} holds both examples and labels, expected one array here; name that file alone")
    return array


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """(examples, labels) of a file; IDX files of pictures get an axis of one channel."""
    if path.suffix == ".npy":
        return array_file.read_npy(path), None
    if path.suffix == ".npz":
        return array_file.read_npz(path)
    if path.is_file() and not is_idx(path):
        raise DataError(
            f"{path} is a file of another kind, expected .npy, .npz or IDX, or a folder of pictures; name such data"
        )
    if not path.exists():
        raise DataError(
            f"{path} does not exist, expected a folder of pictures or IDX files, or a file .npy, .npz or IDX; check "
            "the path"
        )
    array = read_idx(path)
    return (array[..., None] if array.ndim == 3 else array), None
