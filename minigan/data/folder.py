"""A folder of somebody's own data: IDX files or pictures, whichever it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minigan.core.errors import DataError
from minigan.data.dataset import Dataset, ImageShape
from minigan.data.idx_folder import from_directory, is_idx, some_of, visible_entries
from minigan.data.pictures import files_within, from_pictures, is_picture


def from_folder(directory: Path, image_shape: ImageShape, **reading: Any) -> Dataset:
    """The data set in `directory`: of its IDX files, in their own shape, or of its pictures, in `image_shape`.

    IDX files lie in the folder itself, pictures also in its folders; `reading` is passed on to `from_pictures`.

    Raises DataError where there are both or neither, and as `from_directory` and `from_pictures` do.
    """
    directory = Path(directory)
    idx = idx_within(directory)
    if not idx:
        return from_pictures(directory, image_shape, **reading)
    if pictures := [path for path in files_within(directory) if is_picture(path)]:
        names = [path.relative_to(directory).as_posix() for path in pictures]
        raise DataError(
            f"{directory} holds both IDX files ({some_of(idx)}) and pictures ({some_of(names)}), expected one kind; "
            "move the others to another folder"
        )
    return from_directory(directory)


def idx_within(directory: Path) -> list[str]:
    """The names of the IDX files in `directory`; raises DataError if it is no readable folder."""
    files = [path for path in visible_entries(directory) if not os.path.isdir(path)]
    return [path.name for path in files if not is_picture(path) and is_idx(path)]
