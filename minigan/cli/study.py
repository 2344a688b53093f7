"""Write one HTML page, to be read offline, that demonstrates claims about GANs with checked numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.core import progress
from minigan.core.errors import UsageError
from minigan.study import page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan study`."""
    parser.add_argument(
        "--out", metavar="FILE.html", type=Path, default=Path("study.html"), help="the page (default: study.html)"
    )
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compute every section and write the page."""
    out: Path = arguments.out
    options.require_output_file(out, "--out")
    if not out.parent.is_dir():
        raise UsageError(f"--out is {out}, but there is no folder {out.parent}; make it first, or name another.")
    options.choose_device("numpy", None, 1, arguments.quiet)  # networks this small gain nothing from a second thread
    total = len(page.SECTIONS)
    with progress.bar(arguments.quiet, desc="study", unit="section", total=total, leave=False) as bar:

        def report(name: str) -> None:
            bar.update(list(page.SECTIONS).index(name) - bar.n)
            bar.set_postfix_str(name)

        sections = page.write(arguments.out, report)
    size = arguments.out.stat().st_size
    if arguments.json:
        figures = {section.name: dict(section.figures) for section in sections}
        options.print_json({"out": str(arguments.out), "bytes": size, "sections": figures})
    else:
        count = sum(len(section.figures) for section in sections)
        options.print_line(f"Wrote {arguments.out}: {len(sections)} sections, {count:,} numbers, {size / 1e6:.1f} MB")
    return SUCCESS
