"""Which lines of the CUDA kernels and of their launch code the tests without a GPU execute.

    python benchmarks/cuda_coverage.py                     # all tests in tests/cuda; some minutes
    python benchmarks/cuda_coverage.py tests/cuda/test_sums.py --json coverage.json

The kernels run on the CPU, where g++ and gcov count their lines; the package `coverage` counts those of the launch
code. Lines for tensor cores and other instructions that have an emulation are counted where the emulation is called.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels" / "cuda"
sys.path.insert(0, str(ROOT / "tests"))

from support.cuda_cpu.coverage import environment, line_counts  # noqa: E402


class Lines(dict[str, dict[int, bool]]):
    """Whether each line of code of each file ran."""


def run_tests(tests: list[str]) -> Lines:
    """Run the tests and count. Raises CalledProcessError if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        data, counts = Path(folder, "coverage"), Path(folder, "counts")
        counts.mkdir()
        coverage = [sys.executable, "-m", "coverage", "run", f"--data-file={data}", f"--include={KERNELS}/*"]
        pytest = ["-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-q", "-m", "not gpu"]
        pytest += ["--ignore", "tests/cuda/test_shim.py"]  # they are about code compiled without counters
        # The modules are loaded by conftest.py; what runs while they are loaded counts, too.
        subprocess.run([*coverage, *pytest, *tests], cwd=ROOT, env=os.environ | environment(counts), check=True)
        report = Path(folder, "coverage.json")
        subprocess.run(
            [sys.executable, "-m", "coverage", "json", f"--data-file={data}", "-q", "-o", str(report)],
            cwd=ROOT,
            check=True,
        )
        found = Lines({name: {line: n > 0 for line, n in lines.items()} for name, lines in line_counts(counts).items()})
        for name, facts in json.loads(report.read_text())["files"].items():
            ran, missed = facts["executed_lines"], facts["missing_lines"]
            found[Path(name).name] = {**dict.fromkeys(ran, True), **dict.fromkeys(missed, False)}
    return found


def summary(found: Lines) -> list[dict[str, Any]]:
    """For each source in kernels/cuda: its lines of code, how many ran, and those that did not."""
    rows = []
    for path in sorted(
        [*KERNELS.glob("*.cu"), *KERNELS.glob("*.cuh"), *KERNELS.glob("*.py")], key=lambda p: (p.suffix, p.name)
    ):
        lines = found.get(path.name, {})
        missed = [line for line, ran in sorted(lines.items()) if not ran]
        if lines or path.suffix != ".py":
            rows.append({"file": path.name, "lines": len(lines), "ran": len(lines) - len(missed), "missed": missed})
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown, and the lines that did not run."""
    lines = ["| file | lines of code | executed | share |", "|---|---:|---:|---:|"]
    for suffix in (".cu", ".cuh", ".py"):
        of_kind = [row for row in rows if Path(row["file"]).suffix == suffix]
        total = {
            "file": f"all {suffix}",
            "lines": sum(r["lines"] for r in of_kind),
            "ran": sum(r["ran"] for r in of_kind),
        }
        for row in [*of_kind, total]:
            lines.append(f"| {row['file']} | {row['lines']} | {row['ran']} | {row['ran'] / max(1, row['lines']):.1%} |")
    for row in rows:
        text = dict(enumerate((KERNELS / row["file"]).read_text().splitlines(), 1))
        lines += [f"{row['file']}:{line}: {text.get(line, '?').strip()}" for line in row["missed"]]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", default=["tests/cuda"], help="files or folders of tests (tests/cuda)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there, too")
    options = parser.parse_args(arguments)
    try:
        found = run_tests(options.tests)
    except subprocess.CalledProcessError as error:
        print(f"The tests must pass before their lines are counted: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    rows = summary(found)
    print(report(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
