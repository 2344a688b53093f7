"""Measure a run's digits with a classifier trained here."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from minigan.commands import options
from minigan.data import in_words, load
from minigan.data.mnist import IMAGE_SHAPE
from minigan.errors import UsageError
from minigan.metrics import DigitClassifier, Scores
from minigan.metrics.digits import SMALLEST_SHARE
from minigan.training.trainer import load_run, sample_images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan evaluate`."""
    options.add_run_argument(parser)
    options.add_count_arguments(parser, 10_000)
    options.add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train the classifier, and print what it finds."""
    options.check_counts(arguments)
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads, arguments.quiet)
    trained = load_run(arguments.path)
    if trained.image_shape != IMAGE_SHAPE:
        raise UsageError(
            f"evaluate judges digits, {in_words(IMAGE_SHAPE)}, but {arguments.path} makes pictures "
            f"{in_words(trained.image_shape)}; look at them with minigan sample."
        )
    classifier = DigitClassifier(load())
    with options.bar(arguments.quiet, desc="training the digit classifier", unit="step") as bar:

        def progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        classifier.train(progress)
    scores = classifier.score(sample_images(trained, arguments.n, arguments.seed))
    if arguments.json:
        options.print_json(
            {
                "run": str(arguments.path),
                "step": trained.gan.step,
                **dataclasses.asdict(scores),
                "missing": scores.missing,
            }
        )
    else:
        _print(arguments.path, trained.gan.step, scores)
    return 0


def _print(path: Path, step: int, scores: Scores) -> None:
    print(f"{scores.pictures:,} samples of {path}, step {step:,}")
    print(f"classifier's accuracy on held-out real digits  {scores.held_out_accuracy:7.1%}")
    print(f"its mean confidence on the samples             {scores.mean_confidence:7.1%}")
    print(f"its mean confidence on held-out real digits    {scores.real_confidence:7.1%}")
    print("digit  " + "".join(f"{digit:>7}" for digit in range(10)))
    print("share  " + "".join(f"{share:7.1%}" for share in scores.shares))
    if scores.missing:
        print(f"rare or missing (below {SMALLEST_SHARE:.0%}): {', '.join(map(str, scores.missing))}")
    else:
        print(f"all ten digits are present (each at least {SMALLEST_SHARE:.0%})")
