"""Measure a run's samples: digits with a classifier trained here, points against the distribution they came from."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any

from minigan import random
from minigan.commands import options
from minigan.commands.room import require_room
from minigan.data import in_words, load
from minigan.data.mnist import IMAGE_SHAPE
from minigan.errors import UsageError
from minigan.metrics import DigitClassifier, Scores, modes
from minigan.metrics.digits import SMALLEST_SHARE
from minigan.metrics.samples import classifier_two_sample_test, maximum_mean_discrepancy, wasserstein2
from minigan.training.form import PointForm
from minigan.training.trainer import TrainedRun, draw_samples, load_run

_DIGITS = 10_000
_COMPARED = 1_000  # points: the best pairing of so many takes half a second


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan evaluate`."""
    options.add_run_argument(parser)
    options.add_count_arguments(parser, None, "10,000 digits, or points by PacGAN's protocol")
    options.add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure the samples of the run, and print what is found."""
    options.check_counts(arguments)
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads, arguments.quiet)
    trained = load_run(arguments.path)
    if isinstance(trained.form, PointForm):
        return _evaluate_points(trained, trained.form, arguments)
    height, width, channels = trained.form.shape
    if (height, width, channels) != IMAGE_SHAPE:
        raise UsageError(
            f"evaluate judges points, and digits, {in_words(IMAGE_SHAPE)}, but {arguments.path} makes pictures "
            f"{in_words((height, width, channels))}; look at them with minigan sample."
        )
    return _evaluate_digits(trained, arguments)


def _evaluate_points(trained: TrainedRun, form: PointForm, arguments: argparse.Namespace) -> int:
    """By PacGAN's protocol if there are modes, on so many samples and strictly on ten times as many; and by tests that
    compare two samples of any distribution."""
    require_room(form, arguments.n or 0, times=10)
    target, n, seed = form.data.target, arguments.n or modes.SAMPLES, arguments.seed
    few = draw_samples(trained, min(n, _COMPARED), seed)
    rng = random.generator(seed, "real points")
    real, other = target.sample(len(few), rng), target.sample(len(few), rng)
    comparisons = [maximum_mean_discrepancy(real, few), classifier_two_sample_test(real, few)] if len(few) > 20 else []
    found: dict[str, Any] = {"run": str(arguments.path), "step": trained.gan.step}
    lines = [f"samples of {arguments.path}, step {trained.gan.step:,}"]
    if len(target.modes):
        strict = arguments.n * 10 if arguments.n else modes.STRICT_SAMPLES
        report = modes.ModeReport(
            *(modes.score(draw_samples(trained, count, seed + i), target) for i, count in enumerate((n, strict)))
        )
        found |= {"pacgan": _figures(report.pacgan), "strict": _figures(report.strict)}
        lines.append(str(report))
    distance, floor = wasserstein2(real, few), wasserstein2(real, other)
    found |= {"wasserstein2": distance, "wasserstein2_floor": floor, "compared": len(few)}
    lines += [f"{len(few):,} samples", f"  Wasserstein-2    {distance:.4f} (floor, real against real: {floor:.4f})"]
    for comparison in comparisons:
        found[comparison.name] = dataclasses.asdict(comparison)
        lines.append(f"  {comparison}")
    if arguments.json:
        options.print_json(found)
    else:
        print("\n".join(lines))
    return 0


def _figures(scores: modes.ModeScores) -> dict[str, Any]:
    low, high = scores.sigma_range
    return {
        "samples": scores.samples,
        "modes": scores.modes,
        "covered": scores.covered,
        "strictly_covered": scores.strictly_covered,
        "high_quality": scores.high_quality,
        "reverse_kl": None if math.isnan(scores.reverse_kl) else scores.reverse_kl,
        "sigma_ratios": [None if math.isnan(ratio) else min(ratio, 1e308) for ratio in (low, high)],
    }


def _evaluate_digits(trained: TrainedRun, arguments: argparse.Namespace) -> int:
    """By a classifier trained here."""
    require_room(trained.form, arguments.n or 0)
    classifier = DigitClassifier(load())
    with options.bar(arguments.quiet, desc="training the digit classifier", unit="step") as bar:

        def progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        classifier.train(progress)
    scores = classifier.score(draw_samples(trained, arguments.n or _DIGITS, arguments.seed))
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
