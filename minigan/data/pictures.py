"""A folder of pictures, such as PNG or JPEG files, as a data set of one shape."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minigan.data.dataset import Dataset, ImageShape
from minigan.data.directory import some_of, visible_entries
from minigan.errors import DataError

Notice = Callable[[str], object]
"""What is told of a data set that can be used all the same, as a sentence."""

_KINDS = "PNG, JPEG, PGM or PPM"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".pgm", ".ppm"}
_MOST_REASONS = 3


def from_pictures(
    directory: Path,
    image_shape: ImageShape,
    *,
    strict: bool = False,
    progress: bool = True,
    notice: Notice = warnings.warn,
) -> Dataset:
    """The pictures in `directory` and its folders, each cut and resized to `image_shape` (H, W, C); no labels.

    They come in the order of their paths, so the same files make the same data set everywhere. Hidden files and
    folders are passed over, and links to folders are not followed. See `decode.read_picture` for what becomes of a
    picture. Those that cannot be read are left out, and `notice` is told how many and why; if `strict`, the first
    one is an error. `progress` shows a bar on standard error.

    Raises DataError where the folder cannot be read, holds no picture, or none that can be read.
    """
    directory = Path(directory)
    paths = picture_paths(directory)
    if not paths:
        raise _no_pictures(directory)
    images, failures = _read_all(directory, paths, image_shape, strict, progress)
    if not len(images):
        raise DataError(
            f"none of the {len(paths):,} pictures in {directory} can be read ({_reasons(failures)}), expected {_KINDS} "
            "files; replace them or name another folder"
        )
    if failures:
        notice(
            f"{len(failures):,} of the {len(paths):,} pictures in {directory} cannot be read and are left out "
            f"({_reasons(failures)}); ask for --strict to stop instead"
        )
    return Dataset(name=directory.resolve().name, images=images, labels=None, source=str(directory))


def is_picture(path: Path) -> bool:
    """Whether the name of `path` ends as that of a picture does."""
    return path.suffix.lower() in _SUFFIXES


def picture_paths(directory: Path) -> list[Path]:
    """The visible files in `directory` and its folders that are named as pictures, in the order of their paths.

    Raises DataError where a folder cannot be read.
    """
    found = []
    for folder, folders, names in os.walk(directory, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(filter(is_picture, found), key=lambda path: path.relative_to(directory).as_posix())


def _refuse_folder(error: OSError) -> None:
    raise DataError(
        f"{error.filename} cannot be read ({error.strerror or error}), expected a folder of pictures; check the path"
    ) from error


def _read_all(
    directory: Path, paths: list[Path], shape: ImageShape, strict: bool, progress: bool
) -> tuple[np.ndarray, list[str]]:
    """The pictures (N, H, W, C) that can be read; and of each other its name, with the reason."""
    from minigan.data.decode import UnreadableError, read_picture  # imported late because Pillow takes a moment

    images, count, failures = np.empty((len(paths), *shape), np.uint8), 0, []
    for path in tqdm(paths, desc="reading pictures", unit="picture", disable=not progress, leave=False):
        try:
            images[count] = read_picture(path, shape)
            count += 1
        except UnreadableError as reason:
            if strict:
                raise DataError(
                    f"{path} cannot be read as a picture ({reason}), expected a {_KINDS} file; replace or remove it, "
                    "or leave out --strict to do without it"
                ) from None
            failures.append(f"{path.relative_to(directory).as_posix()}: {reason}")
    return images[:count], failures


def _reasons(failures: list[str]) -> str:
    return some_of(failures, most=_MOST_REASONS)


def _no_pictures(directory: Path) -> DataError:
    entries = [f"{path.name}/" if os.path.isdir(path) else path.name for path in visible_entries(directory)]
    holds = f"it holds {some_of(entries)}" if entries else "it is empty"
    return DataError(
        f"{directory} holds no picture ({holds}), expected {_KINDS} files, in it or in its folders, or else IDX files "
        "such as 'train-images-idx3-ubyte.gz'; put them there or name another folder"
    )
