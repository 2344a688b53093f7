"""Data: the embedded MNIST digits, image folders, IDX files, the MNIST download, 2-D distributions, and batches."""

from __future__ import annotations

import warnings
from pathlib import Path

from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.data import mnist
from minigan.data.batches import Batches
from minigan.data.dataset import Dataset, ImageShape, shape_in_words
from minigan.data.folder import from_folder
from minigan.data.idx_folder import from_idx_folder
from minigan.data.resize import resized

__all__ = ["Batches", "Dataset", "ImageShape", "load", "resized", "shape_in_words"]


def load(
    data_dir: Path | None = None,
    download: bool = False,
    *,
    image_shape: ImageShape = mnist.IMAGE_SHAPE,
    strict: bool = False,
    progress: bool = True,
    notice: Notice = warnings.warn,
) -> Dataset:
    """The training images in `data_dir`, or all of MNIST (`download`), or else the 10,000 embedded digits.

    image_shape: (H, W, C) to which images in a folder are cropped and resized; IDX files keep their own shape.
    strict, progress, notice: see `from_image_folder`.

    Raises UsageError if both sources are named, or if only digits are available and `image_shape` is not theirs;
    DataError if the data cannot be read or downloaded.
    """
    if data_dir is not None and download:
        raise UsageError(
            f"both the folder {data_dir} and a download were named, expected one source of data; choose one"
        )
    if data_dir is not None:
        return from_folder(data_dir, image_shape, strict=strict, progress=progress, notice=notice)
    if image_shape != mnist.IMAGE_SHAPE:
        raise UsageError(
            f"this recipe needs pictures, {shape_in_words(image_shape)}, and the digits of MNIST are "
            f"{shape_in_words(mnist.IMAGE_SHAPE)}; name a folder of pictures with --data-dir"
        )
    return from_idx_folder(mnist.download(progress=progress)) if download else mnist.embedded()
