"""Data sets: the digits in the package, IDX files of your own, MNIST from its mirrors; and batches of them."""

from __future__ import annotations

from pathlib import Path

from minigan.data import mnist
from minigan.data.batches import Batches
from minigan.data.dataset import Dataset
from minigan.data.directory import from_directory
from minigan.errors import UsageError

__all__ = ["Batches", "Dataset", "load"]


def load(data_dir: Path | None = None, download: bool = False, *, progress: bool = True) -> Dataset:
    """The training images to use: those in `data_dir`, or all of MNIST (`download`), or else the embedded 10,000.

    Raises UsageError where both are asked for, and DataError where the data cannot be had.
    """
    if data_dir is not None and download:
        raise UsageError(
            f"both the folder {data_dir} and a download were asked for, expected one source of data; choose one"
        )
    if download:
        return from_directory(mnist.download(progress=progress))
    return mnist.embedded() if data_dir is None else from_directory(data_dir)
