"""Options that several subcommands share, and how the subcommands print."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minigan_kernels
from minigan import recipes
from minigan.cli import compile_notice
from minigan.cli.interrupt import exit_on_interrupt
from minigan.core import backend, files, progress
from minigan.core.errors import UsageError, escaped, one_line
from minigan.recipes import Recipe, values
from minigan.training import RunConfig


def whole_number(text: str) -> int:
    """An integer written as people write it: 10000, 10_000, 10,000 or 1e4."""
    if (number := values.whole_number(text)) is not None:
        return number
    if not _WHOLE_NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    if len(text) > _MAX_DIGITS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number below 2**63")
    return int(text.replace(",", ""))


_MAX_DIGITS = 100  # Python refuses to parse thousands of digits; each option has its own, smaller limit
_WHOLE_NUMBER = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+(_\d+)*)", re.ASCII)


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--backend, --kernels and --threads."""
    parser.add_argument(
        "--backend", help="numpy, cupy, or auto: MINIGAN_BACKEND, or CuPy if a GPU is available (default: auto)"
    )
    names = ", ".join(minigan_kernels.IMPLEMENTATIONS)
    parser.add_argument("--kernels", help=f"{names}, or auto: the fastest available (default: auto)")
    parser.add_argument(
        "--threads", type=whole_number, help="CPU threads (default: MINIGAN_NUM_THREADS, or every available core)"
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """RUN."""
    parser.add_argument("path", metavar="RUN", type=Path, help="the folder of a run, which 'minigan train' made")


def add_checkpoint_argument(parser: argparse.ArgumentParser, use: str) -> None:
    """--checkpoint; `use` says what it is for."""
    parser.add_argument(
        "--checkpoint",
        metavar="STEP|best",
        help=f"{use} the checkpoint of this step, or (best) the one of the best score: the smallest distance that "
        "--evaluate-every has found or, for points, the smallest reverse KL of modes or the largest log density "
        "(default: the last checkpoint)",
    )


def add_recipe_file_argument(parser: argparse.ArgumentParser) -> None:
    """--recipe."""
    parser.add_argument(
        "--recipe", metavar="FILE.py", dest="recipe_file",
        help="the file that defines the recipe of the run, if it is one of yours; it is executed",
    )  # fmt: skip


def load_recipe_file(name: str | None) -> Recipe | None:
    """The recipe that the Python file `name` defines, which is executed; None without one.

    Recipes from files that an earlier command has loaded are forgotten.
    """
    recipes.forget_files()
    if name is None:
        return None
    return recipes.load_file(name)


def notice_changed_recipe(config: RunConfig, given: Recipe | None, run: Path, quiet: bool) -> None:
    """Print a notice if the file of the run's recipe has changed; raises UsageError if `given` is of another recipe."""
    if given is None or given.file is None:
        return
    if config.recipe != given.name:
        raise UsageError(
            f"{run} is a run of '{config.recipe}', and {given.file.path} defines '{given.name}'; leave --recipe out, "
            "or name the file of that recipe."
        )
    if (config.recipe_file or {}).get("sha256") != given.file.sha256:
        notice_printer(quiet)(
            f"{given.file.path} has changed since the run {run} recorded it, so the same steps may give other numbers"
        )


def parsed_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that the options --set name; raises UsageError unless each is key=value."""
    pairs = [text.partition("=") for text in arguments.set]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise UsageError(f"--set takes key=value, such as --set rate=1e-4, not '{key}'.")
    return {key: value for key, _, value in pairs}


def choose_device(backend_name: str | None, kernels: str | None, threads: int | None, quiet: bool = False) -> None:
    """Use the backend, kernels and threads that the options name; raises UsageError if one is unavailable."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be a whole number of at least 1, not {threads}.")
    with exit_on_interrupt():  # these import CuPy and the compiler of the kernels
        backend.use(backend_name or "auto", kernels or "auto")
        backend.set_threads(threads)
    compile_notice.announce(quiet)


def add_count_arguments(parser: argparse.ArgumentParser, count: int | None, default: str = "") -> None:
    """--n and --seed for samples; `default` describes the number of samples without --n if that is not `count`."""
    parser.add_argument(
        "--n", type=whole_number, default=count, help=f"number of samples (default: {default or f'{count:,}'})"
    )
    parser.add_argument("--seed", type=whole_number, default=1, help="seed of the latent vectors (default: 1)")


def require_valid_counts(arguments: argparse.Namespace) -> None:
    """Raise UsageError unless --n and --seed are in range."""
    for name, least in (("n", 1), ("seed", 0)):
        value = getattr(arguments, name)
        if value is not None and not least <= value < 2**63:
            raise UsageError(f"--{name} must be a whole number of at least {least} and below 2**63, not {value}.")


def require_output_file(out: Path, option: str) -> None:
    """Raise UsageError, naming the option, unless a file can be written to `out`; call it before the work."""
    try:
        kind = os.stat(out).st_mode
    except (FileNotFoundError, NotADirectoryError):
        kind = stat.S_IFREG
    except OSError as error:
        raise UsageError(f"{option} cannot be {out} ({error.strerror}); name another file.") from None
    if stat.S_ISDIR(kind):
        raise UsageError(f"{option} must be a file, but {out} is a folder; name a file, such as one in it.")
    if not stat.S_ISREG(kind):  # an ordinary file would replace it
        raise UsageError(f"{option} must be a file, but {out} is a device, a pipe or a socket; name another file.")
    files.require_writable(out.parent)


def notice_printer(quiet: bool) -> Callable[[str], None]:
    """A function that prints a sentence on standard error, or nothing if `quiet`."""
    return lambda sentence: None if quiet else progress.write(f"minigan: {one_line(sentence)}.")


@contextmanager
def warnings_as_notices(quiet: bool) -> Iterator[None]:
    """A context in which warnings are printed as notices."""
    notice = notice_printer(quiet)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: notice(str(message))
        yield


def print_line(line: str) -> None:
    """Print a line on standard output; control characters, as a file name may have, are escaped."""
    compile_notice.finish()
    print(escaped(line))


def print_json(content: Any) -> None:
    """Print `content` as JSON on standard output."""
    compile_notice.finish()
    print(json.dumps(content, indent=2))


def print_table(rows: Iterable[tuple[str, Any]]) -> None:
    """Print pairs of a name and a value, aligned."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print_line(f"{name:<{width}}  {value}")
