"""Time a training step of the benchmark networks."""

from __future__ import annotations

import argparse

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.training import benchmark


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan bench`."""
    parser.add_argument(
        "networks", metavar="NETWORK", nargs="*", help=f"what to time: {', '.join(benchmark.NETWORKS)} (default: all)"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="time to spend on each network, at least 5 steps (default: 5)"
    )
    options.add_device_arguments(parser)
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the median and the quartiles of the milliseconds per step."""
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads)
    names = arguments.networks or list(benchmark.NETWORKS)
    results = benchmark.measure(names, seconds=arguments.seconds)
    if arguments.json:
        options.print_json(results)
    else:
        for name, result in results.items():
            print(
                f"{name:8} {result['median_ms']:8.3f} ms a step "
                f"(quartiles {result['q1_ms']:.3f} to {result['q3_ms']:.3f}, {result['steps']:,} steps)"
            )
    return SUCCESS
