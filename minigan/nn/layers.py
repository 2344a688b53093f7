"""Layers for vectors (batch, features); all but Dense also take images (batch, height, width, channels)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, no_grad
from minigan.autodiff.parameter import Buffer, Parameter
from minigan.core import backend
from minigan.nn import init
from minigan.nn.module import Module
from minigan.nn.seeds import Seed, as_generator
from minigan.nn.sequential import Fusible


class Dense(Fusible):
    """x @ weight + bias: (batch, inputs) to (batch, outputs); weight (inputs, outputs), bias (outputs,).

    The weight is drawn by `initializer` from `rng`, a generator, a seed, or none (see `nn.manual_seed`); the bias
    starts at zero; there is none with `bias=False`. Raises ValueError unless `inputs` and `outputs` are positive.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rng: Seed = None,
        *,
        initializer: init.Initializer = init.glorot_uniform,
        bias: bool = True,
    ) -> None:
        require_positive_ints("Dense", inputs=inputs, outputs=outputs)
        self.inputs, self.outputs = inputs, outputs
        self.weight = new_parameter(initializer(as_generator(rng), (inputs, outputs)))
        self.bias = new_parameter(np.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return self._apply(x, 1.0)

    def can_fuse(self, following: Module) -> bool:
        return self.bias is not None and is_fusible_leaky_relu(following)

    def forward_fused(self, following: LeakyReLU, x: Tensor) -> Tensor:
        return self._apply(x, following.slope)

    def _apply(self, x: Tensor, slope: float) -> Tensor:
        shape = x.shape
        if len(shape) != 2 or shape[1] != self.inputs:
            hint = "; put Flatten before it" if len(shape) > 2 else ""
            raise ValueError(f"{self} takes (batch, {self.inputs}), got shape {x.shape}{hint}")
        if self.bias is None:
            return ops.matmul(x, self.weight)
        return ops.dense(x, self.weight, self.bias, slope=slope)

    def _channels_out(self, channels: int | None) -> int:
        require_channels(self, self.inputs, channels)
        return self.outputs

    def __repr__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs})"


class BatchNorm(Fusible):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015), with a learned scale and shift.

    (batch, ..., features) to the same shape; scale (features,) and shift (features,).
    Training uses the mean and the biased variance of the batch, and updates the running statistics as Keras does:
    running = momentum * running + (1 - momentum) * batch. Evaluation uses the running statistics.
    In training it raises ValueError for a batch with fewer than two values of a channel, which have no variance.
    """

    mixes_examples = True

    def __init__(self, features: int, *, momentum: float = 0.99, eps: float = 1e-3) -> None:
        require_positive_ints("BatchNorm", features=features)
        if not is_number(momentum) or not 0 <= momentum < 1:
            raise ValueError(f"BatchNorm's momentum must lie in [0, 1), got {momentum!r}")
        self.features, self.momentum, self.eps = features, momentum, eps
        self.scale = new_parameter(np.ones(features))
        self.shift = new_parameter(np.zeros(features))
        self.running_mean = Buffer(self.shift)
        self.running_variance = Buffer(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return self._apply(x, 1.0)

    def can_fuse(self, following: Module) -> bool:
        return is_fusible_leaky_relu(following)

    def forward_fused(self, following: LeakyReLU, x: Tensor) -> Tensor:
        return self._apply(x, following.slope) if self.training else following(self._apply(x, 1.0))

    def _apply(self, x: Tensor, slope: float) -> Tensor:
        if x.shape[-1] != self.features:
            raise ValueError(f"{self} takes (..., {self.features}), got shape {x.shape}")
        if not self.training:
            with no_grad():
                deviation = ops.sqrt(self.running_variance + self.eps)
            return (x - self.running_mean.constant_copy()) / deviation * self.scale + self.shift
        y = ops.batch_norm(x, self.scale, self.shift, eps=self.eps, slope=slope)
        self._update_running_statistics(*y.saved)
        return y

    def _update_running_statistics(self, mean: Any, variance: Any) -> None:
        for running, batch_value in ((self.running_mean, mean), (self.running_variance, variance)):
            backend.of(batch_value).kernel("update_running_statistics")(running.data, batch_value, self.momentum)
            running.increment_version()

    def _channels_out(self, channels: int | None) -> int:
        require_channels(self, self.features, channels)
        return self.features

    def __repr__(self) -> str:
        return f"BatchNorm({self.features})"


class Elementwise(Module):
    """The base class of layers that apply one function to every element: (batch, ...) to the same shape."""

    def _channels_out(self, channels: int | None) -> int | None:
        return channels


class LeakyReLU(Elementwise):
    """x where x > 0, slope * x elsewhere (Maas et al., 2013): of each element, of any shape.

    Raises ValueError if the slope is no number.
    """

    def __init__(self, slope: float = 0.2) -> None:
        if not is_number(slope):
            raise ValueError(f"LeakyReLU's slope is a number such as 0.2, got {slope!r}")
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, slope=self.slope)

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope})"


class ReLU(LeakyReLU):
    """max(x, 0) of each element, of any shape."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def __repr__(self) -> str:
        return "ReLU()"


class Tanh(Elementwise):
    """The hyperbolic tangent of each element, of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)

    def __repr__(self) -> str:
        return "Tanh()"


class Sigmoid(Elementwise):
    """1 / (1 + e**-x) of each element, of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)

    def __repr__(self) -> str:
        return "Sigmoid()"


class Flatten(Module):
    """(batch, ...) to (batch, features)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def __repr__(self) -> str:
        return "Flatten()"


class Reshape(Module):
    """(batch, ...) to (batch, *shape): Reshape(4, 4, 16) or Reshape((4, 4, 16)).

    Raises ValueError if an example has another number of elements than `shape`.
    """

    def __init__(self, *shape: int | Sequence[int]) -> None:
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            shape = tuple(shape[0])
        require_positive_ints("Reshape", **{f"extent {i}": extent for i, extent in enumerate(shape)})
        self.shape = tuple(map(int, shape))  # type: ignore[arg-type] # they have just been checked

    def forward(self, x: Tensor) -> Tensor:
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(f"{self} takes {math.prod(self.shape)} numbers for each example, got shape {x.shape}")
        return ops.reshape(x, (x.shape[0], *self.shape))

    def _channels_out(self, channels: int | None) -> int | None:
        return self.shape[-1] if self.shape else None

    def __repr__(self) -> str:
        return f"Reshape{self.shape}"


def is_fusible_leaky_relu(layer: Module) -> bool:
    """Whether `layer` is LeakyReLU or ReLU with a slope >= 0. A subclass is not: its forward may do something else."""
    return isinstance(layer, LeakyReLU) and type(layer) in (LeakyReLU, ReLU) and layer.slope >= 0


def new_parameter(values: np.ndarray) -> Parameter:
    """A float32 Parameter with these values: all layers start in float32."""
    return Parameter(values.astype(np.float32))


def is_number(x: Any) -> bool:
    """Whether x is a real number, of Python or NumPy."""
    return isinstance(x, Real)


def require_positive_ints(layer: str, **counts: Any) -> None:
    """Raise ValueError unless every one of `counts` is a whole number of at least 1."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise ValueError(f"{layer}'s {name} must be a whole number of at least 1, got {count!r}")


def require_channels(layer: Module, expected: int, channels: int | None) -> None:
    """Raise ValueError unless `channels`, the extent of the last axis of the input of `layer`, is unknown or right."""
    if channels not in (None, expected):
        raise ValueError(f"{layer} takes {expected} numbers on the last axis, and the layer before it gives {channels}")
