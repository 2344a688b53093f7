"""A folder of the user's data: either IDX files or images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minigan.core.errors import DataError
from minigan.data.dataset import Dataset, ImageShape
from minigan.data.idx_folder import abbreviated, from_idx_folder, is_idx, visible_entries
from minigan.data.image_folder import from_image_folder, has_image_suffix, visible_files


def from_folder(directory: Path, image_shape: ImageShape, **options: Any) -> Dataset:
    """The data set in `directory`: its IDX files, in their own shape, or its images, in `image_shape`.

    IDX files must be in the folder itself; images may also be in its subfolders. `options` are passed to
    `from_image_folder`.

    Raises DataError if there are both kinds or neither, and what `from_idx_folder` and `from_image_folder` raise.
    """
    directory = Path(directory)
    idx = idx_names_in(directory)
    if not idx:
        return from_image_folder(directory, image_shape, **options)
    if pictures := [path for path in visible_files(directory) if has_image_suffix(path)]:
        names = [path.relative_to(directory).as_posix() for path in pictures]
        raise DataError(
            f"{directory} holds both IDX files ({abbreviated(idx)}) and pictures ({abbreviated(names)}), expected one "
            "kind; move the others to another folder"
        )
    return from_idx_folder(directory)


def idx_names_in(directory: Path) -> list[str]:
    """The names of the IDX files in `directory`; raises DataError if it is not a readable folder."""
    files = [path for path in visible_entries(directory) if not os.path.isdir(path)]
    return [path.name for path in files if not has_image_suffix(path) and is_idx(path)]
