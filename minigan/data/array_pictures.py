"""Pictures in a .npy or .npz file, such as faces_data.npy, as bytes of one shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigan.core.errors import DataError, UsageError
from minigan.data import array_file
from minigan.data.arrays import as_examples
from minigan.data.dataset import CHANNELS, Dataset
from minigan.data.idx_folder import Split

_WHITE = 255.0
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, _WHITE))


def is_array_file(path: Path) -> bool:
    """Whether the name of `path` is that of a file of arrays."""
    return path.suffix.lower() in array_file.SUFFIXES


def from_array_file(path: Path, *, split: Split = "train") -> Dataset:
    """The pictures in the file `path`, uint8 (N, H, W, C) with C 1 or 3, and their labels if a .npz file has them.

    The file holds bytes, or floats or other whole numbers of which the smallest and the largest say what black and
    white are: 0 and 1, -1 and 1, or 0 and 255; of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3).

    Raises DataError if it cannot be read or holds anything else, Python objects among them, which are not unpickled;
    UsageError if a test set is asked for, since no name says which pictures that is.
    """
    if split != "train":
        raise UsageError(
            f"{path} does not say which of its pictures are the {split} set; save those in a file of their own, or "
            "split the data: first, second = data.split(0.8)"
        )
    is_npy = path.suffix.lower() == ".npy"
    values, labels = (array_file.read_npy(path), None) if is_npy else array_file.read_npz(path)
    pictures = _as_bytes(path, as_examples(path.name, _as_channels_last(path, values)))
    return Dataset(pictures, labels, name=path.name.partition(".")[0], source=str(path))


def _as_channels_last(path: Path, values: np.ndarray) -> np.ndarray:
    """`values` (N, H, W) or (N, H, W, C) as (N, H, W, C); raises DataError for other shapes."""
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or values.shape[-1] not in CHANNELS:
        hint = "move the axis of the channels to the end: numpy.moveaxis(array, 1, -1)"
        is_channels_first = values.ndim == 4 and values.shape[1] in CHANNELS
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape}, expected pictures (N, H, W) or (N, H, W, C) with C "
            f"1 (grey) or 3 (colour); {hint if is_channels_first else 'save the pictures alone, in that form'}"
        )
    return values


def _as_bytes(path: Path, values: np.ndarray) -> np.ndarray:
    """`values` with black as 0 and white as 255; raises DataError if they are in none of the usual ranges."""
    if values.dtype == np.uint8:
        return values
    smallest, largest = float(values.min()), float(values.max())
    for black, white in _RANGES:
        if black <= smallest and largest <= white:
            return np.rint((values - black) * (_WHITE / (white - black))).astype(np.uint8)
    raise DataError(
        f"{path} holds numbers from {smallest:.6g} to {largest:.6g}, expected bytes, or numbers in [0, 1], [-1, 1] or "
        "[0, 255]; scale them so"
    )
