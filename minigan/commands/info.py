"""Say what this machine offers: versions, backends, kernels, threads, folders."""

from __future__ import annotations

import argparse
from typing import Any

import minigan_kernels
from minigan import backend
from minigan.commands import options
from minigan.commands.ending import at_once_if_interrupted
from minigan.training.config import versions
from minigan_kernels.cache import cache_directory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan info`."""
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what is here."""
    facts = _facts()
    if arguments.json:
        options.print_json(facts)
        return 0
    table = facts.pop("kernels")
    facts["versions"] = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    options.print_table(facts.items())
    print("\nkernels (the one in use is marked *)")
    options.print_table(
        (operation, "  ".join(f"{name}{'*' if used else ''}" for name, used in row.items()))
        for operation, row in table.items()
    )
    return 0


def _facts() -> dict[str, Any]:
    with at_once_if_interrupted():
        current = backend.use("auto")
        threads = backend.set_threads(None)  # loads numba, whose version is then known
    facts: dict[str, Any] = {
        "versions": versions(),
        "backend": current.name,
        "threads": threads,
        "cache folder": str(cache_directory("")),
    }
    for name in minigan_kernels.IMPLEMENTATIONS:
        facts[f"kernels {name}"] = minigan_kernels.unavailable(name) or "available"
    if minigan_kernels.unavailable("numba") is None:
        facts["vector width"] = f"{minigan_kernels.vector_bits()} bits"
    facts["cupy"] = backend.why_no_cupy() or "available"
    facts["kernels"] = {operation: _offers(operation, current) for operation in minigan_kernels.OPERATIONS}
    return facts


def _offers(operation: str, current: backend.Backend) -> dict[str, bool]:
    """The implementations of `operation` at hand, and whether each is the one in use."""
    offers = {
        name: operation in minigan_kernels.table(name, current.xp)
        for name in minigan_kernels.IMPLEMENTATIONS
        if minigan_kernels.unavailable(name) is None
    }
    used = current.kernels if offers.get(current.kernels) else "reference"
    return {name: name == used for name, offered in offers.items() if offered}
