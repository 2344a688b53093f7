"""The exponential moving average (EMA) of a network's parameters and running statistics along its training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.flat import FlatParameters, find_flat_parameters
from minigan.nn import Module

_UPDATE_EVERY = 10  # steps; an average is over hundreds of steps, and each update reads the whole network


class EMA:
    """`network`: a copy of `source` whose numbers are mean = decay * mean + (1 - decay) * source, step by step.

    The weights of a GAN circle about an equilibrium; their average lies nearer to it (Yazici et al., 2019). Running
    statistics are averaged like the parameters. In the first steps the decay is smaller, so that the initial weights do
    not dominate the mean. Raises ValueError unless `decay` lies in [0, 1).
    """

    def __init__(self, source: Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the average's decay must lie in [0, 1), got {decay}")
        self.decay, self._source = decay, source
        self.network = copy.deepcopy(source)
        for parameter in self.network.parameters().values():
            parameter.owner = None  # no optimiser owns the copies
        self._flat = FlatParameters(self.network.parameters())

    def weight(self, step: int) -> Tensor | None:
        """The weight of the source in the mean after `step` steps, (1,) of float64; None if no update is due then."""
        if step % _UPDATE_EVERY:
            return None
        return Tensor(np.array([1 - min(self.decay**_UPDATE_EVERY, step / (step + 10 * _UPDATE_EVERY))]))

    def update(self, weight: Tensor) -> None:
        """mean = (1 - weight) * mean + weight * source, with the source as it is now."""
        lerp = self._flat.backend.kernel("lerp")
        for mean, source in self._pairs():
            lerp(mean, source, weight.data)
        self.increment_versions()

    def increment_versions(self) -> None:
        """Increment the versions of the mean's parameters and buffers, after their numbers have changed in place."""
        self._flat.increment_versions()
        for buffer in self.network.buffers().values():
            buffer.increment_version()

    def update_arrays(self) -> list[Any]:
        """The arrays that an update changes in place."""
        return [mean for mean, _ in self._pairs()]

    def _pairs(self) -> list[tuple[Any, Any]]:
        """(array of the mean, array of the source); all parameters are one pair if the source's are flat, too."""
        flat = find_flat_parameters(self._source.parameters().values())
        buffers = self.network.buffers().values(), self._source.buffers().values()
        pairs = [(mean.data, value.data) for mean, value in zip(*buffers, strict=True) if value.dtype.kind == "f"]
        if flat is not None:
            return [(self._flat.values, flat.values), *pairs]
        parameters = self.network.parameters().values(), self._source.parameters().values()
        return [(mean.data, value.data) for mean, value in zip(*parameters, strict=True)] + pairs

    def state(self) -> dict[str, np.ndarray]:
        """The mean's parameters and buffers by name, copied to the host."""
        return self.network.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state()` returned; raises ValueError, and changes nothing, unless all of it matches."""
        self.network.load_state(state)
