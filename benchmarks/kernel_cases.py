"""Which kernels are timed: every shape that the training step of a benchmark network gives them, once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minigan import nn
from minigan.training import benchmark
from minigan_kernels.geometry import Geometry, of_convolution, of_transposed

NUMBER = 4  # bytes of a float32
Shape = tuple[int, ...]


class Case(NamedTuple):
    """A call of the kernel `operation` on arrays of `shapes`, with `settings` as its other arguments.

    `flops` counts the arithmetic of a convolution or product done directly, 0 where memory is what takes the time;
    then `traffic` counts the bytes that must move: each input read once, each output written once.
    """

    operation: str
    label: str
    shapes: tuple[Shape, ...]
    settings: tuple[Any, ...] = ()
    flops: int = 0
    traffic: int = 0

    @property
    def name(self) -> str:
        return f"{self.operation} {self.label}"

    def arrays(self) -> list[np.ndarray]:
        """Normal draws, the same at every call, moved away from 0: there rounding decides LeakyReLU's side."""
        rng = np.random.default_rng(0)
        draws = [rng.standard_normal(shape, np.float32) for shape in self.shapes]
        return [draw + np.copysign(np.float32(1), draw) for draw in draws]


def cases() -> list[Case]:
    """All of them, those of one kernel together, each once (with ReLU or LeakyReLU, whose work is the same)."""
    found = {case.name: case for network in ("mlp", "dcgan28", "dcgan64") for case in cases_of(network)}
    order = list(dict.fromkeys(case.operation for case in found.values()))
    return sorted(found.values(), key=lambda case: order.index(case.operation))


def cases_of(network: str) -> Iterator[Case]:
    gan, real = benchmark.build(network)
    batch = len(real)
    together = not any(isinstance(layer, nn.BatchNorm) for layer in gan.discriminator)
    for player, shape, rows in (
        (gan.generator, (gan.latent_size,), batch),
        (gan.discriminator, real.shape[1:], 2 * batch if together else batch),
    ):
        layers = [*inputs(player, shape), (None, ())]
        for (layer, x), (following, _) in itertools.pairwise(layers):
            yield from cases_of_layer(layer, following, (rows, *x))
        yield adam_case(network, player)


def inputs(network: Any, shape: Shape) -> Iterator[tuple[Any, Shape]]:
    """Each layer of a Sequential with the shape of one example that it is given."""
    for layer in network:
        yield layer, shape
        shape = output_of(layer, shape)


def output_of(layer: Any, shape: Shape) -> Shape:
    """The shape of what `layer` makes of one example of `shape`."""
    match layer:
        case nn.Dense():
            return (layer.outputs,)
        case nn.Conv2d():
            return (*geometry_of(layer, shape).out, layer.outputs)
        case nn.ConvTranspose2d():
            return (*geometry_of(layer, shape).size, layer.outputs)
        case nn.Reshape():
            return layer.shape
        case nn.Flatten():
            return (math.prod(shape),)
    return shape


def geometry_of(layer: Any, shape: Shape) -> Geometry:
    """Of a convolution, or a transposed one, whose input has `shape` (height, width, channels)."""
    size = (shape[0], shape[1])
    if isinstance(layer, nn.Conv2d):
        return of_convolution(size, layer.kernel, layer.stride, layer.padding, layer.precision)
    return of_transposed(size, layer.kernel, layer.stride, layer.padding, layer.output_size, layer.precision)


def cases_of_layer(layer: Any, following: Any, x: Shape) -> Iterator[Case]:
    """The kernels that serve `layer` on a batch of shape x, forward and backward.

    Batch norm does the LeakyReLU after it in the same pass. Where that follows something else, its derivative is a
    kernel of its own; its forward rides on the product, and is left out here for everybody.
    """
    bend = following.slope if isinstance(following, nn.LeakyReLU) else 1.0
    match layer:
        case nn.Dense():
            yield from dense_cases(x[0], layer.inputs, layer.outputs)
        case nn.Conv2d():
            yield from convolution_cases(x[0], geometry_of(layer, x[1:]), layer.inputs, layer.outputs)
        case nn.ConvTranspose2d():
            yield from convolution_cases(x[0], geometry_of(layer, x[1:]), layer.outputs, layer.inputs)
        case nn.BatchNorm():
            yield from batch_norm_cases(math.prod(x[:-1]), layer.features, layer.eps, bend)
    if bend != 1 and isinstance(layer, (nn.Dense, nn.Conv2d, nn.ConvTranspose2d)):
        size = x[0] * math.prod(output_of(layer, x[1:]))
        yield Case("slope_gate", f"{size}", ((size,), (size,)), (bend,), traffic=3 * size * NUMBER)


def dense_cases(m: int, k: int, n: int) -> Iterator[Case]:
    """y = x @ w + b, and the derivatives dx = dy @ w.T and dw = x.T @ dy."""
    flops = 2 * m * n * k
    yield Case("dense", f"{m}x{k} {k}x{n}", ((m, k), (k, n), (n,)), (1.0,), flops)
    yield Case("matmul", f"{m}x{n} ({k}x{n}).T", ((m, n), (k, n)), (False, True), flops)
    yield Case("matmul", f"({m}x{k}).T {m}x{n}", ((m, k), (m, n)), (True, False), flops)


def convolution_cases(batch: int, geometry: Geometry, channels: int, maps: int) -> Iterator[Case]:
    """The three kernels of a convolution from `channels` to `maps`; the transposed one back has the same."""
    x, y = (batch, *geometry.size, channels), (batch, *geometry.out, maps)
    w = (*geometry.kernel, channels, maps)
    flops = 2 * batch * math.prod(geometry.out) * math.prod(w)
    label = "{}x{}x{} <> {}x{}x{}".format(*x[1:], *y[1:])
    yield Case("conv2d", label, (x, w), (geometry,), flops)
    yield Case("conv2d_input_grad", label, (y, w), (geometry,), flops)
    yield Case("conv2d_weight_grad", label, (x, y), (geometry,), flops)


def batch_norm_cases(rows: int, channels: int, eps: float, slope: float) -> Iterator[Case]:
    """Batch norm and LeakyReLU of a matrix; the shift is 0, as at the start of training."""
    matrix, vector, label = (rows, channels), (channels,), f"{rows}x{channels}"
    size = rows * channels * NUMBER
    yield Case("batch_norm", label, (matrix, vector), (eps, slope), traffic=2 * size)
    yield Case("batch_norm_grad", label, (matrix, matrix, vector), (eps, slope), traffic=3 * size)


def adam_case(network: str, player: Any) -> Case:
    """One update of all parameters: each number's p, m and v are read and written, its gradient is read."""
    shapes = tuple(p.shape for p in player.parameters().values())
    count = sum(map(math.prod, shapes))
    return Case("adam", f"{count} in {len(shapes)}", shapes, (2e-4, 0.5, 0.999, 1e-8), traffic=7 * count * NUMBER)
