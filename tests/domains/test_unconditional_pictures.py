"""Coloured digits, stacked digits, faces and digits with a critic: what their evaluations measure, on known samples."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from support.runs import write_photos

from minigan import cli
from minigan.data import Dataset
from minigan.data.coloured import COLOURS, colour_numbers, coloured
from minigan.data.stacked import StackedDigits
from minigan.domains import (
    ColouredDigitDomain,
    EvaluationRequest,
    FaceDomain,
    StackedDigitDomain,
    WassersteinDigitDomain,
)
from minigan.domains.coloured_digits import in_one_colour, nearest_colours
from minigan.domains.faces import between_halves
from minigan.domains.stacked_digits import stack_numbers
from minigan.domains.wasserstein_digits import critic_series

RNG = np.random.default_rng(0)
BARS = np.zeros((120, 6, 10, 1), np.uint8)  # digit k: column k is bright
BARS[np.arange(120), :, np.arange(120) % 10] = 255
DIGITS = Dataset(BARS, np.arange(120) % 10)


class Judge:
    """A classifier that knows the bars: the class is the brightest column."""

    classes: ClassVar = list(range(10))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return images[..., 0].sum(axis=1) / np.maximum(1, images[..., 0].sum(axis=(1, 2)))[:, None]


def request(samples: np.ndarray, data: Any, rows: list[dict[str, float]] | None = None) -> EvaluationRequest:
    """A request whose samples are these, repeated as often as is needed."""
    return EvaluationRequest(
        sample=lambda count, seed, condition=None: samples[np.arange(count) % len(samples)],
        gan=SimpleNamespace(),  # type: ignore[arg-type]
        settings={},
        load=lambda: data,
        count=len(samples),
        seed=1,
        data_dir=None,
        run="run",
        computed_by={},
        progress=lambda title: nullcontext(lambda done, total: None),
        rows=lambda: rows or [],
    )


# One colour.


def test_real_pictures_are_in_one_colour_and_mixtures_are_not() -> None:
    images = coloured(DIGITS).images
    assert in_one_colour(images).all()
    np.testing.assert_array_equal(nearest_colours(images), colour_numbers(len(images), 0))
    halves = np.concatenate([images[:60, :3], images[60:, 3:]], axis=1)  # the upper half of one, the lower of another
    same = colour_numbers(120, 0)[:60] == colour_numbers(120, 0)[60:]
    np.testing.assert_array_equal(in_one_colour(halves), same)
    assert same.any() and not same.all()


def test_grey_black_and_pale_pictures_are_in_no_colour() -> None:
    grey = np.repeat(BARS[:3], 3, axis=3)
    pale = np.where(grey > 0, np.array([255, 200, 200], np.uint8), 0)
    assert not in_one_colour(np.concatenate([grey, np.zeros_like(grey), pale.astype(np.uint8)])).any()


def test_the_tolerance_is_20_degrees_of_hue() -> None:
    def turned(degrees: float) -> np.ndarray:
        """A red picture, of which a tenth of the pixels has a hue so many degrees towards yellow."""
        picture = np.zeros((1, 10, 10, 3), np.uint8)
        picture[..., 0] = 255
        picture[:, 0, :, 1] = round(255 * degrees / 60)
        return picture

    assert in_one_colour(turned(15)) and not in_one_colour(turned(30))


# Stacks.


def test_the_number_of_a_stack_has_the_digits_of_its_channels() -> None:
    pictures, labels = StackedDigits(DIGITS).pictures(50, seed=3, step=0)
    np.testing.assert_array_equal(stack_numbers(Judge(), pictures), labels @ [100, 10, 1])  # type: ignore[arg-type]


def test_dropped_modes_of_stacks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvaluationRequest, "classifier", lambda self, data: Judge())
    data = StackedDigits(DIGITS)
    pictures, labels = data.pictures(9000, seed=8, step=4)
    few = pictures[labels[:, 0] < 2]
    facts = StackedDigitDomain((6, 10, 3)).evaluate(request(few, data)).facts
    assert facts["modes"] == len(np.unique(labels[labels[:, 0] < 2] @ [100, 10, 1])) <= 200
    assert facts["kl"] == pytest.approx(np.log(5), abs=0.15)
    assert facts["real_kl"] < 0.5 and facts["kl_floor"] == pytest.approx(999 / 2 / len(few))


# Faces.


def test_the_data_themselves_have_no_distance_and_noise_has() -> None:
    faces = Dataset(RNG.integers(0, 128, (60, 8, 8, 1), np.uint8))
    domain = FaceDomain((8, 8, 1), (-1.0, 1.0), flat=False)
    same = domain.evaluate(request(faces.images, faces)).facts
    noise = domain.evaluate(request(RNG.integers(0, 256, (60, 8, 8, 1), np.uint8), faces)).facts
    assert same["pca_frechet"] == pytest.approx(0, abs=1e-6) and same["components"] == 59
    assert noise["pca_frechet"] > 2 * noise["pca_frechet_floor"] > 0


def test_the_floor_is_the_distance_of_halves() -> None:
    features = RNG.normal(size=(4000, 2))
    assert 0 < between_halves(features, 1) < 0.01
    assert between_halves(features, 1) == between_halves(features, 1) != between_halves(features, 2)


def test_a_file_of_faces_is_trained_on_and_evaluated_at_the_end(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FaceDomain, "compare", lambda self, request: None)  # which has tests of its own
    np.save("faces_data.npy", RNG.uniform(-1, 1, (40, 20, 16, 3)))
    tiny = ["--set", "image_size=16", "--set", "generator_widths=2,2,2", "--set", "discriminator_widths=2,2"]
    train = ["train", "faces", "--steps", "2", "--set", "batch_size=4", *tiny, "--out", "run", "--quiet"]
    assert cli.main([*train, "--data-dir", "faces_data.npy"]) == 0
    scores, data = (json.loads(Path("run", name).read_text()) for name in ("scores.json", "config.json"))
    assert scores["pca_frechet"] > 0 and scores["pca_frechet_floor"] > 0 and scores["components"] == 39
    assert data["data"]["image_shape"] == [16, 16, 3] and data["data"]["changes"] == {"flip": True}
    assert cli.main(["train", "--resume", "run", "--steps", "3", "--quiet"]) == 0
    assert cli.main(["train", "faces", "--data-dir", "faces_data.npy", "--strict"]) == 2
    assert "is a file of arrays; leave it out" in capsys.readouterr().err


def test_flips_are_a_setting(tmp_path: Path, capsys: Any) -> None:
    write_photos(tmp_path / "photos")
    train = ["train", "faces", "--data-dir", str(tmp_path / "photos"), "--dry-run"]
    assert cli.main([*train, "--set", "flip=2"]) == 2
    assert "the setting 'flip' is 2, expected 0 (off) or 1 (on)" in capsys.readouterr().err


# The critic.


def test_the_series_of_the_critic_is_the_mean_between_pictures() -> None:
    rows = [
        {"step": 0, "kernel_distance": 9.0},
        {"step": 1, "discriminator_loss": -4.0}, {"step": 2, "discriminator_loss": -2.0, "kernel_distance": 0.5},
        {"step": 3, "discriminator_loss": -1.0, "kernel_distance": 0.25},
    ]  # fmt: skip
    np.testing.assert_array_equal(critic_series(rows), [[2, 3, 0.5], [3, 1, 0.25]])
    assert critic_series([]).shape == (0, 3)


def test_the_correlation_of_the_critic_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigan.domains import Evaluation, ImageDomain

    monkeypatch.setattr(ImageDomain, "evaluate", lambda self, request: Evaluation({"known": 1}, ["known"]))
    domain = WassersteinDigitDomain((6, 10, 1), (-1.0, 1.0), flat=False)
    rows = [{"step": step, "discriminator_loss": -1.0 / step, "kernel_distance": 1.0 / step**2} for step in range(1, 6)]
    evaluation = domain.evaluate(request(BARS, DIGITS, rows))
    assert evaluation.facts["known"] == 1 and evaluation.facts["critic_correlation"] == pytest.approx(1)
    assert evaluation.facts["critic_points"] == 5 and evaluation.pictures["critic"].shape[2] == 3
    few = domain.evaluate(request(BARS, DIGITS, rows[:2]))
    assert "critic_correlation" not in few.facts and "2 pictures of progress, too few" in few.lines[-1]


def test_samples_are_compared_with_real_pictures() -> None:
    domain = WassersteinDigitDomain((6, 10, 1), (-1.0, 1.0), flat=False)
    assert domain.measure(BARS) == {}  # without data
    shown = domain.showing(DIGITS, None)  # type: ignore[arg-type]
    assert shown == domain and shown.real is not None
    assert shown.measure(BARS)["kernel_distance"] == pytest.approx(0, abs=0.01)
    assert shown.measure(np.zeros_like(BARS))["kernel_distance"] > 0.02


# Coloured digits in all.


def test_coloured_digits_are_judged_by_digit_and_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scorer(Judge):
        def score(self, images: np.ndarray) -> Any:
            from minigan.metrics import ClassifierScores

            shares = np.bincount(self.probabilities(images).argmax(axis=1), minlength=10) / len(images)
            return ClassifierScores(1.0, self.classes, [float(s) for s in shares], 1.0, 1.0, len(images))

    seen: list[Dataset] = []
    monkeypatch.setattr(EvaluationRequest, "classifier", lambda self, data: seen.append(data) or Scorer())
    data = coloured(DIGITS)
    facts = ColouredDigitDomain((6, 10, 3), (-1.0, 1.0), flat=False).evaluate(request(data.images, data)).facts
    np.testing.assert_array_equal(seen[0].images, DIGITS.images)  # the classifier learns from the grey digits
    assert facts["one_colour"] == facts["one_colour_real"] == 1 and facts["shares"] == [0.1] * 10
    assert sum(facts["colour_shares"]) == pytest.approx(1) and len(facts["colour_shares"]) == len(COLOURS)
