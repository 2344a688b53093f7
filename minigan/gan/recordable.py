"""A GAN's step as replay sees it: which memory it changes, and what it depends on besides memory and inputs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Variable
from minigan.gan.inputs import StepInputs
from minigan.gan.replay.attributes import Attributes, Watched
from minigan.nn import Module

if TYPE_CHECKING:
    from minigan.gan.gan import GAN

_NOT_OF_THE_STEP = frozenset(("step", "penalty_weight", "seed", "replay"))  # attributes of a GAN; those of its draws
_OF_RATES = frozenset(("steps", "rate"))  # those of an optimiser
_NONE: frozenset[str] = frozenset()


class Recordable:
    """The step of `gan`; see minigan.gan.replay.recording.Game."""

    def __init__(self, gan: GAN) -> None:
        self._gan = gan
        self._optimizers = gan.generator_optimizer, gan.discriminator_optimizer

    def run_step(self, inputs: StepInputs) -> dict[str, Tensor]:
        """What `GAN.run_step` returns and does."""
        return self._gan.run_step(inputs)

    def memory(self) -> list[Any]:
        """The arrays that a step reads and changes in place."""
        found = [array for optimizer in self._optimizers for array in optimizer.memory()]
        found += [variable.data for variable in self.variables()]
        return found + (self._gan.ema.memory() if self._gan.ema else [])

    def variables(self) -> list[Variable]:
        """The Parameters and Buffers of both networks, and of the generator's moving average."""
        networks = [self._gan.generator, self._gan.discriminator]
        networks += [self._gan.ema.network] if self._gan.ema else []
        return [v for network in networks for v in (*network.parameters().values(), *network.buffers().values())]

    def attributes(self) -> Attributes:
        """All Python attributes that the step may depend on: of the GAN, of its parts, and of their modules."""
        gan = self._gan
        parts = [gan.loss, getattr(gan.loss, "loss", None), gan.penalty, gan.rules]  # a smoothed loss has one in it
        watched: Watched = [(weakref.ref(gan), _NOT_OF_THE_STEP)]  # which is not kept alive by what it keeps itself
        watched += [(vars(optimizer), _OF_RATES) for optimizer in self._optimizers]
        watched += [(optimizer.moments, _NONE) for optimizer in self._optimizers]
        watched += [(vars(part), _NONE) for part in parts if hasattr(part, "__dict__")]
        modules: list[Module] = [gan.generator, gan.discriminator]
        for module in modules:  # which grows on the way
            _watch(vars(module), watched, modules)
        return Attributes(watched)

    def played(self, inputs: StepInputs) -> None:
        """Count the updates of a step that has been replayed."""
        self._gan.discriminator_optimizer.advance(len(inputs.updates))
        self._gan.generator_optimizer.advance(1)
        if self._gan.ema is not None and inputs.ema_weight is not None:
            self._gan.ema.changed()


def _watch(container: Any, watched: Watched, modules: list[Module]) -> None:
    """Add `container`, and the lists and dicts in it, to what is watched, and the Modules in it to `modules`."""
    if not isinstance(container, tuple):
        watched.append((container, _NONE))
    for value in container.values() if isinstance(container, dict) else container:
        if isinstance(value, Module):
            if all(module is not value for module in modules):
                modules.append(value)
        elif isinstance(value, (list, tuple, dict)):
            _watch(value, watched, modules)
