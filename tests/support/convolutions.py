"""Convolutions of every kind, small and large, on which the tests run the kernels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan_kernels.geometry import Geometry
from support.environment import thinned


@dataclass(frozen=True)
class Case:
    """A geometry, and the numbers of pictures, input channels and output channels."""

    geometry: Geometry
    batch: int
    inputs: int
    outputs: int

    def __str__(self) -> str:
        (h, w), (kh, kw), (down, across) = self.geometry[:3]
        padding = ",".join(map(str, itertools.chain(*self.geometry.padding)))
        return f"{self.batch}x{h}x{w}-{self.inputs}to{self.outputs}-k{kh}x{kw}-s{down}x{across}-p{padding}"

    @property
    def picture(self) -> tuple[int, ...]:
        return self.batch, *self.geometry.size, self.inputs

    @property
    def weight(self) -> tuple[int, ...]:
        return *self.geometry.kernel, self.inputs, self.outputs

    @property
    def result(self) -> tuple[int, ...]:
        return self.batch, *self.geometry.out, self.outputs

    def draw(self, draw: Callable[[tuple[int, ...]], np.ndarray], dtype: str) -> tuple[np.ndarray, ...]:
        """(x, w, g): a picture, a weight and a cotangent of the result."""
        x, w, g = (draw(shape).astype(dtype) for shape in (self.picture, self.weight, self.result))
        return x, w, g


ONE, NONE = ((1, 1), (1, 1)), ((0, 0), (0, 0))
DCGAN = {"kernel": (4, 4), "stride": (2, 2), "padding": ONE}


def _case(size: Any, kernel: Any, stride: Any, padding: Any, batch: int, inputs: int, outputs: int) -> Case:
    return Case(Geometry(size, kernel, stride, padding), batch, inputs, outputs)


HAND_PICKED = [
    _case((8, 8), (4, 4), (2, 2), ONE, 2, 16, 16),
    _case((8, 8), (4, 4), (2, 2), ONE, 1, 3, 64),
    _case((8, 6), (4, 4), (2, 2), ONE, 3, 64, 3),
    _case((16, 16), (4, 4), (2, 2), ONE, 2, 65, 17),
    _case((6, 10), (4, 4), (2, 2), ONE, 5, 33, 70),
    _case((9, 7), (4, 4), (2, 2), ONE, 2, 17, 33),  # odd: the last row and column meet no window
    _case((2, 2), (4, 4), (2, 2), ONE, 4, 15, 9),  # smaller than a tile; an output of 1 x 1
    _case((3, 2), (4, 4), (2, 2), ONE, 2, 130, 128),
    _case((4, 4), (4, 4), (2, 2), ONE, 2, 70, 130),
    _case((10, 12), (4, 4), (2, 2), ((1, 2), (0, 1)), 2, 16, 17),
    _case((7, 5), (4, 4), (2, 2), ((2, 1), (1, 2)), 1, 9, 16),
    _case((11, 13), (4, 4), (2, 2), NONE, 2, 16, 24),
    _case((6, 6), (4, 4), (2, 2), ((3, 3), (3, 3)), 2, 16, 16),
    _case((18, 22), (4, 4), (2, 2), ONE, 1, 32, 32),
    _case((4, 4), (4, 4), (1, 1), NONE, 3, 130, 1),  # a kernel as large as the picture
    _case((4, 4), (4, 4), (2, 2), NONE, 5, 64, 65),
    _case((5, 3), (5, 3), (1, 2), NONE, 2, 17, 9),
    _case((1, 1), (1, 1), (1, 1), NONE, 1, 1, 1),
    _case((1, 1), (3, 3), (1, 1), ONE, 2, 9, 16),
    _case((1, 1), (4, 4), (2, 2), ((2, 1), (1, 2)), 3, 16, 16),
    _case((1, 1), (4, 4), (1, 1), ((3, 3), (3, 3)), 2, 128, 5),
    _case((7, 9), (3, 3), (1, 1), ONE, 2, 16, 17),
    _case((6, 6), (5, 5), (2, 2), ((2, 2), (2, 2)), 2, 3, 33),
    _case((6, 7), (1, 1), (1, 1), NONE, 3, 65, 63),
    _case((6, 7), (1, 1), (2, 3), NONE, 3, 9, 8),  # a stride larger than the kernel
    _case((9, 8), (2, 1), (3, 2), ((0, 1), (1, 0)), 2, 5, 33),
    _case((8, 8), (7, 2), (1, 3), ((3, 3), (0, 2)), 1, 8, 2),
    _case((5, 5), (2, 2), (1, 1), ((4, 3), (5, 2)), 2, 2, 3),  # more padding than the kernel needs
    _case((2, 3), (3, 3), (2, 2), ((6, 6), (5, 4)), 1, 16, 9),
    _case((12, 10), (3, 3), (3, 3), NONE, 2, 15, 16),  # no window reaches the last column
    _case((11, 11), (2, 2), (3, 3), NONE, 2, 16, 64),
    _case((10, 7), (4, 4), (3, 3), ONE, 1, 63, 16),
    _case((9, 9), (4, 3), (2, 2), ONE, 2, 16, 16),
    _case((9, 9), (4, 4), (2, 1), ONE, 2, 16, 16),
    _case((1, 12), (1, 7), (1, 1), ((0, 0), (3, 3)), 2, 16, 16),
    _case((12, 1), (5, 1), (2, 1), ((2, 2), (0, 0)), 2, 16, 16),
    _case((9, 10), (3, 3), (1, 1), ONE, 2, 33, 3),  # few output channels, stride 1
    _case((6, 5), (5, 4), (1, 1), ((4, 0), (1, 3)), 3, 16, 1),
    _case((7, 7), (7, 7), (1, 1), ((3, 3), (3, 3)), 1, 64, 3),
    _case((5, 6), (2, 3), (1, 1), ((2, 1), (0, 3)), 2, 17, 8),
    _case((4, 4), (4, 4), (1, 1), NONE, 3, 16, 130),
    _case((6, 5), (1, 1), (1, 1), NONE, 2, 3, 2),
]
CHANNELS = [1, 2, 3, 5, 8, 9, 15, 16, 17, 33, 63, 64, 65, 70, 128, 130]


def _random_cases(count: int, seed: int) -> list[Case]:
    """Random cases: a third have DCGAN's 4 x 4 kernels with stride 2, a tenth kernels as large as the picture."""
    rng = np.random.default_rng(seed)
    cases: list[Case] = []

    def draw(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    while len(cases) < count:
        kind = rng.choice(["dcgan", "whole", "any"], p=[0.35, 0.1, 0.55])
        size = draw(1, 13), draw(1, 13)
        if kind == "dcgan":
            exactly_one = rng.random() < 0.6
            padding = ONE if exactly_one else ((draw(0, 3), draw(0, 3)), (draw(0, 3), draw(0, 3)))
            kernel, stride = (4, 4), (2, 2)
        else:
            kernel, stride = (draw(1, 7), draw(1, 7)), (draw(1, 3), draw(1, 3))
            most = [k if rng.random() < 0.8 else k + 2 for k in kernel]
            padding = ((draw(0, most[0]), draw(0, most[0])), (draw(0, most[1]), draw(0, most[1])))
        if kind == "whole":
            kernel = (min(size[0], 6), min(size[1], 6))
            size, padding = kernel, NONE
        geometry = Geometry(size, kernel, stride, padding)
        if min(geometry.out) < 1:
            continue
        few = [c for c in CHANNELS if c <= 33] if geometry.out[0] * geometry.out[1] > 36 else CHANNELS
        cases.append(Case(geometry, draw(1, 5), int(rng.choice(few)), int(rng.choice(few))))
    return cases


def _winograd_cases(count: int, seed: int) -> list[Case]:
    """Cases with the geometry and the numbers of channels for which the kernels use Winograd's algorithm."""
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(count):
        size, channels = rng.integers(2, 23, 2), rng.choice([16, 32, 48, 64, 80], 2)
        case = _case(tuple(map(int, size)), (4, 4), (2, 2), ONE, int(rng.integers(1, 5)), *map(int, channels))
        cases.append(case)
    return cases


RANDOM, WINOGRAD = _random_cases(220, 41), _winograd_cases(60, 42)
CASES = HAND_PICKED + thinned(RANDOM, 70) + thinned(WINOGRAD, 20)

LARGE = {
    "winograd": Case(Geometry((32, 32), **DCGAN), 5, 33, 65),
    "winograd-odd": Case(Geometry((31, 17), **DCGAN), 3, 64, 70),
    "few-in": Case(Geometry((64, 64), **DCGAN), 4, 3, 64),
    "few-out": Case(Geometry((64, 64), **DCGAN), 4, 64, 3),
    "deep": Case(Geometry((8, 8), **DCGAN), 3, 130, 257),
    "fast": Case(Geometry((32, 30), **DCGAN, precision="fast"), 5, 64, 65),
    "direct": Case(Geometry((25, 24), (3, 3), (1, 1), ONE), 3, 33, 40),
    "direct-5x5": Case(Geometry((28, 28), (5, 5), (2, 2), ((1, 2), (1, 2))), 4, 24, 65),
    "direct-few": Case(Geometry((64, 64), (3, 3), (1, 1), ONE), 3, 3, 8),
    "few-out-5x5": Case(Geometry((48, 40), (5, 5), (1, 1), ((2, 2), (2, 2))), 4, 33, 3),
    "few-in-5x5": Case(Geometry((48, 40), (5, 5), (2, 2), ((2, 2), (2, 2))), 4, 3, 65),
    "whole": Case(Geometry((4, 4), (4, 4)), 64, 256, 100),
    "one-by-one": Case(Geometry((32, 32), (1, 1)), 4, 64, 70),
    "small": HAND_PICKED[0],
}
