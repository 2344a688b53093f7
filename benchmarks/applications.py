"""Trains and evaluates every system of docs/applications.md, over seeds, by the command line.

    python benchmarks/applications.py --seeds 3                     # all of them: hours; stop it at any time, and go on
    python benchmarks/applications.py --only mnist-cgan --short     # does it run? a hundredth of the steps
    python benchmarks/applications.py --table                       # of the results so far, in Markdown; trains nothing
    python benchmarks/applications.py --gallery docs/images/gallery # copies the pictures there, prints docs/gallery.md

Every finished run is a row of OUT/results.json. A run that was interrupted goes on where it was (`minigan train
--resume`), finished ones are not repeated. Every seed from --first-seed on counts; none is dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import application_pages
import command_line
import machine
from application_systems import SYSTEMS, System

from minigan import recipes
from minigan.core import files, strict_json
from minigan.training import RunFolder

Row = dict[str, Any]
SHORT = 100  # with --short, one step of so many
EVALUATED_IN_SHORT = 100  # samples, where the evaluation has no number of its own
BY_NAME = {system.name: system for system in SYSTEMS}
_MOST_BYTES = 1 << 26


def steps_of(system: System, short: bool) -> int:
    steps = system.steps or recipes.get(system.recipe).steps
    return max(20, steps // SHORT) if short else steps


def training(system: System, seed: int, short: bool) -> list[str]:
    """The arguments of `minigan train` for this system, but for the folder of the run."""
    arguments = [system.recipe, "--seed", str(seed)]
    arguments += [part for setting in system.settings for part in ("--set", setting.format(seed=seed))]
    steps = steps_of(system, short)
    return arguments + (["--steps", str(steps)] if steps != recipes.get(system.recipe).steps else [])


def command_of(system: System, seed: int, short: bool = False) -> str:
    """The command as a user types it; the data lie in `data/`."""
    data = ["--data-dir", f"data/{system.data}"] if system.data else []
    return shlex.join(["minigan", "train", *training(system, seed, short), *data])


class Results:
    """The rows of finished runs, in a file that is written anew after each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = strict_json.parse(files.read_text(path, _MOST_BYTES))["rows"] if path.exists() else []

    def find(self, system: str, seed: int, short: bool) -> Row | None:
        """The row of a finished run."""
        wanted = {"system": system, "seed": seed, "short": short}
        return next((row for row in self.rows if wanted.items() <= row.items()), None)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        files.write_text(self.path, json.dumps({"rows": self.rows}, indent=2) + "\n")


def finish(system: System, seed: int, options: argparse.Namespace, threads: int) -> Row:
    """Train and evaluate, from wherever an earlier attempt stopped; the row of it."""
    folder = RunFolder(options.out / f"{system.name}{'-short' if options.short else ''}-{seed}")
    if folder.config.exists():
        minigan("train", "--resume", str(folder.path))
    else:
        data = ["--data-dir", str(data_folder(system))] if system.data else []
        minigan("train", *training(system, seed, options.short), *data, "--out", str(folder.path))
    start, steps = time.perf_counter(), steps_of(system, options.short)
    if scores(folder)["step"] != steps:  # some recipes are evaluated at the end of their training
        minigan("evaluate", str(folder.path), *(["--n", str(EVALUATED_IN_SHORT)] if options.short else []))
    return {
        "system": system.name, "seed": seed, "short": options.short, "command": command_of(system, seed, options.short),
        "steps": steps, "seconds": round(folder.seconds_so_far(), 1),
        "evaluation_seconds": round(time.perf_counter() - start, 1), "cpu": machine.cpu_model(), "threads": threads,
        "versions": machine.versions([]), "run": str(folder.path),
        "scores": scores(folder),
    }  # fmt: skip


def scores(folder: RunFolder) -> dict[str, Any]:
    """The scores of the run's last evaluation; {"step": None} if there was none."""
    path = folder.path / "scores.json"
    return strict_json.parse(files.read_text(path, _MOST_BYTES)) if path.exists() else {"step": None}


def minigan(*arguments: str) -> None:
    """Run `minigan` quietly; raises CalledProcessError if it fails."""
    print("minigan", shlex.join(arguments), file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "minigan", *arguments, "--quiet"], check=True)


def data_folder(system: System) -> Path:
    """Where the system's data lie; raises RequestError if they do not."""
    root = os.environ.get("MINIGAN_DATA_DIR")
    folder = Path(root or "", system.data)
    if not root or not folder.is_dir():
        raise machine.RequestError(
            f"{system.name} needs the folder {system.data}/ of pictures below MINIGAN_DATA_DIR, which is "
            f"{root or 'not set'}; set it, or leave the system out with --only."
        )
    return folder


def chosen(options: argparse.Namespace) -> list[System]:
    """The systems of --only, in the order of the command line; raises RequestError for one that there is not."""
    unknown = [name for name in options.only if name not in BY_NAME]
    if unknown:
        raise machine.RequestError(f"there is no system '{unknown[0]}'; --only takes some of {', '.join(BY_NAME)}.")
    return [BY_NAME[name] for name in options.only] or list(SYSTEMS)


def run(options: argparse.Namespace, results: Results) -> int:
    """Finish what is not yet done; returns the exit code."""
    threads = machine.limit_cores(options.threads, [])
    systems, failed = chosen(options), []
    for system in systems:
        if system.data:
            data_folder(system)
    for seed in range(options.first_seed, options.first_seed + options.seeds):  # every system once, then again
        for system in systems:
            if results.find(system.name, seed, options.short):
                continue
            try:
                results.add(finish(system, seed, options, threads))
            except subprocess.CalledProcessError as error:
                failed.append(f"{system.name}, seed {seed}: exit code {error.returncode}")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return command_line.FAILURE if failed else command_line.SUCCESS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=command_line.words, default=[], metavar="NAMES", help=f"of {', '.join(BY_NAME)}")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help=f"a step of {SHORT}: does it run?")
    parser.add_argument("--out", type=Path, default=Path("runs/applications"), help="folder of the runs")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each run (all cores)")
    parser.add_argument("--table", action="store_true", help="print the tables of the results so far")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="copy pictures there, print the page about them")
    options = parser.parse_args(arguments)
    results = Results(options.out / "results.json")
    try:
        if options.gallery:
            print(application_pages.gallery(chosen(options), results.rows, options.gallery))
        elif options.table:
            print(application_pages.tables(chosen(options), results.rows))
        else:
            options.out.mkdir(parents=True, exist_ok=True)
            return run(options, results)
    except machine.RequestError as error:
        print(error, file=sys.stderr)
        return command_line.USAGE_ERROR
    return command_line.SUCCESS


if __name__ == "__main__":
    sys.exit(main())
