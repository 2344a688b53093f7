"""Peak memory of a GAN's training step in minigan and PyTorch (and JAX), each in its own process. Linux only.

    python benchmarks/memory.py --networks dcgan64 --peers torch --threads 2 --json memory.json

The memory of the libraries themselves, with their threads and compiled code, is not counted: see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import command_line
import isa
import machine
from twins.make import NETWORKS, PEERS, make_twin, require_networks

STEPS = 8  # some ordinary steps, one that is recorded, and replays
WARM_UP_BATCH = 4  # examples in as many steps before, in which every library loads and compiles what it needs
MIB = 1 << 20


def run(options: argparse.Namespace) -> dict[str, Any]:
    if not Path("/proc/self/status").exists():
        raise machine.RequestError("Memory is read from /proc, which this system does not have.")
    threads = machine.limit_cores(options.threads, options.peers)
    isa.choose(options.isa)
    require_networks(options.networks)
    where = machine.facts(threads)
    networks = {network: compare(network, options.peers) for network in options.networks}
    return {
        "benchmark": "memory",
        "machine": where,
        "versions": machine.versions(options.peers),
        "isa": {"asked": options.isa},
        "networks": networks,
    }


def compare(network: str, peers: list[str]) -> dict[str, Any]:
    """The measurements by implementation, minigan's first."""
    measured = {peer: in_fresh_process(peer, network) for peer in peers}  # first, because one may be missing
    return {"minigan": in_fresh_process("minigan", network)} | measured


def in_fresh_process(implementation: str, network: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--here", implementation, "--networks", network]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise machine.RequestError(result.stderr.strip())
    return json.loads(result.stdout.splitlines()[-1])


def measure_here(options: argparse.Namespace) -> dict[str, Any]:
    return measure(options.here, options.networks[0])


def measure(implementation: str, network: str) -> dict[str, Any]:
    """Measure in this process, which must be new: bytes for the libraries, for networks and steps, and in total."""
    threads = len(os.sched_getaffinity(0))
    if implementation != "minigan":
        machine.import_peers([implementation], threads)
    take_steps(make_twin(implementation, network, "float32", WARM_UP_BATCH))
    release_memory()
    libraries = resident("VmRSS")
    twin = make_twin(implementation, network, "float32")
    release_memory()  # of minigan's networks, from which a peer's networks were copied
    peak_was_reset = reset_peak()
    before = resident("VmRSS")
    take_steps(twin)
    peak = resident("VmHWM")
    return {
        "peak_bytes": peak - libraries,
        "networks_bytes": before - libraries,
        "libraries_bytes": libraries,
        "total_peak_bytes": peak,
        "ever_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_is_of_the_steps": peak_was_reset,
    }


def take_steps(twin: Any) -> None:
    for _ in range(STEPS):
        twin.step()


def resident(what: str) -> int:
    """Bytes of memory in use now ("VmRSS"), or the peak since the start or the last `reset_peak` ("VmHWM")."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise machine.RequestError(f"This system's /proc/self/status has no entry {what}.")


def reset_peak() -> bool:
    """Reset the peak to the memory in use now; return whether the system allows that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def release_memory() -> None:
    """Free unreachable objects and return free memory to the system, so that it is counted when it is used again."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def report(facts: dict[str, Any]) -> str:
    """The result as a table for people."""
    lines = [
        *machine.headline(facts["machine"], facts["versions"]),
        f"Instructions: {facts['isa']['asked']}",
        "",
        f"{'network':8} {'':14} {'peak MiB':>9} {'of it networks':>15} {'libraries':>10} {'whole process':>14}",
    ]
    for network, implementations in facts["networks"].items():
        for name, row in implementations.items():
            keys = ("peak_bytes", "networks_bytes", "libraries_bytes", "total_peak_bytes")
            numbers = (row[key] / MIB for key in keys)
            lines.append("{:8} {:14} {:9.1f} {:15.1f} {:10.1f} {:14.1f}".format(network, name, *numbers))
    rows = [row for implementations in facts["networks"].values() for row in implementations.values()]
    if not all(row["peak_is_of_the_steps"] for row in rows):
        lines.append("This system cannot reset the peak: it may have been reached before the steps.")
    return "\n".join(lines)


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Peak memory of a training step in minigan, PyTorch and JAX.")
    command_line.add_arguments(parser, PEERS, default=("torch",))
    command_line.add_networks(parser, NETWORKS)
    command_line.add_isa(parser)
    parser.add_argument(
        "--here", metavar="NAME", help=argparse.SUPPRESS
    )  # the implementation to measure in this process
    return command_line.parsed(parser, arguments, PEERS)


def main(arguments: list[str] | None = None) -> int:
    options = parsed_arguments(arguments)
    if options.here:
        return command_line.carry_out(measure_here, json.dumps, options)
    return command_line.carry_out(run, report, options)


if __name__ == "__main__":
    sys.exit(main())
