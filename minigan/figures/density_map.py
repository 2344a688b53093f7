"""Pictures of points of the plane: quick ones along a run, and one with contours at its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigan.core import random
from minigan.data.mixtures import Target, as_points
from minigan.figures import charts
from minigan.metrics.density import KernelDensity

_SIDE = 480  # pixels
_TILE = 2  # pixels of one shade on each side: a density may be slow to compute
_SHADE = np.array([[255, 255, 255], [198, 219, 239], [107, 174, 214]], np.float64)  # white to blue
_INK = np.array([179, 33, 16], np.uint8)
_MARGIN = 0.25  # of the box of the distribution, on each side: samples gone astray should be seen
_DECADES = 4.0  # below its maximum the density is white
_LEVELS = 8
_FOR_BANDWIDTH = 300  # draws


class DensityMap:
    """The density of `target` as shades on a square of pixels, onto which points are put: milliseconds a picture."""

    def __init__(self, target: Target) -> None:
        self._corner, self._width = _square(target)
        tiles = _SIDE // _TILE
        middles = self._corner + (np.arange(tiles)[:, None] + 0.5) / tiles * self._width  # (tiles, 2)
        x, y = np.meshgrid(middles[:, 0], middles[::-1, 1])
        shades = _shaded(target.log_density(np.stack([x.ravel(), y.ravel()], axis=1))).reshape(tiles, tiles, 3)
        self._background = shades.repeat(_TILE, axis=0).repeat(_TILE, axis=1)

    def with_points(self, points: np.ndarray) -> np.ndarray:
        """The map with `points` (n, 2) on it, (height, width, 3) uint8; those outside lie on its border."""
        place = np.floor((points - self._corner) / self._width * _SIDE)
        column, row = np.clip(np.nan_to_num(place), 0, _SIDE - 2).astype(int).T
        picture = self._background.copy()
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):  # 2 x 2 pixels each
            picture[_SIDE - 2 - row + down, column + right] = _INK
        return picture


def save_contours(path: Path, target: Target, samples: np.ndarray) -> None:
    """Write contours of the density of draws of `target` beside those of `samples` (n, 2), as PNG, atomically.

    Both densities are estimated alike, so that they look alike if the samples are perfect: from as many points, by
    kernels of one bandwidth, the likeliest for the target; and both have the same levels. Raises UsageError if a sample
    is not finite, DrawingError if Matplotlib cannot be imported.
    """
    (left, bottom), width = _square(target)
    x, y = np.linspace(left, left + width, 201), np.linspace(bottom, bottom + width, 201)
    samples = as_points(samples, "the samples", dimensions=2)
    data = target.sample(max(len(samples), _FOR_BANDWIDTH), random.generator(0, "contours"))
    bandwidth = KernelDensity(data[:_FOR_BANDWIDTH]).bandwidth
    panels = [(data[: len(samples)], f"the data: '{target.name}'"), (samples, "the generator")]
    densities = [on_grid(points, bandwidth, x, y) for points, _ in panels]
    levels = densities[0].max() * 10 ** np.linspace(-_DECADES / 2, -0.05, _LEVELS)
    with charts.chart(path, (10, 5.2), dpi=110) as figure:
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, (points, whose), density in zip(axes, panels, densities, strict=True):
            if density.max() > levels[0]:  # Matplotlib warns of contours that are nowhere
                panel.contour(x, y, density, levels=levels, cmap="viridis")
            panel.scatter(*points.T, s=1, color="black", alpha=0.25)
            panel.set(title=f"{whose}, {len(points):,} points", aspect="equal", xlim=x[[0, -1]], ylim=y[[0, -1]])


def on_grid(points: np.ndarray, bandwidth: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The density of what `points` (n, 2) came from, by kernels, where the lines x and y meet: (len(y), len(x)).

    That of KernelDensity; a Gaussian about a point is a product of one of x and one of y, so one matrix product is all.
    """
    across, down = (
        np.exp(-0.5 * ((lines[:, None] - coordinate) / bandwidth) ** 2)
        for lines, coordinate in zip((x, y), points.T, strict=True)
    )
    return down @ across.T / (len(points) * 2 * np.pi * bandwidth**2)


def _square(target: Target) -> tuple[np.ndarray, float]:
    """The left bottom corner and the width of a square around the distribution."""
    low, high = target.box
    width = float((high - low).max()) * (1 + 2 * _MARGIN)
    return (low + high) / 2 - width / 2, width


def _shaded(log_density: np.ndarray) -> np.ndarray:
    share = np.clip(1 + (log_density - log_density.max()) / (_DECADES * np.log(10)), 0, 1) * (len(_SHADE) - 1)
    lower = np.minimum(share.astype(int), len(_SHADE) - 2)
    rest = (share - lower)[..., None]
    return np.rint(_SHADE[lower] * (1 - rest) + _SHADE[lower + 1] * rest).astype(np.uint8)
