"""Points on the map of a density, and contours of densities."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minigan.core import random
from minigan.data import mixtures
from minigan.figures import density_map
from minigan.metrics.density import comparable_estimates


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
def test_contours_are_written_for_any_samples(samples, tmp_path):
    target = mixtures.get("two-gaussians")
    estimates = comparable_estimates(target, samples)
    panels = [density_map.Contours("a title", of.samples, of.on_grid) for of in estimates]
    density_map.save_contours(tmp_path / "contours.png", target.box, panels)
    with Image.open(tmp_path / "contours.png") as picture:
        assert picture.width > 800
