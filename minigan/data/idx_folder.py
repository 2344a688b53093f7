"""Find the images and the labels in a folder of IDX files, by the content of the files."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minigan.core.errors import DataError, UsageError, did_you_mean
from minigan.data.dataset import Dataset
from minigan.data.idx import read_idx, read_shape

Split = Literal["train", "test"]

# Matched at the start of a word: "latest" does not name a test set, "trainImages" names a training set.
_SPLIT_WORDS: dict[Split, re.Pattern[str]] = {
    "train": re.compile(r"(?<![a-z])train"),
    "test": re.compile(r"(?<![a-z])(test|t10k)"),
}
_IDX_NAME = re.compile(r"idx|ubyte|(images|labels)(\.gz)?$")
_MOST_NAMES_LISTED = 8


@dataclass(frozen=True)
class _IdxFile:
    path: Path
    shape: tuple[int, ...]


def from_idx_folder(directory: Path, split: Split = "train", *, name: str | None = None) -> Dataset:
    """The grey images, and the labels if any, in the IDX files (raw or gzip) of `directory`, such as those of MNIST.

    A file with three dimensions holds images, a file with one dimension holds labels. Names decide between several
    candidates: a file that names the other split (`train` or `test`, also called `t10k`) is never used, and a file that
    names `split` is preferred to one that names neither.

    Raises DataError if the folder is missing, has no images for the split, has several candidates, or if files are
    damaged or contradict each other; UsageError if `split` is neither "train" nor "test".
    """
    require_split(split)
    directory = Path(directory)
    entries = visible_entries(directory)
    idx_files, ignored = _idx_files(entries, split)
    images = _choose([file for file in idx_files if len(file.shape) == 3], "images", split)
    if images is None:
        raise _no_images(directory, split, entries, idx_files, ignored)
    labels = _choose([file for file in idx_files if len(file.shape) == 1], "labels", split)
    _check_agreement(images, labels)
    return Dataset(
        read_idx(images.path)[..., None],
        None if labels is None else read_idx(labels.path),
        name=name or directory.resolve().name,
        source=str(images.path),
    )


def require_split(split: str) -> None:
    """Raise UsageError unless `split` is "train" or "test"."""
    if split not in _SPLIT_WORDS:
        raise UsageError(f"the split '{split}' is unknown, expected 'train' or 'test'; choose one of them")


def is_idx(path: Path) -> bool:
    """Whether the file `path` begins like an IDX file or is named like one."""
    try:
        read_shape(path)
    except DataError:
        return _IDX_NAME.search(path.name.lower()) is not None
    return True


def visible_entries(directory: Path) -> list[Path]:
    """The files and folders in `directory` that are not hidden, sorted; raises DataError if it cannot be read."""
    try:
        if not directory.exists():
            raise _missing_directory(directory)
        if not directory.is_dir():
            raise DataError(
                f"{directory} is a file, expected a folder of pictures or IDX files; name the folder that holds it"
            )
        return sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(
            f"{directory} cannot be read ({error.strerror or error}), expected a folder of pictures or IDX files; "
            "check the path"
        ) from error


def _missing_directory(directory: Path) -> DataError:
    siblings = [path.name for path in directory.parent.iterdir() if path.is_dir()] if directory.parent.is_dir() else []
    # did_you_mean lists every name if none is near, which is too many for the folders of a disk.
    near = difflib.get_close_matches(directory.name, siblings, n=1)
    hint = did_you_mean(directory.name, near) if near else "check the path"
    return DataError(f"{directory} does not exist, expected a folder of pictures or IDX files; {hint}")


def _idx_files(entries: list[Path], split: Split) -> tuple[list[_IdxFile], list[Path]]:
    """The IDX files among `entries`, and the files ignored because they name the other split."""
    idx_files, ignored = [], []
    for path in entries:
        if os.path.isdir(path):  # unlike Path.is_dir, it never raises PermissionError
            continue
        if _names_other_split(path, split):
            ignored.append(path)
            continue
        try:
            idx_files.append(_IdxFile(path, read_shape(path)))
        except DataError:
            # Other files, such as a README, are allowed; a damaged file of labels must not count as no labels.
            if _IDX_NAME.search(path.name.lower()):
                raise
    return _without_redundant_archives(idx_files), ignored


def names_split(path: Path, split: Split) -> bool:
    """Whether the name of the file `path` says that it belongs to `split`."""
    return _SPLIT_WORDS[split].search(path.name.lower()) is not None


def _names_other_split(path: Path, split: Split) -> bool:
    other: Split = "test" if split == "train" else "train"
    return names_split(path, other) and not names_split(path, split)


def _without_redundant_archives(files: list[_IdxFile]) -> list[_IdxFile]:
    """`files` without each `NAME.gz` that has a `NAME` of the same shape beside it, as `gunzip -k` leaves them."""
    unpacked = {(file.path.name, file.shape) for file in files}
    return [file for file in files if file.path.suffix != ".gz" or (file.path.stem, file.shape) not in unpacked]


def _choose(files: list[_IdxFile], kind: Literal["images", "labels"], split: Split) -> _IdxFile | None:
    """The one of `files` that is for `split`; None without files, DataError if there are several candidates."""
    candidates = [file for file in files if names_split(file.path, split)] or files
    for file in candidates:
        _check_name(file, kind)
    if len(candidates) > 1:
        names = abbreviated([file.path.name for file in candidates])
        raise DataError(
            f"{candidates[0].path.parent} holds {len(candidates)} files of {kind} that could be the {split} split "
            f"({names}), expected one; move the others away or put '{split}' in its name"
        )
    return candidates[0] if candidates else None


def _check_name(file: _IdxFile, kind: Literal["images", "labels"]) -> None:
    """Raise DataError if the name says labels and the content is images, or the other way round."""
    says_images, says_labels = "image" in file.path.name.lower(), "label" in file.path.name.lower()
    if says_images == says_labels or says_images == (kind == "images"):
        return
    other, expected = ("labels", 1) if kind == "images" else ("images", 3)
    raise DataError(
        f"{file.path} is named as {other} and holds {kind} of shape {file.shape}, expected {expected} "
        f"dimension{'s' if expected > 1 else ''}; rename it or replace it with the {other}"
    )


def _check_agreement(images: _IdxFile, labels: _IdxFile | None) -> None:
    if labels is not None and labels.shape[0] != images.shape[0]:
        raise DataError(
            f"{labels.path} holds {labels.shape[0]:,} labels and {images.path.name} {images.shape[0]:,} images, "
            "expected one label per image; use files that belong together"
        )


def _no_images(
    directory: Path, split: Split, entries: list[Path], idx_files: list[_IdxFile], ignored: list[Path]
) -> DataError:
    dimensions = {file.path: len(file.shape) for file in idx_files}
    listed = abbreviated([_entry_in_words(path, dimensions.get(path), path in ignored) for path in entries])
    holds = f"it holds {listed}" if entries else "it is empty"
    return DataError(
        f"{directory} holds no IDX file of images for the {split} split ({holds}), expected one with 3 dimensions, "
        f"such as '{'train' if split == 'train' else 't10k'}-images-idx3-ubyte.gz'; "
        "put it there or name another folder"
    )


def _entry_in_words(path: Path, dimensions: int | None, ignored: bool) -> str:
    if os.path.isdir(path):
        return f"{path.name}/"
    if ignored:
        return f"{path.name}, named for the other split"
    if dimensions is not None:
        return f"{path.name}, IDX of {dimensions} dimension{'s' if dimensions > 1 else ''}"
    return path.name


def abbreviated(names: list[str], most: int = _MOST_NAMES_LISTED) -> str:
    """The first `most` of `names`, and how many more there are."""
    more = len(names) - most
    return "; ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
