"""Data sets: the digits in the package, pictures or IDX files of your own, MNIST from its mirrors; and batches."""

from __future__ import annotations

import warnings
from pathlib import Path

from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.data import mnist
from minigan.data.batches import Batches
from minigan.data.dataset import Dataset, ImageShape, shape_in_words
from minigan.data.folder import from_folder
from minigan.data.idx_folder import from_directory
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
    """The training images to use: those in `data_dir`, or all of MNIST (`download`), or else the embedded 10,000.

    `image_shape` (H, W, C) is wanted: pictures in a folder are cut and resized to it, IDX files keep their own.
    `strict`, `progress` and `notice` are those of `from_pictures`.

    Raises UsageError where two sources are asked for, or only digits are at hand where other pictures are wanted;
    DataError where the data cannot be had.
    """
    if data_dir is not None and download:
        raise UsageError(
            f"both the folder {data_dir} and a download were asked for, expected one source of data; choose one"
        )
    if data_dir is not None:
        return from_folder(data_dir, image_shape, strict=strict, progress=progress, notice=notice)
    if image_shape != mnist.IMAGE_SHAPE:
        raise UsageError(
            f"this recipe needs pictures, {shape_in_words(image_shape)}, and the digits of MNIST are "
            f"{shape_in_words(mnist.IMAGE_SHAPE)}; name a folder of pictures with --data-dir"
        )
    return from_directory(mnist.download(progress=progress)) if download else mnist.embedded()
