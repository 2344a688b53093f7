"""Dropout, and its masks: drawn during a pass, or drawn before it and passed to the layers.

A training step with its masks among its inputs is a pure function of these, and can be replayed. To this end,
`recording_requests` finds out which masks the passes of a step need, `MaskRequests.draw` draws them, and `using_masks`
passes them to the layers.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Buffer
from minigan.core import random
from minigan.nn.module import Module

_ADVICE = (
    "masks are drawn before a step, for passes that need the same ones each time: change rates, modes and layers "
    "before GAN.draw, and let no forward decide by a variable that changes from pass to pass"
)


class Dropout(Module):
    """In training, zero each element with probability `rate` and divide the rest by 1 - rate (Srivastava et al., 2014).

    Mask number n is a pure function of (seed, n). The count of draws is part of the module's state, so a resumed run
    continues with the same masks as an uninterrupted one.
    """

    def __init__(self, rate: float, seed: int) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout's rate must lie in [0, 1), got {rate}")
        self.rate, self.seed = rate, seed
        self.draws = Buffer(0)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * next_mask(self, x)

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


@dataclass(frozen=True, eq=False)
class DrawnMasks:
    """Masks for the passes of one step, in the order in which `layer` takes them.

    draw_count: by how much the step increases the layer's count of draws.
    """

    layer: Dropout
    masks: tuple[Tensor, ...]
    draw_count: int


@dataclass(eq=False)
class MaskRequests:
    """The masks that passes request from `layer`, in order.

    first: the layer's count of draws before the passes. masks: (number of the draw, counted from `first`; shape;
    dtype) of each. draw_count: by how much the passes increase the count in the end; less than the number of masks if
    they restore it in between.
    """

    layer: Dropout
    first: int
    masks: list[tuple[int, tuple[int, ...], np.dtype]] = field(default_factory=list)
    draw_count: int = 0

    def draw(self) -> DrawnMasks:
        """The masks that the same passes need if they are made next."""
        first = int(self.layer.draws.data)
        drawn = [draw_mask(self.layer, first + offset, shape, dtype) for offset, shape, dtype in self.masks]
        return DrawnMasks(self.layer, tuple(drawn), self.draw_count)


_source: Callable[[Dropout, Tensor], Tensor] | None = None


def draw_mask(layer: Dropout, number: int, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Mask `number` of `layer`, a pure function of (seed, number): 0 where dropped, 1 / (1 - rate) elsewhere."""
    rng = random.generator(layer.seed, "dropout", number)
    kept = rng.random(shape, dtype=np.float32) >= layer.rate
    return Tensor(kept.astype(dtype) / np.asarray(1 - layer.rate, dtype))


def next_mask(layer: Dropout, x: Tensor) -> Tensor:
    """The mask of `layer` for its input x: a prepared one, or one drawn now, which increases the layer's count."""
    if _source is not None:
        return _source(layer, x)
    mask = draw_mask(layer, int(layer.draws.data), x.shape, x.dtype)
    layer.draws.assign(layer.draws.data + 1)
    return mask


@contextlib.contextmanager
def using_masks(drawn: Sequence[DrawnMasks]) -> Iterator[None]:
    """A context in which layers take these masks and count no draws. If `drawn` is empty, layers draw masks as usual.

    Raises RuntimeError if a layer needs a mask of another shape or dtype than its next one, or does not take them all.
    """
    remaining = {masks.layer: deque(masks.masks) for masks in drawn}

    def next_of(layer: Dropout, x: Tensor) -> Tensor:
        mask = remaining[layer].popleft() if remaining.get(layer) else None
        if mask is None or (mask.shape, mask.dtype) != (x.shape, x.dtype):
            available = "none is left" if mask is None else f"the next is of {mask.dtype} and shape {mask.shape}"
            raise RuntimeError(f"{layer} needs a mask of {x.dtype} and shape {x.shape}, but {available}; {_ADVICE}")
        return mask

    with _masks_from(next_of) if drawn else contextlib.nullcontext():
        yield
    for layer, masks in remaining.items():
        if masks:
            raise RuntimeError(f"{layer} did not use {len(masks)} of the masks that were drawn for it; {_ADVICE}")


@contextlib.contextmanager
def recording_requests() -> Iterator[list[MaskRequests]]:
    """A context in which every mask is 1; yields a list that holds the requests of each layer when the context ends.

    The layers count their draws as usual.
    """
    requests: dict[Dropout, MaskRequests] = {}

    def record(layer: Dropout, x: Tensor) -> Tensor:
        number = int(layer.draws.data)
        of_layer = requests.setdefault(layer, MaskRequests(layer, number))
        of_layer.masks.append((number - of_layer.first, x.shape, x.dtype))
        layer.draws.assign(number + 1)
        return Tensor(np.ones(x.shape, x.dtype))

    result: list[MaskRequests] = []
    with _masks_from(record):
        yield result
    for of_layer in requests.values():
        of_layer.draw_count = int(of_layer.layer.draws.data) - of_layer.first
        result.append(of_layer)


@contextlib.contextmanager
def _masks_from(source: Callable[[Dropout, Tensor], Tensor]) -> Iterator[None]:
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
