"""The kernels that are timed: once with every shape that occurs in the training step of a benchmark network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minigan import nn
from minigan.training import benchmark
from minigan_kernels.geometry import Geometry, of_convolution, of_transposed

FLOAT32_BYTES = 4
Shape = tuple[int, ...]


class Case(NamedTuple):
    """A call of the kernel `operation` on arrays of `shapes`, with `settings` as its other arguments.

    `flops` counts the operations of a direct convolution or product. It is 0 for memory-bound kernels; for these
    `traffic` counts the bytes that must be moved if each input is read once and each output is written once.
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
        """The same normal draws at every call, moved away from 0, where rounding would decide LeakyReLU's side."""
        rng = np.random.default_rng(0)
        draws = [rng.standard_normal(shape, np.float32) for shape in self.shapes]
        return [draw + np.copysign(np.float32(1), draw) for draw in draws]


def cases() -> list[Case]:
    """All cases, each once, sorted by kernel; ReLU and LeakyReLU make one case, because their work is the same."""
    found = {case.name: case for network in benchmark.NETWORKS for case in cases_of(network)}
    order = list(dict.fromkeys(case.operation for case in found.values()))
    return sorted(found.values(), key=lambda case: order.index(case.operation))


def cases_of(network: str) -> Iterator[Case]:
    """The cases in the training step of one benchmark network."""
    gan, real = benchmark.build(network)
    batch = len(real)
    in_one_batch = not any(isinstance(layer, nn.BatchNorm) for layer in gan.discriminator)
    for player, shape, rows in (
        (gan.generator, (gan.latent_size,), batch),
        (gan.discriminator, real.shape[1:], 2 * batch if in_one_batch else batch),
    ):
        layers = [*inputs(player, shape), (None, ())]
        for (layer, x), (following, _) in itertools.pairwise(layers):
            yield from cases_of_layer(layer, following, (rows, *x))
        yield adam_case(player)


def inputs(network: Any, shape: Shape) -> Iterator[tuple[Any, Shape]]:
    """Yield each layer of a Sequential with the shape of one example of its input."""
    for layer in network:
        yield layer, shape
        shape = output_of(layer, shape)


def output_of(layer: Any, shape: Shape) -> Shape:
    """The shape of one output example of `layer` for an input example of `shape`."""
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
    """The geometry of a convolution or transposed convolution whose input has `shape` (height, width, channels)."""
    size = (shape[0], shape[1])
    if isinstance(layer, nn.Conv2d):
        return of_convolution(size, layer.kernel, layer.stride, layer.padding, layer.precision)
    return of_transposed(size, layer.kernel, layer.stride, layer.padding, layer.output_size, layer.precision)


def cases_of_layer(layer: Any, following: Any, x: Shape) -> Iterator[Case]:
    """The kernels that compute `layer` on a batch of shape x, forward and backward.

    A LeakyReLU that follows batch norm is fused with it. After another layer, its derivative is a kernel of its own,
    and its forward pass is fused with the matrix product; it is left out of the comparison for all libraries.
    """
    slope = following.slope if isinstance(following, nn.LeakyReLU) else 1.0
    match layer:
        case nn.Dense():
            yield from dense_cases(x[0], layer.inputs, layer.outputs)
        case nn.Conv2d():
            yield from convolution_cases(x[0], geometry_of(layer, x[1:]), layer.inputs, layer.outputs)
        case nn.ConvTranspose2d():
            yield from convolution_cases(x[0], geometry_of(layer, x[1:]), layer.outputs, layer.inputs)
        case nn.BatchNorm():
            yield from batch_norm_cases(math.prod(x[:-1]), layer.features, layer.eps, slope)
    if slope != 1 and isinstance(layer, (nn.Dense, nn.Conv2d, nn.ConvTranspose2d)):
        yield slope_gate_case(x[0] * math.prod(output_of(layer, x[1:])), slope)


def dense_cases(m: int, k: int, n: int) -> Iterator[Case]:
    """y = x @ w + b, and the derivatives dx = dy @ w.T and dw = x.T @ dy."""
    flops = 2 * m * n * k
    yield Case("dense", f"{m}x{k} {k}x{n}", ((m, k), (k, n), (n,)), (1.0,), flops)
    yield Case("matmul", f"{m}x{n} ({k}x{n}).T", ((m, n), (k, n)), (False, True), flops)
    yield Case("matmul", f"({m}x{k}).T {m}x{n}", ((m, k), (m, n)), (True, False), flops)


def convolution_cases(batch: int, geometry: Geometry, channels: int, maps: int) -> Iterator[Case]:
    """The three kernels of a convolution from `channels` to `maps`; its transposed convolution has the same three."""
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
    size = rows * channels * FLOAT32_BYTES
    yield Case("batch_norm", label, (matrix, vector), (eps, slope), traffic=2 * size)
    yield Case("batch_norm_grad", label, (matrix, matrix, vector), (eps, slope), traffic=3 * size)


def slope_gate_case(size: int, slope: float) -> Case:
    """LeakyReLU's derivative: two arrays are read, one is written."""
    return Case("slope_gate", f"{size}", ((size,), (size,)), (slope,), traffic=3 * size * FLOAT32_BYTES)


def adam_case(player: Any) -> Case:
    """One update of all parameters of a player."""
    return adam_case_of(tuple(p.shape for p in player.parameters().values()))


def adam_case_of(shapes: tuple[Shape, ...]) -> Case:
    """One update of parameters of these shapes: p, m and v are read and written, the gradient is read."""
    count = sum(map(math.prod, shapes))
    return Case(
        "adam", f"{count} in {len(shapes)}", shapes, (2e-4, 0.5, 0.999, 1e-8), traffic=7 * count * FLOAT32_BYTES
    )
