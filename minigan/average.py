"""The moving average of a network's numbers along its training: a steadier network than any moment's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

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

    def update(self, step: int) -> None:
        """Take in what the source is after `step` steps."""
        if step % _EVERY:
            return
        share = 1 - min(self.decay**_EVERY, step / (step + 10 * _EVERY))
        parameters = self.network.parameters().values(), self._source.parameters().values()
        for mean, source in zip(*parameters, strict=True):
            _approach(mean.data, source.data, share)
            mean.changed()
        buffers = self.network.buffers().values(), self._source.buffers().values()
        for running, of_source in zip(*buffers, strict=True):
            if not running.is_count:
                _approach(running.data, of_source.data, share)
                running.changed()

    def state(self) -> dict[str, np.ndarray]:
        """The mean's parameters and buffers by name, copied to the host."""
        return self.network.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what `state` gave; raises ValueError, and changes nothing, unless all of it fits."""
        self.network.load_state(state)


def _approach(mean: Any, value: Any, share: float) -> None:
    mean += (value - mean) * mean.dtype.type(share)
