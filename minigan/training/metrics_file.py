"""The file of a run's metrics: a JSON object a line, each with its step and what was measured there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from minigan.core import files, strict_json
from minigan.core.errors import CheckpointError, FileError

_MOST = 1 << 30  # bytes: some five million rows

Row = dict[str, Any]


def append(path: Path, row: Row) -> None:
    """Add a row, and see it to the disk; raises FileError if it is no ordinary file."""
    with files.open_to_append(path) as file:
        file.write((json.dumps(row) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, rows: list[Row]) -> None:
    """Write all rows, atomically."""
    files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def read(path: Path) -> list[Row]:
    """The rows, by step; none if there is no file. A last line without an end is what a kill cut off, and left out.

    What a row says of its step is for whoever draws or prints it to judge. Raises CheckpointError, naming the line, for
    what is no row.
    """
    if path.is_symlink():
        raise CheckpointError(f"{path} is a link, expected an ordinary file; put one in its place.")
    try:
        lines = files.read_text(path, _MOST).split("\n")
    except FileNotFoundError:
        return []
    except FileError as error:
        raise CheckpointError(f"the metrics of the run cannot be read: {error}") from None
    rows, step = [], 0
    for number, line in enumerate(lines[:-1], 1):
        try:
            rows.append(_row(line, step))
        except ValueError as error:
            raise CheckpointError(
                f"line {number} of {path} is no row of metrics ({error}); mend it, or restore the file from a copy."
            ) from None
        step = rows[-1]["step"]
    return rows


def _row(line: str, after: int) -> Row:
    """The row that `line` holds; raises ValueError unless it is one of a step after `after`."""
    row = strict_json.parse(line)
    if not isinstance(row, dict):
        raise ValueError("it is no JSON object")
    if type(row.get("step")) is not int or row["step"] <= after:
        raise ValueError(f"its step is no whole number above {after:,}, that of the row before")
    return row
