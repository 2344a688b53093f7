"""Images of points of the plane: quick ones along a run, and one with contours at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigan.figures import charts

_SIDE = 480  # pixels
_TILE = 2  # pixels of one shade on each side: a density may be slow to compute
_SHADES = np.array([[255, 255, 255], [198, 219, 239], [107, 174, 214]], np.float64)  # white to blue
_POINT_COLOUR = np.array([179, 33, 16], np.uint8)
_MARGIN = 0.25  # of the width of the box, on each side: samples far from the data should be visible
_DECADES = 4.0  # below its maximum the density is white
_LEVELS = 8
_GRID_LINES = 201
_CELLS = 120  # of a histogram, on each side
_SMOOTHING = np.array([1, 4, 6, 4, 1]) / 16  # along each axis


class DensityMap:
    """A density as shades on a square of pixels, onto which points are drawn in milliseconds.

    box: two opposite corners ((left, bottom), (right, top)) of a rectangle that holds nearly all of the density; the
    square is wider. log_density: from points (n, 2) to the logarithms of the density there, (n,).
    """

    def __init__(self, box: np.ndarray, log_density: Callable[[np.ndarray], np.ndarray]) -> None:
        self._corner, self._width = _square(box)
        tiles = _SIDE // _TILE
        middles = self._corner + (np.arange(tiles)[:, None] + 0.5) / tiles * self._width  # (tiles, 2)
        x, y = np.meshgrid(middles[:, 0], middles[::-1, 1])
        shades = shaded(log_density(np.stack([x.ravel(), y.ravel()], axis=1))).reshape(tiles, tiles, 3)
        self._background = shades.repeat(_TILE, axis=0).repeat(_TILE, axis=1)

    def with_points(self, points: np.ndarray) -> np.ndarray:
        """The map with `points` (n, 2) on it, (height, width, 3) uint8; points outside are drawn on its border."""
        place = np.floor((points - self._corner) / self._width * _SIDE)
        column, row = np.clip(np.nan_to_num(place), 0, _SIDE - 2).astype(int).T
        image = self._background.copy()
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):  # 2 x 2 pixels each
            image[_SIDE - 2 - row + down, column + right] = _POINT_COLOUR
        return image


def histogram_map(points: np.ndarray, box: np.ndarray) -> DensityMap:
    """A map of the density of `points` (n, 2), estimated by a smoothed histogram. box: see DensityMap."""
    corner, width = _square(box)
    edges = [np.linspace(low, low + width, _CELLS + 1) for low in corner]
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=edges)
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, _SMOOTHING, mode="same")
    density = counts + counts.max() * np.exp(-_DECADES * np.log(10)) / 10  # no logarithm of 0

    def log_density(at: np.ndarray) -> np.ndarray:
        cells = np.clip((at - corner) / width * _CELLS, 0, _CELLS - 1).astype(int)
        values: np.ndarray = np.log(density[cells[:, 0], cells[:, 1]])
        return values

    return DensityMap(box, log_density)


@dataclass(frozen=True)
class Contours:
    """One panel of a contour chart: `points` (n, 2), and the density they come from, or an estimate of it.

    density: from the grid lines x (columns,) and y (rows,) to the density where they meet, (rows, columns).
    """

    title: str
    points: np.ndarray
    density: Callable[[np.ndarray, np.ndarray], np.ndarray]


def save_contours(path: Path, box: np.ndarray, panels: Sequence[Contours]) -> None:
    """Write `panels` side by side as PNG, atomically, all with the contour levels of the first one.

    box: see DensityMap. Raises DrawingError if Matplotlib cannot be imported.
    """
    (left, bottom), width = _square(box)
    x, y = np.linspace(left, left + width, _GRID_LINES), np.linspace(bottom, bottom + width, _GRID_LINES)
    densities = [panel.density(x, y) for panel in panels]
    levels = densities[0].max() * 10 ** np.linspace(-_DECADES / 2, -0.05, _LEVELS)
    with charts.chart(path, (10, 5.2), dpi=110) as figure:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True)
        for axis, panel, density in zip(axes, panels, densities, strict=True):
            if density.max() > levels[0]:  # Matplotlib warns of contours that are nowhere
                axis.contour(x, y, density, levels=levels, cmap="viridis")
            axis.scatter(*panel.points.T, s=1, color="black", alpha=0.25)
            title = f"{panel.title}, {len(panel.points):,} points"
            axis.set(title=title, aspect="equal", xlim=x[[0, -1]], ylim=y[[0, -1]])


def _square(box: np.ndarray) -> tuple[np.ndarray, float]:
    """The left bottom corner and the width of a square around `box`, with a margin."""
    low, high = box
    width = float((high - low).max()) * (1 + 2 * _MARGIN)
    return (low + high) / 2 - width / 2, width


def shaded(log_density: np.ndarray) -> np.ndarray:
    """A colour for each value, (..., 3) uint8, interpolated between _SHADES."""
    position = np.clip(1 + (log_density - log_density.max()) / (_DECADES * np.log(10)), 0, 1) * (len(_SHADES) - 1)
    lower = np.minimum(position.astype(int), len(_SHADES) - 2)
    rest = (position - lower)[..., None]
    return np.rint(_SHADES[lower] * (1 - rest) + _SHADES[lower + 1] * rest).astype(np.uint8)
