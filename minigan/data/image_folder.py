"""A folder of images, such as PNG or JPEG files, as a data set of one shape."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import numpy as np

from minigan.core import progress as progress_bar
from minigan.core.errors import DataError
from minigan.core.notice import Notice
from minigan.data.dataset import Dataset, ImageShape
from minigan.data.idx_folder import abbreviated, visible_entries

_FORMATS = "PNG, JPEG, PPM, PGM, PBM, BMP, GIF, TIFF or WebP"
_SUFFIXES = {
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".dib", ".gif",
    ".tif", ".tiff", ".webp",
}  # fmt: skip
_REASONS_SHOWN = 3
_WHITE_12_BITS = 4095


def from_image_folder(
    directory: Path,
    image_shape: ImageShape,
    *,
    folder_labels: bool = False,
    name: str | None = None,
    strict: bool = False,
    progress: bool = True,
    notice: Notice = warnings.warn,
    pad: bool = False,
) -> Dataset:
    """The images in `directory` and its subfolders, cropped and resized to `image_shape` (H, W, C).

    folder_labels: whether the folders in `directory` are the classes of the images in them; otherwise there are no
    labels. name: of the data set, by default that of the folder.

    They are sorted by path, so the same files give the same data set on every machine. Hidden files and folders are
    ignored; links are followed, but no folder is read twice. `image_file.read_image` says how an image is converted.
    `notice` is called with how many files were left out and why: files of other kinds, and images that cannot be read.
    If `strict`, an image that cannot be read is an error. `progress` shows a bar on standard error. If `pad`, no image
    is cropped: it is padded with black to the requested aspect ratio instead.

    Raises DataError if the folder cannot be read, or has no image, or none that can be read, or an image that is in no
    folder of a class.
    """
    directory = Path(directory)
    files = visible_files(directory)
    paths = [path for path in files if has_image_suffix(path)]
    if not paths:
        raise _no_image_error(directory)
    classes = _folder_names(directory, paths) if folder_labels else None
    images, kept, failures, brightest = _read_all(directory, paths, image_shape, strict, progress, pad)
    if not len(images):
        raise DataError(
            f"none of the {len(paths):,} pictures in {directory} can be read ({_reasons(failures)}), expected "
            f"{_FORMATS} files; replace them or name another folder"
        )
    _notice_files_left_out(
        notice, directory, len(paths), failures, [path for path in files if not has_image_suffix(path)]
    )
    if brightest and max(brightest) <= _WHITE_12_BITS:
        notice(
            f"no pixel of the {len(brightest):,} grey pictures of 16 bits in {directory} is above {_WHITE_12_BITS:,}, "
            "the white of 12 bits, so they are nearly black; multiply their pixels by 16 first"
        )
    labels = None if classes is None else np.array([classes[place] for place in kept])
    return Dataset(images, labels, name=name or directory.resolve().name, source=str(directory))


def one_shape(directory: Path) -> ImageShape:
    """(H, W, C) of the images in `directory`, of which only the headers are read; C is 1 if all are grey, else 3.

    Raises DataError if there is no image that can be read, or if they have several sizes.
    """
    from minigan.data.image_file import UnreadableImageError, read_shape

    sizes: dict[tuple[int, int], Path] = {}
    channels = 1
    for path in visible_files(directory):
        if has_image_suffix(path):
            with suppress(UnreadableImageError):
                height, width, of_image = read_shape(path)
                sizes.setdefault((height, width), path)
                channels = max(channels, of_image)
    if not sizes:
        raise _no_image_error(directory)
    if len(sizes) > 1:
        first, second = [f"{path.name} {height} x {width}" for (height, width), path in sizes.items()][:2]
        raise DataError(
            f"the pictures in {directory} have {len(sizes)} sizes ({first}, {second}), expected one; name the one to "
            "which they are cropped and resized, such as image_shape=(64, 64, 3)"
        )
    ((height, width),) = sizes
    return height, width, channels


def _folder_names(directory: Path, paths: list[Path]) -> list[str]:
    """The folder in `directory` that each of `paths` is in."""
    for path in paths:
        if path.parent == directory:
            raise DataError(
                f"{path} is in no subfolder, whose name would be its label, expected all pictures of {directory} in "
                "subfolders; move it into one, or read the folder without labels"
            )
    return [path.relative_to(directory).parts[0] for path in paths]


def has_image_suffix(path: Path) -> bool:
    """Whether `path` has the suffix of an image file."""
    return path.suffix.lower() in _SUFFIXES


def visible_files(directory: Path) -> list[Path]:
    """The files in `directory` and its subfolders that are not hidden, sorted by path.

    Links to folders are followed after all real folders, and only to folders that were not read yet, so each folder is
    read once, under its real path if that is within `directory`. Raises DataError if a folder cannot be read.
    """
    files: list[Path] = []
    links, visited = [directory], set[str]()
    while links:
        new_files, new_links = _walk(links.pop(0), visited)
        files += new_files
        links += sorted(new_links)
    return sorted(files, key=lambda path: path.relative_to(directory).as_posix())


def _walk(top: Path, visited: set[str]) -> tuple[list[Path], list[Path]]:
    """The files in `top` and in the real folders within it, and the links to folders there; hidden ones are ignored.

    Folders whose real path is in `visited` are skipped; the others are added to it.
    """
    files, links = [], []
    for folder, folders, names in os.walk(top, onerror=_raise_unreadable_folder):
        if (resolved := os.path.realpath(folder)) in visited:
            folders.clear()
            continue
        visited.add(resolved)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(folder, name) for name in names if not name.startswith(".")]
        links += [path for name in folders if (path := Path(folder, name)).is_symlink()]
    return files, links


def _raise_unreadable_folder(error: OSError) -> NoReturn:
    raise DataError(
        f"{error.filename} cannot be read ({error.strerror or error}), expected a folder of pictures; check the path"
    ) from error


def _read_all(
    directory: Path, paths: list[Path], shape: ImageShape, strict: bool, progress: bool, pad: bool
) -> tuple[np.ndarray, list[int], list[str], list[int]]:
    """(images, kept, failures, brightest): the readable images, (N, H, W, C), and their places in `paths`; "name:
    reason" of each unreadable one; and the largest pixel of each image of 16 bits."""
    from minigan.data.image_file import UnreadableImageError, read_image  # here, because importing Pillow is slow

    images, kept = np.empty((len(paths), *shape), np.uint8), list[int]()
    failures, brightest = [], []
    bar = progress_bar.over(paths, not progress, desc="reading pictures", unit="picture")
    for place, path in enumerate(bar):
        try:
            image = read_image(path, shape, pad=pad)
        except UnreadableImageError as reason:
            if strict:
                raise DataError(
                    f"{path} cannot be read as a picture ({reason}), expected a {_FORMATS} file; replace or remove it, "
                    "or leave out --strict to train without it"
                ) from None
            failures.append(f"{path.relative_to(directory).as_posix()}: {reason}")
            continue
        images[len(kept)] = image.pixels
        kept.append(place)
        if image.brightest is not None:
            brightest.append(image.brightest)
    return images[: len(kept)], kept, failures, brightest


