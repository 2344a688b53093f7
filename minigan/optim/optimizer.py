"""Optimisers, which keep their parameters in one contiguous buffer; clipping of gradients and weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, no_grad
from minigan.autodiff.flat import FlatParameters
from minigan.core.state_check import require_matching_state
from minigan.ops import minimum, sqrt
from minigan.ops import sum as sum_
from minigan.optim.arguments import (
    Parameters,
    in_order,
    named_parameters,
    require_eps,
    require_fraction,
    require_learning_rate,
    require_limit,
)
from minigan.optim.schedules import Schedule, value_at


class Optimizer:
    """The base class: moves `parameters` into one buffer (see `FlatParameters`), and updates them in place.

    parameters: a Module, of which frozen parts stay as they are, or a dict or list of Parameters.
    `slots` names the buffers of the same size that it keeps as its state. `step` reads nothing back from the device;
    `first_nonfinite_gradient` says afterwards whether a gradient has been NaN or infinite.

    learning_rate: a number, or a Schedule of the number of updates done so far, which may fall to 0.
    gradient_limit: the largest joint norm of all gradients; they are scaled down to it (see `clip_by_global_norm`).
    weight_limit: c; after each update every parameter is clipped to [-c, c] (Arjovsky et al., 2017, Algorithm 1).
    Raises ValueError for settings out of range, TypeError for what are no parameters.
    """

    slots: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """The names of the attributes with the constants that the kernel takes."""

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float | Schedule,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        named = named_parameters(parameters)
        require_learning_rate(learning_rate)
        require_limit("the norm of the gradients", gradient_limit)
        require_limit("the weights", weight_limit)
        self.flat = FlatParameters(named)
        self.names, self.parameters = self.flat.names, self.flat.parameters
        self.learning_rate = learning_rate
        self.gradient_limit, self.weight_limit = gradient_limit, weight_limit
        self.steps = 0
        self._backend = self.flat.backend
        self.moments = {slot: self.flat.zeros() for slot in self.slots}
        self._gradients = self.flat.gradients  # allocated now, not within the first step
        # `_discarded` has the place of `_first_nonfinite` where an update gets clipped gradients, already checked.
        self._first_nonfinite, self._discarded = (
            self._backend.xp.full(len(self.names), -1, dtype="int64") for _ in range(2)
        )

    def step(self, gradients: Sequence[Tensor] | Mapping[str, Tensor], scalars: Tensor | None = None) -> None:
        """Update the parameters from `gradients`, a list in the order of `parameters`, or a dict by their names.

        scalars: the result of `update_scalars` for this update, if it has been computed before. Raises ValueError or
        TypeError unless the gradients have the shapes and the dtype of the parameters.
        """
        gradients = in_order(gradients, self.names)
        scalars = self.update_scalars() if scalars is None else scalars
        self.flat.gather(gradients)
        first_nonfinite = self._first_nonfinite
        if self.gradient_limit is not None:
            # Clipping makes all gradients non-finite if one of them is, so this one is recorded before.
            self._kernel("record_nonfinite")(self._gradients, self.flat.bounds, first_nonfinite, scalars.data)
            with no_grad():
                self.flat.gather(clip_by_global_norm(gradients, self.gradient_limit)[0])
            first_nonfinite = self._discarded
        self._kernel(self.update_kernel)(
            self.flat.values, self._gradients, self.flat.bounds, *self.moments.values(), first_nonfinite, scalars.data,
            *self.hyperparameters,
        )  # fmt: skip
        if self.weight_limit is not None:
            self._kernel("clip")(self.flat.values, self.weight_limit)
        self.count_updates(1)

    def count_updates(self, updates: int) -> None:
        """Add to `steps` the number of `updates` that have changed the parameters in place."""
        self.steps += updates
        self.flat.increment_versions()

    def update_scalars(self, ahead: int = 0) -> Tensor:
        """The scalars of the update that comes `ahead` updates after the next one: (1 + k,) of float64.

        The number of the update, counted from 1, and the k factors that `_scalars_of_rate` computes for it.
        """
        steps = self.steps + ahead
        return Tensor(
            np.array([steps + 1, *self._scalars_of_rate(self._learning_rate_at(steps), steps + 1)], np.float64)
        )

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the next update. Raises ValueError if a schedule returns a negative or infinite one."""
        return self._learning_rate_at(self.steps)

    @property
    def last_learning_rate(self) -> float:
        """The learning rate of the last update, or of the next one if there has been none; ValueError as above."""
        return self._learning_rate_at(max(0, self.steps - 1))

    def _learning_rate_at(self, steps: int) -> float:
        rate = value_at(self.learning_rate, steps)
        if not 0 <= rate < math.inf:
            raise ValueError(f"the learning rate at step {steps} must be a finite number from 0 up, got {rate}")
        return rate

    update_kernel: str
    """The name of the kernel that computes an update."""

    @property
    def hyperparameters(self) -> tuple[float, ...]:
        """The constants that the kernel takes."""
        return tuple([getattr(self, name) for name in self.settings])

    def __repr__(self) -> str:
        shown = ["learning_rate", *self.settings]
        shown += [name for name in ("gradient_limit", "weight_limit") if getattr(self, name) is not None]
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__name__}({sum(p.size for p in self.parameters):,} parameters, {values})"

    def _scalars_of_rate(self, rate: float, step: int) -> tuple[float, ...]:
        """The scalars that the kernel takes for the learning rate `rate` at update number `step`, counted from 1."""
        return (rate,)

    def _kernel(self, operation: str) -> Callable[..., None]:
        return self._backend.kernel(operation)

    def update_arrays(self) -> list[Any]:
        """The arrays that an update reads or changes in place."""
        flat = self.flat
        nonfinite = self._first_nonfinite, self._discarded
        return [flat.values, self._gradients, flat.bounds, *self.moments.values(), *nonfinite]

    def first_nonfinite_gradient(self) -> tuple[int, str] | None:
        """(step, parameter name) of the first gradient that was NaN or infinite, None if none was.

        Waits for the device.
        """
        steps = self._backend.to_numpy(self._first_nonfinite)
        nonfinite = [(int(step), name) for step, name in zip(steps, self.names, strict=True) if step >= 0]
        return min(nonfinite, key=lambda entry: entry[0]) if nonfinite else None

    def state(self) -> dict[str, np.ndarray]:
        """The buffers and the count of updates by name, copied to the host: with the parameters, all that changes."""
        state = {slot: self._backend.to_numpy(value) for slot, value in self.moments.items()}
        return state | {"steps": np.asarray(self.steps, np.int64)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from `state`, a result of `state()`. Raises ValueError, and changes nothing, unless it fits."""
        require_matching_state(self.state(), state)
        for slot in self.slots:
            self.moments[slot][...] = self._backend.asarray(state[slot])
        self.steps = int(state["steps"])
        self._first_nonfinite[...] = -1


class SGD(Optimizer):
    """Gradient descent with momentum: v = momentum * v + g, p = p - learning_rate * v (Polyak, 1964)."""

    update_kernel, slots, settings = "sgd", ("velocity",), ("momentum",)

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float | Schedule = 0.01,
        *,
        momentum: float = 0.0,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        require_fraction("SGD", momentum=momentum)
        super().__init__(parameters, learning_rate, gradient_limit, weight_limit)
        self.momentum = momentum


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, Algorithm 1); for GANs beta1 = 0.5 (Radford et al., 2016, section 4)."""

    update_kernel, slots, settings = "adam", ("m", "v"), ("beta1", "beta2", "eps")

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float | Schedule = 2e-4,
        *,
        beta1: float = 0.5,
        beta2: float = 0.999,
        eps: float = 1e-8,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        require_fraction("Adam", beta1=beta1, beta2=beta2)
        require_eps("Adam", eps)
        super().__init__(parameters, learning_rate, gradient_limit, weight_limit)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def _scalars_of_rate(self, rate: float, step: int) -> tuple[float, ...]:
        """The rate over the bias correction of m, the bias correction of v, and the latter's inverse square root."""
        correction = 1 - self.beta2**step
        return rate / (1 - self.beta1**step), correction, correction**-0.5


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012): v = decay v + (1 - decay) g^2, p = p - learning_rate g / (sqrt(v) + eps)."""

    update_kernel, slots, settings = "rmsprop", ("v",), ("decay", "eps")

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float | Schedule = 1e-3,
        *,
        decay: float = 0.9,
        eps: float = 1e-8,
        gradient_limit: float | None = None,
        weight_limit: float | None = None,
    ) -> None:
        require_fraction("RMSprop", decay=decay)
        require_eps("RMSprop", eps)
        super().__init__(parameters, learning_rate, gradient_limit, weight_limit)
        self.decay, self.eps = decay, eps


def clip_by_global_norm(gradients: Sequence[Tensor], limit: float) -> tuple[list[Tensor], Tensor]:
    """The gradients scaled so that their joint Euclidean norm is at most `limit`, and the norm they had.

    Pascanu et al., 2013, Algorithm 1. Nothing is read back from the device.
    """
    require_limit("the norm of the gradients", limit)
    total = sum_(gradients[0] * gradients[0])
    for g in gradients[1:]:
        total = total + sum_(g * g)
    norm = sqrt(total)
    factor = minimum(limit / (norm + 1e-12), 1.0)
    return [g * factor for g in gradients], norm
