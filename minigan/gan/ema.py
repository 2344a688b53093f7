"""The moving average of a network's numbers along its training: a steadier network than any moment's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.flat import FlatParameters, holding
from minigan.nn import Module

_EVERY = 10  # steps; an average over hundreds does not notice, and large networks take a while to read


class Average:
    """`network`: a copy whose numbers are mean = decay * mean + (1 - decay) * those of `source`, each step.

    The weights of a GAN circle about an equilibrium; their average lies nearer to it (Yazici et al., 2019). Running
    statistics are averaged with the parameters. While few steps are done the mean forgets faster, so that the first
    weights do not linger. Raises ValueError unless `decay` lies in [0, 1).
    """

    def __init__(self, source: Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the average's decay must lie in [0, 1), got {decay}")
        self.decay, self._source = decay, source
        self.network = copy.deepcopy(source)
        for parameter in self.network.parameters().values():
            parameter.home = None  # no optimiser holds the copies
        self._flat = FlatParameters(self.network.parameters())

    def share(self, step: int) -> Tensor | None:
        """What the source after `step` steps weighs in the mean, (1,) of float64; None if it is not taken in there."""
        if step % _EVERY:
            return None
        return Tensor(np.array([1 - min(self.decay**_EVERY, step / (step + 10 * _EVERY))]))

    def update(self, share: Tensor) -> None:
        """Take in what the source is now, which weighs `share`."""
        approach = self._flat.backend.kernel("lerp")
        for mean, source in self._pairs():
            approach(mean, source, share.data)
        self.changed()

    def changed(self) -> None:
        """Say that the mean has been changed in place."""
        self._flat.changed()
        for buffer in self.network.buffers().values():
            buffer.changed()

    def memory(self) -> list[Any]:
        """The arrays that an update changes in place."""
        return [mean for mean, _ in self._pairs()]

    def _pairs(self) -> list[tuple[Any, Any]]:
        """The arrays of the mean, and what they approach: all parameters at once where the source's are flat too."""
        flat = holding(self._source.parameters().values())
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
        """Take what `state` gave; raises ValueError, and changes nothing, unless all of it fits."""
        self.network.load_state(state)
