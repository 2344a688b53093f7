"""Times a GAN's training step in minigan, PyTorch and JAX: the same networks, in one process, taking turns.

    python benchmarks/train_step.py --peers torch,torch.compile,jax --networks mlp,dcgan64 --threads 2 --isa avx2

Before anything is timed, every implementation computes losses, gradients and some updates from the same weights,
noise and data in float64, and the comparison ends if they differ. See benchmarks/README.md.

The libraries are imported late, inside functions: they count the cores they may use when they are imported, and
by then `limit_cores` has chosen them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import agreement
import command_line
import isa
import machine
from twins.make import NETWORKS, PEERS, make_twin, require_networks

PAUSE = 0.02  # seconds, until the spinning threads of the implementation before have gone to sleep


def run(options: argparse.Namespace) -> dict[str, Any]:
    threads = machine.limit_cores(options.threads, options.peers)
    isa.choose(options.isa)
    where = machine.facts(threads)
    machine.import_peers(options.peers, threads)
    require_networks(options.networks)
    peers = working(options.peers)
    for network in options.networks:
        for peer in peers:
            agreement.check(network, peer)
    return {
        "benchmark": "train_step",
        "machine": where,
        "versions": machine.versions(peers),
        "isa": {"asked": options.isa, "said": isa.honoured(peers)},
        "networks": {network: compare(network, peers, options.seconds) for network in options.networks},
    }


def working(peers: list[str]) -> list[str]:
    """`peers`, without torch.compile where it does not work, which is then printed."""
    if "torch.compile" not in peers:
        return peers
    from twins.torch_twin import why_not_compiled

    reason = why_not_compiled()
    if reason is None:
        return peers
    rest = [peer for peer in peers if peer != "torch.compile"]
    if not rest:
        raise machine.RequestError(f"torch.compile does not work here ({reason}), and no other peer was named.")
    print(f"Without torch.compile, which does not work here ({reason}).", file=sys.stderr)
    return rest


def compare(network: str, peers: list[str], seconds: float) -> dict[str, Any]:
    """Summaries by implementation, each peer's ratio to minigan, and the name and ratio of the fastest peer."""
    from minigan.training import benchmark

    twins = {name: make_twin(name, network, "float32") for name in ("minigan", *peers)}
    rounds = benchmark.timed_rounds({name: twin.step for name, twin in twins.items()}, seconds=seconds, pause=PAUSE)
    result: dict[str, Any] = {name: benchmark.summary(times) for name, times in rounds.items()}
    for peer in peers:
        result[peer] |= ratio(rounds[peer], rounds["minigan"])
    fastest = min(peers, key=lambda peer: result[peer]["ratio"])
    return {"implementations": result, "fastest_peer": fastest, "ratio_to_fastest_peer": result[fastest]["ratio"]}


def ratio(theirs: list[list[float]], mine: list[list[float]]) -> dict[str, float]:
    """How many times longer a peer takes: each round's ratio of medians; the median of those, and their extremes."""
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(theirs, mine, strict=True)]
    return {"ratio": statistics.median(ratios), "ratio_lowest": min(ratios), "ratio_highest": max(ratios)}


def report(facts: dict[str, Any]) -> str:
    """The result as a table for people."""
    lines = [
        *machine.headline(facts["machine"], facts["versions"]),
        *isa.lines(facts["isa"]),
        "",
        f"{'network':8} {'implementation':14} {'median ms':>9} {'quartiles':>19} {'steps':>6}  time / minigan (spread)",
    ]
    for network, result in facts["networks"].items():
        for name, row in result["implementations"].items():
            quartiles = f"{row['q1_ms']:.3f} - {row['q3_ms']:.3f}"
            times = f"{row['ratio']:.2f} ({spread(row)})" if "ratio" in row else ""
            line = f"{network:8} {name:14} {row['median_ms']:9.3f} {quartiles:>19} {row['steps']:6}  {times}"
            lines.append(line.rstrip())
        fastest = result["fastest_peer"]
        lines.append(
            f"{network}: the fastest peer, {fastest}, takes {result['ratio_to_fastest_peer']:.2f} "
            f"({spread(result['implementations'][fastest])}) times as long as minigan."
        )
    if machine.unsteady(row for result in facts["networks"].values() for row in result["implementations"].values()):
        lines.append(machine.NOT_IDLE)
    return "\n".join(lines)


def spread(row: dict[str, Any]) -> str:
    return f"{row['ratio_lowest']:.2f} - {row['ratio_highest']:.2f}"


def parsed_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time a GAN's training step in minigan, PyTorch and JAX.")
    command_line.add_arguments(parser, PEERS, default=PEERS)
    command_line.add_networks(parser, NETWORKS)
    command_line.add_isa(parser)
    parser.add_argument("--seconds", type=float, default=4.0, help="timed seconds of each implementation (4)")
    return command_line.parsed(parser, arguments, PEERS)


def main(arguments: list[str] | None = None) -> int:
    return command_line.carry_out(run, report, parsed_arguments(arguments))


if __name__ == "__main__":
    sys.exit(main())
