"""The machine of a comparison: the same number of cores for all libraries, their versions, and a report of both."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

WIDE = 0.2  # quartiles further apart than this fraction of the median mean that the machine was not idle
NOT_IDLE = "The quartiles lie far apart: the machine was not idle. Do not quote these figures; run it again."


class RequestError(Exception):
    """A request that cannot be fulfilled; its message is printed and the exit code is 2."""


def limit_cores(threads: int | None, peers: list[str]) -> int:
    """Limit this process and every library it will import to `threads` cores, None means all; return their number."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    threads = threads or len(allowed)
    if threads > len(allowed):
        raise RequestError(f"--threads {threads} asks for more cores than the {len(allowed)} this process may use.")
    if threads < len(allowed):
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, list(allowed)[:threads])
        elif "jax" in peers:
            raise RequestError(
                f"This system cannot limit JAX to {threads} of {len(allowed)} cores; leave --threads out."
            )
    for library in ("NUMBA", "MINIGAN", "OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    return threads


def import_peers(peers: list[str], threads: int) -> None:
    """Import each peer's library; raises RequestError, saying how to get it, if one is missing."""
    for package in dict.fromkeys(peer.split(".")[0] for peer in peers):
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            raise RequestError(
                f'{package} cannot be imported ({error}); install the peers with: pip install -e ".[bench]"'
            ) from error
        if package == "torch":
            module.set_num_threads(threads)


def facts(threads: int) -> dict[str, Any]:
    """The processor and the present load; call this before the benchmark computes anything."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "threads": threads, "load_before": load}


def cpu_model() -> str:
    """The processor's name and its widest vector instructions, if the system reports them."""
    name = _cpuinfo().get("model name", platform.processor() or platform.machine())
    flags = cpu_flags()
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    return " ".join(filter(None, [name, vectors]))


def cpu_flags() -> list[str]:
    """The processor's instruction sets as Linux names them, such as "avx2"; none where the system does not say."""
    return _cpuinfo().get("flags", "").split()


def _cpuinfo() -> dict[str, str]:
    try:
        lines = [line.partition(":")[::2] for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, value in lines}


def versions(peers: list[str]) -> dict[str, str]:
    """The versions of all packages that affect the measurements."""
    packages = ["minigan", "numpy", *dict.fromkeys(peer.split(".")[0] for peer in peers)]
    if importlib.util.find_spec("numba"):
        packages.insert(2, "numba")
    return {"python": platform.python_version()} | {package: version(package) for package in packages}


def unsteady(rows: Iterable[dict[str, Any]]) -> bool:
    """Whether the quartiles of some row's durations are further apart than WIDE times the median."""
    return any(row["q3_ms"] - row["q1_ms"] > WIDE * row["median_ms"] for row in rows)


def headline(machine: dict[str, Any], numbers: dict[str, str]) -> list[str]:
    """The machine and the versions, as the first two lines of a report."""
    load = machine["load_before"]
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} thread{'s' * (machine['threads'] > 1)} each"
        + (f", load before {load:.2f}" if load is not None else ""),
        ", ".join(f"{name} {number}" for name, number in numbers.items()),
    ]
