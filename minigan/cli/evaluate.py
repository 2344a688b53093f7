"""Measure a run's samples: pictures with a classifier of its data, points against the distribution of its data."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.cli.sample_limits import require_memory
from minigan.core import backend, progress
from minigan.domains import EvaluationRequest
from minigan.training import RunFolder
from minigan.training.config import versions
from minigan.training.run_data import reload_data
from minigan.training.trained_run import TrainedRun, draw_samples, load_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan evaluate`."""
    options.add_run_argument(parser)
    options.add_recipe_file_argument(parser)
    options.add_checkpoint_argument(parser, "measure")
    options.add_count_arguments(parser, None, "10,000 pictures, or points by PacGAN's protocol")
    parser.add_argument("--data-dir", type=Path, help="where the data of the run are now (default: where they were)")
    options.add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure samples of the run, and print the results."""
    options.require_valid_counts(arguments)
    own_recipe = options.load_recipe_file(arguments.recipe_file)
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads, arguments.quiet)
    trained = load_run(arguments.path, arguments.checkpoint)
    options.notice_changed_recipe(trained.config, own_recipe, arguments.path, arguments.quiet)
    domain, step = trained.domain, trained.gan.step
    domain.check_evaluation(str(arguments.path), arguments.data_dir)
    require_memory(domain, arguments.n or 0, times=domain.samples_per_evaluated)
    evaluation = domain.evaluate(_request(trained, arguments))
    if arguments.json:
        options.print_json({"run": str(arguments.path), "step": step, **evaluation.facts})
    else:
        options.print_line(f"{evaluation.measured} of {arguments.path}, step {step:,}")
        print("\n".join(evaluation.lines))
    return SUCCESS


def _request(trained: TrainedRun, arguments: argparse.Namespace) -> EvaluationRequest:
    config = trained.config
    if arguments.data_dir:
        config = dataclasses.replace(config, data_dir=str(arguments.data_dir.absolute()), download=False)
    return EvaluationRequest(
        sample=lambda count, seed: draw_samples(trained, count, seed),
        load=lambda: reload_data(config, RunFolder(arguments.path), progress=not arguments.quiet),
        count=arguments.n,
        seed=arguments.seed,
        data_dir=config.data_dir,
        run=str(arguments.path),
        computed_by={**versions(), "backend": backend.current().name, "kernels": backend.current().kernels},
        progress=lambda title: _progress(title, arguments.quiet),
    )


@contextmanager
def _progress(title: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A context with a progress bar; its value is a function that is called with (steps done, steps in all)."""
    with progress.bar(quiet, desc=title, unit="step") as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
