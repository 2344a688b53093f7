"""Draw samples from a trained run, as a picture or as numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.cli.sample_limits import require_memory, require_one_picture
from minigan.core import files
from minigan.core.errors import UsageError, did_you_mean
from minigan.figures.image_grid import save_png
from minigan.training.trained_run import draw_samples, load_run

_FORMATS = (".png", ".npz")
_OUT_HELP = (
    "a .png file, or an .npz file with 'images', uint8 of shape (N, H, W) if grey, (N, H, W, 3) if in colour, or "
    "'points' (N, 2) "
    "(default: RUN/samples-SEED.png, with --checkpoint RUN/samples-SEED-step_STEP.png)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan sample`."""
    options.add_run_argument(parser)
    options.add_checkpoint_argument(parser, "draw from")
    options.add_count_arguments(parser, 64)
    parser.add_argument("--out", type=Path, help=_OUT_HELP)
    options.add_device_arguments(parser)
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw the samples and write them to a file."""
    out: Path = arguments.out or arguments.path / f"samples-{arguments.seed}.png"
    if out.suffix.lower() not in _FORMATS:
        raise UsageError(f"--out must end in .png or .npz, not '{out.name}'; {did_you_mean(out.suffix, _FORMATS)}")
    options.require_valid_counts(arguments)
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads)
    trained = load_run(arguments.path, arguments.checkpoint)
    if arguments.checkpoint and not arguments.out:
        out = out.with_stem(f"{out.stem}-step_{trained.gan.step:06d}")
    options.require_output_file(out, "--out")
    require_memory(trained.domain, arguments.n)
    if out.suffix.lower() == ".png":
        require_one_picture(trained.domain, arguments.n)
    samples = draw_samples(trained, arguments.n, arguments.seed)
    if out.suffix.lower() == ".png":
        save_png(out, trained.domain.draw(samples))
    else:
        with files.atomic_path(out) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **trained.domain.arrays(samples))
    if arguments.json:
        options.print_json({"out": str(out), "n": arguments.n, "seed": arguments.seed, "step": trained.gan.step})
    else:
        options.print_line(f"Wrote {arguments.n} samples of step {trained.gan.step:,} to {out}")
    return SUCCESS
