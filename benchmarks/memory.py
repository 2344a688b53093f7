"""Peak memory of a GAN's training step in minigan and PyTorch (and JAX), each in its own process. Linux only.

    python benchmarks/memory.py --network dcgan64 --peers torch --threads 2 --json memory.json

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
import machine
from twins.make import NETWORKS, PEERS, make_twin, require_networks

STEPS = 8  # some ordinary steps, one that is recorded, and replays
WARM_UP_BATCH = 4  # examples in the first step, in which every library loads and compiles what it needs
MIB = 1 << 20


def run(options: argparse.Namespace) -> dict[str, Any]:
    if not Path("/proc/self/status").exists():
        raise machine.RequestError("Memory is read from /proc, which this system does not have.")
    threads = machine.limit_cores(options.threads, options.peers)
    require_networks([options.network])
    where = machine.facts(threads)
    peers = {
        peer: in_fresh_process(peer, options.network) for peer in options.peers
    }  # first, because one may be missing
    return {
        "machine": where,
        "versions": machine.versions(options.peers),
        "network": options.network,
        "implementations": {"minigan": in_fresh_process("minigan", options.network)} | peers,
    }


def in_fresh_process(implementation: str, network: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--here", implementation, "--network", network]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise machine.RequestError(result.stderr.strip())
    return json.loads(result.stdout.splitlines()[-1])


def measure_here(options: argparse.Namespace) -> dict[str, Any]:
    return measure(options.here, options.network)


def measure(implementation: str, network: str) -> dict[str, Any]:
    """Measure in this process, which must be new: bytes for the libraries, for networks and steps, and in total."""
    threads = len(os.sched_getaffinity(0))
    if implementation != "minigan":
        machine.import_peers([implementation], threads)
    make_twin(implementation, network, "float32", WARM_UP_BATCH).step()
    release_memory()
    libraries = resident("VmRSS")
    twin = make_twin(implementation, network, "float32")
    release_memory()  # of minigan's networks, from which a peer's networks were copied
    peak_was_reset = reset_peak()
    before = resident("VmRSS")
    for _ in range(STEPS):
        twin.step()
    peak = resident("VmHWM")
    return {
        "peak_bytes": peak - libraries,
        "networks_bytes": before - libraries,
        "libraries_bytes": libraries,
        "total_peak_bytes": peak,
        "ever_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_is_of_the_steps": peak_was_reset,
    }


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
        "",
        f"{facts['network']:14} {'peak MiB':>9} {'of it networks':>15} {'libraries':>10} {'whole process':>14}",
    ]
    for name, row in facts["implementations"].items():
        numbers = (row[key] / MIB for key in ("peak_bytes", "networks_bytes", "libraries_bytes", "total_peak_bytes"))
        lines.append("{:14} {:9.0f} {:15.0f} {:10.0f} {:14.0f}".format(name, *numbers))
    if not all(row["peak_is_of_the_steps"] for row in facts["implementations"].values()):
        lines.append("This system cannot reset the peak: it may have been reached before the steps.")
    return "\n".join(lines)


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Peak memory of a training step in minigan, PyTorch and JAX.")
    command_line.add_arguments(parser, PEERS, default=("torch",))
    parser.add_argument("--network", default="dcgan64", metavar="NAME", help=f"of {','.join(NETWORKS)} (dcgan64)")
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
