"""Runs on points of the plane, from the command line, and their pictures."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan import cli, recipes
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data import mixtures
from minigan.data.points import Points
from minigan.domains import PointDomain
from minigan.figures import density_map
from minigan.metrics.density import KernelDensity, comparable_estimates
from minigan.metrics.modes import score_samples
from minigan.training.trained_run import draw_samples, load_run

NAMES = [name for name, recipe in recipes.RECIPES.items() if isinstance(recipe.domain, PointDomain)]
TINY = ["--set", "generator_widths=8", "--set", "discriminator_widths=8", "--set", "batch_size=16", "--quiet"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(*arguments: str) -> int:
    return cli.main(["train", *arguments, *TINY])


def rows(run: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def test_every_distribution_has_a_recipe():
    assert set(mixtures.TARGETS) <= set(NAMES)
    assert recipes.get("ring").settings == recipes.get("grid").settings  # one recipe, fixed for both


@pytest.mark.parametrize("name", NAMES)
def test_a_run_leaves_its_pictures_and_figures(name, capsys):
    assert train(name, "--steps", "20", "--sample-every", "10", "--out", "run") == 0
    for file in ("config.json", "checkpoint.safetensors", "losses.png", "contours.png", "samples/step_000020.png"):
        assert Path("run", file).stat().st_size > 0
    with Image.open("run/samples.gif") as film:
        assert film.n_frames == 3
    sampled = [row for row in rows("run") if row["step"] in (10, 20)]
    figures = {"log_density"} if name == "swiss-roll" else {"modes", "high_quality", "reverse_kl"}
    assert all(figures <= row.keys() for row in sampled)
    assert cli.main(["sample", "run", "--n", "7", "--out", "seven.npz"]) == 0
    points = np.load("seven.npz")["points"]
    assert points.shape == (7, 2) and np.isfinite(points).all()
    np.testing.assert_allclose(points, draw_samples(load_run(Path("run")), 7, seed=1), rtol=1e-5)
    assert cli.main(["sample", "run"]) == 0 and Path("run/samples-1.png").is_file()
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--n", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["wasserstein2"] > found["wasserstein2_floor"] > 0
    if name != "swiss-roll":
        drawn = draw_samples(load_run(Path("run")), 100, seed=1)
        scores = score_samples(drawn, mixtures.get(name.removesuffix("-plain")))
        assert (found["pacgan"]["covered"], found["pacgan"]["samples"]) == (scores.covered, 100)
        assert found["strict"]["samples"] == 1000


def test_progress_says_how_many_modes(capsys):
    assert cli.main(["train", "ring", *TINY[:-1], "--steps", "10", "--sample-every", "5", "--out", "run"]) == 0
    told = capsys.readouterr()
    assert "step 5:" in told.err and "modes" in told.err and "of high quality" in told.err
    assert "run/contours.png" in told.out and "minigan evaluate run" in told.out
    assert "points of 'ring' (8 Gaussians, sigma 0.01)" in told.err


def test_what_goes_wrong_is_told_on_the_way_and_kept(capsys):
    """A Wasserstein critic that nothing constrains."""
    wrong = ["--set", "loss=wasserstein", "--set", "penalty=none", "--set", "rate=0.05", "--set", "generator_rate=1e-5"]
    assert cli.main(["train", "ring", *TINY[:-1], *wrong, "--steps", "400", "--out", "run"]) == 0
    kept = [finding for row in rows("run") for finding in row.get("diagnosis", [])]
    assert kept and kept[0].startswith("exploding-gradient: ") and "constrain it" in kept[0]
    assert f"{kept[0]}." in capsys.readouterr().err


def test_a_penalty_under_batch_norm_is_warned_of_in_a_sentence(capsys):
    arguments = ["--set", "generator_widths=4,4", "--set", "discriminator_widths=4,4", "--set", "batch_size=4"]
    arguments += ["--set", "generator_dense=4", "--set", "discriminator_dense=4", "--set", "penalty=r1"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli.main(["train", "mnist-dcgan", *arguments, "--steps", "1", "--out", "run"]) == 0
    assert "minigan: the discriminator has batch norm" in capsys.readouterr().err


def test_a_stopped_run_ends_with_the_same_bits(monkeypatch):
    steps = ["--steps", "30", "--checkpoint-every", "10", "--log-every", "1"]
    assert train("grid", *steps, "--out", "straight") == 0
    assert train("grid", *steps, "--out", "halted") == 0
    # as after a crash: the last checkpoint is of step 10, the records go further
    from minigan.training import checkpoint, load_config
    from minigan.training.trained_run import untrained_gan

    gan = untrained_gan(load_config(Path("halted/config.json")), (2,))
    data = Points(mixtures.get("grid"))
    for step in range(10):
        gan.train_step(data.batch(16, 0, step, "float32"))
    checkpoint.save(Path("halted/checkpoint.safetensors"), gan.state(), "grid")
    assert cli.main(["train", "--resume", "halted", "--quiet"]) == 0
    for file in ("metrics.jsonl", "checkpoint.safetensors", "samples/step_000030.png"):
        assert (Path("halted") / file).read_bytes() == (Path("straight") / file).read_bytes()


def test_the_length_of_a_scheduled_run_is_fixed(capsys):
    assert train("ring", "--steps", "4", "--out", "run") == 0
    capsys.readouterr()
    assert cli.main(["train", "--resume", "run", "--steps", "8"]) == 2
    assert "its settings are laid out over 4 steps; start a new run" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--data-dir", "."], ["--download"]])
def test_points_take_no_data(option, capsys):
    assert train("ring", *option) == 2
    assert f"takes no data; leave {option[0]} out" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_evaluate_needs_no_data_for_points(capsys):
    assert train("ring", "--steps", "2", "--out", "run") == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--data-dir", "."]) == 2
    assert "leave --data-dir out" in capsys.readouterr().err


def test_a_dry_run_describes_points(capsys):
    assert cli.main(["train", "grid", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "points of 'grid' (25 Gaussians, sigma 0.05)" in told and "FourierFeatures(2, 64)" in told


def test_batches_are_the_distribution_at_unit_scale_and_a_function_of_seed_and_step():
    data = Points(mixtures.get("grid"))
    batch = data.batch(50_000, 3, 7, "float64").numpy()
    assert np.sqrt((batch**2).mean()) == pytest.approx(1, rel=0.01)
    assert score_samples(batch * data.scale, data.target).high_quality == pytest.approx(0.9889, abs=0.002)
    np.testing.assert_array_equal(batch, data.batch(50_000, 3, 7, "float64").numpy())
    assert not np.array_equal(batch, data.batch(50_000, 3, 8, "float64").numpy())


def test_the_plain_recipes_see_points_as_they_are():
    assert recipes.get("grid-plain").domain.points.scale == 1
    assert recipes.get("grid").domain.points.scale == pytest.approx(np.sqrt(8 + 0.05**2), rel=0.02)


def test_places_are_uniform_on_a_square_and_the_network_moves_them():
    gan = recipes.get("grid").build(dtype="float64")
    latent = gan.latent(40_000, "test")
    moved = gan.generator(latent).numpy()
    last = list(gan.generator.parameters().values())[-2]
    assert last.shape == (96, 2)
    last.assign(np.zeros(last.shape))
    places = gan.generator(latent).numpy()
    assert np.abs(places).max() <= np.sqrt(3)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose([(places**2).mean(), (places**4).mean()], [1, 9 / 5], rtol=0.02)
    assert 0.01 < np.abs(moved - places).mean() < 0.5  # at first only a little


def test_other_distributions_have_other_fingerprints():
    prints = {Points(target).sha256 for target in (*mixtures.TARGETS.values(), mixtures.ring(sigma=0.02))}
    assert len(prints) == len(mixtures.TARGETS) + 1


def ring_map():
    ring = mixtures.get("ring")
    return density_map.DensityMap(ring.box, ring.log_density)


def test_points_appear_where_they_are():
    chart = ring_map()
    empty, full = (chart.with_points(np.array(points).reshape(-1, 2)) for points in ([], [[1.0, 0.0], [0.0, 1.0]]))
    changed = np.argwhere((empty != full).any(axis=2))
    right, top = changed[changed[:, 1].argmax()], changed[changed[:, 0].argmin()]
    middle = len(full) / 2
    assert right[1] > 1.4 * middle and abs(right[0] - middle) < 3
    assert top[0] < 0.6 * middle and abs(top[1] - middle) < 3
    bright = empty.mean(axis=2)
    assert bright[int(middle), int(middle)] > bright[right[0], right[1]]  # the data lie on the ring, not in its middle


def test_points_far_away_lie_on_the_border():
    chart = ring_map()
    picture, empty = chart.with_points(np.array([[1e9, -1e9], [np.nan, 0]])), chart.with_points(np.empty((0, 2)))
    rows_, columns = np.argwhere((picture != empty).any(axis=2)).T
    assert rows_.max() == len(picture) - 1 and columns.max() == len(picture) - 1


@pytest.mark.parametrize(
    "samples",
    [
        random.generator(0, "test").standard_normal((300, 2)),
        np.zeros((300, 2)),  # collapsed
        np.full((2, 2), 1e9),  # far from the data: there is no contour to draw
    ],
)
def test_contours_are_written_for_any_samples(samples):
    target = mixtures.get("two-gaussians")
    estimates = comparable_estimates(target, samples)
    panels = [density_map.Contours("a title", of.samples, of.on_grid) for of in estimates]
    density_map.save_contours(Path("contours.png"), target.box, panels)
    with Image.open("contours.png") as picture:
        assert picture.width > 800


def test_samples_that_are_not_finite_have_no_density():
    with pytest.raises(UsageError, match="not finite in 1 of 3 rows"):
        comparable_estimates(mixtures.get("ring"), np.array([[0, 0], [0, np.nan], [1, 1]]))


def test_the_density_on_a_grid_is_that_at_its_points():
    estimate = KernelDensity(random.generator(0, "test").standard_normal((50, 2)), 0.3)
    x, y = np.linspace(-2, 1, 7), np.linspace(-1, 3, 5)
    meet = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)
    np.testing.assert_allclose(estimate.on_grid(x, y), estimate.density(meet).reshape(5, 7), rtol=1e-12)


def test_the_densities_of_data_and_samples_are_estimated_alike():
    """From as many points, by one bandwidth: a perfect generator must not look worse than the data."""
    ring = mixtures.get("ring")
    samples = ring.sample(400, random.generator(5, "test"))
    of_data, of_samples = comparable_estimates(ring, samples)
    assert len(of_data.samples) == len(of_samples.samples) == 400
    assert of_data.bandwidth == of_samples.bandwidth
    assert score_samples(of_data.samples, ring).covered == 8
    np.testing.assert_array_equal(of_samples.samples, samples)


# Settings that all recipes have in common


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "wasserstein", "penalty": "wgan-gp", "n_critic": 5, "beta1": 0.0},
        {"loss": "wasserstein", "optimizer": "rmsprop", "weight_limit": 0.01, "n_critic": 5, "penalty": "none"},
        {"loss": "hinge", "spectral_norm": 1, "penalty": "none", "generator_rate": 1e-4},
        {"loss": "non-saturating", "label_smoothing": 0.1, "instance_noise": 0.2, "latent": "normal"},
        {"loss": "minimax", "optimizer": "sgd", "simultaneous": 1, "gradient_limit": 1.0},
        {"loss": "non-saturating", "packing": 2, "unroll_steps": 2, "rate_schedule": "linear"},
        {"loss": "relativistic-average", "penalty": "dragan", "penalty_every": 2, "penalty_anneal": 0.0},
    ],
    ids=lambda changes: "+".join(changes),
)
@pytest.mark.parametrize("name", ["ring", "mnist-mlp", "mnist-dcgan-upsample"])
def test_every_common_setting_trains_every_kind_of_recipe(name, changes):
    small: dict[str, Any] = {"generator_widths": [8], "discriminator_widths": [8], "batch_size": 4}
    if name == "mnist-dcgan-upsample":
        small |= {"generator_widths": [4, 3, 2], "discriminator_widths": [2, 3, 4]}
    gan = recipes.get(name).build(steps=3, **small | changes)
    rng = np.random.default_rng(0)
    shape = {"ring": (2,), "mnist-mlp": (784,), "mnist-dcgan-upsample": (28, 28, 1)}[name]
    before = gan.state()
    for _ in range(3):
        gan.train_step(rng.uniform(-1, 1, (4 * gan.rules.n_critic, *shape)).astype(np.float32))
    assert gan.first_nonfinite_gradient() is None
    for key, value in gan.state().items():
        assert np.isfinite(value).all(), key
        if key.startswith(("generator.", "discriminator.")) and key.endswith("weight"):
            assert not np.array_equal(value, before[key]), key
    if limit := changes.get("weight_limit"):
        assert max(np.abs(p.numpy()).max() for p in gan.discriminator.parameters().values()) <= limit * (1 + 1e-6)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"optimizer": "adamm"}, "no optimizer 'adamm'; did you mean 'adam'"),
        ({"rate_schedule": "cosin"}, "no rate_schedule 'cosin'; did you mean 'cosine'"),
        ({"penalty": "r3"}, "no penalty 'r3'"),
        ({"latent": "gauss"}, "no latent distribution 'gauss'"),
        ({"packing": 5}, "batch size 192 is no multiple of packing 5"),
        ({"spectral_norm": 2}, "spectral_norm is 2, expected 0 (off) or 1 (on)"),
        ({"label_smoothing": 0.1}, "'relativistic-pairing' uses no labels"),
        ({"penalty_anneal": 2}, "penalty_anneal is 2.0, expected a share of the run"),
        ({"n_critic": 0}, "n_critic is 0, expected a whole number of at least 1"),
        ({"generator_widths": ""}, "must be a list of whole numbers"),
        ({"latent": "square"}, "there is no latent distribution 'square'; known: logistic, normal, uniform"),
        ({"latent": "norml"}, "there is no latent distribution 'norml'; did you mean 'normal'?"),
    ],
)
def test_settings_that_make_no_sense_are_told_in_a_sentence(changes, part):
    with pytest.raises(UsageError) as caught:
        recipes.get("ring").build(**changes)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith(("..", "?."))
