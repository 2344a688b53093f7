"""The masks of Dropout: drawn at each pass, or supplied to it by whoever has drawn them before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minigan import random
from minigan.autodiff import Tensor

if TYPE_CHECKING:
    from minigan.nn.layers import Dropout


@dataclass(frozen=True)
class Request:
    """A mask of `shape` and `dtype` that a pass asks `layer` for, `ahead` draws after those counted before the pass."""

    layer: Dropout
    ahead: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def draw(self) -> Tensor:
        """The mask, if the pass comes next."""
        return draw(self.layer, int(self.layer.draws.data) + self.ahead, self.shape, self.dtype)


_source: Callable[[Dropout, Tensor], Tensor] | None = None


def draw(layer: Dropout, number: int, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Mask `number` of `layer`, a pure function of (seed, number): 0, or 1 / (1 - rate) where kept."""
    rng = random.generator(layer.seed, "dropout", number)
    kept = rng.random(shape, dtype=np.float32) >= layer.rate
    return Tensor(kept.astype(dtype) / np.asarray(1 - layer.rate, dtype))


def take(layer: Dropout, x: Tensor) -> Tensor:
    """The next mask of `layer` for x: a supplied one, else drawn now, which its count notes."""
    if _source is not None:
        return _source(layer, x)
    mask = draw(layer, int(layer.draws.data), x.shape, x.dtype)
    layer.draws.assign(layer.draws.data + 1)
    return mask


def supplied(masks: Sequence[Tensor]) -> contextlib.AbstractContextManager[None]:
    """A context in which passes take these masks, one after another, and count no draws; without any, as ever."""
    following = iter(masks)
    return _from(lambda layer, x: next(following)) if masks else contextlib.nullcontext()


@contextlib.contextmanager
def noted() -> Iterator[list[Request]]:
    """A context in which masks leave everything as it is; gives the list of those that were asked for, in order.

    The counts of draws go on; what they are after the context, less what they were before, is how many a pass draws.
    """
    requests: list[Request] = []
    before: dict[Dropout, int] = {}

    def note(layer: Dropout, x: Tensor) -> Tensor:
        first = before.setdefault(layer, int(layer.draws.data))
        requests.append(Request(layer, int(layer.draws.data) - first, x.shape, x.dtype))
        layer.draws.assign(layer.draws.data + 1)
        return Tensor(np.ones(x.shape, x.dtype))

    with _from(note):
        yield requests


@contextlib.contextmanager
def _from(source: Callable[[Dropout, Tensor], Tensor]) -> Iterator[None]:
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
