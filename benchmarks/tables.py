"""Writes the tables of docs/benchmarks.md from JSON files of the benchmarks, with columns for each instruction set.

    python benchmarks/tables.py results/*.json                              # prints them
    python benchmarks/tables.py results/*.json --into docs/benchmarks.md    # replaces them there

Several files of one benchmark, instruction set and number of threads are runs of the same: medians over runs are shown.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from command_line import SUCCESS, USAGE_ERROR, Facts
from machine import RequestError

Runs = dict[str, list[Facts]]  # by instruction set, as asked for
TITLES = {"avx2": "AVX2", "avx512": "AVX-512", "native": "native"}
PEER_NAMES = {"torch": "PyTorch", "torch.compile": "torch.compile", "jax": "JAX", "numpy": "OpenBLAS"}
MISSING = "-"
MIB = 1 << 20
PRODUCTS = ("dense", "matmul")


def machines(files: Sequence[Facts]) -> str:
    """For each instruction set the processors, the versions, and what the libraries say that they use."""
    lines = []
    for name in sorted({facts["isa"]["asked"] for facts in files}):
        chosen = [facts for facts in files if facts["isa"]["asked"] == name]
        where = dict.fromkeys(f"{facts['machine']['cpu']}, {facts['machine']['cores']} cores" for facts in chosen)
        versions = {package: number for facts in chosen for package, number in facts["versions"].items()}
        said = {library: words for facts in chosen for library, words in facts["isa"].get("said", {}).items()}
        lines.append(f"- {TITLES[name]}: {'; '.join(where)}. {_pairs(versions, ' ')}. They say: {_pairs(said, ': ')}.")
    return "\n".join(lines)


def _pairs(pairs: dict[str, str], between: str) -> str:
    return ", ".join(f"{name}{between}{value}" for name, value in pairs.items())


def steps(runs: Runs) -> str:
    """Milliseconds of a training step: medians of the runs; the ratio to the fastest peer and its extremes by round."""
    peers = _peers(runs, lambda network: network["implementations"])
    columns = ["minigan", *(PEER_NAMES[peer] for peer in peers), "fastest peer / minigan"]
    rows = []
    for network in _in_all(runs, lambda facts: facts["networks"]):
        cells = [f"`{network}`"]
        for files in runs.values():
            found = [facts["networks"][network] for facts in files if network in facts["networks"]]
            cells += [
                _median(row["implementations"].get(name, {}).get("median_ms") for row in found)
                for name in ("minigan", *peers)
            ]
            cells.append(_ratio_to_fastest(found, peers))
        rows.append(cells)
    return _table(["ms", *_headers(runs, columns)], rows)


def _ratio_to_fastest(found: list[Any], peers: list[str]) -> str:
    measured = {
        peer: [row["implementations"][peer] for row in found]
        for peer in peers
        if found and all(peer in row["implementations"] for row in found)
    }
    if not measured:
        return MISSING
    ratios = {peer: statistics.median(row["ratio"] for row in rows) for peer, rows in measured.items()}
    fastest = min(ratios, key=lambda peer: ratios[peer])
    low = min(row["ratio_lowest"] for row in measured[fastest])
    high = max(row["ratio_highest"] for row in measured[fastest])
    return f"{PEER_NAMES[fastest]}, **{ratios[fastest]:.2f}** ({low:.2f} - {high:.2f})"


def kernels(runs: Runs, products: bool) -> str:
    """Shares of the peak, and how many times as long the peers take, of products or of all other kernels."""
    known = {
        name for files in runs.values() for facts in files for k in facts["kernels"] for name in k["implementations"]
    }
    peers = [peer for peer in ("numpy", "torch", "jax") if peer in known and (products or peer != "numpy")]
    columns = ["ms", "share", *(f"{PEER_NAMES[peer]} / minigan" for peer in peers)]
    rows = []
    for name in _in_all(runs, lambda facts: [kernel["name"] for kernel in facts["kernels"]]):
        if (name.split()[0] in PRODUCTS) != products:
            continue
        cells = [f"`{name}`"]
        for files in runs.values():
            found = [k["implementations"] for facts in files for k in facts["kernels"] if k["name"] == name]
            cells.append(_median(row["minigan"]["median_ms"] for row in found))
            cells.append(_median((row["minigan"]["share"] for row in found), "{:.0%}"))
            for peer in peers:
                pairs = [(row[peer], row["minigan"]) for row in found if peer in row]
                cells.append(_median((theirs["median_ms"] / own["median_ms"] for theirs, own in pairs), "{:.2f}"))
        rows.append(cells)
    return _table(["", *_headers(runs, columns)], rows)


def memory(runs: Runs) -> str:
    """The most MiB above the libraries in a step; medians of the runs."""
    peers = _peers(runs, lambda network: network)
    rows = []
    for network in _in_all(runs, lambda facts: facts["networks"]):
        cells = [f"`{network}`"]
        for files in runs.values():
            for name in ("minigan", *peers):
                found = [facts["networks"].get(network, {}).get(name) for facts in files]
                cells.append(_median((row["peak_bytes"] / MIB for row in found if row), "{:.1f}"))
        rows.append(cells)
    return _table(["MiB", *_headers(runs, ["minigan", *(PEER_NAMES[peer] for peer in peers)])], rows)


def budget(runs: Runs) -> str:
    """What a step is made of: milliseconds and, behind them, the floor, of the run with the shortest step."""
    from step_budget import KINDS_OF_TIME, sums

    parts = []
    for isa, files in runs.items():
        networks = list(_in_all({isa: files}, lambda facts: facts["networks"]))
        best = [_shortest([facts["networks"][n] for facts in files if n in facts["networks"]]) for n in networks]
        cells: dict[str, dict[str, str]] = {}
        for network, result in zip(networks, best, strict=True):
            for kind, ms, floor, _ in sums(result):
                cells.setdefault(kind, {})[network] = _milliseconds(ms) + (
                    f" ({_milliseconds(floor)})" if floor else ""
                )
            floors = sum(row["floor_ms"] for row in result["operations"])
            cells.setdefault(KINDS_OF_TIME[-1], {})[network] = (
                f"{_milliseconds(result['whole_ms'])} ({_milliseconds(floors)})"
            )
        rows = [[kind, *(cells[kind].get(n, MISSING) for n in networks)] for kind in KINDS_OF_TIME if kind in cells]
        parts.append(_table([f"{TITLES[isa]}: ms (floor)", *(f"`{network}`" for network in networks)], rows))
    return "\n\n".join(parts)


def _shortest(results: list[Any]) -> Any:
    return min(results, key=lambda result: result["whole_ms"])


def _peers(runs: Runs, implementations: Callable[[Any], Iterable[str]]) -> list[str]:
    """The peers that were measured with some network; a run may leave out one that is slow there."""
    found = {
        name
        for files in runs.values()
        for facts in files
        for network in facts["networks"].values()
        for name in implementations(network)
    }
    return [peer for peer in PEER_NAMES if peer in found]


def _in_all(runs: Runs, names: Callable[[Facts], Iterable[str]]) -> Iterable[str]:
    """The names in some run, each once, in order."""
    return dict.fromkeys(name for files in runs.values() for facts in files for name in names(facts))


def _headers(runs: Runs, columns: list[str]) -> list[str]:
    return [f"{TITLES[isa]}: {columns[0]}" if i == 0 else column for isa in runs for i, column in enumerate(columns)]


def _median(values: Iterable[float | None], form: str | None = None) -> str:
    found = [value for value in values if value is not None]
    if not found:
        return MISSING
    value = statistics.median(found)
    return form.format(value) if form else _milliseconds(value)


def _milliseconds(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tables(files: Sequence[Facts]) -> dict[str, str]:
    """All tables that the files suffice for, by name; see the markers in docs/benchmarks.md."""
    made = {"machines": machines(files)}
    for threads in sorted({facts["machine"]["threads"] for facts in files}):
        of_threads = [facts for facts in files if facts["machine"]["threads"] == threads]
        for benchmark, makers in _MAKERS.items():
            chosen = [facts for facts in of_threads if facts["benchmark"] == benchmark]
            asked = sorted({facts["isa"]["asked"] for facts in chosen})
            runs = {isa: [facts for facts in chosen if facts["isa"]["asked"] == isa] for isa in asked}
            if runs:
                made |= {f"{name} {threads}": make(runs) for name, make in makers.items()}
    return made


_MAKERS: dict[str, dict[str, Callable[[Runs], str]]] = {
    "train_step": {"steps": steps},
    "kernels": {"products": lambda runs: kernels(runs, True), "kernels": lambda runs: kernels(runs, False)},
    "memory": {"memory": memory},
    "step_budget": {"budget": budget},
}


def insert(text: str, made: dict[str, str]) -> str:
    """`text` with each table between its markers; raises RequestError for a table without markers."""
    for name, table in made.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = pattern.subn(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
        if not count:
            raise RequestError(
                f"There is no line '<!-- {name} -->' for that table; insert it, and '<!-- end -->' after it."
            )
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Tables of docs/benchmarks.md from JSON files of the benchmarks.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what the scripts wrote with --json")
    parser.add_argument("--into", type=Path, metavar="FILE", help="replace the tables there instead of printing them")
    options = parser.parse_args(arguments)
    made = tables([json.loads(path.read_text()) for path in options.files])
    if options.into is None:
        print("\n\n".join(f"<!-- {name} -->\n\n{table}" for name, table in made.items()))
        return SUCCESS
    try:
        options.into.write_text(insert(options.into.read_text(), made))
    except RequestError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    return SUCCESS


if __name__ == "__main__":
    sys.exit(main())
