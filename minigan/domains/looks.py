"""Other looks of pictures: outlines, bold negatives, pencil drawings. Pure functions of uint8 pictures (N, H, W, C).

Every channel is changed by itself. What lies beyond the frame is black for the first two, and continues the outermost
pixels for drawings.
"""

from __future__ import annotations

import numpy as np

_BRIGHT = 128  # of 0 to 255: from here on a pixel is bright
_RADIUS = 3  # pixels to each side of the neighbourhood whose mean a drawing compares with


def outline(pictures: np.ndarray) -> np.ndarray:
    """The outlines of what is bright: white where a pixel is dark and one of its 4 neighbours is bright, else black.

    The bright pixels themselves are black, so neither the grey levels nor the inside of a stroke remain.
    """
    bright = np.pad(pictures >= _BRIGHT, ((0, 0), (1, 1), (1, 1), (0, 0)))
    beside = bright[:, :-2, 1:-1] | bright[:, 2:, 1:-1] | bright[:, 1:-1, :-2] | bright[:, 1:-1, 2:]
    return np.where(beside & ~bright[:, 1:-1, 1:-1], 255, 0).astype(np.uint8)


def bold_negative(pictures: np.ndarray) -> np.ndarray:
    """The negative with bolder strokes: 255 minus the largest of the 3 x 3 pixels around each pixel.

    A white stroke on black becomes a black one on white that is 2 pixels wider; narrow gaps are closed.
    """
    around = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(1, 2))
    return np.asarray(255 - windows.max(axis=(-2, -1)))


def pencil_drawing(pictures: np.ndarray) -> np.ndarray:
    """A pencil drawing: white, and darker the more a pixel is below the mean m of the 7 x 7 pixels around it.

    The grey level is 255 min(1, (v + 1) / (m + 1))^2 for a pixel v: the "colour dodge" of a picture with its blurred
    negative, squared for darker lines. Slow changes, such as the brightness of skin and background, do not remain.
    """
    side = 2 * _RADIUS + 1
    around = np.pad(pictures.astype(np.float32), ((0, 0), (_RADIUS,) * 2, (_RADIUS,) * 2, (0, 0)), mode="edge")
    mean = np.lib.stride_tricks.sliding_window_view(around, (side, side), axis=(1, 2)).mean(axis=(-2, -1))
    share = np.minimum(1, (pictures.astype(np.float32) + 1) / (mean + 1))
    return np.rint(255 * share**2).astype(np.uint8)
