"""A data set with pictures beside it that nothing is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minigan.core.errors import UsageError
from minigan.data.dataset import Dataset
from minigan.data.folder import idx_names_in
from minigan.data.idx_folder import names_split

_MOST_HELD_OUT = 1000
_LEAST = 2


@dataclass(frozen=True, eq=False, repr=False)
class HeldOutDataset(Dataset):
    """Examples to train on, and `held_out`: others of the same kind, to show and to measure what was learned."""

    held_out: Dataset = None  # type: ignore[assignment]  # always given: the fields before it have defaults


def has_test_set(data_dir: str | None, download: bool) -> bool:
    """Whether `load` with these arguments has a split "test": MNIST's own, or the IDX files of a folder that say so."""
    if data_dir is None:
        return download
    directory = Path(data_dir)
    return directory.is_dir() and any(names_split(Path(name), "test") for name in idx_names_in(directory))


def with_held_out(data: Dataset, test: Dataset | None) -> HeldOutDataset:
    """`data` with `test` held out; without a test set the last tenth of `data`, at most 1,000 examples, is held out.

    Folders are sorted by path, so with a folder for each person the held-out pictures are of other people. Raises
    UsageError for fewer than 2 examples.
    """
    if test is None:
        if len(data) < _LEAST:
            raise UsageError(
                f"{data.source} has {len(data)} pictures, and some of them are held out to measure what was learned, "
                f"expected at least {_LEAST}; name a folder with more"
            )
        first = len(data) - max(1, min(len(data) // 10, _MOST_HELD_OUT))
        data, test = data[:first], data[first:]
    return HeldOutDataset(
        data.examples, data.labels, name=data.name, source=data.source, classes=data.classes, held_out=test
    )
