"""How many wrong derivatives gradient checkers catch, and how many false alarms they raise.

    python benchmarks/gradcheck_mutants.py --peers torch,jax,autograd --json mutants.json

Backward rules written in NumPy, each made wrong in one way, and the same rules right at more than a thousand points:
see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import command_line
import machine

PEERS = ("torch", "jax", "autograd")
MODES = {"torch": ("torch", "torch fast")}  # the checkers of a library that has several


def cases(seed: int, only: str) -> tuple[list, list]:
    """(mistakes, right) whose group or name `only` matches."""
    from mutants import mistakes, right, rules, state

    wrong = [*rules.specific(seed), *mistakes.general(seed), *state.stateful(seed)]
    pattern = re.compile(only)
    return tuple(
        [case for case in some if pattern.search(f"{case.group}: {case.name}")] for some in (wrong, right.right(seed))
    )


def available(peers: list[str]) -> list[str]:
    """The libraries that are installed; prints a line about those that are not."""
    missing = [peer for peer in peers if not importlib.util.find_spec(peer)]
    if missing:
        print(f'Not installed, so left out: {", ".join(missing)}; get them with: pip install -e ".[bench]"')
    return [peer for peer in peers if peer not in missing]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run all checkers on all cases."""
    peers = available(options.peers)
    threads = machine.limit_cores(options.threads, peers)
    where = machine.facts(threads)
    machine.import_peers(peers, threads)
    wrong, right = cases(options.seed, options.only)
    if not wrong and not right:
        raise machine.RequestError(f"--only {options.only} matches no case; leave it out to see all groups.")
    from mutants.checkers import run_checker
    from mutants.tally import tally

    results = {}
    for name in ["minigan", *(mode for peer in peers for mode in MODES.get(peer, (peer,)))]:
        results[name] = tuple([run_checker(name, case, options.seed) for case in some] for some in (wrong, right))
        print(f"{name} is done", file=sys.stderr)
    return {
        "machine": where,
        "versions": machine.versions(peers),
        "seed": options.seed,
        **tally(wrong, right, results),
        "minigan_objections": objections(wrong, right, *results["minigan"], options),
    }


def objections(wrong: list, right: list, found: list, passed: list, options: argparse.Namespace) -> dict[str, list]:
    """Every wrong result of minigan, in full, with the command that repeats it."""
    from mutants.tally import is_caught, is_named

    def shown(pairs: Any) -> list[str]:
        return [_shown(case, result, options.seed) for case, result in pairs]

    both = list(zip(wrong, found, strict=True))
    return {
        "missed": shown((case, a) for case, a in both if not is_caught(a)),
        "alarms": shown((case, a) for case, a in zip(right, passed, strict=True) if not a.accepted),
        "misnamed": shown((case, a) for case, a in both if is_caught(a) and not is_named(case, a)),
        "misplaced": shown((case, a) for case, a in both if is_caught(a) and case.entry and a.entry != case.entry),
    }


def _shown(case: Any, result: Any, seed: int) -> str:
    expected = " or ".join(cause or "no name" for cause in case.causes) or "no objection"
    again = re.escape(f"{case.group}: {case.name}").replace("\\ ", " ").replace('"', '\\"')
    return "\n".join([
        f"{case.group}: {case.name}", f"  expected: {expected}" + (f", entry {case.entry}" if case.entry else ""),
        f"  shapes {[x.shape for x in case.point]}, {case.dtype}", "  " + result.message.replace("\n", "\n  "),
        f'  again: python benchmarks/gradcheck_mutants.py --peers "" --seed {seed} --only "^{again}$"',
    ])  # fmt: skip


def report(facts: dict[str, Any]) -> str:
    """The tables in Markdown, and minigan's wrong results."""
    from mutants.tally import tables

    lines = [*machine.headline(facts["machine"], facts["versions"]), "", tables(facts)]
    for title, texts in facts["minigan_objections"].items():
        if texts:
            lines += ["", f"minigan, {title} ({len(texts)}):", "", *texts]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ",".join(PEERS)
    parser.add_argument("--peers", type=command_line.words, default=list(PEERS), metavar="NAMES", help=f"of {default}")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of every checker (1)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose group or name matches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    try:
        re.compile(options.only)
    except re.error as error:
        parser.error(f"--only is no regular expression: {error}")
    if set(options.peers) - set(PEERS):
        parser.error(f"--peers takes any of {default}, separated by commas, or nothing")
    if options.threads < 1:
        parser.error("--threads must be at least 1")
    return command_line.carry_out(run, report, options)


if __name__ == "__main__":
    sys.exit(main())
