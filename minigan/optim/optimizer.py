"""Optimisers, each over the flat memory of its parameters; clipping of gradients and of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, no_grad
from minigan.autodiff.flat import FlatParameters
from minigan.autodiff.parameter import Parameter
from minigan.core.state_check import require_matching_state
from minigan.ops import minimum, sqrt
from minigan.ops import sum as sum_
from minigan.optim.schedules import Schedule, value_at


class Optimizer:
    """Base: moves `parameters` (by name) into flat memory and keeps `slots` more buffers of the same size as state.

    `step(gradients)` updates them in place, reading nothing back from the device. `first_nonfinite_gradient()` tells
    afterwards whether a gradient was ever not finite.

    learning_rate: a number, or a Schedule of the number of updates done so far, which may fall to 0.
    gradient_limit: the largest joint norm of all gradients; they are scaled down to it (see `clip_by_global_norm`).
    weight_limit: c; after each update every parameter is clipped to [-c, c] (Arjovsky et al., 2017, Algorithm 1).
    Raises ValueError for settings out of range.
    """

    slots: tuple[str, ...] = ()

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        learning_rate: float | Schedule,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        if not parameters:
            raise ValueError("an optimiser needs at least one parameter")
        if not (callable(learning_rate) or learning_rate > 0):
            raise ValueError(f"the learning rate must be above 0, got {learning_rate}")
        _require_limit("the norm of the gradients", gradient_limit)
        _require_limit("the weights", weight_limit)
        self.flat = FlatParameters(parameters)
        self.names, self.parameters = self.flat.names, self.flat.parameters
        self.learning_rate = learning_rate
        self.gradient_limit, self.weight_limit = gradient_limit, weight_limit
        self.steps = 0
        self._backend = self.flat.backend
        self.moments = {slot: self.flat.zeros() for slot in self.slots}
        self._gradients = self.flat.gradients  # takes its memory now, not within the first step
        self._first_bad, self._unnoted = (self._backend.xp.full(len(self.names), -1, dtype="int64") for _ in range(2))

    def step(self, gradients: Sequence[Tensor], numbers: Tensor | None = None) -> None:
        """One update from `gradients`, in the order of `parameters`; raises ValueError or TypeError unless they fit.

        numbers: those of this update, where they were made before (see `update_scalars`).
        """
        numbers = self.update_scalars() if numbers is None else numbers
        self.flat.gather(gradients)
        first_bad = self._first_bad
        if self.gradient_limit is not None:
            # A gradient that is not finite makes all of them so when they are clipped: note those at fault before.
            self._kernel("record_nonfinite")(self._gradients, self.flat.bounds, first_bad, numbers.data)
            with no_grad():
                self.flat.gather(clip_by_global_norm(gradients, self.gradient_limit)[0])
            first_bad = self._unnoted
        self._kernel(self.rule)(
            self.flat.values, self._gradients, self.flat.bounds, *self.moments.values(), first_bad, numbers.data,
            *self.settings,
        )  # fmt: skip
        if self.weight_limit is not None:
            self._kernel("clip")(self.flat.values, self.weight_limit)
        self.count_updates(1)

    def count_updates(self, updates: int) -> None:
        """Count `updates` that have changed the numbers of the parameters in place."""
        self.steps += updates
        self.flat.increment_versions()

    def update_scalars(self, ahead: int = 0) -> Tensor:
        """What changes from update to update, (1 + k,) of float64, for the update that comes `ahead` of the next one.

        The number of the update, from 1, and what the rule makes of the learning rate there.
        """
        steps = self.steps + ahead
        return Tensor(np.array([steps + 1, *self._rates(self._rate_at(steps), steps + 1)], np.float64))

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the next update; raises ValueError if a schedule gives none."""
        return self._rate_at(self.steps)

    def _rate_at(self, steps: int) -> float:
        rate = value_at(self.learning_rate, steps)
        if not 0 <= rate < math.inf:
            raise ValueError(f"the learning rate at step {steps} must be a finite number from 0 up, got {rate}")
        return rate

    rule: str
    """The kernel of an update."""

    @property
    def settings(self) -> tuple[float, ...]:
        """The settings that the kernel takes, which stay the same."""
        raise NotImplementedError

    def _rates(self, rate: float, step: int) -> tuple[float, ...]:
        """What the kernel takes of the learning rate at update number `step`, which counts from 1."""
        return (rate,)

    def _kernel(self, operation: str) -> Callable[..., None]:
        return self._backend.kernel(operation)

    def update_arrays(self) -> list[Any]:
        """The arrays that an update reads and changes in place."""
        flat = self.flat
        return [flat.values, self._gradients, flat.bounds, *self.moments.values(), self._first_bad, self._unnoted]

    def first_nonfinite_gradient(self) -> tuple[int, str] | None:
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
        require_matching_state(self.state(), state)
        for slot in self.slots:
            self.moments[slot][...] = self._backend.asarray(state[slot])
        self.steps = int(state["steps"])
        self._first_bad[...] = -1


class SGD(Optimizer):
    """Gradient descent with momentum: v = momentum * v + g, p = p - rate * v (Polyak, 1964)."""

    rule, slots = "sgd", ("velocity",)

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        learning_rate: float | Schedule = 0.01,
        *,
        momentum: float = 0.0,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        _require_share("SGD", momentum=momentum)
        super().__init__(parameters, learning_rate, gradient_limit, weight_limit)
        self.momentum = momentum

    @property
    def settings(self) -> tuple[float, ...]:
        return (self.momentum,)


class Adam(Optimizer):
    """Kingma and Ba, 2015, Algorithm 1. For GANs beta1 = 0.5 (Radford et al., 2016, section 4)."""

    rule, slots = "adam", ("m", "v")

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        learning_rate: float | Schedule = 2e-4,
        *,
        beta1: float = 0.5,
        beta2: float = 0.999,
        eps: float = 1e-8,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        _require_share("Adam", beta1=beta1, beta2=beta2)
        _require_eps("Adam", eps)
        super().__init__(parameters, learning_rate, gradient_limit, weight_limit)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    @property
    def settings(self) -> tuple[float, ...]:
        return self.beta1, self.beta2, self.eps

    def _rates(self, rate: float, step: int) -> tuple[float, ...]:
        """The rate over the correction of the mean, the correction of the mean square, and its inverse root."""
        correction = 1 - self.beta2**step
        return rate / (1 - self.beta1**step), correction, correction**-0.5


class RMSprop(Optimizer):
    """v = decay * v + (1 - decay) * g^2, p = p - rate * g / (sqrt(v) + eps) (Tieleman and Hinton, 2012)."""

    rule, slots = "rmsprop", ("v",)

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        learning_rate: float | Schedule = 1e-3,
        *,
        decay: float = 0.9,
        eps: float = 1e-8,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        _require_share("RMSprop", decay=decay)
        _require_eps("RMSprop", eps)
        super().__init__(parameters, learning_rate, gradient_limit, weight_limit)
        self.decay, self.eps = decay, eps

    @property
    def settings(self) -> tuple[float, ...]:
        return self.decay, self.eps


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
