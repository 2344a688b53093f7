"""Optimisers, each over one flat buffer that holds all of its parameters; clipping of gradients and of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigan import backend
from minigan.autodiff import Tensor, no_grad
from minigan.ops import minimum, sqrt
from minigan.ops import sum as sum_
from minigan.parameter import Parameter
from minigan.schedules import Schedule, at
from minigan.state import require_fit

_ALIGNMENT = 16  # numbers between the starts of two parameters: a cache line of float32


class Optimizer:
    """Base: moves `parameters` (by name) into one flat buffer and keeps `slots` more of the same size as state.

    `step(gradients)` updates them in place, reading nothing back from the device. `first_bad_gradient()` tells
    afterwards whether a gradient was ever not finite.

    rate: a number, or a Schedule of the updates already done, which may fall to 0. gradient_limit: what the joint norm
    of all gradients is first clipped to (see `clip_by_global_norm`). weight_limit: c, into [-c, c] every parameter is
    clipped after each update (Arjovsky et al., 2017, Algorithm 1). Raises ValueError for settings out of range.
    """

    slots: tuple[str, ...] = ()

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        rate: float | Schedule,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        if not parameters:
            raise ValueError("an optimiser needs at least one parameter")
        if not (callable(rate) or rate > 0):
            raise ValueError(f"the learning rate must be above 0, got {rate}")
        _require_limit("the norm of the gradients", gradient_limit)
        _require_limit("the weights", weight_limit)
        if len({(p.dtype, type(p.data)) for p in parameters.values()}) != 1:
            raise ValueError("an optimiser's parameters must all have the same dtype and lie on the same backend")
        self.names = list(parameters)
        self.parameters = list(parameters.values())
        self.rate = rate
        self.gradient_limit, self.weight_limit = gradient_limit, weight_limit
        self.steps = 0
        self._backend = backend.of(self.parameters[0].data)
        self._token = object()  # marks the parameters as ours without keeping this optimiser alive
        self._move_into_one_buffer()
        self.moments = {slot: self._backend.zeros(self._flat.size, self._flat.dtype) for slot in self.slots}
        self._first_bad = self._backend.xp.full(len(self.parameters), -1, dtype="int64")

    def _move_into_one_buffer(self) -> None:
        bounds, start = [], 0
        for p in self.parameters:
            bounds.append((start, start + p.size))
            start += -(-p.size // _ALIGNMENT) * _ALIGNMENT
        self._bounds = np.array(bounds, np.int64)
        self._flat = self._backend.zeros(start, self.parameters[0].dtype)
        for p, (first, last) in zip(self.parameters, bounds, strict=True):
            self._flat[first:last] = p.data.reshape(-1)
            p.data = self._flat[first:last].reshape(p.shape)
            p.home = self._token

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One update from `gradients`, in the order of `parameters`; raises ValueError or TypeError unless they fit."""
        for name, p, g in zip(self.names, self.parameters, gradients, strict=True):
            if g.data.shape != p.data.shape:
                raise ValueError(f"the gradient of {name} has shape {g.shape}, the parameter {p.shape}")
            if g.data.dtype != p.data.dtype:
                raise TypeError(f"the gradient of {name} is {g.dtype}, the parameter {p.dtype}")
            if p.home is not self._token:
                raise RuntimeError(f"{name} has since been given to another optimiser; make a new one for it")
        if self.gradient_limit is None:
            self._update([g.data for g in gradients])
        else:
            self._update_clipped(gradients, self.gradient_limit)
        if self.weight_limit is not None:
            self._backend.xp.clip(self._flat, -self.weight_limit, self.weight_limit, out=self._flat)
        self.steps += 1
        for p in self.parameters:
            p.changed()

    @property
    def rate_now(self) -> float:
        """The learning rate of the next update; raises ValueError if a schedule gives none."""
        rate = at(self.rate, self.steps)
        if not 0 <= rate < math.inf:
            raise ValueError(f"the learning rate at step {self.steps} must be a finite number from 0 up, got {rate}")
        return rate

    def _update_clipped(self, gradients: Sequence[Tensor], limit: float) -> None:
        """A gradient that is not finite spoils the norm, and so all others: those at fault are noted before."""
        xp = self._backend.xp
        bad = xp.stack([~xp.isfinite(g.data).all() for g in gradients])
        first_bad = xp.where((self._first_bad < 0) & bad, self.steps + 1, self._first_bad)
        with no_grad():
            clipped, _ = clip_by_global_norm(gradients, limit)
        self._update([g.data for g in clipped])
        self._first_bad[...] = first_bad

    def _update(self, gradients: list[Any]) -> None:
        raise NotImplementedError

    def _run(self, kernel: str, gradients: list[Any], numbers: Sequence[float], *settings: float) -> None:
        """`numbers`: those that change from step to step, as the kernel takes them."""
        flat = self._backend.zeros(self._flat.size, self._flat.dtype)
        for g, (first, last) in zip(gradients, self._bounds.tolist(), strict=True):
            flat[first:last] = g.reshape(-1)
        changing = self._backend.asarray(numbers, dtype="float64")
        buffers = (self._flat, flat, self._bounds, *self.moments.values(), self._first_bad)
        self._backend.kernel(kernel)(*buffers, changing, *settings)

    def first_bad_gradient(self) -> tuple[int, str] | None:
        """(step, parameter name) of the first gradient that was not finite, None if all were; waits for the device."""
        steps = self._backend.to_numpy(self._first_bad)
        bad = [(int(step), name) for step, name in zip(steps, self.names, strict=True) if step >= 0]
        return min(bad, key=lambda found: found[0]) if bad else None

    def state(self) -> dict[str, np.ndarray]:
        """What the next step depends on besides the parameters and the settings, copied to the host."""
        state = {slot: self._backend.to_numpy(value) for slot, value in self.moments.items()}
        return state | {"steps": np.asarray(self.steps, np.int64)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what `state` gave; raises ValueError, and changes nothing, unless it fits."""
        require_fit(self.state(), state)
        for slot in self.slots:
            self.moments[slot][...] = self._backend.asarray(state[slot])
        self.steps = int(state["steps"])
        self._first_bad[...] = -1


class SGD(Optimizer):
    """Gradient descent with momentum: v = momentum * v + g, p = p - rate * v (Polyak, 1964)."""

    slots = ("velocity",)

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        rate: float | Schedule = 0.01,
        *,
        momentum: float = 0.0,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        _require_share("SGD", momentum=momentum)
        super().__init__(parameters, rate, gradient_limit, weight_limit)
        self.momentum = momentum

    def _update(self, gradients: list[Any]) -> None:
        self._run("sgd", gradients, [self.steps + 1, self.rate_now], self.momentum)


class Adam(Optimizer):
    """Kingma and Ba, 2015, Algorithm 1. For GANs beta1 = 0.5 (Radford et al., 2016, section 4)."""

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        rate: float | Schedule = 2e-4,
        *,
        beta1: float = 0.5,
        beta2: float = 0.999,
        eps: float = 1e-8,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        _require_share("Adam", beta1=beta1, beta2=beta2)
        _require_eps("Adam", eps)
        super().__init__(parameters, rate, gradient_limit, weight_limit)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def _update(self, gradients: list[Any]) -> None:
        step = self.steps + 1
        rate, correction = self.rate_now / (1 - self.beta1**step), 1 - self.beta2**step
        self._run("adam", gradients, [step, rate, correction, correction**-0.5], self.beta1, self.beta2, self.eps)


class RMSprop(Optimizer):
    """v = decay * v + (1 - decay) * g^2, p = p - rate * g / (sqrt(v) + eps) (Tieleman and Hinton, 2012)."""

    slots = ("v",)

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        rate: float | Schedule = 1e-3,
        *,
        decay: float = 0.9,
        eps: float = 1e-8,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        _require_share("RMSprop", decay=decay)
        _require_eps("RMSprop", eps)
        super().__init__(parameters, rate, gradient_limit, weight_limit)
        self.decay, self.eps = decay, eps

    def _update(self, gradients: list[Any]) -> None:
        self._run("rmsprop", gradients, [self.steps + 1, self.rate_now], self.decay, self.eps)


def clip_by_global_norm(gradients: Sequence[Tensor], limit: float) -> tuple[list[Tensor], Tensor]:
    """The gradients scaled so that their joint Euclidean norm is at most `limit`, and the norm they had.

    Pascanu et al., 2013, Algorithm 1. Nothing is read back from the device.
    """
    _require_limit("the norm of the gradients", limit)
    total = sum_(gradients[0] * gradients[0])
    for g in gradients[1:]:
        total = total + sum_(g * g)
    norm = sqrt(total)
    factor = minimum(limit / (norm + 1e-12), 1.0)
    return [g * factor for g in gradients], norm


def _require_limit(of: str, limit: float | None) -> None:
    if limit is not None and not limit > 0:
        raise ValueError(f"the limit of {of} must be above 0, got {limit}; leave it out for no limit")


def _require_share(optimizer: str, **shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{optimizer}'s {name} must lie in [0, 1), got {share}")


def _require_eps(optimizer: str, eps: float) -> None:
    if not eps > 0:
        raise ValueError(f"{optimizer}'s eps must be above 0, got {eps}")
