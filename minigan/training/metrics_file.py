"""The file of a run's metrics: one JSON object per line, with a step and what was measured at it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from minigan.core import files, strict_json
from minigan.core.errors import CheckpointError, FileError

_MAX_BYTES = 1 << 30  # about five million rows

Row = dict[str, Any]


def append(path: Path, rows: list[Row]) -> None:
    """Add `rows` and flush them to the disk; raises FileError if `path` is not an ordinary file."""
    with files.open_to_append(path) as file:
        file.write(_lines(rows).encode())
        file.flush()
        os.fsync(file.fileno())


def write(path: Path, rows: list[Row]) -> None:
    """Write all rows, atomically."""
    files.write_text(path, _lines(rows))


def read(path: Path) -> list[Row]:
    """The rows in the order of their steps; none if there is no file.

    A last line without a line end was cut off when the process was killed, and is left out. Besides the steps, no
    number of a row is checked. Raises CheckpointError, naming the line, for a line that is not a row.
    """
    if path.is_symlink():
        raise CheckpointError(f"{path} is a link, expected an ordinary file; put one in its place.")
    try:
        lines = files.read_text(path, _MAX_BYTES).split("\n")
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
                f"line {number} of {path} is not a row of metrics ({error}); mend it, or restore the file from a copy."
            ) from None
        step = rows[-1]["step"]
    return rows


def _lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _row(line: str, after: int) -> Row:
    """The row that `line` holds; raises ValueError unless it is a row with a step above `after`."""
    row = strict_json.parse(line)
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    if type(row.get("step")) is not int or row["step"] <= after:
        raise ValueError(f"its step is not a whole number above {after:,}, the step of the row before")
    return row
