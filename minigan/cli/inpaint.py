"""Fill a hole in a picture, or in each in a folder, with a trained run."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from minigan.cli import hole_option, named_run, options, picture_files
from minigan.cli.exit_codes import SUCCESS
from minigan.core import progress
from minigan.core.errors import UsageError
from minigan.domains.holes import HoleDomain, with_hole
from minigan.figures.image_grid import save_png
from minigan.gan.latent_search import LatentSearch
from minigan.training import RunFolder
from minigan.training.evaluation import evaluation_request, facts_as_json
from minigan.training.inpainting import by_inpainting, inpainted, require_inpainting
from minigan.training.run_data import reload_data
from minigan.training.trained_run import TrainedRun

_LIMITS = {"steps": 10_000, "starts": 1_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan inpaint`."""
    options.add_run_argument(parser)
    parser.add_argument(
        "source", metavar="IN", type=Path, nargs="?",
        help="a picture of the size that the run makes, or a folder; colour and grey are converted as the run needs",
    )  # fmt: skip
    parser.add_argument("out", metavar="OUT", type=Path, nargs="?", help="the .png file, or the folder, to write")
    parser.add_argument("--mask", default=hole_option.CENTRE, help=f"the hole: {hole_option.HELP}")
    parser.add_argument(
        "--evaluate", metavar="N", type=options.whole_number,
        help="without IN and OUT: fill the holes of N held-out pictures, and compare with the truth; then --mask is "
        "centre or random",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=options.whole_number,
        help=f"of the search in a run that was not trained for inpainting (default: {LatentSearch.steps})",
    )  # fmt: skip
    parser.add_argument(
        "--starts", type=options.whole_number,
        help=f"latent vectors at which the search for each picture begins (default: {LatentSearch.starts})",
    )  # fmt: skip
    parser.add_argument("--seed", type=options.whole_number, default=1, help="seed of the search (default: 1)")
    parser.add_argument(
        "--data-dir", type=Path, help="with --evaluate: where the data are now (default: where they were)"
    )
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "fill with")
    options.add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Fill the holes and write the pictures, or evaluate how well they are filled."""
    _require_consistent(arguments)
    trained = named_run.load(arguments)
    require_inpainting(trained, str(arguments.path))
    search = _search(trained, arguments)
    if arguments.evaluate is None:
        _fill(trained, search, arguments)
    else:
        _evaluate(trained, search, arguments)
    return SUCCESS


def _require_consistent(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options out of range or that contradict each other."""
    if (arguments.evaluate is None) == (arguments.out is None):
        raise UsageError(
            "minigan inpaint takes RUN IN OUT, two paths of pictures, or RUN --evaluate N, which fills held-out "
            "pictures; give either."
        )
    for name, most in (*_LIMITS.items(), ("evaluate", 2**63 - 1)):
        value = getattr(arguments, name)
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"--{name} must be a whole number from 1 to {most:,}, not {value}.")
    if not 0 <= arguments.seed < 2**63:
        raise UsageError(f"--seed must be a whole number of at least 0 and below 2**63, not {arguments.seed}.")
    if arguments.data_dir and arguments.evaluate is None:
        raise UsageError(
            "--data-dir says where the held-out pictures are, and only --evaluate uses some; leave it out."
        )


def _search(run: TrainedRun, arguments: argparse.Namespace) -> LatentSearch:
    """The options of the search; raises UsageError for some that this run does not use."""
    named = {name: getattr(arguments, name) for name in _LIMITS if getattr(arguments, name) is not None}
    if named and isinstance(run.domain, HoleDomain):
        raise UsageError(
            f"{arguments.path} is a run of {run.config.recipe}, whose network fills holes without a search; leave "
            f"--{next(iter(named))} out."
        )
    if "steps" in named:
        named["exploring"] = min(LatentSearch.exploring, named["steps"])
    return dataclasses.replace(LatentSearch(), **named)


def _fill(run: TrainedRun, search: LatentSearch, arguments: argparse.Namespace) -> None:
    height, width, channels = run.domain.shape
    notice = options.notice_printer(arguments.quiet)
    pictures = picture_files.checked_files(
        arguments.source,
        arguments.out,
        channels=channels,
        require=lambda path, found: picture_files.require_shape(
            path, found, (height, width, channels), str(arguments.path)
        ),
        notice=notice,
    )
    hole = hole_option.read(arguments.mask, height, width)
    if run.config.settings.get("hole") == hole_option.CENTRE and arguments.mask != hole_option.CENTRE:
        notice(f"{arguments.path} learned to fill a hole in the centre only; train with --set hole=random for others")
    pixels = np.stack([picture.pixels() for picture in pictures])
    conditions = with_hole(pixels, np.broadcast_to(hole, pixels.shape[:3]))
    with progress.bar(arguments.quiet, total=len(pixels), desc="filling holes", unit="picture") as bar:
        result = inpainted(
            run, conditions, search, seed=arguments.seed, progress=lambda done, total: bar.update(done - bar.n)
        )
    for picture, filled in zip(pictures, result, strict=True):
        save_png(picture.target, filled)
    if arguments.json:
        facts = {"written": [str(picture.target) for picture in pictures], "hole": int(hole.sum())}
        options.print_json({**facts, "step": run.gan.step})
    else:
        what = f"{len(pictures):,} pictures" if len(pictures) > 1 else "the picture"
        options.print_line(
            f"Wrote {what}, with {hole.sum():,} pixels filled by step {run.gan.step:,}, to {arguments.out}"
        )


def _evaluate(run: TrainedRun, search: LatentSearch, arguments: argparse.Namespace) -> None:
    if arguments.mask not in hole_option.EVALUATED:
        raise UsageError(f"with --evaluate, --mask is {' or '.join(hole_option.EVALUATED)}, not {arguments.mask}.")
    config = run.config
    if arguments.data_dir:
        config = dataclasses.replace(config, data_dir=str(arguments.data_dir.absolute()), download=False)
    run, folder = dataclasses.replace(run, config=config), RunFolder(arguments.path)
    request = evaluation_request(
        run,
        folder,
        lambda: reload_data(config, folder, progress=not arguments.quiet),
        count=arguments.evaluate,
        seed=arguments.seed,
        quiet=arguments.quiet,
    )
    evaluation = by_inpainting(run, request, arguments.mask, search)
    if arguments.json:
        options.print_json({"run": str(arguments.path), "step": run.gan.step, **facts_as_json(evaluation.facts)})
    else:
        options.print_line(
            f"{evaluation.measured}, a hole in each filled by {arguments.path}, step {run.gan.step:,}; PSNR in the hole"
        )
        print("\n".join(evaluation.lines))
