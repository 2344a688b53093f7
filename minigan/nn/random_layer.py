"""Layers that draw random numbers: during a pass, or before it, so that they are passed to the layers.

A training step with its random numbers among its inputs is a pure function of these, and can be replayed. To this end,
`recording_requests` finds out which arrays the passes of a step need, `DrawRequests.draw` draws them, and `using_draws`
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
from minigan.nn.seeds import Seed, as_seed

_ADVICE = (
    "the numbers are drawn before a step, for passes that need the same ones each time: change rates, modes and layers "
    "before GAN.draw, and let no forward decide by a variable that changes from pass to pass"
)


class RandomLayer(Module):
    """The base class of layers that draw an array of random numbers in each pass in training.

    Array number n is a pure function of (seed, n). The count of draws is part of the module's state, so a resumed run
    continues with the same numbers as an uninterrupted one. A subclass defines `draw`, and `drawn_shape` if the array
    has another shape than the input; its forward asks for the array by `next_draw`. `purpose` names the stream, which
    must differ from those of other kinds of layers.
    """

    purpose: str

    def __init__(self, seed: Seed = None) -> None:
        self.seed = as_seed(seed)
        self.draws = Buffer(0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of `drawn_shape(shape)` and `dtype`, for an input of `shape`; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no draw")

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the array for an input of `shape`; the same unless a subclass says otherwise."""
        return shape

    def next_draw(self, x: Tensor) -> Tensor:
        """The array for the input x: a prepared one, or one drawn now, which increases the count of draws."""
        if _source is not None:
            return _source(self, x)
        drawn = draw_array(self, int(self.draws.data), x.shape, x.dtype)
        self.draws.assign(self.draws.data + 1)
        return drawn

    def _channels_out(self, channels: int | None) -> int | None:
        return channels


@dataclass(frozen=True, eq=False)
class DrawnArrays:
    """The arrays for the passes of one step, in the order in which `layer` takes them.

    draw_count: by how much the step increases the layer's count of draws.
    """

    layer: RandomLayer
    arrays: tuple[Tensor, ...]
    draw_count: int


@dataclass(eq=False)
class DrawRequests:
    """The arrays that passes request from `layer`, in order.

    first: the layer's count of draws before the passes. inputs: (number of the draw, counted from `first`; shape of
    the layer's input; dtype) of each. draw_count: by how much the passes increase the count in the end; less than the
    number of arrays if they restore it in between.
    """

    layer: RandomLayer
    first: int
    inputs: list[tuple[int, tuple[int, ...], np.dtype]] = field(default_factory=list)
    draw_count: int = 0

    def draw(self) -> DrawnArrays:
        """The arrays that the same passes need if they are made next."""
        first = int(self.layer.draws.data)
        drawn = [draw_array(self.layer, first + offset, shape, dtype) for offset, shape, dtype in self.inputs]
        return DrawnArrays(self.layer, tuple(drawn), self.draw_count)


_source: Callable[[RandomLayer, Tensor], Tensor] | None = None


def draw_array(layer: RandomLayer, number: int, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """Array `number` of `layer`, for an input of `shape`: a pure function of (seed, number)."""
    return Tensor(layer.draw(random.generator(layer.seed, layer.purpose, number), shape, dtype))


@contextlib.contextmanager
def using_draws(drawn: Sequence[DrawnArrays]) -> Iterator[None]:
    """A context in which layers take these arrays and count no draws. If `drawn` is empty, layers draw as usual.

    Raises RuntimeError if a layer needs an array of another shape or dtype than its next one, or does not take all.
    """
    remaining = {arrays.layer: deque(arrays.arrays) for arrays in drawn}

    def next_of(layer: RandomLayer, x: Tensor) -> Tensor:
        array = remaining[layer].popleft() if remaining.get(layer) else None
        shape = layer.drawn_shape(x.shape)
        if array is None or (array.shape, array.dtype) != (shape, x.dtype):
            available = "none is left" if array is None else f"the next is of {array.dtype} and shape {array.shape}"
            raise RuntimeError(
                f"{layer} needs a random array of {x.dtype} and shape {shape}, but {available}; {_ADVICE}"
            )
        return array

    with _arrays_from(next_of) if drawn else contextlib.nullcontext():
        yield
    for layer, arrays in remaining.items():
        if arrays:
            raise RuntimeError(f"{layer} did not use {len(arrays)} of the arrays that were drawn for it; {_ADVICE}")


@contextlib.contextmanager
def recording_requests() -> Iterator[list[DrawRequests]]:
    """A context in which every drawn number is 1; yields a list of the layers' requests, filled when the context ends.

    The layers count their draws as usual.
    """
    requests: dict[RandomLayer, DrawRequests] = {}

    def record(layer: RandomLayer, x: Tensor) -> Tensor:
        number = int(layer.draws.data)
        of_layer = requests.setdefault(layer, DrawRequests(layer, number))
        of_layer.inputs.append((number - of_layer.first, x.shape, x.dtype))
        layer.draws.assign(number + 1)
        return Tensor(np.ones(layer.drawn_shape(x.shape), x.dtype))

    result: list[DrawRequests] = []
    with _arrays_from(record):
        yield result
    for of_layer in requests.values():
        of_layer.draw_count = int(of_layer.layer.draws.data) - of_layer.first
        result.append(of_layer)


@contextlib.contextmanager
def _arrays_from(source: Callable[[RandomLayer, Tensor], Tensor]) -> Iterator[None]:
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
