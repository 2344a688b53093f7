"""minigan sample: paths between latent vectors, nearest training examples, real beside generated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import train_small

from minigan import cli
from minigan.data import mnist
from minigan.training.trained_run import draw_latents, draw_samples, load_run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return train_small(tmp_path_factory.mktemp("pictures") / "run")


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigan.figures.density_map.save_contours", lambda *_: None)
        return train_small(tmp_path_factory.mktemp("points") / "run", "ring")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def arrays(*arguments: str) -> dict[str, np.ndarray]:
    assert cli.main(["sample", *arguments, "--out", "x.npz"]) == 0
    with np.load("x.npz") as file:
        return dict(file)


def test_a_path_leads_from_one_latent_vector_of_the_seed_to_the_next(pictures):
    drawn = arrays(str(pictures), "--interpolate", "5", "--n", "15", "--seed", "3")
    run = load_run(pictures)
    ends = draw_latents(run, 4, 3)
    latent = drawn["latent"].reshape(3, 5, -1)
    np.testing.assert_allclose(latent[:, 0], ends[:3], rtol=1e-5)
    np.testing.assert_allclose(latent[:, -1], ends[1:], rtol=1e-5)
    of_seed = draw_samples(run, 4, 3)[..., 0]
    difference = drawn["images"].reshape(3, 5, 28, 28)[:, 0].astype(int) - of_seed[:3]
    assert abs(difference).max() <= 1  # kernels sum in another order in a batch of another size
    middle = np.linalg.norm(latent[:, 2], axis=1)
    assert (middle > 0.9 * np.minimum(np.linalg.norm(ends[:3], axis=1), np.linalg.norm(ends[1:], axis=1))).all()


def test_a_picture_of_paths_has_a_row_for_each(pictures):
    assert cli.main(["sample", str(pictures), "--interpolate", "5", "--out", "x.png"]) == 0
    with Image.open("x.png") as picture:
        assert picture.width * (8 * 30 + 2) == picture.height * (5 * 30 + 2)  # 8 rows of 5


def test_paths_of_points(points):
    drawn = arrays(str(points), "--interpolate", "7")
    assert drawn["points"].shape == (56, 2)
    latent = drawn["latent"].reshape(8, 7, -1)
    np.testing.assert_allclose(latent[:, 3], (latent[:, 0] + latent[:, -1]) / 2, atol=1e-6)  # they are logistic
    assert cli.main(["sample", str(points), "--interpolate", "7", "--out", "x.png"]) == 0


def test_the_nearest_training_examples_are_shown_with_their_distances(pictures, capsys):
    drawn = arrays(str(pictures), "--nearest", "3", "--n", "4")
    printed = capsys.readouterr().out
    data = mnist.embedded().images[..., 0].astype(float)
    np.testing.assert_array_equal(drawn["nearest"][..., 0], data[drawn["places"]])
    direct = np.sqrt(((data[None, :2000] - drawn["images"][:, None].astype(float)) ** 2).mean(axis=(2, 3)))
    assert (drawn["distances"][:, 0] <= direct.min(axis=1) + 1e-9).all()
    exact = np.sqrt(((data[drawn["places"]] - drawn["images"][:, None].astype(float)) ** 2).mean(axis=(2, 3)))
    np.testing.assert_allclose(drawn["distances"], exact)
    assert f"sample 0: {exact[0, 0]:.4g} (example {drawn['places'][0, 0]})" in printed
    assert "from a training example to the nearest other one" in printed
    assert cli.main(["sample", str(pictures), "--nearest", "2", "--n", "3", "--json", "--out", "y.png"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row[0]["place"] for row in content["nearest"]] == drawn["places"][:3, 0].tolist()
    assert content["median_distance_among_data"] > 0
    with Image.open("y.png") as picture:
        assert picture.width == picture.height  # 3 rows of a sample and 2 examples


def test_real_examples_stand_beside_samples(pictures, points):
    drawn = arrays(str(pictures), "--real", "--n", "20")
    assert drawn["images"].shape == drawn["real_images"].shape == (20, 28, 28)
    data = mnist.embedded().images[..., 0]
    assert all((data == real).all(axis=(1, 2)).any() for real in drawn["real_images"])
    assert cli.main(["sample", str(pictures), "--real", "--n", "9", "--out", "x.png"]) == 0
    assert cli.main(["sample", str(pictures), "--n", "9", "--out", "y.png"]) == 0
    with Image.open("x.png") as both, Image.open("y.png") as left:
        assert both.size == (2 * left.width + 16, left.height)
        assert both.crop((0, 0, *left.size)).tobytes() == left.tobytes()
    assert arrays(str(points), "--real", "--n", "5")["real_points"].shape == (5, 2)


def test_the_picture_has_a_name_of_its_own(pictures):
    assert cli.main(["sample", str(pictures), "--interpolate", "3", "--n", "3", "--seed", "8"]) == 0
    assert (pictures / "interpolate-8.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--interpolate", "1"], "--interpolate must be a whole number from 2 to 1,000"),
        (["--nearest", "0"], "--nearest must be a whole number from 1"),
        (["--nearest", "3", "--real"], "two different pictures"),
        (["--interpolate", "7", "--n", "20"], "does not fill rows of 7"),
        (["--data-dir", "."], "only --nearest and --real"),
        (["--nearest", "1000", "--n", "100000"], "--n"),
        (["--nearest", "x"], "'x' is not a whole number"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(arguments, part, pictures, capsys):
    assert cli.main(["sample", str(pictures), *arguments]) == 2
    err = capsys.readouterr().err
    assert part in err and err.count("\n") == 1


def test_a_distribution_has_no_nearest_example(points, capsys):
    assert cli.main(["sample", str(points), "--nearest", "2"]) == 2
    assert "new examples at every step" in capsys.readouterr().err
