"""The animation of a run: that it shows its images, its length and size limits, and which images are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from minigan.core.errors import DrawingError
from minigan.data import mixtures
from minigan.figures import density_map, gif
from minigan.figures.image_grid import image_grid, save_png


def random_images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def files_of(folder: Path, pictures: list[np.ndarray]) -> list[Path]:
    for i, picture in enumerate(pictures):
        save_png(folder / f"{i}.png", picture)
    return [folder / f"{i}.png" for i in range(len(pictures))]


def read(path: Path) -> list[np.ndarray]:
    with Image.open(path) as opened:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(opened)]


def durations(path: Path) -> list[int]:
    with Image.open(path) as opened:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(opened)]


def greys(count: int, height: int = 12, width: int = 16) -> list[np.ndarray]:
    return [np.full((height, width, 1), i, np.uint8) for i in range(count)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 4])
def test_an_animation_of_few_colours_is_exact(tmp_path: Path, count: int, channels: int) -> None:
    pictures = [random_images(1, 12, 16, channels, seed=i)[0] // 64 * 85 for i in range(count)]  # of 4 or 64 colours
    gif.save(tmp_path / "a.gif", files_of(tmp_path, pictures))
    frames = read(tmp_path / "a.gif")
    assert len(frames) == count
    for frame, picture in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame, np.broadcast_to(picture, (12, 16, 3)))
    assert durations(tmp_path / "a.gif") == [150] * (count - 1) + [2000]
    with Image.open(tmp_path / "a.gif") as opened:
        assert opened.info["loop"] == 0  # for ever


def test_an_animation_of_many_colours_is_right_on_average(tmp_path: Path) -> None:
    """Dithering: pixels may be off, but not the mean of a small patch, in any frame and any channel."""
    y, x = np.mgrid[0:128, 0:128] / 128
    slopes = [np.stack([x, y, (x + t + y) % 1], -1) for t in (0, 0.3, 0.6)]
    pictures = [np.rint(255 * slope).astype(np.uint8) for slope in slopes]
    gif.save(tmp_path / "a.gif", files_of(tmp_path, pictures))
    for frame, picture in zip(read(tmp_path / "a.gif"), pictures, strict=True):
        off = (frame.astype(float) - picture).reshape(8, 16, 8, 16, 3).mean(axis=(1, 3))
        assert np.abs(off).mean() < 0.8  # 0.4; without dithering 1.2


@pytest.mark.parametrize("target", ["ring", "grid", "two-gaussians"])
def test_a_map_of_points_is_exact(tmp_path: Path, target: str) -> None:
    """Its shades are at most 256, and close to each other."""
    drawn = mixtures.get(target)
    chart = density_map.DensityMap(drawn.box, drawn.log_density)
    picture = chart.with_points(drawn.sample(500, np.random.default_rng(0)))
    gif.save(tmp_path / "a.gif", files_of(tmp_path, [picture]))
    (frame,) = read(tmp_path / "a.gif")
    np.testing.assert_array_equal(frame, picture)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (700, 1)])
def test_a_picture_may_be_narrow(tmp_path: Path, size: tuple[int, int]) -> None:
    gif.save(tmp_path / "a.gif", files_of(tmp_path, list(random_images(2, *size, 3))))
    assert len(read(tmp_path / "a.gif")) == 2


@pytest.mark.slow
def test_of_many_pictures_some_are_shown_evenly_from_the_first_to_the_last(tmp_path: Path) -> None:
    gif.save(tmp_path / "a.gif", files_of(tmp_path, greys(250)))
    shown = [int(frame[0, 0, 0]) for frame in read(tmp_path / "a.gif")]
    assert len(shown) == gif.MAX_FRAMES
    assert (shown[0], shown[-1]) == (0, 249)
    assert set(np.diff(shown)) == {5, 6}
    assert durations(tmp_path / "a.gif") == [150] * 43 + [2000]


@pytest.mark.parametrize(
    ("height", "width", "frame"), [(560, 560, (560, 560)), (561, 9, (281, 5)), (40, 2240, (10, 560))]
)
def test_a_large_picture_is_shrunk_by_a_whole_factor(
    tmp_path: Path, height: int, width: int, frame: tuple[int, int]
) -> None:
    gif.save(tmp_path / "a.gif", files_of(tmp_path, greys(2, height, width)))
    assert [shown.shape[:2] for shown in read(tmp_path / "a.gif")] == [frame] * 2


def test_a_grid_of_64_digits_is_shown_as_it_is(tmp_path: Path) -> None:
    grid = image_grid(random_images(64, 28, 28, 1))
    assert len(grid) == 484
    gif.save(tmp_path / "a.gif", files_of(tmp_path, [grid]))
    np.testing.assert_array_equal(read(tmp_path / "a.gif")[0][..., :1], grid)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_is_bounded_even_of_noise(tmp_path: Path, channels: int) -> None:
    gif.save(tmp_path / "a.gif", files_of(tmp_path, list(random_images(1, gif.MAX_SIDE, gif.MAX_SIDE, channels))))
    assert (tmp_path / "a.gif").stat().st_size * gif.MAX_FRAMES < 20e6


def test_damaged_pictures_are_left_out_with_a_notice(tmp_path: Path) -> None:
    files = files_of(tmp_path, greys(7))
    files[0].write_bytes(b"")
    files[2].write_bytes(files[2].read_bytes()[:40])
    files[3].write_text("no picture")
    save_png(files[4], greys(1, 9, 9)[0])
    files[6].unlink()
    notices: list[str] = []
    gif.save(tmp_path / "a.gif", files, notices.append)
    assert [int(frame[0, 0, 0]) for frame in read(tmp_path / "a.gif")] == [1, 5]
    assert durations(tmp_path / "a.gif") == [150, 2000]
    assert len(notices) == 5
    for sentence, number in zip(notices, (0, 2, 3, 4, 6), strict=True):
        assert f"goes without {files[number]}" in sentence and "\n" not in sentence
    assert "size differs" in notices[3]


def test_without_a_readable_image_the_old_animation_stays(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"old")
    (tmp_path / "0.png").write_bytes(b"new")
    with pytest.raises(DrawingError, match="none of the pictures"):
        gif.save(tmp_path / "a.gif", [tmp_path / "0.png"])
    assert (tmp_path / "a.gif").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "a.gif"]
