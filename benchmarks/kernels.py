"""Times single kernels of minigan and the same operations in other libraries, beside the machine's peak performance.

    python benchmarks/kernels.py --only "conv2d.* 64x64" --threads 2 --json kernels.json

Every result is compared with the peers' results before it is timed. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from typing import Any

import command_line
import isa
import machine

PEERS = ("torch", "jax", "numpy")
PACKING = "packing"  # the name of minigan's kernel where it packs its weights at every call
PAUSE = 0.02  # seconds in which the spinning threads of the previous implementation go to sleep
SHORT = 1.0  # milliseconds; in shorter kernels, starting threads alone moves the quartiles apart
# The largest accepted difference, relative to the largest number of a float32 result. Sums of up to 65,536 terms in
# another order differ by 1e-6, Winograd's transforms by up to 1e-5; a wrong tap, sign or factor by more than 1e-2.
TOLERANCE = 5e-5


def run(options: argparse.Namespace) -> dict[str, Any]:
    threads = machine.limit_cores(options.threads, options.peers)
    isa.choose(options.isa)
    where = machine.facts(threads)
    machine.import_peers(options.peers, threads)
    require_numba()
    chosen = chosen_cases(options.only, options.peers)
    before = peak_performance()
    kernels = [compare(case, options.peers, options.seconds) for case in chosen]
    after = peak_performance()
    peak = {unit: max(before[unit], after[unit]) for unit in before}
    rows = [row for kernel in kernels for row in kernel["implementations"].values()]
    for row in rows:
        row["share"] = row["rate"] / peak[row["unit"]]
    return {
        "benchmark": "kernels",
        "machine": where,
        "versions": machine.versions(options.peers),
        "isa": {"asked": options.isa, "said": isa.honoured(options.peers)},
        "limits": peak,
        "unsteady": machine.unsteady(row for row in rows if row["median_ms"] > SHORT) or differ(before, after),
        "kernels": kernels,
    }


def differ(before: dict[str, float], after: dict[str, float]) -> bool:
    """Whether the peak performance changed so much during the benchmark that the machine was not idle."""
    return any(abs(before[unit] - after[unit]) > machine.WIDE * before[unit] for unit in before)


def require_numba() -> None:
    import minigan_kernels

    if reason := minigan_kernels.unavailable("numba"):
        raise machine.RequestError(f"There are no fast kernels to time: {reason}.")


def chosen_cases(only: re.Pattern[str], peers: list[str]) -> list[Any]:
    """The cases whose names match `only` and that some peer has."""
    from kernel_cases import cases

    known = [case for case in cases() if any(has(peer, case) for peer in peers)]
    chosen = [case for case in known if only.search(case.name)]
    if not chosen:
        names = ", ".join(dict.fromkeys(case.operation for case in known))
        raise machine.RequestError(f"--only {only.pattern!r} chooses nothing; there are {names}, each with its shapes.")
    return chosen


def peak_performance() -> dict[str, float]:
    """The peak performance, measured now, in billions per second."""
    from limits import bytes_copied_per_second, multiply_adds_per_second

    return {"gflops": multiply_adds_per_second() / 1e9, "gbytes": bytes_copied_per_second() / 1e9}


def compare(case: Any, peers: list[str], seconds: float) -> dict[str, Any]:
    """Times, speeds and ratios to the peers of one kernel; raises DisagreementError if a peer's result differs."""
    from twins import numba_calls

    from minigan.training import benchmark

    peers = [peer for peer in peers if has(peer, case)]
    modules = {"minigan": numba_calls} | {peer: calls_of(peer) for peer in peers}
    calls = {name: module.call(case) for name, module in modules.items()}
    results = {name: module.on_host(calls[name]()) for name, module in modules.items()}
    for peer in peers:
        require_close(case.name, peer, results["minigan"], results[peer])
    del results
    if numba_calls.takes_weights(case):
        calls[PACKING] = numba_calls.call(case, keep=False)
    rounds = benchmark.timed_rounds(calls, seconds=seconds, pause=PAUSE)
    rows = {name: benchmark.summary(times) for name, times in rounds.items()}
    for row in rows.values():
        row |= speed(case, row["median_ms"])
    return {
        "name": case.name,
        "is_reference": numba_calls.is_reference(case.operation),
        "implementations": rows,
        "ratios": {peer: rows[peer]["median_ms"] / rows["minigan"]["median_ms"] for peer in peers},
    }


