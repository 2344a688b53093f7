"""Options that several subcommands share, and the ways they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

import minigan_kernels
from minigan import backend
from minigan.data import Dataset, load
from minigan.errors import UsageError
from minigan.training import RunConfig, RunFolder, load_config, open_run


def whole_number(text: str) -> int:
    """An integer written as people write it: 10000, 10_000 or 10,000."""
    try:
        return int(text.replace(",", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--backend, --kernels and --threads."""
    parser.add_argument("--backend", help="numpy, cupy, or auto: CuPy where a GPU answers (default: auto)")
    parser.add_argument("--kernels", help="reference, numba, or auto: the fastest at hand (default: auto)")
    parser.add_argument(
        "--threads", type=whole_number, help="CPU threads (default: MINIGAN_NUM_THREADS, or every core at hand)"
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """RUN."""
    parser.add_argument("path", metavar="RUN", type=Path, help="the folder of a run, as 'minigan train' made it")


def choose_device(backend_name: str | None, kernels: str | None, threads: int | None, quiet: bool = False) -> None:
    """Use what the options name; raises UsageError if it cannot be had."""
    backend.use(backend_name or "auto", kernels or "auto")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be a whole number of at least 1, not {threads}.")
    backend.set_threads(threads)
    if quiet and minigan_kernels.unavailable("numba") is None:
        minigan_kernels.on_compile(lambda sentence: None)


def open_configured_run(path: Path) -> tuple[RunFolder, RunConfig]:
    """The run in `path` and its configuration; raises CheckpointError if there is none."""
    folder = open_run(path)
    return folder, load_config(folder.config)


def load_data(config: RunConfig) -> Dataset:
    """The data that `config` names."""
    return load(Path(config.data_dir) if config.data_dir else None, config.download)


def print_json(content: Any) -> None:
    """Print `content` for a program to read."""
    print(json.dumps(content, indent=2))


def bar(quiet: bool, **settings: Any) -> tqdm:
    """A progress bar on standard error, which is not drawn if `quiet`."""
    return tqdm(disable=quiet, file=sys.stderr, dynamic_ncols=True, **settings)


def print_table(rows: Iterable[tuple[str, Any]]) -> None:
    """Print pairs of a name and a value, aligned."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
