"""Samples as pictures: no number is lost on the way, and what is no picture is refused."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.idx_files import assert_one_sentence

from minigan import figures
from minigan.autodiff import Tensor
from minigan.core.errors import UsageError


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def levels_of(path: Path) -> np.ndarray:
    """The grey levels of a picture of one row of samples, which are one pixel each; its margins are white."""
    grid = pixels_of(path)
    factor = grid.shape[0] // 5  # one pixel and two margins of two
    return grid[2 * factor, 2 * factor :: 3 * factor]


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_floats_have_all_shades_of_their_range(tmp_path: Path, kind: str) -> None:
    values = np.array([-1, -0.5, 0, 0.25, 1, -7, 3], kind).reshape(-1, 1, 1)
    figures.save_grid(tmp_path / "a.png", values, columns=7)
    assert levels_of(tmp_path / "a.png").tolist() == [0, 64, 128, 159, 255, 0, 255]
    figures.save_grid(tmp_path / "b.png", values, (0, 1), columns=7)
    assert levels_of(tmp_path / "b.png").tolist() == [0, 0, 0, 64, 255, 0, 255]


def test_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    figures.save_grid(tmp_path / "a.png", np.array([0, 1, 128, 255], np.uint8).reshape(-1, 1, 1), columns=4)
    assert levels_of(tmp_path / "a.png").tolist() == [0, 1, 128, 255]


def test_every_form_of_the_same_pictures_gives_the_same_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (6, 4, 5)).astype(np.float32)
    forms: list[tuple[Any, dict[str, Any]]] = [
        (values, {}),
        (values[..., None], {}),
        (Tensor(values), {}),
        (values.tolist(), {}),
        (values.reshape(6, 20), {"image_shape": (4, 5)}),
        (values.reshape(6, 20), {"image_shape": (4, 5, 1)}),
    ]
    for number, (form, how) in enumerate(forms):
        figures.save_grid(str(tmp_path / f"{number}.png"), form, columns=3, **how)
    for number in range(1, len(forms)):
        np.testing.assert_array_equal(pixels_of(tmp_path / f"{number}.png"), pixels_of(tmp_path / "0.png"))
    colour = np.repeat(values[..., None], 3, axis=-1)
    figures.save_grid(tmp_path / "colour.png", colour, columns=3)
    grey = pixels_of(tmp_path / "0.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "colour.png"), np.repeat(grey[..., None], 3, axis=-1))


def test_so_many_columns(tmp_path: Path) -> None:
    for columns, rows in ((1, 6), (4, 2), (6, 1), (None, 2)):
        figures.save_grid(tmp_path / "a.png", np.zeros((6, 300, 100)), columns=columns)
        factor = 2 if rows == 1 else 1  # a small grid is enlarged
        shape = (factor * (rows * 302 + 2), factor * ((columns or 3) * 102 + 2))
        assert pixels_of(tmp_path / "a.png").shape == shape


@pytest.mark.slow
def test_points_lie_where_they_are() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(100, 2)) * 0.01 + corner for corner in ([-2, -2], [2, 2])])
    picture = figures.Samples(points).picture()
    height, width, channels = picture.shape
    assert channels == 3 and picture.dtype == np.uint8
    red = (picture[..., 0] > 150) & (picture[..., 1] < 90)
    halves = [red[half_y, half_x].sum() for half_y, half_x in (
        (slice(height // 2), slice(width // 2)), (slice(height // 2), slice(width // 2, None)),
        (slice(height // 2, None), slice(width // 2)), (slice(height // 2, None), slice(width // 2, None)),
    )]  # fmt: skip
    assert halves[1] > 0 and halves[2] > 0 and halves[0] == halves[3] == 0  # right above and left below


@pytest.mark.parametrize(
    ("samples", "how"),
    [
        (np.full((2, 3, 3), np.nan), {}),
        (np.full((2, 2), np.inf), {}),
        (np.zeros((2, 3, 3), int), {}),
        (np.zeros((2, 9)), {}),
        (np.zeros((2, 9)), {"image_shape": (3, 4)}),
        (np.zeros((2, 9)), {"image_shape": (9,)}),
        (np.zeros((2, 3, 3, 2)), {}),
        (np.zeros((0, 3, 3)), {}),
        (np.zeros(4), {}),
        (np.zeros((2, 3, 3)), {"value_range": (1, 1)}),
        (np.zeros((2, 3, 3)), {"columns": 0}),
    ],
    ids=lambda case: str(case) if isinstance(case, dict) else f"{case.dtype}{case.shape}",
)
def test_what_is_no_picture_is_refused(tmp_path: Path, samples: np.ndarray, how: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        figures.save_grid(tmp_path / "a.png", samples, **how)
    assert_one_sentence(error)
    assert not (tmp_path / "a.png").exists()


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.jpg does not end in \.png"):
        figures.save_grid(tmp_path / "a.jpg", np.zeros((2, 3, 3)))


def test_a_notebook_shows_the_same_picture_as_the_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (120, 4, 5))
    samples = figures.Samples(values, (0, 1), columns=10)
    figures.save_grid(tmp_path / "first.png", values[:100], (0, 1), columns=10)
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', samples._repr_html_())
    for png in (base64.b64decode(encoded), samples._repr_png_()):
        with Image.open(io.BytesIO(png)) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels_of(tmp_path / "first.png"))
    assert "120 pictures 4 x 5, the first 100 of them" in samples._repr_html_()
    assert repr(samples) == "Samples: 120 pictures 4 x 5" and len(samples) == 120
