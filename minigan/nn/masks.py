"""The masks of Dropout: drawn at each pass, or supplied to it by whoever has drawn them before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from minigan import backend, random
from minigan.autodiff import Tensor

if TYPE_CHECKING:
    from minigan.nn.layers import Dropout

Source = Callable[["Dropout", tuple[int, ...], np.dtype], Tensor]
"""Gives a layer its next mask, of this shape and type."""

_source: Source | None = None


def draw(layer: Dropout, number: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Mask `number` of `layer` on the host, a pure function of (seed, number): 0, or 1 / (1 - rate) where kept."""
    rng = random.generator(layer.seed, "dropout", number)
    kept = rng.random(shape, dtype=np.float32) >= layer.rate
    return kept.astype(dtype) / np.asarray(1 - layer.rate, dtype)


def take(layer: Dropout, x: Tensor) -> Tensor:
    """The next mask of `layer` for x: from the source of `supplied`, else drawn now, which its count notes."""
    if _source is not None:
        return _source(layer, x.shape, x.dtype)
    mask = draw(layer, int(layer.draws.item()), x.shape, x.dtype)
    layer.draws.assign(layer.draws.item() + 1)
    return Tensor(backend.of(x.data).asarray(mask))


@contextlib.contextmanager
def supplied(source: Source) -> Iterator[None]:
    """A context in which every Dropout takes its masks from `source`, and counts no draws."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
