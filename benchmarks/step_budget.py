"""What a training step is made of: the time of every recorded call, beside the least that it could take.

    python benchmarks/step_budget.py --networks toy,mlp --threads 2 --isa avx2 --json budget.json

The calls of a replayed step are timed one by one; whole steps, without a timer inside, in turn. See
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import bisect
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import command_line
import isa
import machine
from twins.make import NETWORKS, require_networks

DRAWS = "latent noise, inputs"
REST = "the rest: Python in between"
KINDS = ("products", "convolutions", "batch norm", "optimiser", "elementwise")  # of operations
KINDS_OF_TIME = (*KINDS, DRAWS, REST, "whole step")
TURN = 0.03  # seconds of whole steps, then of timed calls, in turn
FEWEST_TURNS = 5
SHOWN = 0.99  # of the time of all calls: how much of it the table of operations covers


def run(options: argparse.Namespace) -> dict[str, Any]:
    threads = machine.limit_cores(options.threads, [])
    isa.choose(options.isa)
    where = machine.facts(threads)
    require_networks(options.networks)
    peak = measured_limits()
    return {
        "benchmark": "step_budget",
        "machine": where,
        "versions": machine.versions([]),
        "isa": {"asked": options.isa, "said": isa.honoured([])},
        "limits": {"gflops": peak["gflops"], "copy_gbytes": {str(n): v for n, v in peak["copies"].items()}},
        "networks": {network: budget(network, options.seconds, peak) for network in options.networks},
    }


def measured_limits() -> dict[str, Any]:
    """The peak in billions of operations per second, and of bytes per second by the bytes that a copy touches."""
    from limits import copy_speeds, multiply_adds_per_second

    return {
        "gflops": multiply_adds_per_second() / 1e9,
        "copies": {size: speed / 1e9 for size, speed in copy_speeds().items()},
    }


def budget(network: str, seconds: float, peak: dict[str, Any]) -> dict[str, Any]:
    """The median of the whole step, and of each operation's calls, in milliseconds, with their floors."""
    import step_calls

    from minigan.training import benchmark

    gan, real = benchmark.build(network)
    operations = step_calls.recorded(gan, real)
    calls = [call for operation in operations for call in operation.calls]
    measured = time_calls(gan, real, calls, seconds)
    rows, taken = [], iter(measured.pop("calls_ms"))
    for operation in operations:
        parts = [(step_calls.function_name(function), next(taken)) for function, _ in operation.calls]
        rows.append(
            {
                "operation": operation.label,
                "kind": operation.kind,
                "ms": sum(ms for _, ms in parts),
                "floor_ms": floor(operation.flops, operation.traffic, peak),
                "gflop": operation.flops / 1e9,
                "mbytes": operation.traffic / 1e6,
                "calls": parts,
            }
        )
    return measured | {"timer_ms": timer_cost() * len(calls), "operations": rows}


def floor(flops: int, traffic: int, peak: dict[str, Any]) -> float:
    """Milliseconds that the arithmetic takes at the peak, or the memory traffic at the speed of copying: the longer.

    A copy of as many bytes, so that what fits into a cache is taken to lie there.
    """
    sizes = sorted(peak["copies"])
    speed = peak["copies"][sizes[min(bisect.bisect_left(sizes, traffic), len(sizes) - 1)]]
    return max(flops / peak["gflops"], traffic / speed) / 1e6


def time_calls(gan: Any, real: Any, calls: list[Any], seconds: float) -> dict[str, Any]:
    """Medians in milliseconds: of whole steps, of drawing their inputs, of each call of a step, and of what is left.

    The calls run on the inputs of the last whole step. They update the networks as a step does. What is left is a
    median over turns, each with whole steps and timed calls, so that a drifting clock does not count.
    """
    turns: list[Any] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(turns) < FEWEST_TURNS:
        gan.train_step(real)  # not timed: after the timed calls, other data lie in the caches than after a step
        whole = for_a_turn(lambda: elapsed(lambda: gan.train_step(real)))
        timed = for_a_turn(lambda: (elapsed(lambda: gan.draw(real)), one_by_one(calls)))
        turns.append((whole, [draw for draw, _ in timed], [times for _, times in timed]))
    wholes, draws, rounds = ([x for part in parts for x in part] for parts in zip(*turns, strict=True))
    rests = [
        statistics.median(whole)
        - statistics.median(draw + sum(times) for draw, times in zip(draws, timed, strict=True))
        for whole, draws, timed in turns
    ]
    return {
        "whole_ms": statistics.median(wholes) / 1e6,
        "draws_ms": statistics.median(draws) / 1e6,
        "rest_ms": statistics.median(rests) / 1e6,
        "calls_ms": [statistics.median(durations) / 1e6 for durations in zip(*rounds, strict=True)],
    }


