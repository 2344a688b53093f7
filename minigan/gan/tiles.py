"""A fully convolutional generator applied to large pictures, piece by piece."""

from __future__ import annotations

import numpy as np

from minigan.gan.gan import GAN

_TILE = 64  # pixels of a side, without the margin


def enlarged(gan: GAN, picture: np.ndarray, scale: int, margin: int, tile: int = _TILE) -> np.ndarray:
    """`picture` (h, w, C), as the generator sees its condition, enlarged by the generator: (h * scale, w * scale, C).

    Each tile of at most `tile` x `tile` pixels gets `margin` pixels of its surroundings, as far as the picture has
    them. If no output pixel depends on input pixels further away, the result is that of one pass, up to rounding. The
    latent vector is 0.
    """
    height, width, channels = picture.shape
    latent = np.zeros((1, gan.latent_size), picture.dtype)
    large = np.empty((height * scale, width * scale, channels), picture.dtype)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            first = max(0, top - margin), max(0, left - margin)
            seen = picture[first[0] : bottom + margin, first[1] : right + margin]
            values = gan.sample(latent, seen[None]).numpy()[0]
            rows = slice((top - first[0]) * scale, (bottom - first[0]) * scale)
            columns = slice((left - first[1]) * scale, (right - first[1]) * scale)
            large[top * scale : bottom * scale, left * scale : right * scale] = values[rows, columns]
    return large
