"""metrics.csv: the rows of metrics.jsonl as a table for spreadsheets and pandas, with the wall time of each row.

metrics.jsonl is what counts: it is the same for a resumed and an uninterrupted run, bit for bit, so the wall time
stands in the table only. When a run is resumed, the table is made again from it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from minigan.core import files
from minigan.core.errors import FileError

Row = Mapping[str, Any]

SECONDS = "seconds"
"""The column of the wall time: seconds of training from the start of the run to this row, without interruptions."""

_FIRST = ("step", SECONDS)
_MAX_BYTES = 1 << 30


def append(path: Path, rows: Sequence[Row], seconds: Sequence[float | None]) -> None:
    """Add `rows` with their wall times (None: unknown), in `seconds`; the file is created if there is none.

    A row with a new name gives the file a further column: then it is written anew, atomically. Raises FileError if
    `path` is not an ordinary file.
    """
    columns = _columns_of_file(path)
    table = [_with_seconds(row, at) for row, at in zip(rows, seconds, strict=True)]
    if columns is None or not {name for row in table for name in row} <= set(columns):
        _write(path, [*_read(path), *table])
        return
    with files.open_to_append(path) as file:
        file.write(_lines(table, columns).encode())
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, rows: Sequence[Row]) -> None:
    """Make the table one of exactly `rows`, atomically, with the wall times that it has for their steps."""
    known = seconds_by_step(path)
    _write(path, [_with_seconds(row, known.get(row["step"])) for row in rows])


def seconds_so_far(path: Path) -> float:
    """The wall time of the last row that has one; 0 if none has."""
    return max(seconds_by_step(path).values(), default=0.0)


def _with_seconds(row: Row, seconds: float | None) -> dict[str, Any]:
    wall_time = {} if seconds is None else {SECONDS: round(seconds, 3)}
    return {"step": row["step"], **wall_time, **{name: value for name, value in row.items() if name != SECONDS}}


def _write(path: Path, table: Sequence[Row]) -> None:
    columns = list(dict.fromkeys([*_FIRST, *(name for row in table for name in row)]))
    files.write_text(path, _lines([dict(zip(columns, columns, strict=True))], columns) + _lines(table, columns))


def _lines(table: Iterable[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerows(
        {name: _cell(value) for name, value in row.items()} for row in table
    )
    return text.getvalue()


def _cell(value: Any) -> str:
    """Numbers as in metrics.jsonl, with all digits; the findings of the diagnosis one after the other."""
    if isinstance(value, list | tuple):
        return "; ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _read(path: Path) -> list[dict[str, str]]:
    """The whole lines of the file as rows of text; none if there is no such file or it is none of these."""
    try:
        text = files.read_text(path, _MAX_BYTES)
    except (FileNotFoundError, FileError):
        return []
    whole = text[: text.rfind("\n") + 1]  # the last line was cut off if the process was killed while it wrote it
    with suppress(csv.Error):
        return [
            {name: cell for name, cell in row.items() if name and cell}
            for row in csv.DictReader(io.StringIO(whole))
            if row.get("step")
        ]
    return []


def _columns_of_file(path: Path) -> list[str] | None:
    """The names in the first line of the file; None if there is no such file."""
    try:
        with files.open_regular(path) as file:
            line = file.readline(1 << 20).decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    columns = next(csv.reader([line]), [])
    return columns if columns[:1] == ["step"] else None


def seconds_by_step(path: Path) -> dict[int, float]:
    """The wall times that the table has, by step."""
    known = {}
    for row in _read(path):
        with suppress(KeyError, ValueError):
            seconds = float(row[SECONDS])
            if math.isfinite(seconds) and seconds >= 0:
                known[int(row["step"])] = seconds
    return known
