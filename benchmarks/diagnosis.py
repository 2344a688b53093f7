"""Does the Trainer's diagnosis name what goes wrong in a run, and report nothing where nothing does?

    python benchmarks/diagnosis.py --json diagnosis.json

Scripted failures and healthy runs (benchmarks/diagnosis_cases.py), checked every 100 steps. A failure is named right if
the first finding of the run has its name; a healthy run has a false alarm if there is any finding.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import command_line
import machine

EVERY = 100
_CHECK_OFFSET = 1 << 20  # steps: the data of the checks are not those of any training step


def follow(run: Any, seed: int) -> list[Any]:
    """Train, and return all findings."""
    import numpy as np

    from minigan.training.diagnosis import Diagnosis

    gan, data = run.make(seed)
    diagnosis, found = Diagnosis(gan), []
    with np.errstate(all="ignore"):
        for step in range(1, run.steps + 1):
            gan.train_step(data(gan.step), diagnosis.gradient_observer())
            if step % EVERY == 0:
                found += diagnosis.check(data(_CHECK_OFFSET + step))
    return found


def summarise(run: Any, seed: int) -> dict[str, Any]:
    """The findings of a run, as a row of the report."""
    found = follow(run, seed)
    names = [finding.name for finding in found]
    right = names[:1] == [run.expected] if run.expected else not names
    print(f"{'right' if right else 'WRONG'}  {run.name}: {', '.join(names) or 'nothing'}", file=sys.stderr)
    sentences = [f"step {finding.step}: {finding.name}: {finding.sentence}" for finding in found]
    return {"run": run.name, "expected": run.expected, "right": right, "found": names, "sentences": sentences}


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Train every run whose name matches."""
    machine.limit_cores(options.threads, [])
    where = machine.facts(options.threads)
    from diagnosis_cases import FAILURES, HEALTHY

    pattern = re.compile(options.only)
    rows = [summarise(run, options.seed) for run in (*FAILURES, *HEALTHY) if pattern.search(run.name)]
    if not rows:
        raise machine.RequestError(f"--only {options.only} matches no run; leave it out to run all.")
    return {"machine": where, "versions": machine.versions([]), "seed": options.seed, "runs": rows}


def report(facts: dict[str, Any]) -> str:
    """A table of the failures, a line on the healthy runs, and every sentence that was wrong."""
    rows = facts["runs"]
    failures, healthy = ([row for row in rows if bool(row["expected"]) == failed] for failed in (True, False))
    lines = [
        *machine.headline(facts["machine"], facts["versions"]),
        "",
        "| run | what is wrong | found |",
        "|---|---|---|",
    ]
    lines += [f"| {row['run']} | {row['expected']} | {', '.join(row['found']) or 'nothing'} |" for row in failures]
    named, alarms = sum(row["right"] for row in failures), sum(not row["right"] for row in healthy)
    lines += [
        "",
        f"{named} of {len(failures)} failures named right, {alarms} false alarms in {len(healthy)} healthy runs.",
    ]
    for row in rows:
        if not row["right"]:
            lines += ["", f"{row['run']} (expected: {row['expected'] or 'nothing'}):", *row["sentences"]]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of all runs (0)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="to compute with (1)")
    parser.add_argument("--only", default="", metavar="REGEX", help="runs whose name matches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    try:
        re.compile(options.only)
    except re.error as error:
        parser.error(f"--only is no regular expression: {error}")
    if options.threads < 1:
        parser.error("--threads must be at least 1")
    return command_line.carry_out(run_all, report, options)


if __name__ == "__main__":
    sys.exit(main())
