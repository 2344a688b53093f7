"""A folder of pictures, such as PNG or JPEG files, as a data set of one shape."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import NoReturn

import numpy as np

from minigan.core.errors import DataError
from minigan.core.notice import Notice
from minigan.data.dataset import Dataset, ImageShape
from minigan.data.idx_folder import some_of, visible_entries

_KINDS = "PNG, JPEG, PPM, PGM, PBM, BMP, GIF, TIFF or WebP"
_SUFFIXES = {
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".dib", ".gif",
    ".tif", ".tiff", ".webp",
}  # fmt: skip
_MOST_REASONS = 3
_TWELVE_BITS = 4095


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
    folders are passed over; links are followed, but no folder is read twice. See `decode.read_picture` for what becomes
    of a picture. `notice` is told how many files were left out and why: those of other kinds, and pictures that cannot
    be read; if `strict`, the first of the latter is an error. `progress` shows a bar on standard error.

    Raises DataError where the folder cannot be read, holds no picture, or none that can be read.
    """
    directory = Path(directory)
    files = files_within(directory)
    paths = [path for path in files if is_picture(path)]
    if not paths:
        raise _no_pictures(directory)
    images, failures, brightest = _read_all(directory, paths, image_shape, strict, progress)
    if not len(images):
        raise DataError(
            f"none of the {len(paths):,} pictures in {directory} can be read ({_reasons(failures)}), expected {_KINDS} "
            "files; replace them or name another folder"
        )
    _tell_what_is_left_out(notice, directory, len(paths), failures, [path for path in files if not is_picture(path)])
    if brightest and max(brightest) <= _TWELVE_BITS:
        notice(
            f"no pixel of the {len(brightest):,} grey pictures of 16 bits in {directory} is above {_TWELVE_BITS:,}, "
            "the white of 12 bits, so they are nearly black; multiply their pixels by 16 first"
        )
    return Dataset(name=directory.resolve().name, images=images, labels=None, source=str(directory))


def is_picture(path: Path) -> bool:
    """Whether the name of `path` ends as that of a picture does."""
    return path.suffix.lower() in _SUFFIXES


def files_within(directory: Path) -> list[Path]:
    """The visible files in `directory` and its folders, in the order of their paths.

    Links to folders are followed once all true folders are read, and only to what is not read already, so that each is
    read once and under its own path where it has one. Raises DataError where a folder cannot be read.
    """
    files: list[Path] = []
    links, read = [directory], set[str]()
    while links:
        found, more = _walk(links.pop(0), read)
        files += found
        links += sorted(more)
    return sorted(files, key=lambda path: path.relative_to(directory).as_posix())


def _walk(top: Path, read: set[str]) -> tuple[list[Path], list[Path]]:
    """The visible files in `top` and the true folders within, and the links to folders there; `read` takes in what has
    been read, and what it holds already is passed over."""
    files, links = [], []
    for folder, folders, names in os.walk(top, onerror=_refuse_folder):
        if (resolved := os.path.realpath(folder)) in read:
            folders.clear()
            continue
        read.add(resolved)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(folder, name) for name in names if not name.startswith(".")]
        links += [path for name in folders if (path := Path(folder, name)).is_symlink()]
    return files, links


def _refuse_folder(error: OSError) -> NoReturn:
    raise DataError(
        f"{error.filename} cannot be read ({error.strerror or error}), expected a folder of pictures; check the path"
    ) from error


def _read_all(
    directory: Path, paths: list[Path], shape: ImageShape, strict: bool, progress: bool
) -> tuple[np.ndarray, list[str], list[int]]:
    """The pictures (N, H, W, C) that can be read; of each other its name, with the reason; the brightest pixels of
    those of 16 bits."""
    from tqdm import tqdm  # imported late, as Pillow by the next line, because both take a moment

    from minigan.data.decode import UnreadableError, read_picture

    images, count, failures, brightest = np.empty((len(paths), *shape), np.uint8), 0, [], []
    for path in tqdm(paths, desc="reading pictures", unit="picture", disable=not progress, leave=False):
        try:
            picture = read_picture(path, shape)
        except UnreadableError as reason:
            if strict:
                raise DataError(
                    f"{path} cannot be read as a picture ({reason}), expected a {_KINDS} file; replace or remove it, "
                    "or leave out --strict to do without it"
                ) from None
            failures.append(f"{path.relative_to(directory).as_posix()}: {reason}")
            continue
        images[count] = picture.pixels
        count += 1
        if picture.brightest is not None:
            brightest.append(picture.brightest)
    return images[:count], failures, brightest


def _tell_what_is_left_out(
    notice: Notice, directory: Path, count: int, failures: list[str], others: list[Path]
) -> None:
    left_out = []
    if others:
        suffixes = Counter(path.suffix.lower() or "no suffix" for path in others)
        kinds = [f"{suffix} {number:,}" for suffix, number in sorted(suffixes.items(), key=lambda kind: -kind[1])]
        left_out.append(f"{len(others):,} file{'s' if len(others) > 1 else ''} of other kinds ({some_of(kinds)})")
    if failures:
        left_out.append(f"{len(failures):,} of the {count:,} pictures, which cannot be read ({_reasons(failures)})")
    if left_out:
        advice = "; ask for --strict to stop at such a picture instead" if failures else ""
        notice(f"left out of {directory}: {' and '.join(left_out)}{advice}")


def _reasons(failures: list[str]) -> str:
    return some_of(failures, most=_MOST_REASONS)


def _no_pictures(directory: Path) -> DataError:
    entries = [f"{path.name}/" if os.path.isdir(path) else path.name for path in visible_entries(directory)]
    holds = f"it holds {some_of(entries)}" if entries else "it is empty"
    return DataError(
        f"{directory} holds no picture ({holds}), expected {_KINDS} files, in it or in its folders, or else IDX files "
        "such as 'train-images-idx3-ubyte.gz'; put them there or name another folder"
    )
