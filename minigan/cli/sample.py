"""Draw samples from a trained run, as a picture or as numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from minigan.cli import named_run, options, sample_kinds
from minigan.cli.exit_codes import SUCCESS
from minigan.cli.sample_limits import require_memory, require_one_picture
from minigan.core import files
from minigan.core.errors import UsageError, did_you_mean
from minigan.figures.image_grid import save_png
from minigan.training.trained_run import TrainedRun

_FORMATS = (".png", ".npz")
_NEAREST_COUNT, _SAMPLES_PER_PATH = 16, 8  # without --n: samples beside neighbours, and how few paths there are
_MOST_BESIDE = 1_000
_OUT_HELP = (
    "a .png file, or an .npz file with 'images', uint8 of shape (N, H, W) if grey, (N, H, W, 3) if in colour, or "
    "'points' (N, 2) "
    "(default: RUN/samples-SEED.png, with --checkpoint RUN/samples-SEED-step_STEP.png, with --class -class_NUMBER.png)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan sample`."""
    options.add_run_argument(parser)
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "draw from")
    options.add_count_arguments(
        parser,
        None,
        f"64, or 8 of each class; with --interpolate 8 paths or one for each class, with --nearest {_NEAREST_COUNT}",
    )
    parser.add_argument(
        "--class", metavar="NUMBER", type=options.whole_number, dest="label",
        help="draw samples of this class only (default: of all classes in turn), in a run of a conditional recipe",
    )  # fmt: skip
    parser.add_argument(
        "--interpolate", metavar="STEPS", type=options.whole_number,
        help="draw paths of STEPS samples, each from one latent vector to the next (on an arc if they are normal)",
    )  # fmt: skip
    parser.add_argument(
        "--nearest", metavar="K", type=options.whole_number,
        help="beside each sample show the K nearest training examples, and print the distances",
    )  # fmt: skip
    parser.add_argument("--real", action="store_true", help="show as many training examples beside the samples")
    parser.add_argument(
        "--data-dir", type=Path, help="with --nearest or --real: where the data are now (default: where they were)"
    )
    parser.add_argument("--out", type=Path, help=_OUT_HELP)
    options.add_device_arguments(parser)
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw the samples and write them to a file."""
    kind = _kind(arguments)
    out: Path = arguments.out or arguments.path / f"{kind or 'samples'}-{arguments.seed}.png"
    if out.suffix.lower() not in _FORMATS:
        raise UsageError(f"--out must end in .png or .npz, not '{out.name}'; {did_you_mean(out.suffix, _FORMATS)}")
    options.require_valid_counts(arguments)
    trained = named_run.load(arguments)
    if arguments.checkpoint and not arguments.out:
        out = out.with_stem(f"{out.stem}-step_{trained.gan.step:06d}")
    if arguments.label is not None and not arguments.out:
        out = out.with_stem(f"{out.stem}-class_{arguments.label}")
    options.require_output_file(out, "--out")
    count = _count(trained, arguments)
    shown = count * {"nearest": 1 + (arguments.nearest or 0), "real": 2}.get(kind, 1)
    require_memory(trained.domain, shown)
    if out.suffix.lower() == ".png":
        require_one_picture(trained.domain, shown)
    drawn = _draw(sample_kinds.Source(trained, arguments.path, arguments.data_dir, arguments.label), count, arguments)
    if out.suffix.lower() == ".png":
        save_png(out, drawn.picture())
    else:
        with files.atomic_path(out) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **drawn.arrays)
    if arguments.json:
        facts = {"out": str(out), "n": count, "seed": arguments.seed, "step": trained.gan.step}
        options.print_json(facts | drawn.facts)
    else:
        for line in drawn.lines:
            options.print_line(line)
        options.print_line(f"Wrote {drawn.what} of step {trained.gan.step:,} to {out}")
    return SUCCESS


def _kind(arguments: argparse.Namespace) -> str:
    """Which of the options interpolate, nearest and real is named, "" for none; raises UsageError if several are."""
    named = [name for name in ("interpolate", "nearest", "real") if getattr(arguments, name) not in (None, False)]
    if len(named) > 1:
        raise UsageError(f"--{named[0]} and --{named[1]} are two different pictures; draw one after the other.")
    for name, least in (("interpolate", 2), ("nearest", 1)):
        value = getattr(arguments, name)
        if value is not None and not least <= value <= _MOST_BESIDE:
            raise UsageError(f"--{name} must be a whole number from {least} to {_MOST_BESIDE:,}, not {value}.")
    if arguments.data_dir and named not in (["nearest"], ["real"]):
        raise UsageError("--data-dir says where training examples are, and only --nearest and --real show some.")
    return named[0] if named else ""


def _count(trained: TrainedRun, arguments: argparse.Namespace) -> int:
    """The number of samples; raises UsageError unless it fills rows of an interpolation."""
    count: int | None = arguments.n
    usual = trained.domain.samples_drawn
    if arguments.interpolate:
        count = count or usual // _SAMPLES_PER_PATH * arguments.interpolate
        if count % arguments.interpolate:
            raise UsageError(f"--n {count:,} does not fill rows of {arguments.interpolate:,} samples; give a multiple.")
    return count or (_NEAREST_COUNT if arguments.nearest else usual)


def _draw(source: sample_kinds.Source, count: int, arguments: argparse.Namespace) -> sample_kinds.Drawn:
    if arguments.interpolate:
        return sample_kinds.paths(source, count // arguments.interpolate, arguments.interpolate, arguments.seed)
    if arguments.nearest:
        return sample_kinds.beside_nearest(source, count, arguments.nearest, arguments.seed)
    if arguments.real:
        return sample_kinds.beside_real(source, count, arguments.seed)
    return sample_kinds.plain(source, count, arguments.seed)
