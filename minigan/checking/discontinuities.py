"""Which entries of the inputs make f jump. At a jump there is no derivative, and across it nothing can be measured.

For example, f may compare a label with 1, or round it to an integer: then f jumps as soon as the label moves.
"""

from __future__ import annotations

import numpy as np

from minigan.checking import tuning
from minigan.checking.directional import DirectionalChecker
from minigan.checking.ranges import matching_entries, restricted
from minigan.checking.step_limits import Line


def discontinuous_entries(
    checker: DirectionalChecker, direction: np.ndarray, offsets: list[int], step: float
) -> np.ndarray:
    """For each entry, whether f jumps when it moves along `direction`.

    step: one at which f shows a jump when all entries move along `direction`.
    """

    def has_jump(first: int, last: int) -> bool:
        part = restricted(direction, first, last)
        if not part.any():
            return False
        phi = checker.values.along(part)
        return any(_jumps(checker, phi, side) for side in (step, -step))

    return matching_entries(0, direction.size, offsets, has_jump)


def _jumps(checker: DirectionalChecker, phi: Line, step: float) -> bool:
    """Whether phi changes by a large amount, and hardly more at a longer step."""
    height = phi(step) - checker.phi0
    if not abs(height) > checker.smallest_jump:
        return False
    height_of_longer = phi(tuning.JUMP_LONGER_STEP * step) - checker.phi0
    return abs(height_of_longer - height) <= tuning.JUMP_GROWTH * abs(height)
