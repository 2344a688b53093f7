"""Do samples of a GAN help a classifier that learns from few labels? Accuracy over draws of the labels, with intervals.

    python benchmarks/augmentation.py --data-dir data/mnist --json augmentation.json   # stop it at any time, and go on
    python benchmarks/augmentation.py --json augmentation.json --draws 0               # the table of what is there

Four ways to learn, from the same digits of each draw: as they are, with samples of a conditional GAN that saw no other
digits, with shifts, and with both. Every finished trial is written to the JSON file at once, and is not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import command_line
import machine

Row = dict[str, Any]
WAYS = {"none": "as they are", "gan": "GAN", "shifts": "shifts", "both": "both"}
DIFFERENCES = {"GAN - as they are": ("gan", "none"), "both - shifts": ("both", "shifts")}
# 97.5% quantiles of Student's t with 1, 2, ... degrees of freedom; the normal quantile beyond.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145)
NORMAL_QUANTILE = 1.96


def interval(values: list[float]) -> tuple[float, float]:
    """(mean, half the width of its 95% interval) of independent normal values; infinite for a single one."""
    if len(values) < 2:
        return values[0], math.inf
    freedom = len(values) - 1
    quantile = T_QUANTILES[freedom - 1] if freedom <= len(T_QUANTILES) else NORMAL_QUANTILE
    return statistics.fmean(values), quantile * statistics.stdev(values) / math.sqrt(len(values))


def run(options: argparse.Namespace) -> dict[str, Any]:
    threads = machine.limit_cores(options.threads, [])
    rows = read_rows(options.json)
    done = {(row["labels"], row["draw"]) for row in rows}
    for labels in options.labels:
        for draw in range(options.draws):
            if (int(labels), draw) not in done:
                rows.append(trial_of(int(labels), draw, options.data_dir))
                print(f"{labels} labels, draw {draw}: {rows[-1]}", file=sys.stderr, flush=True)
                write(options.json, rows)
    return {"machine": machine.facts(threads), "versions": machine.versions([]), "rows": rows}


def trial_of(labels: int, draw: int, data_dir: str | None) -> Row:
    # imported here, as minigan must not be loaded before the number of its threads is set
    import augmentation_trial

    from minigan import data

    if data_dir is None:
        training, test = data.load().split(0.9)
    else:
        training, test = data.load(data_dir), data.load(data_dir, split="test")
    return augmentation_trial.trial(training, test, labels, draw)


def read_rows(path: Path | None) -> list[Row]:
    """The rows of the trials that a file has, none if there is no file."""
    if path is None or not path.exists():
        return []
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def write(path: Path | None, rows: list[Row]) -> None:
    """Write the rows so far, atomically."""
    from minigan.core.files import atomic_path

    if path is not None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


def report(facts: dict[str, Any]) -> str:
    """A Markdown table: accuracy by number of labels and way, then differences within draws, in percentage points."""
    lines = [
        *machine.headline(facts["machine"], facts["versions"]),
        "",
        "Accuracy in %, mean over draws of the labels and its 95% interval; differences are within draws, in points.",
        "",
        f"| labels | draws | {' | '.join([*WAYS.values(), *DIFFERENCES])} | CPU s |",
        f"|---|---|{'---|' * (len(WAYS) + len(DIFFERENCES) + 1)}",
    ]
    for labels in sorted({row["labels"] for row in facts["rows"]}):
        rows = [row for row in facts["rows"] if row["labels"] == labels]
        cells = [in_words([100 * row[way] for row in rows]) for way in WAYS]
        cells += [in_words([100 * (row[a] - row[b]) for row in rows], "+") for a, b in DIFFERENCES.values()]
        seconds = statistics.fmean(row["cpu_seconds"] for row in rows)
        lines.append(f"| {labels} | {len(rows)} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def in_words(values: list[float], sign: str = "") -> str:
    mean, half = interval(values)
    return f"{mean:{sign}.2f} ± {half:.2f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Do samples of a GAN help a classifier that has few labels?")
    parser.add_argument("--data-dir", metavar="FOLDER", help="IDX files of MNIST (the digits in the package)")
    parser.add_argument("--labels", type=command_line.words, default=["100", "200", "500"], metavar="N,N,...")
    parser.add_argument("--draws", type=int, default=10, metavar="N", help="draws of the labels, from 0 on (10)")
    command_line.add_arguments(parser, (), default=())
    options = parser.parse_args(arguments)
    return command_line.carry_out(run, report, options)


if __name__ == "__main__":
    sys.exit(main())
