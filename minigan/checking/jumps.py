"""Which numbers make f jump: at a jump there is no derivative, and nothing else can be measured across it.

Labels that are compared with 1, or rounded to integers, make f jump as soon as they move.
"""

from __future__ import annotations

import numpy as np

from minigan.checking.probe import Prober
from minigan.checking.ranges import members, restricted
from minigan.checking.step_limits import Line

_WIDER = 16.0  # times the step, where a jump is as high


def jumping(prober: Prober, direction: np.ndarray, starts: list[int], step: float) -> np.ndarray:
    """Whether each number makes f jump, moved along `direction`; `step` is one at which all of it shows a jump."""

    def jumps(first: int, last: int) -> bool:
        part = restricted(direction, first, last)
        if not part.any():
            return False
        phi = prober.values.along(part)
        return any(_jumps(prober, phi, side) for side in (step, -step))

    return members(0, direction.size, starts, jumps)


def _jumps(prober: Prober, phi: Line, step: float) -> bool:
    """Whether the change of phi is large, and no larger at a longer step."""
    height = phi(step) - prober.middle
    if not abs(height) > prober.least_jump:
        return False
    wider = phi(_WIDER * step) - prober.middle
    return abs(wider - height) <= 0.5 * abs(height)
