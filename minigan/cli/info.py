"""Show what this machine offers: versions, backends, kernels, threads, folders."""

from __future__ import annotations

import argparse
from typing import Any

import minigan_kernels
from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.cli.interrupt import exit_on_interrupt
from minigan.core import backend
from minigan.training.config import versions
from minigan_kernels import REFERENCE
from minigan_kernels.cache import cache_directory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan info`."""
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what this machine offers."""
    facts = _facts()
    if arguments.json:
        options.print_json(facts)
        return SUCCESS
    table = facts.pop("kernels")
    facts["versions"] = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    options.print_table(facts.items())
    print("\nkernels (the one in use is marked *)")
    options.print_table(
        (operation, "  ".join(f"{name}{'*' if used else ''}" for name, used in row.items()))
        for operation, row in table.items()
    )
    return SUCCESS


def _facts() -> dict[str, Any]:
    with exit_on_interrupt():
        current = backend.use("auto")
        threads = backend.set_threads(None)
        pairs = backend.implementations()  # imports the packages, so that `versions` can list them
    facts: dict[str, Any] = {
        "versions": versions(),
        "backend": current.name,
        "threads": threads,
        "replay": "on" if backend.replay_enabled() else "off (MINIGAN_REPLAY=0)",
        "cache folder": str(cache_directory("")),
    }
    reasons = {name: backend.unavailable(name) for name in minigan_kernels.IMPLEMENTATIONS}
    facts |= {f"kernels {name}": reason or "available" for name, reason in reasons.items()}
    for name in [name for name, reason in reasons.items() if reason is None]:
        for fact, value in minigan_kernels.IMPLEMENTATIONS[name].describe().items():
            facts[f"{fact} of {name}" if fact in facts else fact] = value
    facts["backend cupy"] = backend.why_no_cupy() or "available"
    usable = [pair for pair in pairs if pair.unavailable is None]
    facts["kernels"] = {
        operation: _implementations(operation, usable, current) for operation in minigan_kernels.OPERATIONS
    }
    return facts


def _implementations(operation: str, pairs: list[backend.Implementation], current: backend.Backend) -> dict[str, bool]:
    """Which of `pairs` offer `operation`, and whether each is the one in use."""
    serving = current.kernels if operation in minigan_kernels.table(current.kernels, current.xp) else REFERENCE
    return {
        str(pair): pair.backend is current and pair.kernels == serving
        for pair in pairs
        if operation in minigan_kernels.table(pair.kernels, pair.backend.xp)
    }
