"""Enlarge a picture, or each in a folder, with a trained run of super-resolution."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from minigan.cli import named_run, options, picture_files
from minigan.cli.exit_codes import SUCCESS
from minigan.core.errors import UsageError
from minigan.data import ImageShape
from minigan.domains.low_resolution import LowResolutionDomain
from minigan.figures.image_grid import to_bytes
from minigan.gan.tiles import enlarged
from minigan.recipes.super_resolution import reach
from minigan.training.trained_run import TrainedRun

_MOST_PIXELS = 1 << 26  # of the enlarged picture; its numbers then take 800 MB in colour


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan upscale`."""
    options.add_run_argument(parser)
    parser.add_argument("source", metavar="IN", type=Path, help="a picture of any size, or a folder of pictures")
    parser.add_argument("out", metavar="OUT", type=Path, help="the .png file, or the folder, to write")
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "enlarge with")
    options.add_device_arguments(parser)
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Enlarge the pictures and write them."""
    trained = named_run.load(arguments)
    if not isinstance(trained.domain, LowResolutionDomain):
        raise UsageError(
            f"{arguments.path} is a run of {trained.config.recipe}, which does not enlarge pictures; train mnist-sr or "
            "faces-sr, or name such a run."
        )
    scale = trained.config.settings["scale"]
    written = picture_files.transformed_files(
        arguments.source,
        arguments.out,
        channels=trained.domain.shape[2],
        require=lambda path, shape: _require_size(path, shape, scale),
        apply=lambda pictures: upscaled(trained, pictures),
        notice=options.notice_printer(False),
    )
    if arguments.json:
        facts = {"written": [str(path) for path in written], "scale": scale, "step": trained.gan.step}
        options.print_json(facts)
    else:
        what = f"{len(written):,} pictures" if len(written) > 1 else "the picture"
        options.print_line(f"Wrote {what}, {scale} times as large, by step {trained.gan.step:,}, to {arguments.out}")
    return SUCCESS


def upscaled(run: TrainedRun, pictures: np.ndarray) -> np.ndarray:
    """One picture, uint8 (1, h, w, C), enlarged by the run's generator: uint8 (1, h * scale, w * scale, C)."""
    domain, settings = run.domain, run.config.settings
    assert isinstance(domain, LowResolutionDomain)
    values = domain.as_input(pictures, run.config.dtype)[0]
    return to_bytes(enlarged(run.gan, values, settings["scale"], reach(settings))[None], domain.value_range)


def _require_size(path: Path, shape: ImageShape, scale: int) -> None:
    pixels = shape[0] * shape[1] * scale**2
    if pixels > _MOST_PIXELS:
        raise UsageError(
            f"{path} is {shape[0]:,} x {shape[1]:,} pixels, and {scale} times as large it would have {pixels:,}; cut "
            f"it into parts of at most {_MOST_PIXELS // scale**2:,} pixels."
        )
