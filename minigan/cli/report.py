"""Write one HTML page about a run: settings, curves, samples, evaluation, gradients."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.core.errors import UsageError
from minigan.report import Networks, networks_of, read_facts, write_report
from minigan.training.config import read_content
from minigan.training.run_data import reload_data
from minigan.training.run_folder import RunFolder, open_run
from minigan.training.trained_run import load_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan report`."""
    options.add_run_argument(parser)
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "look at")
    parser.add_argument("--data-dir", type=Path, help="where the data of the run are now (default: where they were)")
    parser.add_argument("--out", metavar="FILE.html", type=Path, help="the page (default: RUN/report.html)")
    options.add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    folder = open_run(arguments.path)
    out: Path = arguments.out or folder.report
    if out.suffix.lower() != ".html":
        raise UsageError(f"--out takes the name of a file that ends in .html, not '{out}'.")
    options.require_output_file(out, "--out")
    own_recipe = options.load_recipe_file(arguments.recipe_file)
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads, arguments.quiet)
    networks = _networks(folder, arguments) if "recipe" in read_content(folder.config) else None
    if own_recipe is not None and networks is None:
        raise UsageError(f"{folder.path} is no run of a recipe, so leave --recipe out.")
    write_report(read_facts(folder, networks), out)
    size = out.stat().st_size
    if arguments.json:
        options.print_json({"out": str(out), "bytes": size})
    elif not arguments.quiet:
        options.print_line(f"Wrote {out}, {size / 1e6:.1f} MB")
    return SUCCESS


def _networks(folder: RunFolder, arguments: argparse.Namespace) -> Networks:
    trained = load_run(folder.path, arguments.checkpoint)
    config = trained.config
    if arguments.data_dir:
        config = dataclasses.replace(config, data_dir=str(arguments.data_dir.absolute()), download=False)

    def load() -> Any:
        return reload_data(config, folder, progress=False, notice=options.notice_printer(arguments.quiet))

    return networks_of(trained, load)
