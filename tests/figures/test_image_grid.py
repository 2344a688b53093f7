"""Where each image lies in a grid, and that PNG files hold what was drawn."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigan.figures.image_grid import image_grid, save_png

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
    grid = image_grid(images)
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
    assert image_grid(random_images(4, 256, 256, 3)).shape == (518, 518, 3)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_png_holds_the_same_pixels(tmp_path: Path, channels: int, mode: str) -> None:
    (picture,) = random_images(1, 5, 9, channels)
    save_png(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image).reshape(5, 9, channels), picture)


def test_a_png_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        save_png(tmp_path / "a.png", random_images(1, 5, 9, 3)[0])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_only_bytes_are_pixels(tmp_path: Path, dtype: str) -> None:
    """Floats between 0 and 1 would become black."""
    images = np.ones((4, 8, 8, 3), dtype)
    for draw in (lambda: image_grid(images), lambda: save_png(tmp_path / "a.png", images[0])):
        with pytest.raises(TypeError, match=f"are {dtype}, expected uint8 from 0 to 255; make them with .*to_bytes"):
            draw()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(8, 8, 3), (0, 8, 8, 3), (4, 8, 0, 3), (4, 64)])
def test_a_grid_needs_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected \\(N, H, W, C\\)"):
        image_grid(np.zeros(shape, np.uint8))
