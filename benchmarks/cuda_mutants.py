"""Plants mistakes in the CUDA kernels, one at a time, and counts those that the tests notice.

    python benchmarks/cuda_mutants.py                     # all of them, on the CPU: no GPU is needed
    python benchmarks/cuda_mutants.py --every 3           # a third of them, spread over all files
    python benchmarks/cuda_mutants.py --kernel matmul --file gemm --json mutants.json

A barrier is left out, a comparison is off by one, a stride is exchanged for its neighbour: see cuda_mutation/sites.py.
The exit code is 1 if a mistake survives all tests. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# The tests of each are in tests/cuda/test_*.py.
KERNELS = ("batch_norm", "convolution", "elementwise", "matmul", "optimizers", "sums")


def tally(outcomes: list[Any]) -> dict[str, Any]:
    """Counts by file, and every mistake that survived, with its line."""
    from cuda_mutation.equivalent import EQUIVALENT, READ_OUTSIDE

    known, survivors = set(), []
    files: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        site = outcome.site
        code = (ROOT / "kernels" / "cuda" / site.file).read_text().splitlines()[site.line - 1].strip()
        counts = files.setdefault(site.file, Counter())
        key = (site.file, code, site.change)
        if key in EQUIVALENT and not outcome.found:
            counts["equivalent"] += 1
            known.add(key)
            continue
        by_sanitizer = key in READ_OUTSIDE and not outcome.found
        counts["planted"] += 1
        counts[site.kind] += 1
        counts["sanitizer" if by_sanitizer else outcome.how] += 1
        counts["found"] += outcome.found or by_sanitizer
        if not outcome.found and not by_sanitizer:
            survivors.append({"place": f"{site.file}:{site.line}:{site.column}", "code": code, "kind": site.kind,
                              "change": site.change, "how": outcome.how, "tests": outcome.tests})  # fmt: skip
    return {"files": {name: dict(files[name]) for name in sorted(files)}, "survivors": survivors,
            "equivalent": {" | ".join(key): EQUIVALENT[key] for key in sorted(known)}}  # fmt: skip


COLUMNS = ("barrier", "boundary", "stride", "planted", "found", "wrong", "crash", "hang", "sanitizer", "equivalent")


def report(facts: dict[str, Any]) -> str:
    """The table in Markdown, and the survivors."""
    lines = [f"| file | {' | '.join(COLUMNS)} | share |", f"|---|{'---:|' * (len(COLUMNS) + 1)}"]
    total: Counter[str] = Counter()
    for name, counts in [*facts["files"].items(), ("all", total)]:
        if name != "all":
            total.update(counts)
        share = f"{counts['found'] / counts['planted']:.1%}" if counts.get("planted") else ""
        lines.append(f"| {name} | {' | '.join(str(counts.get(column, 0)) for column in COLUMNS)} | {share} |")
    for item in facts["survivors"]:
        place = f"{item['place']}: {item['change']} ({item['how']}, by {item['tests']} tests)"
        lines.append(f"\n{place}\n    {item['code']}")
    for key, reason in facts["equivalent"].items():
        lines.append(f"\nno mistake, since {reason}: {key}")
    return "\n".join(lines) + f"\n\n{facts['seconds']:.0f} s"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", type=Path, metavar="TESTS", help="files of tests (those of all kernels)")
    parser.add_argument("--kernel", choices=KERNELS, help="use the tests of this kernel alone")
    parser.add_argument("--file", default="", metavar="REGEX", help="plant mistakes only in files whose names match")
    parser.add_argument(
        "--every", type=_positive, default=1, metavar="N", help="plant every N-th of these mistakes only"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at a time (every core)")
    options = parser.parse_args(arguments)
    kernels = [options.kernel] if options.kernel else KERNELS
    files = options.tests or [ROOT / "tests" / "cuda" / f"test_{kernel}.py" for kernel in kernels]
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "MINIGAN_NUM_THREADS": "1"}  # threads would not survive a fork
    sys.path[:0] = [str(ROOT / "tests" / "standin"), str(ROOT / "tests"), str(Path(__file__).parent)]
    from cuda_mutation import runner

    start = time.perf_counter()
    places = itertools.count()

    def wanted(site: Any) -> bool:
        return bool(re.search(options.file, site.file)) and next(places) % options.every == 0

    done = runner.run(files, options.workers, wanted)
    if done.failures:
        print("The tests must pass as long as no mistake is at work:", *done.failures, sep="\n\n", file=sys.stderr)
        return 2
    facts = tally(done.outcomes) | {"seconds": time.perf_counter() - start}
    print(report(facts))
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 1 if facts["survivors"] or not facts["files"] else 0


if __name__ == "__main__":
    sys.exit(main())
