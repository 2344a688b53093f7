"""Pairs of a picture and a condition computed from it: what is held out, what is shown, and the evaluation."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.idx_files import idx

from minigan.core.errors import UsageError
from minigan.data import Dataset
from minigan.data.held_out import HeldOutDataset, with_held_out
from minigan.domains import EvaluationRequest
from minigan.domains.holes import HoleDomain, centre_box, filled, hole_of, random_boxes, with_hole
from minigan.domains.low_resolution import LowResolutionDomain, enlarged, shrunk
from minigan.training.trained_run import samples_of_seed

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
SMALLER = LowResolutionDomain((8, 8, 1))
HOLES = HoleDomain((8, 8, 1))


def options(**settings: Any) -> Any:
    settings = {"batch_size": 6, "scale": 2, "hole": "random", **settings}
    return SimpleNamespace(
        recipe="pairs", settings=settings, seed=3, dtype="float32", data_dir=None, download=False, strict=False
    )


def idx_folder(folder: Path, *, test: bool) -> Path:
    folder.mkdir()
    (folder / "train-images").write_bytes(idx(PICTURES[:30, ..., 0]))
    if test:
        (folder / "t10k-images").write_bytes(idx(PICTURES[30:, ..., 0]))
    return folder


def request_for(data: HeldOutDataset, sample: Any, **settings: Any) -> EvaluationRequest:
    gan = SimpleNamespace(generator_optimizer=SimpleNamespace(parameters=[SimpleNamespace(dtype=np.dtype("float32"))]))
    return EvaluationRequest(
        sample=sample, gan=gan, settings=options(**settings).settings, load=lambda: data, count=None, seed=1,
        data_dir=None, run="run", computed_by={}, progress=lambda title: contextlib.nullcontext(lambda *_: None),
    )  # fmt: skip


# What is held out.


def test_a_test_set_is_held_out_if_there_is_one(tmp_path):
    run = options()
    run.data_dir = str(idx_folder(tmp_path / "both", test=True))
    data = SMALLER.load(run, progress=False)
    np.testing.assert_array_equal(data.images, PICTURES[:30])
    np.testing.assert_array_equal(data.held_out.images, PICTURES[30:])
    assert data.matches(data.describe())


def test_else_the_last_tenth_is_and_no_batch_has_any_of_it(tmp_path):
    run = options()
    run.data_dir = str(idx_folder(tmp_path / "one", test=False))
    data = SMALLER.load(run, progress=False)
    np.testing.assert_array_equal(np.concatenate([data.images, data.held_out.images]), PICTURES[:30])
    assert len(data.held_out) == 3
    batch = SMALLER.batches(data, run)
    seen = np.concatenate([SMALLER.present(batch(step)[0].numpy()) for step in range(20)])
    assert not (seen[:, None] == data.held_out.images).all(axis=(2, 3, 4)).any()


def test_one_picture_cannot_be_split():
    with pytest.raises(UsageError, match="expected at least 2"):
        with_held_out(Dataset(PICTURES[:1]), None)
    assert len(with_held_out(Dataset(PICTURES[:2]), None).held_out) == 1


# Pairs.


@pytest.mark.parametrize("domain", [SMALLER, HOLES])
def test_batches_are_pairs_and_a_pure_function_of_the_step(domain):
    data, run = with_held_out(Dataset(PICTURES), None), options()
    (x, y), (again_x, again_y) = domain.batches(data, run)(5), domain.batches(data, run)(5)
    np.testing.assert_array_equal(x.numpy(), again_x.numpy())
    np.testing.assert_array_equal(y.numpy(), again_y.numpy())
    assert x.shape == (6, 8, 8, 1)
    assert domain.noise_condition(6, run.settings, RNG, "float64").shape == y.shape
    shown = domain.showing(data, run)
    np.testing.assert_array_equal(shown.shown_condition, domain.showing(data, run).shown_condition)
    assert shown.draw(shown.shown.truth).shape[2] == 1
    assert domain.sample_condition(3, 1, run.settings, lambda: data).shape == (3, *y.shape[1:])
    with pytest.raises(UsageError, match="knows no classes"):
        domain.sample_condition(3, 1, run.settings, lambda: data, label=4)


def test_shrinking_undoes_enlarging_by_repeating_pixels_and_keeps_the_mean():
    small = shrunk(PICTURES, 2)
    np.testing.assert_array_equal(shrunk(enlarged(small, 2, "nearest"), 2), small)
    exact = PICTURES.reshape(40, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    assert abs(small - exact).max() <= 0.5
    assert enlarged(small.repeat(3, axis=3), 2, "bicubic").shape == (40, 8, 8, 3)
    with pytest.raises(ValueError, match="cannot be divided"):
        shrunk(PICTURES, 3)


def test_a_hole_hides_its_pixels_and_only_these():
    hole = random_boxes(40, 8, 8, RNG)
    conditions = with_hole(PICTURES, hole)
    np.testing.assert_array_equal(hole_of(conditions), hole)
    np.testing.assert_array_equal(filled(conditions, PICTURES), PICTURES)
    assert (conditions[..., 0][hole] == 128).all()
    sides = hole.any(axis=2).sum(axis=1), hole.any(axis=1).sum(axis=1)
    assert (sides[0] * sides[1] == hole.sum(axis=(1, 2))).all(), "each is a box"
    assert {int(side) for side in np.concatenate(sides)} == {2, 3, 4}
    np.testing.assert_array_equal(np.flatnonzero(centre_box(28, 9).any(axis=1)), np.arange(7, 21))
    other = with_hole(np.where(hole[..., None], 255 - PICTURES, PICTURES), hole)
    np.testing.assert_array_equal(conditions, other)


@pytest.mark.parametrize(
    ("domain", "settings", "words"),
    [
        (SMALLER, {"scale": 3}, "expected 2, 4 or 8"),
        (LowResolutionDomain((12, 12, 1)), {"scale": 8}, "cannot be divided"),
        (HOLES, {"hole": "center"}, "did you mean 'centre'"),
        (HoleDomain((2, 2, 1)), {}, "too small"),
    ],
)
def test_impossible_settings_are_refused(domain, settings, words):
    with pytest.raises(UsageError, match=words):
        domain.check_settings(options(**settings).settings)


# Evaluation.


def test_the_figures_of_a_perfect_generator_and_of_one_that_is_off_by_a_constant():
    dark = Dataset(PICTURES // 2)
    data = with_held_out(dark, dark[:5])
    for error, psnr in ((0, 10 * np.log10(12 * 255**2)), (10, 20 * np.log10(25.5))):
        evaluation = SMALLER.evaluate(request_for(data, lambda *_, e=error: data.held_out.images + np.uint8(e)))
        assert evaluation.facts["psnr"] == pytest.approx(psnr)
        assert evaluation.facts["sharpness"] == pytest.approx(1)
        assert evaluation.facts["pictures"] == 5
        assert evaluation.facts["psnr_bicubic"] < 30
        assert "accuracy" not in evaluation.facts
        assert evaluation.pictures["comparison"].dtype == np.uint8


def test_a_hole_is_measured_in_the_hole_and_the_nearest_example_may_be_the_truth():
    data = with_held_out(Dataset(PICTURES), Dataset(PICTURES[:4]))
    facts = HOLES.evaluate(request_for(data, lambda *_: data.held_out.images, hole="centre")).facts
    assert facts["psnr_nearest"] == facts["psnr"] == pytest.approx(10 * np.log10(12 * 255**2))
    hole, mean = centre_box(8, 8), np.rint(PICTURES.mean(axis=0)).astype(np.uint8)
    errors = [np.mean((picture[hole].astype(float) - mean[hole]) ** 2) for picture in PICTURES[:4]]
    assert facts["psnr_mean"] == pytest.approx(np.mean(10 * np.log10(255**2 / np.array(errors))))


def test_recognised_is_what_the_classifier_gives_the_label_of_the_truth(monkeypatch):
    class Brightness:
        classes = (3, 8)

        def probabilities(self, pictures: np.ndarray) -> np.ndarray:
            bright = pictures.mean(axis=(1, 2, 3)) / 255
            return np.stack([1 - bright, bright], axis=1)

    monkeypatch.setattr(EvaluationRequest, "classifier", lambda self, data: Brightness())
    images = np.repeat([10, 20, 240, 230], 64).reshape(4, 8, 8, 1).astype(np.uint8)
    data = with_held_out(Dataset(images, [3, 3, 8, 8]), Dataset(images, [3, 3, 8, 8]))
    facts = SMALLER.evaluate(request_for(data, lambda *_: images[[0, 2, 2, 1]])).facts
    assert facts["accuracy"] == 0.5
    assert facts["accuracy_truth"] == facts["accuracy_nearest"] == 1


def test_samples_are_drawn_for_the_conditions_of_the_evaluation():
    from minigan import recipes

    domain = replace(SMALLER, shape=(8, 8, 1))
    gan = recipes.get("mnist-sr").build(shape=(8, 8, 1), scale=2, generator_widths=[3, 3], discriminator_widths=[3])
    for parameter in gan.generator.parameters().values():
        parameter.assign(np.zeros(parameter.shape))
    data = with_held_out(Dataset(PICTURES), None)
    request = request_for(data, lambda count, seed, condition: samples_of_seed(gan, domain, count, seed, condition))
    facts = domain.evaluate(replace(request, gan=gan)).facts
    assert facts["psnr"] == facts["psnr_nearest"], "without a residue it repeats the pixels"
