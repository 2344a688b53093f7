"""The masks of Dropout: drawn at each pass, or supplied to it by whoever has drawn them before."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random

if TYPE_CHECKING:
    from minigan.nn.layers import Dropout

_ADVICE = (
    "masks are drawn before a step, for passes that do the same each time: change rates, modes and layers before "
    "GAN.draw, and decide in a forward by nothing that changes from pass to pass"
)


@dataclass(frozen=True, eq=False)
class DrawnMasks:
    """Masks for `layer`, in the order in which it asks for them; `draw_count` is added to its count of draws."""

    layer: Dropout
    masks: tuple[Tensor, ...]
    draw_count: int


@dataclass(eq=False)
class MaskRequests:
    """The masks that passes ask `layer` for, in order: each (draws counted since before the passes, shape, dtype).

    draw_count: how many of these draws the passes count in the end.
    """

    layer: Dropout
    first: int
    masks: list[tuple[int, tuple[int, ...], np.dtype]] = field(default_factory=list)
    draw_count: int = 0

    def draw(self) -> DrawnMasks:
        """What the passes ask for if they come next."""
        first = int(self.layer.draws.data)
        found = [draw_mask(self.layer, first + ahead, shape, dtype) for ahead, shape, dtype in self.masks]
        return DrawnMasks(self.layer, tuple(found), self.draw_count)


_source: Callable[[Dropout, Tensor], Tensor] | None = None


def draw_mask(layer: Dropout, number: int, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Mask `number` of `layer`, a pure function of (seed, number): 0, or 1 / (1 - rate) where kept."""
    rng = random.generator(layer.seed, "dropout", number)
    kept = rng.random(shape, dtype=np.float32) >= layer.rate
    return Tensor(kept.astype(dtype) / np.asarray(1 - layer.rate, dtype))


def next_mask(layer: Dropout, x: Tensor) -> Tensor:
    """The next mask of `layer` for x: a supplied one, else drawn now, which its count notes."""
    if _source is not None:
        return _source(layer, x)
    mask = draw_mask(layer, int(layer.draws.data), x.shape, x.dtype)
    layer.draws.assign(layer.draws.data + 1)
    return mask


@contextlib.contextmanager
def using_masks(supplies: Sequence[DrawnMasks]) -> Iterator[None]:
    """A context in which passes take these masks, and count no draws; without any, as ever.

    Raises RuntimeError where a layer asks for another mask than the next of its own, or does not ask for all of them.
    """
    left = {supply.layer: deque(supply.masks) for supply in supplies}

    def next_of(layer: Dropout, x: Tensor) -> Tensor:
        mask = left[layer].popleft() if left.get(layer) else None
        if mask is None or (mask.shape, mask.dtype) != (x.shape, x.dtype):
            held = "none is left" if mask is None else f"the next is of {mask.dtype} and shape {mask.shape}"
            raise RuntimeError(f"{layer} needs a mask of {x.dtype} and shape {x.shape}, but {held}; {_ADVICE}")
        return mask

    with _from(next_of) if supplies else contextlib.nullcontext():
        yield
    for layer, masks in left.items():
        if masks:
            raise RuntimeError(f"{layer} left {len(masks)} of the masks that were drawn for it; {_ADVICE}")


@contextlib.contextmanager
def recording_requests() -> Iterator[list[MaskRequests]]:
    """A context in which masks leave everything as it is; gives what each layer was asked for, complete at its end.

    The counts of draws go on.
    """
    found: dict[Dropout, MaskRequests] = {}

    def note(layer: Dropout, x: Tensor) -> Tensor:
        number = int(layer.draws.data)
        asked = found.setdefault(layer, MaskRequests(layer, number))
        asked.masks.append((number - asked.first, x.shape, x.dtype))
        layer.draws.assign(number + 1)
        return Tensor(np.ones(x.shape, x.dtype))

    requests: list[MaskRequests] = []
    with _from(note):
        yield requests
    for asked in found.values():
        asked.draw_count = int(asked.layer.draws.data) - asked.first
        requests.append(asked)


@contextlib.contextmanager
def _from(source: Callable[[Dropout, Tensor], Tensor]) -> Iterator[None]:
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
