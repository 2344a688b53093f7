"""The state of a GAN: everything that its next step depends on, as arrays on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from minigan.core.state_check import require_matching_state
from minigan.gan.interface import GANInterface


class _Part(Protocol):
    def state(self) -> dict[str, np.ndarray]: ...
    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


def state(gan: GANInterface) -> dict[str, np.ndarray]:
    """See `GAN.state`."""
    result = {"step": np.asarray(gan.step, np.int64)}
    for prefix, part in _parts(gan).items():
        result |= {f"{prefix}.{name}": value for name, value in part.state().items()}
    return result


def load_state(gan: GANInterface, values: Mapping[str, np.ndarray]) -> None:
    """See `GAN.load_state`."""
    require_matching_state(state(gan), values)
    for prefix, part in _parts(gan).items():
        names = [name for name in values if name.startswith(f"{prefix}.")]
        part.load_state({name.removeprefix(f"{prefix}."): values[name] for name in names})
    gan.step = int(values["step"])


def _parts(gan: GANInterface) -> dict[str, _Part]:
    return {
        "generator": gan.generator,
        "discriminator": gan.discriminator,
        "generator_optimizer": gan.generator_optimizer,
        "discriminator_optimizer": gan.discriminator_optimizer,
        **({"generator_average": gan.ema} if gan.ema else {}),
    }
