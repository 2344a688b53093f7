"""Vectors as curves: the values of samples over the places of their numbers, on a map of those of the data."""

from __future__ import annotations

import numpy as np

from minigan.figures.density_map import shaded

_HEIGHT, _WIDTH = 480, 720  # pixels
_BINS = 96  # of values; a divisor of the height
_MARGIN = 0.1  # of the range of values, above and below: samples outside of the data should be visible
_MOST_CURVES = 24
_LONGEST_BAR = 0.7  # of the width, for the data's commonest value
_CURVE_COLOUR = np.array([179, 33, 16], np.uint8)
_FEWEST = 1e-4  # of the commonest value at a place: white


class ValueMap:
    """How often each value occurs at each place of vectors `data` (n, d), as shades; samples are drawn onto it.

    value_range: the smallest and the largest value of the data.
    """

    def __init__(self, data: np.ndarray, value_range: tuple[float, float]) -> None:
        low, high = value_range
        margin = _MARGIN * ((high - low) or 1.0)
        self._low, self._high, self._places = low - margin, high + margin, data.shape[1]
        shares = self._shares(data)
        shades = shaded(np.log(np.maximum(shares / shares.max(axis=0), _FEWEST)).ravel()).reshape(_BINS, -1, 3)
        columns = np.minimum(np.arange(_WIDTH) * self._places // _WIDTH, self._places - 1)
        self._background = shades[::-1].repeat(_HEIGHT // _BINS, axis=0)[:, columns]
        if self._places == 1:
            self._commonest = shares.max()
            bars = np.arange(_WIDTH) < self._bars(shares)[:, None]
            self._background = np.where(bars[..., None], shaded(np.zeros(1)), 255).astype(np.uint8)

    def _shares(self, vectors: np.ndarray) -> np.ndarray:
        """The share of the vectors whose value at each place lies in each bin, (bins, d)."""
        bins = np.clip(self._heights(vectors) * _BINS, 0, _BINS - 1).astype(int)
        cells = bins * self._places + np.arange(self._places)
        counts = np.bincount(cells.ravel(), minlength=_BINS * self._places)
        return counts.reshape(_BINS, self._places) / len(vectors)

    def _heights(self, vectors: np.ndarray) -> np.ndarray:
        """Values as fractions of the height of the map."""
        return (vectors - self._low) / (self._high - self._low)

    def _bars(self, shares: np.ndarray) -> np.ndarray:
        """The length of the bar in each row of a histogram, for vectors of one number."""
        lengths = shares[::-1, 0] / self._commonest * _WIDTH * _LONGEST_BAR
        return np.minimum(lengths, _WIDTH - 1).astype(int).repeat(_HEIGHT // _BINS)

    def with_samples(self, samples: np.ndarray) -> np.ndarray:
        """The map with `samples` (n, d) on it, (height, width, 3) uint8: some as curves; for d = 1 their histogram.

        Values outside of the map are drawn on its border.
        """
        image = self._background.copy()
        if self._places == 1:
            _draw_curve(image.transpose(1, 0, 2), self._bars(self._shares(samples)))
            return image
        at = (np.arange(_WIDTH) + 0.5) / _WIDTH * self._places - 0.5  # as far as the middle of each place
        for sample in self._heights(samples[:_MOST_CURVES]):
            heights = np.interp(at, np.arange(self._places), np.nan_to_num(sample))
            rows = np.clip((1 - heights) * _HEIGHT, 0, _HEIGHT - 1).astype(int)
            _draw_curve(image, rows)
        return image


def _draw_curve(image: np.ndarray, rows: np.ndarray) -> None:
    """Colour, in each column, the pixels from the row of the curve to that in the next column."""
    following = np.append(rows[1:], rows[-1])
    top, bottom = np.minimum(rows, following), np.maximum(rows, following)
    lines = np.arange(len(image))[:, None]
    image[(lines >= top) & (lines <= bottom)] = _CURVE_COLOUR