def calls_of(peer: str) -> Any:
    """The module with the operations of `peer`."""
    return importlib.import_module(f"twins.{peer}_calls")


def has(peer: str, case: Any) -> bool:
    """Whether the operation of `case` is compared with that of `peer`: all but NumPy have every operation."""
    return peer != "numpy" or case.operation in calls_of(peer).OPERATIONS


def require_close(name: str, peer: str, mine: list[Any], theirs: list[Any]) -> None:
    """Raise DisagreementError if an array differs by more than TOLERANCE times its largest number."""
    import numpy as np

    for ours, others in zip(mine, theirs, strict=False):  # minigan's batch norm also returns the moments, last
        distance, scale = np.abs(ours.reshape(others.shape) - others).max(), np.abs(others).max()
        if not distance <= TOLERANCE * scale:  # true for NaN, too
            raise command_line.DisagreementError(
                f"{name} differs between minigan and {peer} by {distance:.1e} where the largest number is {scale:.1e}; "
                "timing it would mean nothing."
            )


def speed(case: Any, milliseconds: float) -> dict[str, Any]:
    """Billions of operations or bytes per second, and the unit."""
    unit, amount = ("gflops", case.flops) if case.flops else ("gbytes", case.traffic)
    return {"unit": unit, "rate": amount / milliseconds / 1e6}


UNITS = {"gflops": "GFLOP/s", "gbytes": "GB/s"}


def report(facts: dict[str, Any]) -> str:
    """The result as a table for people."""
    peak = facts["limits"]
    lines = [
        *machine.headline(facts["machine"], facts["versions"]),
        *isa.lines(facts["isa"]),
        f"Peak, measured in this run: {peak['gflops']:.0f} GFLOP/s in registers, {peak['gbytes']:.1f} GB/s copying.",
        "",
        f"{'kernel':44} {'':8} {'median ms':>9} {'quartiles':>17} {'speed':>13} {'share':>6}  time / minigan",
    ]
    for kernel in facts["kernels"]:
        for name, row in kernel["implementations"].items():
            quartiles = f"{row['q1_ms']:.3f} - {row['q3_ms']:.3f}"
            rate = f"{row['rate']:.1f} {UNITS[row['unit']]}"
            times = f"{kernel['ratios'][name]:.2f}" if name in kernel["ratios"] else ""
            label = kernel["name"] if name == "minigan" else ""
            figures = f"{row['median_ms']:9.3f} {quartiles:>17} {rate:>13} {row['share']:6.0%}"
            lines.append(f"{label:44} {name:8} {figures}  {times}".rstrip())
    if slow := list(dict.fromkeys(k["name"].split()[0] for k in facts["kernels"] if k["is_reference"])):
        lines.append(f"minigan has no fast kernel for these and used the reference: {', '.join(slow)}.")
    if facts["unsteady"]:
        lines.append(machine.NOT_IDLE)
    return "\n".join(lines)


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}") from None


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time single kernels in minigan, PyTorch, JAX and NumPy.")
    command_line.add_arguments(parser, PEERS, default=PEERS)
    command_line.add_isa(parser)
    parser.add_argument(
        "--only",
        type=pattern,
        default=pattern(""),
        metavar="REGEX",
        help="time only kernels whose names match (default: all)",
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds to time each kernel in each library (0.5)")
    return command_line.parsed(parser, arguments, PEERS)


def main(arguments: list[str] | None = None) -> int:
    return command_line.carry_out(run, report, parsed_arguments(arguments))


if __name__ == "__main__":
    sys.exit(main())
