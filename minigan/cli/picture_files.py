"""Applies a function of pictures to a picture file, or to each in a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigan.cli import options
from minigan.core import files
from minigan.core.errors import DataError, UsageError
from minigan.data import ImageShape, shape_in_words
from minigan.data.image_folder import has_image_suffix, visible_files
from minigan.figures.image_grid import save_png


@dataclass(frozen=True)
class PictureFile:
    """A picture to read from `source`, as (H, W, C) of `shape`, and the PNG file to write, `target`."""

    source: Path
    target: Path
    shape: ImageShape

    def pixels(self) -> np.ndarray:
        """The picture, uint8 of `shape`; raises DataError if it cannot be read."""
        from minigan.data.image_file import UnreadableImageError, read_image  # here, because importing Pillow is slow

        try:
            return read_image(self.source, self.shape).pixels
        except UnreadableImageError as reason:
            raise _unreadable(self.source, reason) from None


def checked_files(
    source: Path,
    out: Path,
    *,
    channels: int,
    require: Callable[[Path, ImageShape], None],
    notice: Callable[[str], None] = lambda sentence: None,
) -> list[PictureFile]:
    """The picture `source`, to be written to the PNG file `out`; or those in the folder `source`, into the folder.

    Pictures in subfolders come into subfolders of the same names. channels: 1 or 3, to which all pictures are
    converted; `notice` is called with a sentence if that changes some. require(path, (H, W, channels)): raises
    UsageError for a picture of the wrong shape.

    Raises UsageError if `source` is no picture and no folder with pictures, or `out` cannot be written, DataError for
    a file that cannot be read, as far as the headers of the files tell.
    """
    paths = _pictures(source)
    targets = _targets(source, paths, out)
    shapes = [_shape(path) for path in paths]
    for path, (height, width, _) in zip(paths, shapes, strict=True):
        require(path, (height, width, channels))
    if changed := sum(shape[2] != channels for shape in shapes):
        kinds = ("in colour", "grey") if channels == 1 else ("grey", "colour")
        notice(
            f"{changed:,} of {len(paths):,} pictures are {kinds[0]} and were converted to {kinds[1]}, as the run's are"
        )
    found = zip(paths, targets, shapes, strict=True)
    return [PictureFile(path, target, (shape[0], shape[1], channels)) for path, target, shape in found]


def transformed_files(
    source: Path,
    out: Path,
    *,
    channels: int,
    require: Callable[[Path, ImageShape], None],
    apply: Callable[[np.ndarray], np.ndarray],
    notice: Callable[[str], None] = lambda sentence: None,
) -> list[Path]:
    """Write apply(picture) of each picture that `checked_files`, which documents the other arguments, finds.

    apply: maps uint8 (1, H, W, channels) to uint8 (1, h, w, c). Returns the paths that were written.
    """
    pictures = checked_files(source, out, channels=channels, require=require, notice=notice)
    for picture in pictures:
        save_png(picture.target, apply(picture.pixels()[None])[0])
    return [picture.target for picture in pictures]


def require_shape(path: Path, found: ImageShape, expected: ImageShape, use: str) -> None:
    """Raise UsageError, naming the `use`, unless the height and width are those expected."""
    if found[:2] != expected[:2]:
        raise UsageError(
            f"{path} is {found[0]} x {found[1]} pixels, and {use} takes pictures {shape_in_words(expected)}; crop and "
            "resize it first."
        )


def _pictures(source: Path) -> list[Path]:
    """The picture `source`, or the pictures in the folder."""
    if not os.path.exists(source):
        raise UsageError(f"there is no {source}; name a picture, or a folder of pictures.")
    if not source.is_dir():
        return [source]
    if not (paths := [path for path in visible_files(source) if has_image_suffix(path)]):
        raise UsageError(f"the folder {source} holds no pictures; name one that does, or a picture.")
    return paths


def _targets(source: Path, paths: list[Path], out: Path) -> list[Path]:
    """The PNG file for each of `paths`; raises UsageError if one cannot be written, or if two are the same."""
    if not source.is_dir():
        if out.suffix.lower() != ".png":
            raise UsageError(f"the picture is written as PNG, and {out} does not end in .png; name another file.")
        options.require_output_file(out, "the picture to write")
        return [out]
    if out.exists() and not out.is_dir():
        raise UsageError(f"{source} is a folder, and {out} is a file; name a folder to write the pictures into.")
    if out.resolve() == source.resolve():
        raise UsageError(f"the pictures would replace those in {source}; name another folder to write them into.")
    files.require_writable(out)
    targets = [out / path.relative_to(source).with_suffix(".png") for path in paths]
    twice = [str(target) for target, count in Counter(targets).items() if count > 1]
    if twice:
        raise UsageError(f"two pictures in {source} would both become {twice[0]}; give one of them another name.")
    return targets


def _shape(path: Path) -> ImageShape:
    from minigan.data.image_file import UnreadableImageError, read_shape  # here, because importing Pillow is slow

    try:
        return read_shape(path)
    except UnreadableImageError as reason:
        raise _unreadable(path, reason) from None


def _unreadable(path: Path, reason: Exception) -> DataError:
    return DataError(f"{path} cannot be read as a picture ({reason}); name another one, or remove it.")
