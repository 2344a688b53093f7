"""Write a run's networks for other libraries: safetensors, ONNX, and a model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.export import export_run
from minigan.training.run_folder import open_run
from minigan.training.trained_run import load_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan export`."""
    options.add_run_argument(parser)
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "export")
    parser.add_argument(
        "--to", metavar="FOLDER", type=Path, help="a new folder (default: RUN/export, numbered if taken)"
    )
    parser.add_argument("--no-onnx", action="store_true", help="write no ONNX file, which needs the package onnx")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the folder, and print what is in it."""
    own_recipe = options.load_recipe_file(arguments.recipe_file)
    options.choose_device("numpy", None, None)
    trained = load_run(arguments.path, arguments.checkpoint)
    options.notice_changed_recipe(trained.config, own_recipe, arguments.path, False)
    place = export_run(trained, open_run(arguments.path), arguments.to, onnx=not arguments.no_onnx)
    written = {path.name: path.stat().st_size for path in sorted(place.iterdir())}
    if arguments.json:
        options.print_json({"out": str(place), "step": trained.gan.step, "files": written})
    else:
        options.print_line(f"Wrote the networks of step {trained.gan.step:,} to {place}:")
        options.print_table((name, f"{size:>12,} bytes") for name, size in written.items())
    return SUCCESS
