"""The activations of a network of convolutions as features of pictures (Radford et al., 2016, section 5.1)."""

from __future__ import annotations

import itertools

import numpy as np

from minigan.autodiff import Tensor, no_grad
from minigan.nn import Conv2d, Flatten, Sequential
from minigan.nn.module import preserve_state

_GRID = 4
_AT_ONCE = 500


def convolution_features(network: Sequential, x: np.ndarray) -> np.ndarray:
    """What each convolution makes of pictures `x` (N, ...), in evaluation mode, pooled: (N, features).

    The features of a convolution, with the norm and activation after it, are the maxima over the 4 x 4 cells of a grid
    on each of its channels.
    """
    with preserve_state(network), no_grad():
        network.eval()
        parts = [_features(network, x[start : start + _AT_ONCE]) for start in range(0, len(x), _AT_ONCE)]
    return np.concatenate(parts)


def _features(network: Sequential, x: np.ndarray) -> np.ndarray:
    found, values = [], Tensor(x)
    for layer, following in itertools.pairwise([*network, Flatten()]):
        values = layer(values)
        if values.ndim == 4 and isinstance(following, (Conv2d, Flatten)):
            found.append(_pooled(values.numpy()))
    return np.concatenate(found, axis=1)


def _pooled(maps: np.ndarray) -> np.ndarray:
    """The maxima of maps (n, H, W, C) over the cells of the grid: (n, 16 C), or fewer where H or W is below 4."""
    for axis in (1, 2):
        size = maps.shape[axis]
        cells = min(_GRID, size)
        maps = np.maximum.reduceat(maps, np.arange(cells) * size // cells, axis=axis)
    return maps.reshape(len(maps), -1)
