"""The pictures of a run: where each sample lies in a grid, and that files hold what was drawn."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from minigan import plots

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


def frames_of(folder: Path, pictures: list[np.ndarray]) -> list[Path]:
    for i, picture in enumerate(pictures):
        plots.save_png(folder / f"{i}.png", picture)
    return [folder / f"{i}.png" for i in range(len(pictures))]


def read_film(path: Path) -> list[np.ndarray]:
    with Image.open(path) as film:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_of_few_colours_is_exact(tmp_path: Path, channels: int) -> None:
    pictures = [random_images(1, 12, 16, channels, seed=i)[0] // 64 * 85 for i in range(4)]  # of 4 or 64 colours
    plots.save_film(tmp_path / "a.gif", frames_of(tmp_path, pictures))
    frames = read_film(tmp_path / "a.gif")
    assert len(frames) == 4
    for frame, picture in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame, np.broadcast_to(picture, (12, 16, 3)))


def test_a_film_of_many_colours_is_right_on_average(tmp_path: Path) -> None:
    """Dithering: pixels may be off, but not the mean of a small patch, in any frame and any channel."""
    y, x = np.mgrid[0:128, 0:128] / 128
    slopes = [np.stack([x, y, (x + t + y) % 1], -1) for t in (0, 0.3, 0.6)]
    pictures = [np.rint(255 * slope).astype(np.uint8) for slope in slopes]
    plots.save_film(tmp_path / "a.gif", frames_of(tmp_path, pictures))
    for frame, picture in zip(read_film(tmp_path / "a.gif"), pictures, strict=True):
        off = (frame.astype(float) - picture).reshape(8, 16, 8, 16, 3).mean(axis=(1, 3))
        assert np.abs(off).mean() < 0.8  # 0.4; without dithering 1.2