def _notice_files_left_out(
    notice: Notice, directory: Path, count: int, failures: list[str], others: list[Path]
) -> None:
    left_out = []
    if others:
        suffixes = Counter(path.suffix.lower() or "no suffix" for path in others)
        kinds = [f"{suffix} {number:,}" for suffix, number in sorted(suffixes.items(), key=lambda kind: -kind[1])]
        left_out.append(f"{len(others):,} file{'s' if len(others) > 1 else ''} of other kinds ({abbreviated(kinds)})")
    if failures:
        left_out.append(f"{len(failures):,} of the {count:,} pictures, which cannot be read ({_reasons(failures)})")
    if left_out:
        advice = "; use --strict to stop at such a picture instead" if failures else ""
        notice(f"left out of {directory}: {' and '.join(left_out)}{advice}")


def _reasons(failures: list[str]) -> str:
    return abbreviated(failures, most=_REASONS_SHOWN)


def _no_image_error(directory: Path) -> DataError:
    entries = [f"{path.name}/" if os.path.isdir(path) else path.name for path in visible_entries(directory)]
    holds = f"it holds {abbreviated(entries)}" if entries else "it is empty"
    return DataError(
        f"{directory} holds no picture ({holds}), expected {_FORMATS} files, in it or in its folders, or else IDX "
        "files such as 'train-images-idx3-ubyte.gz'; put them there or name another folder"
    )
