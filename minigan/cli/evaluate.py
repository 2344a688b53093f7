"""Measure a run's samples: pictures with a classifier of its data, points against the distribution of its data."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from minigan.cli import named_run, options
from minigan.cli.exit_codes import SUCCESS
from minigan.cli.sample_limits import require_memory
from minigan.core.errors import UsageError, clause
from minigan.domains import Domain, EvaluationRequest
from minigan.metrics.comparison import LEAST
from minigan.training import RunFolder
from minigan.training.evaluation import evaluate, evaluation_request, facts_as_json, record
from minigan.training.run_data import reload_data
from minigan.training.trained_run import TrainedRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan evaluate`."""
    options.add_run_argument(parser)
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "measure")
    options.add_count_arguments(
        parser, None, "10,000 pictures with labels, half as many as there are of others, points as in PacGAN"
    )
    parser.add_argument(
        "--against", metavar="DATA", type=Path,
        help="compare samples with these pictures, a folder or a file of arrays (default: those of the run)",
    )  # fmt: skip
    parser.add_argument(
        "--features", metavar="NAME|FILE.onnx",
        help="compare pictures in features of minigan's classifier, of principal components (pca) or of fixed random "
        "convolutions (random), or of a model in an ONNX file (default: classifier if the run's data have labels, else "
        "pca and random)",
    )  # fmt: skip
    parser.add_argument("--data-dir", type=Path, help="where the data of the run are now (default: where they were)")
    options.add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure samples of the run, print the results, and record them in its folder."""
    options.require_valid_counts(arguments)
    trained = named_run.load(arguments)
    folder = RunFolder(arguments.path)
    domain, step = trained.domain, trained.gan.step
    domain.check_evaluation(str(arguments.path), arguments.data_dir)
    _require_comparable(domain, arguments)
    require_memory(domain, arguments.n or 0, times=domain.samples_per_evaluated)
    evaluation = evaluate(domain, _request(trained, folder, arguments))
    if arguments.json:
        options.print_json({"run": str(arguments.path), "step": step, **facts_as_json(evaluation.facts)})
    else:
        options.print_line(f"{evaluation.measured} of {arguments.path}, step {step:,}")
        print("\n".join(evaluation.lines))
    try:
        record(evaluation, step, folder)
    except OSError as error:  # a folder of somebody else's can be evaluated, too
        options.notice_printer(arguments.quiet)(f"{folder.scores} cannot be written ({clause(error)})")
    return SUCCESS


def _request(trained: TrainedRun, folder: RunFolder, arguments: argparse.Namespace) -> EvaluationRequest:
    config = trained.config
    if arguments.data_dir:
        config = dataclasses.replace(config, data_dir=str(arguments.data_dir.absolute()), download=False)
    return evaluation_request(
        dataclasses.replace(trained, config=config),
        folder,
        lambda: reload_data(config, folder, progress=not arguments.quiet),
        count=arguments.n,
        seed=arguments.seed,
        quiet=arguments.quiet,
        against=arguments.against,
        features=arguments.features,
    )


def _require_comparable(domain: Domain[Any], arguments: argparse.Namespace) -> None:
    """Raise UsageError for options of the comparison that this kind of data does not have, or too few samples."""
    named = [name for name in ("against", "features") if getattr(arguments, name) is not None]
    if named and not domain.compares_pictures:
        raise UsageError(
            f"--{named[0]} compares how pictures are distributed, which says nothing of {arguments.path}; leave it out."
        )
    if domain.compares_pictures and (arguments.n or LEAST) < LEAST:
        raise UsageError(f"--n is {arguments.n}, expected at least {LEAST} samples to compare with real pictures.")
