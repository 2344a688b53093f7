"""Pictures of points of the plane: quick ones along a run, and one with contours at its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigan.data.mixtures import Target
from minigan.files import atomic_path
from minigan.metrics.density import KernelDensity

_SIDE = 480  # pixels
_TILE = 2  # pixels of one shade on each side: a density may be slow to compute
_SHADE = np.array([[255, 255, 255], [198, 219, 239], [107, 174, 214]], np.float64)  # white to blue
_INK = np.array([179, 33, 16], np.uint8)
_MARGIN = 0.25  # of the box of the distribution, on each side: samples gone astray should be seen
_DECADES = 4.0  # below its maximum the density is white
_LEVELS = 8
_FOR_CONTOURS, _FOR_BANDWIDTH = 1000, 300


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
    """Write contours of the density of `target` beside those of `samples` (n, 2), by kernel density, as PNG.

    Both have the same levels, of the density of `target`; the first thousand samples make the contours, for the time
    it takes. The file is written atomically.
    """
    from matplotlib.figure import Figure

    (left, bottom), width = _square(target)
    x, y = np.linspace(left, left + width, 201), np.linspace(bottom, bottom + width, 201)
    points = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    truth, few = target.density(points), samples[:_FOR_CONTOURS]
    bandwidth = KernelDensity(few[:_FOR_BANDWIDTH]).bandwidth
    levels = truth.max() * 10 ** np.linspace(-_DECADES / 2, -0.05, _LEVELS)
    for axes, density, title in (
        (panels[0], truth, f"the data: '{target.name}'"),
        (panels[1], KernelDensity(few, bandwidth).density(points), f"the generator, from {len(few):,} samples"),
    ):
        axes.contour(x, y, density.reshape(len(y), len(x)), levels=levels, cmap="viridis")
        axes.set(title=title, aspect="equal")
    panels[1].scatter(*few.T, s=1, color="black", alpha=0.25)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


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
