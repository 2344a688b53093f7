"""The pictures of a run: where each sample lies in a grid, what the curves show, and that files hold what was drawn."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigan import Tensor
from minigan.core.errors import DrawingError
from minigan.figures import plots
from minigan.gan import losses

MARGIN = 2


def random_images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("count", "height", "width", "columns"),
    [(1, 300, 7, 1), (5, 9, 4, 3), (12, 200, 1, 4), (64, 28, 28, 8)],
)
def test_a_grid_holds_every_picture_row_by_row(
    count: int, height: int, width: int, columns: int, channels: int
) -> None:
    images = random_images(count, height, width, channels)
    grid = plots.image_grid(images)
    rows = -(-count // columns)
    unit_shape = (rows * (height + MARGIN) + MARGIN, columns * (width + MARGIN) + MARGIN, channels)
    factor = grid.shape[0] // unit_shape[0]
    assert grid.shape == (unit_shape[0] * factor, unit_shape[1] * factor, channels)
    assert 480 <= grid.shape[0] < 480 + unit_shape[0]
    unit = grid[::factor, ::factor].copy()
    np.testing.assert_array_equal(grid, unit.repeat(factor, axis=0).repeat(factor, axis=1))
    for i, image in enumerate(images):
        top, left = MARGIN + i // columns * (height + MARGIN), MARGIN + i % columns * (width + MARGIN)
        np.testing.assert_array_equal(unit[top : top + height, left : left + width], image)
        unit[top : top + height, left : left + width] = 255
    assert (unit == 255).all()  # margins and empty places are white


def test_a_large_grid_is_not_enlarged() -> None:
    assert plots.image_grid(random_images(4, 256, 256, 3)).shape == (518, 518, 3)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_png_holds_the_same_pixels(tmp_path: Path, channels: int, mode: str) -> None:
    (picture,) = random_images(1, 5, 9, channels)
    plots.save_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image).reshape(5, 9, channels), picture)


def test_a_png_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        plots.save_png(tmp_path / "a.png", random_images(1, 5, 9, 3)[0])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_only_bytes_are_pixels(tmp_path: Path, dtype: str) -> None:
    """Floats between 0 and 1 would become black."""
    images = np.ones((4, 8, 8, 3), dtype)
    for draw in (lambda: plots.image_grid(images), lambda: plots.save_png(tmp_path / "a.png", images[0])):
        with pytest.raises(TypeError, match=f"are {dtype}, expected uint8 from 0 to 255; make them with .*to_bytes"):
            draw()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(8, 8, 3), (0, 8, 8, 3), (4, 8, 0, 3), (4, 64)])
def test_a_grid_needs_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected \\(N, H, W, C\\)"):
        plots.image_grid(np.zeros(shape, np.uint8))


# Curves.


def row(step: int, loss: losses.Loss, real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The metrics of a step at which the discriminator says `real` and `fake`, before and after its update."""
    return {
        "step": step,
        "discriminator_loss": loss.discriminator(Tensor(real), Tensor(fake)).item(),
        "generator_loss": loss.generator(Tensor(fake), Tensor(real)).item(),
        "real_score": sigmoid(real).mean(),
        "fake_score": sigmoid(fake).mean(),
    }


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def geometric_mean(*values: np.ndarray) -> float:
    return float(np.exp(np.mean([np.log(some).mean() for some in values])))


REAL, FAKE = (np.random.default_rng(seed).normal(mean, 1.0, (16, 1)) for seed, mean in ((0, 2.0), (1, -1.0)))
FROM_REAL, FROM_FAKE = sigmoid(REAL - FAKE.mean()), sigmoid(REAL.mean() - FAKE)
TO_FAKE, TO_REAL = sigmoid(FAKE - REAL.mean()), sigmoid(FAKE.mean() - REAL)
SHOWN = {
    "minimax": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "non-saturating": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "least-squares": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "hinge": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "wasserstein": [REAL.mean() - FAKE.mean()],
    "relativistic-pairing": [geometric_mean(sigmoid(REAL - FAKE)), geometric_mean(sigmoid(FAKE - REAL))],
    "relativistic-average": [geometric_mean(FROM_REAL, FROM_FAKE), geometric_mean(TO_FAKE, TO_REAL)],
}


def curves(name: str, rows: list[dict[str, float]]) -> list[np.ndarray]:
    metrics = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return [curve(metrics) for curve in plots.SCORES[name].curves.values()]


@pytest.mark.parametrize("name", losses.LOSSES)
def test_the_curves_show_what_the_loss_knows(name: str) -> None:
    loss = losses.get(name)
    found = curves(name, [row(10, loss, REAL, FAKE)])
    assert [curve.item() for curve in found] == pytest.approx(SHOWN[name], rel=1e-9)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_the_line_is_where_an_undecided_discriminator_is(name: str) -> None:
    """One that gives all examples the same score, the best one; of what knows only differences, any."""
    score = 0.5 if name == "least-squares" else 0.0
    anything = 7.0 if name in ("wasserstein", "relativistic-pairing", "relativistic-average") else score
    for same in (score, anything):
        logits = np.full((4, 1), same)
        for curve in curves(name, [row(10, losses.get(name), logits, logits)]):
            assert curve.item() == pytest.approx(plots.SCORES[name].undecided, rel=1e-9)


@pytest.mark.parametrize("name", [*losses.LOSSES, "somebody's own"])
def test_curves_are_drawn_of_every_loss(tmp_path: Path, name: str) -> None:
    rows = [row(step, losses.get("hinge"), REAL, FAKE) for step in (10, 20, 30)]
    plots.save_curves(tmp_path / "a.png", rows, name)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (990, 660)


def test_rows_without_numbers_are_left_out_with_a_notice(tmp_path: Path) -> None:
    whole = [row(step, losses.get("hinge"), REAL, FAKE) for step in range(10, 60, 10)]
    plots.save_curves(tmp_path / "whole.png", whole, "hinge")
    missing = {key: value for key, value in whole[0].items() if key != "real_score"}
    bad = [whole[0] | {"generator_loss": "low"}, whole[0] | {"fake_score": float("nan")}, missing, {"step": 1}]
    told: list[str] = []
    plots.save_curves(tmp_path / "some.png", [*bad[:2], *whole, *bad[2:]], "hinge", told.append)
    (sentence,) = told
    assert "goes without 4 of 9 rows of the metrics" in sentence
    assert (tmp_path / "some.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    with pytest.raises(DrawingError, match="no row of the metrics"):
        plots.save_curves(tmp_path / "none.png", bad, "hinge")
    assert not (tmp_path / "none.png").exists()
