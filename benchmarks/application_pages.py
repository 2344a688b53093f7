"""Tables of docs/results.md and the page docs/gallery.md, from the rows that applications.py collects."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from application_systems import Figure, System

from minigan.training import RunFolder

Row = dict[str, Any]
_WIDEST = 560  # pixels; smaller pictures are enlarged by repeating pixels, larger ones shrunk


def rows_of(system: System, rows: Sequence[Row]) -> list[Row]:
    """The rows of the system's runs in full length, by seed."""
    return sorted((r for r in rows if r["system"] == system.name and not r["short"]), key=lambda row: row["seed"])


def tables(systems: Sequence[System], rows: Sequence[Row]) -> str:
    """A line for every figure, with its mean and worst over the seeds; then where it was measured."""
    lines = [
        "| system | figure | mean | worst | to reach | beside | seeds | training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    done = [row for system in systems for row in rows_of(system, rows)]
    for system in systems:
        if of_system := rows_of(system, rows):
            lines += [line for figure in system.figures for line in _figure_line(system, figure, of_system)]
    missing = [system.name for system in systems if not rows_of(system, rows)]
    notes = [f"Not measured: {', '.join(missing)}."] if missing else []
    return "\n".join([*lines, "", *_where(done), *notes])


def _figure_line(system: System, figure: Figure, rows: Sequence[Row]) -> Iterator[str]:
    """The line of `figure`; none if no run has it."""
    values = [value for row in rows if (value := figure.value(row["scores"])) is not None]
    if not values:
        return
    mean = statistics.fmean(values)
    target = "" if figure.target is None else f"{'<=' if figure.least else '>='} {figure.in_words(figure.target)}"
    cells = [
        f"`{system.name}`", figure.name, f"{figure.in_words(mean)}{'' if figure.reached(mean) else ' (short of it)'}",
        figure.in_words(figure.worst(values)), target, _beside(figure, rows), seeds_in_words(rows),
        f"{statistics.fmean(row['seconds'] for row in rows):,.0f} s",
    ]  # fmt: skip
    yield "| " + " | ".join(cells) + " |"


def _beside(figure: Figure, rows: Sequence[Row]) -> str:
    """The means of the baselines over the runs that have them."""
    found = []
    for key, name in figure.beside.items():
        values = [value for row in rows if (value := figure.value(row["scores"], key)) is not None]
        if values:
            found.append(f"{name} {figure.in_words(statistics.fmean(values))}")
    return ", ".join(found)


def seeds_in_words(rows: Sequence[Row]) -> str:
    """Such as "0-2", or "0, 3"."""
    seeds = [row["seed"] for row in rows]
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))


def _where(rows: Sequence[Row]) -> list[str]:
    """The processors and versions of `rows`, a sentence each."""
    places = {
        f"On {row['cpu']}, {row['threads']} thread{'s' * (row['threads'] > 1)}: "
        + ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        for row in rows
    }
    return [f"{place}." for place in sorted(places)]


def gallery(systems: Sequence[System], rows: Sequence[Row], folder: Path) -> str:
    """Copy a picture of each system's first seed into `folder`; the page that shows them, in Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# Gallery", "Nothing is chosen by hand: each picture is of the first seed measured."]
    for system in systems:
        for row in rows_of(system, rows)[:1]:
            source = picture(system, Path(row["run"]))
            if source is not None:
                save_small(source, folder / f"{system.name}.png")
                parts += [_entry(system, row, folder)]
    return "\n\n".join(parts)


def picture(system: System, run: Path) -> Path | None:
    """The file that shows the run: the picture of its evaluation, else its last samples; None if there is none."""
    named = run / f"{system.picture}.png"
    samples = RunFolder(run).sample_paths()
    return named if system.picture and named.is_file() else samples[-1] if samples else None


def save_small(source: Path, target: Path) -> None:
    """Save the picture with at most `_WIDEST` pixels of width; one that is already so narrow is copied."""
    from PIL import Image

    with Image.open(source) as image:
        if image.width <= _WIDEST:
            shutil.copyfile(source, target)
            return
        height = round(image.height * _WIDEST / image.width)
        image.resize((_WIDEST, height), Image.Resampling.LANCZOS).save(target, optimize=True)


def _entry(system: System, row: Row, folder: Path) -> str:
    told = [
        f"{figure.name} {figure.in_words(value)}"
        for figure in system.figures
        if (value := figure.value(row["scores"])) is not None
    ]
    told.append(f"seed {row['seed']}, {row['steps']:,} steps, {row['seconds']:,.0f} s")
    return "\n\n".join(
        [
            f"## {system.title}",
            f"![{system.title}]({folder.parent.name}/{folder.name}/{system.name}.png)",
            system.caption,
            f"`{row['command']}`",
            "; ".join(told) + ".",
        ]
    )
