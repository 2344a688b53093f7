"""Predicts how long the CUDA kernels of a training step take at least, from their work and the card's limits on paper.

    python benchmarks/cuda_roofline.py                  # a row for each operation of each network, in Markdown
    python benchmarks/cuda_roofline.py --all --json roofline.json

Nothing is measured: the launch code runs without a GPU and without running a kernel (tests/support/dry_launches.py),
and NVIDIA's compiler says how many registers and how much shared memory each kernel takes. An operation cannot be
faster than the larger of flops / peak and bytes / bandwidth. No efficiency is assumed: kernels come near to neither
limit, and a launch costs some microseconds more if it is not part of a CUDA graph.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import dry_launches, nvrtc  # noqa: E402

from minigan.training.benchmark import NETWORKS  # noqa: E402
from minigan_kernels.cuda import compiler  # noqa: E402

# An H200 on paper.
FLOPS, BYTES = 67e12, 4.8e12  # float32 operations outside the tensor cores, and bytes of memory, a second
MULTIPROCESSORS, THREADS, BLOCKS = 132, 2048, 32  # and of each: the most threads and blocks at a time
REGISTERS, SHARED_BYTES, RESERVED_BYTES = 65_536, 233_472, 1024  # of a multiprocessor; of each block for CUDA itself
ARCHITECTURE = "90"
# Operations for each element of the first operand: a product or a sum is one, a division or a root counts as four.
_ELEMENTWISE = {
    "slope_gate": 1, "bias_act_grad": 2, "batch_norm": 9, "batch_norm_grad": 14, "adam": 16, "sgd": 4, "rmsprop": 14,
    "update_running_statistics": 3, "lerp": 3, "clip": 2, "sum": 1, "record_nonfinite": 1,
}  # fmt: skip


class Row(NamedTuple):
    """An operation of a network, or all its calls with the same shapes; numbers for one training step."""

    network: str
    operation: str
    calls: int
    launches: int
    flops: float
    traffic: float
    seconds: float
    registers: int
    shared_bytes: int
    occupancy: float
    busy: float


def flops_of(call: dry_launches.Call) -> float:
    """The floating point operations of a call, of a direct convolution or product."""
    shapes = call.shapes
    match call.operation:
        case "matmul":
            inner = math.sqrt(math.prod(shapes[0]) * math.prod(shapes[1]) / _product_size(shapes))
            return 2 * _product_size(shapes) * inner
        case "dense":
            return 2 * math.prod(shapes[0]) * shapes[1][1]
        case "conv2d" | "conv2d_input_grad":  # (x or y, w)
            return 2 * shapes[0][0] * math.prod(call.geometry.out) * math.prod(shapes[1])
        case "conv2d_weight_grad":  # (x, y)
            return 2 * math.prod(shapes[1]) * math.prod(call.geometry.kernel) * shapes[0][-1]
    return _ELEMENTWISE.get(call.operation, 0) * math.prod(shapes[0]) if shapes else 0


def _product_size(shapes: tuple[tuple[int, ...], ...]) -> float:
    """M * N of a product of matrices whose shared extent is the one that both have; of several, any that is right."""
    (a, b), (c, d) = shapes[:2]
    m, n = next((m, n) for m, k in ((a, b), (b, a)) for kk, n in ((c, d), (d, c)) if k == kk)
    return m * n


def occupancy(resources: nvrtc.Resources, launch: dry_launches.Launch) -> float:
    """The share of a multiprocessor's threads that blocks of this launch can take at a time."""
    warps = -(-launch.threads // 32)
    registers = warps * (-(-resources.registers * 32 // 256) * 256)  # a warp gets units of 256
    shared = resources.shared_bytes + launch.shared_bytes + RESERVED_BYTES
    blocks = min(BLOCKS, THREADS // (warps * 32), REGISTERS // registers, SHARED_BYTES // shared)
    return blocks * warps * 32 / THREADS


def rows(network: str, every_shape: bool, compiled: dict[Any, Any]) -> list[Row]:
    """The rows of a network, the longest first."""
    groups: dict[Any, list[dry_launches.Launch]] = {}
    for launch in dry_launches.of_training_step(network):
        groups.setdefault(launch.call if every_shape else launch.call.operation, []).append(launch)
    return sorted(
        (_row(network, launches, every_shape, compiled) for launches in groups.values()), key=lambda r: -r.seconds
    )


def _row(network: str, launches: list[dry_launches.Launch], every_shape: bool, compiled: dict[Any, Any]) -> Row:
    calls, seconds, flops = _calls(launches), 0.0, 0.0
    for call, of_call in calls:
        work, moved = flops_of(call), sum(launch.traffic for launch in of_call)
        seconds += max(work / FLOPS, moved / BYTES)
        flops += work
    longest = max(launches, key=lambda launch: launch.traffic)
    resources = compiled.get(longest.variant, {}).get(longest.kernel, nvrtc.Resources(0, 0, 0, 0))
    name = launches[0].call.operation
    if every_shape:
        name += " " + " ".join("x".join(map(str, shape)) for shape in launches[0].call.shapes[:2])
    return Row(
        network, name, len(calls), len(launches), flops, sum(launch.traffic for launch in launches), seconds,
        resources.registers, resources.shared_bytes + longest.shared_bytes,
        occupancy(resources, longest) if resources.registers else 0.0,
        min(1.0, math.prod(longest.grid) / MULTIPROCESSORS),
    )  # fmt: skip


def _calls(launches: Iterable[dry_launches.Launch]) -> list[tuple[dry_launches.Call, list[dry_launches.Launch]]]:
    """Launches grouped by the call that made them: neighbours with the same call, of which no kernel comes twice."""
    groups: list[tuple[dry_launches.Call, list[dry_launches.Launch]]] = []
    for launch in launches:
        if groups and groups[-1][0] is launch.call:
            groups[-1][1].append(launch)
        else:
            groups.append((launch.call, [launch]))
    return groups


def compiled_kernels(networks: Iterable[str]) -> dict[Any, Any]:
    """The resources of the kernels by variant; empty, with a line on the standard error, without a compiler."""
    compilers = nvrtc.compilers()
    if not compilers:
        print("Without NVRTC and nvcc: no registers and no occupancy.", file=sys.stderr)
        return {}
    needed = {v for network in networks for v in dry_launches.variants(dry_launches.of_training_step(network))}
    jobs = {variant: nvrtc.Job(variant.source, compiler.full_source(*variant), ARCHITECTURE) for variant in needed}
    found = nvrtc.compile_all(next(iter(compilers)), jobs.values())
    return {variant: found[job] for variant, job in jobs.items()}


def report(found: list[Row]) -> str:
    """The table in Markdown."""
    lines = [
        "| network | operation | calls | launches | MFLOP | MB | registers | shared KiB | occupancy | busy "
        "| roofline us | measured us |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for network in dict.fromkeys(row.network for row in found):
        of_network = [row for row in found if row.network == network]
        lines += [
            f"| {r.network} | {r.operation} | {r.calls} | {r.launches} | {r.flops / 1e6:,.1f} | {r.traffic / 1e6:.2f} "
            f"| {r.registers} | {r.shared_bytes / 1024:.1f} | {r.occupancy:.0%} | {r.busy:.0%} "
            f"| {r.seconds * 1e6:.2f} | |"
            for r in of_network
        ]
        total = [
            sum(getattr(row, field) for row in of_network)
            for field in ("calls", "launches", "flops", "traffic", "seconds")
        ]
        lines.append(
            f"| **{network}** | all kernels | {total[0]} | {total[1]} | {total[2] / 1e6:,.1f} | {total[3] / 1e6:.2f} "
            f"| | | | | **{total[4] * 1e6:.1f}** | |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)} (all)")
    parser.add_argument("--all", action="store_true", help="a row for each shape")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    options = parser.parse_args(arguments)
    if unknown := set(options.networks) - set(NETWORKS):
        parser.error(f"there is no network {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    compiled = compiled_kernels(options.networks)
    found = [row for network in options.networks for row in rows(network, options.all, compiled)]
    print(report(found))
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in found], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
