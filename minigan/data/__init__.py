"""Data: arrays, the embedded MNIST digits, image folders, IDX and NumPy files, 2-D distributions, and batches."""

from __future__ import annotations

import warnings
from pathlib import Path

from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.data import mnist
from minigan.data.array_pictures import from_array_file, is_array_file
from minigan.data.batches import Batches
from minigan.data.dataset import Dataset, ImageShape, shape_in_words
from minigan.data.folder import from_folder
from minigan.data.idx_folder import Split, from_idx_folder, require_split
from minigan.data.resize import resized
from minigan.data.sources import as_dataset

__all__ = ["Batches", "Dataset", "ImageShape", "as_dataset", "is_array_file", "load", "resized", "shape_in_words"]


def load(
    data_dir: str | Path | None = None,
    download: bool = False,
    *,
    split: Split = "train",
    image_shape: ImageShape = mnist.IMAGE_SHAPE,
    strict: bool = False,
    progress: bool = True,
    notice: Notice = warnings.warn,
    pad: bool = False,
) -> Dataset:
    """The training images in `data_dir`, or all of MNIST (`download`), or else the 10,000 embedded digits.

    data_dir: a folder of images or IDX files, or a file of pictures, .npy or .npz (see `from_array_file`).
    split: "train", or "test" for MNIST's own test set of 10,000 digits (`download`) or the IDX files in `data_dir`
    whose names say test or t10k. The embedded digits are the first 10,000 of MNIST's training set; hold some of them
    out with `train, test = load().split(0.8)`.
    image_shape: (H, W, C) to which images in a folder are cropped and resized; IDX, .npy and .npz files keep their own
    shape.
    strict, progress, notice, pad: see `from_image_folder`.

    Raises UsageError if both sources are named, if only digits are available and `image_shape` is not theirs, or if the
    test set of the embedded digits is asked for; DataError if the data cannot be read or downloaded.
    """
    require_split(split)
    if data_dir is not None and download:
        raise UsageError(
            f"both the folder {data_dir} and a download were named, expected one source of data; choose one"
        )
    if data_dir is not None and is_array_file(Path(data_dir)):
        return from_array_file(Path(data_dir), split=split)
    if data_dir is not None:
        return from_folder(
            Path(data_dir), image_shape, split=split, strict=strict, progress=progress, notice=notice, pad=pad
        )
    if image_shape != mnist.IMAGE_SHAPE:
        raise UsageError(
            f"this recipe needs pictures, {shape_in_words(image_shape)}, and the digits of MNIST are "
            f"{shape_in_words(mnist.IMAGE_SHAPE)}; name a folder of pictures with --data-dir"
        )
    if download:
        return from_idx_folder(mnist.download(progress=progress), split)
    if split != "train":
        raise UsageError(
            f"the digits in the package are all from MNIST's training set, so there is no {split} set among them; hold "
            "some out with train, test = data.load().split(0.8), or take MNIST's own with download=True, or its folder "
            "with data_dir"
        )
    return mnist.embedded()
