"""Measure a run's samples: pictures with a classifier of its data, points against the distribution they came from."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
from pathlib import Path
from typing import Any

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.cli.sample_limits import require_memory
from minigan.core import backend, random
from minigan.core.errors import UsageError, escaped
from minigan.data import Dataset
from minigan.data.folder import idx_within
from minigan.metrics import Classifier, ClassifierScores, classifier_cache, modes
from minigan.metrics.two_sample import classifier_two_sample_test, maximum_mean_discrepancy, wasserstein2
from minigan.training import RunConfig, RunFolder
from minigan.training.config import versions
from minigan.training.form import PointForm
from minigan.training.source import load_again
from minigan.training.trained import TrainedRun, draw_samples, load_run

_PICTURES = 10_000
_COLUMNS = 10
_COMPARED = 1_000  # points: the best pairing of so many takes half a second


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan evaluate`."""
    options.add_run_argument(parser)
    options.add_checkpoint_argument(parser, "measure")
    options.add_count_arguments(parser, None, "10,000 pictures, or points by PacGAN's protocol")
    parser.add_argument("--data-dir", type=Path, help="where the data of the run are now (default: where they were)")
    options.add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure the samples of the run, and print what is found."""
    options.require_valid_counts(arguments)
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads, arguments.quiet)
    trained = load_run(arguments.path, arguments.checkpoint)
    if isinstance(trained.form, PointForm):
        if arguments.data_dir:
            raise UsageError(f"{arguments.path} draws its points from a known distribution; leave --data-dir out.")
        return _evaluate_points(trained, trained.form, arguments)
    return _evaluate_pictures(trained, arguments)


def _evaluate_points(trained: TrainedRun, form: PointForm, arguments: argparse.Namespace) -> int:
    """By PacGAN's protocol if there are modes, on so many samples and strictly on ten times as many; and by tests that
    compare two samples of any distribution."""
    require_memory(form, arguments.n or 0, times=10)
    target, n, seed = form.data.target, arguments.n or modes.SAMPLES, arguments.seed
    few = draw_samples(trained, min(n, _COMPARED), seed)
    rng = random.generator(seed, "real points")
    real, other = target.sample(len(few), rng), target.sample(len(few), rng)
    comparisons = [maximum_mean_discrepancy(real, few), classifier_two_sample_test(real, few)] if len(few) > 20 else []
    found: dict[str, Any] = {"run": str(arguments.path), "step": trained.gan.step}
    lines = [escaped(f"samples of {arguments.path}, step {trained.gan.step:,}")]
    if len(target.modes):
        strict = arguments.n * 10 if arguments.n else modes.STRICT_SAMPLES
        drawn = (draw_samples(trained, count, seed + i) for i, count in enumerate((n, strict)))
        report = modes.ModeReport(*(modes.score_samples(points, target) for points in drawn))
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
    return SUCCESS


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


def _evaluate_pictures(trained: TrainedRun, arguments: argparse.Namespace) -> int:
    """By a classifier trained here on the labels of the run's own data."""
    require_memory(trained.form, arguments.n or 0)
    classifier = _trained_classifier(_labelled_data(trained.config, arguments), arguments.quiet)
    scores = classifier.score(draw_samples(trained, arguments.n or _PICTURES, arguments.seed))
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
    return SUCCESS


def _labelled_data(config: RunConfig, arguments: argparse.Namespace) -> Dataset:
    """What the run was trained on; raises UsageError if it has no labels."""
    if arguments.data_dir:
        config = dataclasses.replace(config, data_dir=str(arguments.data_dir.absolute()), download=False)
    where = config.data_dir
    if not where or not os.path.isdir(where) or idx_within(Path(where)):  # else it holds pictures, which have none
        data = load_again(config, RunFolder(arguments.path), progress=not arguments.quiet)
        assert isinstance(data, Dataset)
        if data.labels is not None:
            return data
    raise UsageError(
        f"evaluate asks a classifier that learns from the labels of the run's data, and {where} has none; look at the "
        f"pictures with minigan sample {arguments.path}, or put a file of labels beside IDX files."
    )


def _trained_classifier(data: Dataset, quiet: bool) -> Classifier:
    """From the cache, if it has been trained here before."""
    classifier = Classifier(data)
    made_by = {**versions(), "backend": backend.current().name, "kernels": backend.current().kernels}
    if classifier_cache.load(classifier, made_by):
        return classifier
    with options.progress_bar(quiet, desc="training a classifier", unit="step") as bar:

        def progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        classifier.train(progress)
    classifier_cache.save(classifier, made_by)
    return classifier


def _print(path: Path, step: int, scores: ClassifierScores) -> None:
    options.print_line(f"{scores.pictures:,} samples of {path}, step {step:,}")
    print(f"classifier's accuracy on held-out real pictures  {scores.held_out_accuracy:7.1%}")
    print(f"its mean confidence on the samples               {scores.mean_confidence:7.1%}")
    print(f"its mean confidence on held-out real pictures    {scores.real_confidence:7.1%}")
    for start in range(0, len(scores.classes), _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        print("class  " + "".join(f"{label:>7}" for label in scores.classes[columns]))
        print("share  " + "".join(f"{share:7.1%}" for share in scores.shares[columns]))
    least = f"{100 * scores.smallest_share:.2g}%"
    if scores.missing:
        print(f"rare or missing (below {least}): {', '.join(map(str, scores.missing))}")
    else:
        print(f"all {len(scores.classes)} classes are present (each at least {least})")
