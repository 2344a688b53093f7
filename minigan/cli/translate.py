"""Translate a picture, or each in a folder, with a trained run from one look to another."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from minigan.cli import named_run, options, picture_files
from minigan.cli.exit_codes import SUCCESS
from minigan.core.errors import UsageError, did_you_mean
from minigan.data import Dataset, ImageShape, resized, shape_in_words
from minigan.domains.translating import TranslationDomain
from minigan.training.trained_run import TrainedRun, draw_samples

_SEED = 1  # of latent vectors, which have no effect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan translate`."""
    options.add_run_argument(parser)
    parser.add_argument("source", metavar="IN", type=Path, help="a picture of the size that the run knows, or a folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="the .png file, or the folder, to write")
    parser.add_argument(
        "--direction", metavar="a-to-b|b-to-a",
        help="for a run that translates both ways: from the pictures that it was trained on to the other look, or back "
        "(default: a-to-b)",
    )  # fmt: skip
    parser.add_argument(
        "--resize", action="store_true",
        help="crop pictures of another size to their centre and resize them, as in training (default: refuse them)",
    )  # fmt: skip
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "translate with")
    options.add_device_arguments(parser)
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Translate the pictures and write them."""
    trained = named_run.load(arguments)
    domain = _translating(trained, arguments.path)
    direction = _direction(domain, f"{arguments.path}, a run of {trained.config.recipe},", arguments.direction)
    written = picture_files.transformed_files(
        arguments.source,
        arguments.out,
        channels=domain.shape[2],
        require=lambda path, found: None if arguments.resize else _require_shape(path, found, domain.shape),
        apply=lambda pictures: translated(trained, domain, pictures, direction),
        notice=options.notice_printer(False),
    )
    if arguments.json:
        facts = {"written": [str(path) for path in written], "direction": direction, "step": trained.gan.step}
        options.print_json(facts)
    else:
        what = f"{len(written):,} pictures, translated" if len(written) > 1 else "the picture, translated"
        options.print_line(f"Wrote {what} {direction} by step {trained.gan.step:,}, to {arguments.out}")
    return SUCCESS


def translated(run: TrainedRun, domain: TranslationDomain, pictures: np.ndarray, direction: str) -> np.ndarray:
    """`pictures`, uint8 (N, H, W, C) of any size, resized and translated by the run's generator: a pure function."""
    fitted = resized(Dataset(pictures), domain.shape).images
    conditions = domain.as_input(domain.translation_input(fitted, direction), run.config.dtype)
    return domain.translation_output(draw_samples(run, len(fitted), _SEED, conditions), direction)


def _require_shape(path: Path, found: ImageShape, expected: ImageShape) -> None:
    """Raise UsageError unless the height and width are those expected."""
    if found[:2] != expected[:2]:
        raise UsageError(
            f"{path} is {found[0]} x {found[1]} pixels, and the run translates pictures {shape_in_words(expected)}; "
            "crop and resize it, or let --resize do so."
        )


def _translating(run: TrainedRun, path: Path) -> TranslationDomain:
    """The run's domain; raises UsageError if the run does not translate pictures."""
    if not isinstance(run.domain, TranslationDomain):
        raise UsageError(
            f"{path} is a run of {run.config.recipe}, which does not translate pictures; train edges-to-digits, "
            "cycle-digits or style-faces, or name such a run."
        )
    return run.domain


def _direction(domain: TranslationDomain, run: str, named: str | None) -> str:
    """The direction in which to translate; raises UsageError if there is no such direction."""
    if named is None or named in domain.directions:
        return named or domain.directions[0]
    if len(domain.directions) == 1:
        raise UsageError(f"{run} translates one way only, {domain.directions[0]}; leave --direction out.")
    raise UsageError(f"{run} has no direction '{named}'; {did_you_mean(named, domain.directions)}")
