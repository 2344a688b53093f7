"""Checks that a checkpoint is consistent.

Its counts must agree with each other, with the configuration and with the metrics, and its numbers must be possible.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigan.training.config import RunConfig

_NON_NEGATIVE = re.compile(r".*\.running_variance|\w+_optimizer\.v")
_UNIT_VECTOR = re.compile(r"discriminator\..*\.[uv]")  # of spectral normalization
_DROPOUT_DRAWS = re.compile(r"(generator|discriminator)\..*\bdraws")


def require_consistent(state: Mapping[str, np.ndarray], config: RunConfig) -> None:
    """Raise ValueError, naming the fault, if a run of `config` cannot have the state `state` (see GAN.state)."""
    step = int(state["step"])
    if not 0 <= step <= config.steps:
        raise ValueError(f"it is of step {step:,}, expected 0 to {config.steps:,}")
    require_finite(state)
    if config.recipe_file:
        return  # nothing else is known of the networks and of the steps in a file of the user's
    expected_updates = {"generator": step, "discriminator": step * config.settings.get("n_critic", 1)}
    for player, expected in expected_updates.items():
        if (updates := int(state[f"{player}_optimizer.steps"])) != expected:
            raise ValueError(
                f"the {player}'s optimiser has made {updates:,} updates, expected {expected:,} at step {step:,}"
            )
    for player, updates in expected_updates.items():
        draws = {
            int(value) for name, value in state.items() if (m := _DROPOUT_DRAWS.fullmatch(name)) and m[1] == player
        }
        # The number of passes in a step depends on the rules; in each, every dropout layer makes one draw.
        if len(draws) > 1 or any(draw < updates or (draw > 0) != (step > 0) for draw in draws):
            raise ValueError(f"the {player}'s dropout has made {max(draws)} draws, which does not fit step {step:,}")
    for name, array in state.items():
        _require_plausible(name, array)


def require_finite(state: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError, naming the array, unless all numbers of `state` are finite."""
    for name, array in state.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")


def require_recorded(rows: Sequence[Mapping[str, Any]], step: int, log_every: int, first_step: int = 0) -> None:
    """Raise ValueError if the metrics `rows` lack the last row that a run records before a checkpoint of `step`.

    That row has the largest multiple of `log_every` up to `step`, unless the run began there or later, at `first_step`.
    No rows at all are accepted: somebody may have removed the file.
    """
    if not rows:
        return
    expected = step // log_every * log_every
    last = max((row["step"] for row in rows if row["step"] <= step), default=first_step)
    if last < expected and expected > first_step:
        raise ValueError(
            f"it is of step {step:,}, and the metrics end at step {last:,}, expected {expected:,} at least"
        )


def _require_plausible(name: str, array: np.ndarray) -> None:
    if _NON_NEGATIVE.fullmatch(name) and (array < 0).any():
        raise ValueError(f"{name} is a mean of squares and has a negative number")
    if _UNIT_VECTOR.fullmatch(name) and array.ndim == 2 and array.shape[1] == 1 and not array.any():
        raise ValueError(f"{name} is a unit vector, but all of it is 0")
