"""Layers for images (batch, height, width, channels): convolution and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.nn import init
from minigan.nn.layers import LeakyReLU, is_fusible_leaky_relu, new_parameter, require_channels, require_positive_ints
from minigan.nn.module import Module
from minigan.nn.seeds import Seed, as_generator
from minigan.nn.sequential import Fusible
from minigan_kernels.geometry import Padding, Pair, pair


class _Convolution(Fusible):
    """The base of Conv2d and ConvTranspose2d."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Pair,
        rng: Seed = None,
        *,
        stride: int | Pair = 1,
        padding: Padding = 0,
        initializer: init.Initializer = init.glorot_uniform,
        bias: bool = True,
        precision: str = "exact",
    ) -> None:
        require_positive_ints(type(self).__name__, inputs=inputs, outputs=outputs)
        self.inputs, self.outputs, self.kernel = inputs, outputs, pair(kernel, "kernel")
        self.stride, self.padding, self.precision = pair(stride, "stride"), padding, precision
        self.weight = new_parameter(initializer(as_generator(rng), self._weight_shape()))
        self.bias = new_parameter(np.zeros(outputs)) if bias else None

    def _weight_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def _convolve(self, x: Tensor, slope: float) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self._apply(x, 1.0)

    def can_fuse(self, following: Module) -> bool:
        return is_fusible_leaky_relu(following)

    def forward_fused(self, following: LeakyReLU, x: Tensor) -> Tensor:
        return self._apply(x, following.slope)

    def _apply(self, x: Tensor, slope: float) -> Tensor:
        if x.ndim != 4 or x.shape[3] != self.inputs:
            raise ValueError(f"{self} takes (batch, height, width, {self.inputs}), got shape {x.shape}")
        try:
            return self._convolve(x, slope)
        except ValueError as error:
            raise ValueError(f"{self} on shape {x.shape}: {error}") from None

    def _channels_out(self, channels: int | None) -> int:
        require_channels(self, self.inputs, channels)
        return self.outputs

    def __repr__(self) -> str:
        kernel, stride = (a if a == b else (a, b) for a, b in (self.kernel, self.stride))
        return (
            f"{type(self).__name__}({self.inputs}, {self.outputs}, {kernel}, stride={stride}, padding={self.padding!r})"
        )


class Conv2d(_Convolution):
    """Convolution: (batch, height, width, inputs) to (batch, height', width', outputs); see `ops.conv2d`.

    weight (kh, kw, inputs, outputs) is drawn by `initializer` from `rng`, a generator, a seed, or none (see
    `nn.manual_seed`); bias (outputs,) starts at zero; there is none with `bias=False`. `padding` is a number, "same",
    "valid" or ((top, bottom), (left, right)). `precision` "fast" allows a faster algorithm with larger rounding errors.
    """

    def _weight_shape(self) -> tuple[int, ...]:
        return (*self.kernel, self.inputs, self.outputs)

    def _convolve(self, x: Tensor, slope: float) -> Tensor:
        return ops.conv2d(
            x, self.weight, self.bias, stride=self.stride, padding=self.padding, slope=slope, precision=self.precision
        )


class ConvTranspose2d(_Convolution):
    """Transposed convolution: (batch, height, width, inputs) to (batch, height', width', outputs).

    weight (kh, kw, outputs, inputs). With a stride, several output sizes are possible: `output_size` (height', width')
    chooses one. See `ops.conv_transpose2d` for the sizes, `Conv2d` for the other arguments.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Pair,
        rng: Seed = None,
        *,
        output_size: Pair | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(inputs, outputs, kernel, rng, **rest)
        self.output_size = output_size

    def _weight_shape(self) -> tuple[int, ...]:
        return (*self.kernel, self.outputs, self.inputs)

    def _convolve(self, x: Tensor, slope: float) -> Tensor:
        return ops.conv_transpose2d(
            x, self.weight, self.bias, stride=self.stride, padding=self.padding, output_size=self.output_size,
            slope=slope, precision=self.precision,
        )  # fmt: skip


class _Pool(Module):
    """The base of AveragePool2d and MaxPool2d."""

    def __init__(self, window: int | Pair = 2, *, stride: int | Pair | None = None, padding: Padding = 0) -> None:
        self.window, self.padding = pair(window, "window"), padding
        self.stride = self.window if stride is None else pair(stride, "stride")

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self._pool(x)
        except ValueError as error:
            raise ValueError(f"{self} on shape {x.shape}: {error}") from None

    def _pool(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _channels_out(self, channels: int | None) -> int | None:
        return channels

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.window}, stride={self.stride}, padding={self.padding!r})"


class AveragePool2d(_Pool):
    """The mean of each window; see `ops.average_pool2d`."""

    def _pool(self, x: Tensor) -> Tensor:
        return ops.average_pool2d(x, self.window, stride=self.stride, padding=self.padding)


class MaxPool2d(_Pool):
    """The maximum of each window; see `ops.max_pool2d`."""

    def _pool(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.window, stride=self.stride, padding=self.padding)


class GlobalAveragePool2d(Module):
    """The mean of each channel (Lin et al., 2014, section 3.2).

    (batch, height, width, channels) to (batch, channels). Raises ValueError for other than images.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"{self} takes (batch, height, width, channels), got shape {x.shape}")
        return ops.mean(x, (1, 2))

    def _channels_out(self, channels: int | None) -> int | None:
        return channels

    def __repr__(self) -> str:
        return "GlobalAveragePool2d()"
