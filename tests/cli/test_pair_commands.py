"""minigan upscale and minigan inpaint: what they write, and what they refuse, with small runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import train_small

from minigan import cli
from minigan.data import mnist

TINY = ["--steps", "2", "--quiet", "--set", "batch_size=4", "--set", "discriminator_widths=3"]
DIGITS = mnist.embedded().images[:3]


def train(out: Path, recipe: str, *settings: str) -> Path:
    changes = [part for setting in settings for part in ("--set", setting)]
    assert cli.main(["train", recipe, "--out", str(out), *TINY, *changes]) == 0
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A run of each kind that the commands know, without the evaluation at its end."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigan.domains.picture_pairs.PicturePairDomain.evaluates_at_end", False)
        return {
            "large": train(folder / "large", "mnist-sr", "generator_widths=3,3", "blocks=1", "scale=2"),
            "hole": train(folder / "hole", "mnist-inpaint", "generator_widths=3,3", "generator_dense=4"),
            "plain": train_small(folder / "plain"),
        }


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def digits(tmp_path) -> Path:
    folder = tmp_path / "digits"
    folder.mkdir()
    for i, digit in enumerate(DIGITS):
        Image.fromarray(digit[..., 0]).save(folder / f"{i}.png")
    return folder


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def error(capsys, *arguments: object) -> str:
    """The one sentence of the error of `minigan`."""
    assert cli.main([str(argument) for argument in arguments]) in (1, 2)
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    return message


# upscale


def test_upscale_takes_pictures_of_any_size_and_makes_colour_grey(runs, tmp_path, capsys):
    (tmp_path / "in" / "more").mkdir(parents=True)
    Image.fromarray(np.full((5, 9), 200, np.uint8)).save("in/a.png")
    Image.fromarray(np.full((90, 7, 3), 30, np.uint8)).save("in/more/b.jpg")
    assert cli.main(["upscale", str(runs["large"]), "in", "out", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["written"] == ["out/a.png", "out/more/b.png"]
    assert "1 of 2 pictures are in colour and were converted to grey" in output.err
    assert pixels("out/a.png").shape == (10, 18)
    assert pixels("out/more/b.png").shape == (180, 14)
    assert cli.main(["upscale", str(runs["large"]), "in/a.png", "a.png"]) == 0
    np.testing.assert_array_equal(pixels("a.png"), pixels("out/a.png"))


def test_what_upscale_refuses(runs, digits, capsys, monkeypatch):
    assert "does not enlarge" in error(capsys, "upscale", runs["plain"], digits, "out")
    assert "there is no nothing.png" in error(capsys, "upscale", runs["large"], "nothing.png", "out.png")
    monkeypatch.setattr("minigan.cli.upscale._MOST_PIXELS", 1000)
    assert "cut it into parts" in error(capsys, "upscale", runs["large"], digits, "out")
    assert not Path("out").exists()


# inpaint


@pytest.mark.parametrize("run", ["hole", "plain"])
@pytest.mark.parametrize("mask", ["centre", "3,4,10,5", "mask.png"])
def test_inpaint_changes_the_hole_only(run, mask, runs, digits):
    hole = np.zeros((28, 28), bool)
    if mask == "centre":
        hole[7:21, 7:21] = True
    else:
        hole[3:13, 4:9] = True
        Image.fromarray(np.where(hole, 255, 0).astype(np.uint8)).save("mask.png")
    search = ["--steps", "3", "--starts", "2"] if run == "plain" else []
    assert cli.main(["inpaint", str(runs[run]), str(digits), "out", "--mask", mask, "--quiet", *search]) == 0
    for i, digit in enumerate(DIGITS[..., 0]):
        found = pixels(f"out/{i}.png")
        np.testing.assert_array_equal(found[~hole], digit[~hole])
        assert (found[hole] != digit[hole]).any()


def test_inpainting_is_a_function_of_its_arguments(runs, digits):
    for out in ("a.png", "b.png"):
        command = ["inpaint", str(runs["plain"]), str(digits / "0.png"), out, "--steps", "5", "--quiet"]
        assert cli.main(command) == 0
    np.testing.assert_array_equal(pixels("a.png"), pixels("b.png"))


def test_a_run_for_the_centre_says_so_under_another_mask(runs, digits, capsys):
    assert cli.main(["inpaint", str(runs["hole"]), str(digits), "out", "--mask", "0,0,5,5"]) == 0
    assert "learned to fill a hole in the centre only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hole", "digits", "out", "--mask", "small.png"), "is 9 x 9 pixels, and the pictures are 28 x 28"),
        (("hole", "digits", "out", "--mask", "black.png"), "hides no pixel"),
        (("hole", "digits", "out", "--mask", "white.png"), "hides every pixel"),
        (("hole", "digits", "out", "--mask", "20,0,9,5"), "ends at row 29 and column 5"),
        (("hole", "digits", "out", "--mask", "0,0,0,5"), "hides no pixel"),
        (("hole", "digits", "out", "--mask", "nothing"), "there is no mask nothing"),
        (("hole", "small.png", "out.png"), "is 9 x 9 pixels"),
        (("hole", "digits", "out", "--steps", "5"), "without a search"),
        (("plain", "digits", "out", "--starts", "0"), "--starts must be a whole number from 1"),
        (("large", "digits", "out"), "under a condition"),
        (("hole", "digits"), "takes RUN IN OUT"),
        (("hole", "digits", "out", "--evaluate", "5"), "give either"),
        (("hole", "digits", "out", "--data-dir", "digits"), "only --evaluate"),
        (("hole", "--evaluate", "5", "--mask", "1,1,5,5"), "--mask is centre or random"),
    ],
)
def test_what_inpaint_refuses(arguments, words, runs, digits, capsys):
    for name, picture in {
        "small": np.zeros((9, 9)),
        "black": np.zeros((28, 28)),
        "white": np.full((28, 28), 255),
    }.items():
        Image.fromarray(picture.astype(np.uint8)).save(f"{name}.png")
    run, *rest = arguments
    assert words in error(capsys, "inpaint", runs[run], *rest)
    assert not Path("out").exists()


def test_points_have_no_holes(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("minigan.figures.density_map.save_contours", lambda *_: None)
    ring = train_small(tmp_path / "ring", "ring")
    assert "no pictures" in error(capsys, "inpaint", ring, "in.png", "out.png")


@pytest.mark.slow  # trains a classifier
def test_the_evaluation_of_a_search_has_its_baselines_beside_it(runs, capsys):
    arguments = ["inpaint", str(runs["plain"]), "--evaluate", "20", "--steps", "10", "--json", "--quiet"]
    assert cli.main(arguments) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["pictures"] == 20
    assert (facts["hole"], facts["seen_in_training"]) == ("centre", True)
    for figure in ("psnr", "accuracy", "sharpness"):
        assert {figure, f"{figure}_mean", f"{figure}_nearest"} <= facts.keys()
    assert 6 < facts["psnr_mean"] < 10
