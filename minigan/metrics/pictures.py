"""How close pictures are to their originals, and how sharp they are beside them."""

from __future__ import annotations

import numpy as np

_LEAST_ERROR = 1 / 12
"""Of a picture, in squared steps of a byte: the error of rounding alone. So the PSNR is at most 58.9 dB."""


def psnr_of_each(pictures: np.ndarray, truth: np.ndarray, measured: np.ndarray | None = None) -> np.ndarray:
    """The peak signal-to-noise ratio of each picture in decibels, (N,): 10 log10(255^2 / mean squared error).

    pictures, truth: uint8 (N, H, W, C). measured: the pixels that count, bool (N, H, W); None for all. An error below
    that of rounding to bytes, 1/12, counts as that, so all ratios are finite. A mean over pictures of this is the usual
    figure of super-resolution (such as Ledig et al., 2017, table 1), and is not the ratio of the mean error. Raises
    ValueError if the shapes differ or if no pixel of a picture counts.
    """
    if pictures.shape != truth.shape or pictures.ndim != 4 or not pictures.size:
        raise ValueError(
            f"the pictures have shapes {pictures.shape} and {truth.shape}, expected one shape (N, H, W, C)"
        )
    squares = ((pictures.astype(np.float64) - truth.astype(np.float64)) ** 2).mean(axis=3)
    weights = np.ones(squares.shape) if measured is None else measured.astype(np.float64)
    counts = weights.sum(axis=(1, 2))
    if weights.shape != squares.shape or not counts.all():
        raise ValueError("no pixel of a picture is measured, expected at least one in each")
    errors = (squares * weights).sum(axis=(1, 2)) / counts
    return np.asarray(10 * np.log10(255**2 / np.maximum(errors, _LEAST_ERROR)))


def sharpness(pictures: np.ndarray) -> float:
    """The mean magnitude of the gradient of uint8 pictures (N, H, W, C): of the differences of adjacent pixels.

    The magnitude at a pixel is sqrt(across^2 + down^2), of the differences to the next pixel in both directions.
    """
    values = pictures.astype(np.float64)
    across, down = np.diff(values, axis=2)[:, :-1], np.diff(values, axis=1)[:, :, :-1]
    return float(np.hypot(across, down).mean())
