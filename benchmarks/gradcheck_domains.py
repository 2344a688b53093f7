"""The gradient checker near the boundary of a function's domain: right gradients, and gradients with one wrong entry.

    python benchmarks/gradcheck_domains.py --points 1000 --json domains.json

log, sqrt, entropy, power, arcsin and logit at random points, many of them so near to the boundary that a move by the
typical size of the entries leaves the domain. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import command_line
import machine
import numpy as np

MISTAKES: dict[str, Callable[[float], float]] = {
    "sign": lambda entry: -entry,
    "factor 1.001": lambda entry: 1.001 * entry,
    "zero": lambda entry: 0.0,
}
NAMES = ("log", "sqrt", "entropy", "power", "arcsin", "logit")
_SIZES = (1, 3, 16, 50)
_MIN_EFFECT = 1e-3  # of the largest |entry * gradient|: the effect of a smaller one could be lost in rounding


@dataclass(frozen=True)
class Function:
    """The sum of an elementwise function, its gradient, and a generator of points in its domain."""

    f: Callable[[np.ndarray], float]
    gradient: Callable[[np.ndarray], np.ndarray]
    draw: Callable[[np.random.Generator, int], np.ndarray]


def _near(rng: np.random.Generator, size: int, nearest: float) -> np.ndarray:
    """Random distances from the boundary, of all orders of magnitude down to 10^nearest."""
    return 10 ** rng.uniform(nearest, 0, size)


def _power(rng: np.random.Generator) -> Function:
    p = rng.uniform(-1.5, 2.5)
    return Function(
        lambda x: float((x**p).sum()), lambda x: p * x ** (p - 1), lambda rng, size: rng.exponential(size=size)
    )


def functions(rng: np.random.Generator) -> dict[str, Function]:
    """All functions by name; the power has a random exponent."""
    return {
        "log": Function(lambda x: float(np.log(x).sum()), lambda x: 1 / x, lambda rng, n: 10 * _near(rng, n, -7)),
        "sqrt": Function(lambda x: float(np.sqrt(x).sum()), lambda x: 0.5 / np.sqrt(x),
                         lambda rng, n: rng.exponential(size=n)),
        "entropy": Function(lambda x: float(-(x * np.log(x)).sum()), lambda x: -1 - np.log(x),
                            lambda rng, n: np.maximum(rng.dirichlet(np.full(n + 1, rng.uniform(0.1, 1.0))), 1e-300)),
        "power": _power(rng),
        "arcsin": Function(lambda x: float(np.arcsin(x).sum()), lambda x: 1 / np.sqrt((1 - x) * (1 + x)),
                           lambda rng, n: rng.choice([-1.0, 1.0], n) * (1 - _near(rng, n, -6))),
        "logit": Function(lambda x: float((np.log(x) - np.log1p(-x)).sum()), lambda x: 1 / x + 1 / (1 - x),
                          lambda rng, n: np.abs(rng.integers(0, 2, n) - _near(rng, n, -6) * 0.999)),
    }  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A function with its name, the point `x` at which to check it, and an entry of the gradient to change."""

    name: str
    function: Function
    x: np.ndarray
    entry: int

    def wrong(self, change: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
        """The gradient with a mistake in this entry."""

        def gradient(x: np.ndarray) -> np.ndarray:
            slopes = self.function.gradient(x)
            slopes[self.entry] = change(slopes[self.entry])
            return slopes

        return gradient


def points(seed: int, count: int) -> Iterator[Point]:
    """`count` points, of each function in turn."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        name = NAMES[number % len(NAMES)]
        function = functions(rng)[name]
        x = function.draw(rng, int(rng.choice(_SIZES)))
        effects = np.abs(x * function.gradient(x))
        yield Point(name, function, x, int(rng.choice(np.flatnonzero(effects >= _MIN_EFFECT * effects.max()))))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Check the right and the wrong gradients at every point."""
    threads = machine.limit_cores(1, [])
    where = machine.facts(threads)
    import minigan as mg

    counts = {name: {"points": 0, "alarms": 0, **dict.fromkeys(MISTAKES, 0)} for name in NAMES}
    objections, evaluations = [], 0
    for number, point in enumerate(points(options.seed, options.points)):
        count, f = counts[point.name], point.function
        report = mg.check_pair(f.f, f.gradient, point.x, seed=number)
        evaluations += report.evaluations
        count["points"] += 1
        count["alarms"] += not report.ok
        if not report.ok:
            objections.append(f"{point.name}, point {number}: {report}")
        for name, change in MISTAKES.items():
            report = mg.check_pair(f.f, point.wrong(change), point.x, seed=number)
            caught = not report.ok and report.verdict != "NOISY"
            count[name] += caught
            if not caught:
                objections.append(f"{point.name}, point {number}, entry {point.entry}, {name}: {report}")
    return {
        "machine": where, "versions": machine.versions([]), "seed": options.seed, "counts": counts,
        "evaluations": evaluations, "objections": objections,
    }  # fmt: skip


def report(facts: dict[str, Any]) -> str:
    """A table, and every report that is not the expected one."""
    columns = ["points", "alarms", *MISTAKES]
    total = {column: sum(count[column] for count in facts["counts"].values()) for column in columns}
    rows = [*facts["counts"].items(), ("in all", total)]
    heads = ["function", "points", "false alarms", *(f"caught: {name}" for name in MISTAKES)]
    return "\n".join([
        *machine.headline(facts["machine"], facts["versions"]), "",
        f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|",
        *(f"| {name} | {' | '.join(f'{count[column]:,}' for column in columns)} |" for name, count in rows), "",
        f"{facts['evaluations']:,} calls of f for the right gradients.", *facts["objections"],
    ])  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000, metavar="N", help="of all functions together (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if options.points < 1:
        parser.error("--points must be at least 1")
    return command_line.carry_out(run, report, options)


if __name__ == "__main__":
    sys.exit(main())
