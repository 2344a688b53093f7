"""A GAN's training step for replay: its computation, the memory that it changes, and the attributes that it reads."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Variable
from minigan.gan.generator_terms import module_of
from minigan.gan.inputs import StepInputs
from minigan.gan.interface import GANInterface
from minigan.gan.losses import Loss
from minigan.gan.replay.attributes import Attributes, Containers
from minigan.nn import Module

# Attributes that may change without a new recording: a step depends on them only through its inputs.
_WEIGHTS = ("penalty_weight", "adversarial_weight", "generator_term_weight")
_GAN_INPUT_ATTRIBUTES = frozenset(("step", *_WEIGHTS, "seed", "replay"))
_OPTIMIZER_INPUT_ATTRIBUTES = frozenset(("steps", "learning_rate"))
_NONE: frozenset[str] = frozenset()


class RecordableStep:
    """The training step of `gan`, with the methods of minigan.gan.replay.recording.Step."""

    def __init__(self, gan: GANInterface) -> None:
        self._gan = gan
        self._optimizers = gan.generator_optimizer, gan.discriminator_optimizer

    def run(self, inputs: StepInputs) -> dict[str, Tensor]:
        """`GAN.run_step` on `inputs`."""
        return self._gan.run_step(inputs)

    def memory(self) -> list[Any]:
        """The arrays that a step reads and changes in place."""
        arrays = [array for optimizer in self._optimizers for array in optimizer.update_arrays()]
        arrays += [variable.data for variable in self.variables()]
        return arrays + (self._gan.ema.update_arrays() if self._gan.ema else [])

    def variables(self) -> list[Variable]:
        """The Parameters and Buffers of both networks, the generator's moving average and the generator term."""
        networks = [self._gan.generator, self._gan.discriminator]
        networks += [self._gan.ema.network] if self._gan.ema else []
        networks += [term] if (term := module_of(self._gan.generator_term)) is not None else []
        variables = (v for network in networks for v in (*network.parameters().values(), *network.buffers().values()))
        return list(dict.fromkeys(variables))  # a term may be the generator's, or contain it

    def attributes(self) -> Attributes:
        """All Python attributes on which the step may depend: of the GAN, its parts, and the layers and losses in them.

        Lists, tuples and dicts are searched to any depth, other objects are not.
        """
        gan = self._gan
        containers: Containers = [(weakref.ref(gan), _GAN_INPUT_ATTRIBUTES)]  # the GAN owns the Attributes: no cycle
        containers += [(vars(optimizer), _OPTIMIZER_INPUT_ATTRIBUTES) for optimizer in self._optimizers]
        containers += [(optimizer.moments, _NONE) for optimizer in self._optimizers]
        parts: list[Any] = [gan.loss, gan.penalty, gan.rules, gan.generator, gan.discriminator]
        parts += [part for part in (gan.generator_term, module_of(gan.generator_term)) if part is not gan.generator]
        for part in parts:  # the list grows while it is visited
            if hasattr(part, "__dict__"):
                _collect(vars(part), containers, parts)
        return Attributes(containers)

    def count_updates(self, inputs: StepInputs) -> None:
        """Count the updates of the optimisers and of the EMA, which a replay of the computation leaves out."""
        self._gan.discriminator_optimizer.count_updates(len(inputs.updates))
        self._gan.generator_optimizer.count_updates(1)
        if self._gan.ema is not None and inputs.ema_weight is not None:
            self._gan.ema.increment_versions()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """A context that takes back, when it ends, the updates that the optimisers have counted in it."""
        before = [optimizer.steps for optimizer in self._optimizers]
        try:
            yield
        finally:
            for optimizer, steps in zip(self._optimizers, before, strict=True):
                optimizer.steps = steps


def _collect(container: Any, containers: Containers, parts: list[Any]) -> None:
    """Add `container` and the lists and dicts in it to `containers`, and the Modules and losses in it to `parts`."""
    if not isinstance(container, tuple):
        containers.append((container, _NONE))
    for value in container.values() if isinstance(container, dict) else container:
        if isinstance(value, (Module, Loss)):
            if all(part is not value for part in parts):
                parts.append(value)
        elif isinstance(value, (list, tuple, dict)):
            _collect(value, containers, parts)
