"""A folder of the user's data: either IDX files or images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minigan.core.errors import DataError, UsageError
from minigan.data.dataset import Dataset, ImageShape
from minigan.data.idx_folder import Split, abbreviated, from_idx_folder, is_idx, visible_entries
from minigan.data.image_folder import from_image_folder, has_image_suffix, one_shape, visible_files


def from_folder(
    directory: Path, image_shape: ImageShape | None, *, split: Split = "train", name: str | None = None, **options: Any
) -> Dataset:
    """The data set in `directory`: its IDX files, in their own shape, or its images, in `image_shape`.

    IDX files must be in the folder itself, and their names say which are of the `split`; images may also be in its
    subfolders. image_shape None: the images must have one size. `options` are passed to `from_image_folder`.

    Raises DataError if there are both kinds or neither, and what `from_idx_folder` and `from_image_folder` raise;
    UsageError if a folder of pictures is asked for a test set.
    """
    directory = Path(directory)
    idx = idx_names_in(directory)
    if not idx:
        if split != "train":
            raise UsageError(
                f"{directory} holds no IDX files, of which the names say what the {split} set is; name the folder of "
                "those pictures alone, or split the data: first, second = data.split(0.8)"
            )
        return from_image_folder(directory, image_shape or one_shape(directory), name=name, **options)
    if pictures := [path for path in visible_files(directory) if has_image_suffix(path)]:
        names = [path.relative_to(directory).as_posix() for path in pictures]
        raise DataError(
            f"{directory} holds both IDX files ({abbreviated(idx)}) and pictures ({abbreviated(names)}), expected one "
            "kind; move the others to another folder"
        )
    return from_idx_folder(directory, split, name=name)


def idx_names_in(directory: Path) -> list[str]:
    """The names of the IDX files in `directory`; raises DataError if it is not a readable folder."""
    files = [path for path in visible_entries(directory) if not os.path.isdir(path)]
    return [path.name for path in files if not has_image_suffix(path) and is_idx(path)]