def for_a_turn(measure: Callable[[], Any]) -> list[Any]:
    """What `measure` returns, as often as a turn allows."""
    end, results = time.perf_counter() + TURN, [measure()]
    while time.perf_counter() < end:
        results.append(measure())
    return results


def elapsed(work: Callable[[], Any]) -> int:
    """The nanoseconds that `work` takes."""
    start = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start


def one_by_one(calls: list[Any]) -> list[int]:
    """Make the calls in order; returns the nanoseconds that each of them took."""
    clock, times = time.perf_counter_ns, []
    for function, arguments in calls:
        start = clock()
        function(*arguments)
        times.append(clock() - start)
    return times


def timer_cost() -> float:
    """Milliseconds that timing adds to each call."""
    return statistics.median(one_by_one([(time.perf_counter_ns, ())] * 1000)) / 1e6


def sums(result: dict[str, Any]) -> list[tuple[str, float, float | None, int]]:
    """(kind, ms, floor in ms or None, calls) of each kind, then of drawing the inputs and of the rest of the step."""
    table: list[tuple[str, float, float | None, int]] = []
    for kind in KINDS:
        rows = [row for row in result["operations"] if row["kind"] == kind]
        if rows:
            counted = sum(len(row["calls"]) for row in rows)
            table.append((kind, total(rows, "ms"), total(rows, "floor_ms"), counted))
    table.append((DRAWS, result["draws_ms"], None, 0))
    table.append((REST, result["rest_ms"], None, 0))
    return table


def total(rows: list[dict[str, Any]], key: str) -> float:
    return sum(row[key] for row in rows)


def report(facts: dict[str, Any]) -> str:
    """The result as tables for people."""
    copies = facts["limits"]["copy_gbytes"]
    lines = [
        *machine.headline(facts["machine"], facts["versions"]),
        *isa.lines(facts["isa"]),
        f"Peak, measured in this run: {facts['limits']['gflops']:.0f} GFLOP/s in registers; copying, GB/s by the KiB "
        + "touched: "
        + ", ".join(f"{int(size) >> 10}: {speed:.0f}" for size, speed in copies.items()),
    ]
    for network, result in facts["networks"].items():
        lines += ["", *table_of_kinds(network, result), "", *table_of_operations(result)]
    return "\n".join(lines)


def table_of_kinds(network: str, result: dict[str, Any]) -> list[str]:
    whole = result["whole_ms"]
    floors = total(result["operations"], "floor_ms")
    lines = [f"{network:30} {'ms':>9} {'of step':>8} {'floor ms':>9} {'ms / floor':>10} {'calls':>6}"]
    for name, ms, least, calls in sums(result):
        limit = f"{least:9.3f} {ms / least:10.2f} {calls:6}" if least else ""
        lines.append(f"{name:30} {ms:9.3f} {ms / whole:8.0%} {limit}".rstrip())
    lines.append(f"{'whole step, not timed inside':30} {whole:9.3f} {'':8} {floors:9.3f} {whole / floors:10.2f}")
    lines.append(f"{'(timing the calls adds about':30} {result['timer_ms']:9.3f} ms to the calls' sum)")
    return lines


def table_of_operations(result: dict[str, Any]) -> list[str]:
    """The operations, equal ones together, those that take longest first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in result["operations"]:
        groups.setdefault(row["operation"], []).append(row)
    ordered = sorted(groups.items(), key=lambda group: -total(group[1], "ms"))
    enough = SHOWN * sum(total(rows, "ms") for rows in groups.values())
    lines = [f"{'ms':>9} {'floor ms':>9} {'times':>5} {'GFLOP/s':>8} {'GB/s':>7}  operation and shapes: its calls (ms)"]
    covered = 0.0
    for shown, (label, rows) in enumerate(ordered):
        if covered > enough:
            others = [row for _, rest in ordered[shown:] for row in rest]
            figures = f"{total(others, 'ms'):9.3f} {total(others, 'floor_ms'):9.3f} {len(others):5}"
            lines.append(f"{figures} {'':8} {'':7}  others")
            break
        ms = total(rows, "ms")
        covered += ms
        rate = f"{total(rows, 'gflop') / ms * 1e3:8.1f}" if rows[0]["gflop"] else " " * 8
        figures = f"{ms:9.3f} {total(rows, 'floor_ms'):9.3f} {len(rows):5} {rate} {total(rows, 'mbytes') / ms:7.1f}"
        parts = " + ".join(f"{name} {time:.4f}" for name, time in rows[0]["calls"])
        lines.append(f"{figures}  {label}: {parts}")
    return lines


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a training step of minigan is made of.")
    command_line.add_arguments(parser, (), default=())
    command_line.add_networks(parser, NETWORKS)
    command_line.add_isa(parser)
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds for each network (4)")
    return command_line.parsed(parser, arguments, ())


def main(arguments: list[str] | None = None) -> int:
    return command_line.carry_out(run, report, parsed_arguments(arguments))


if __name__ == "__main__":
    sys.exit(main())
