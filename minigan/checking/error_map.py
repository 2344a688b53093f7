"""The errors of a derivative over an array, measured entry by entry, or block by block where it is large."""

from __future__ import annotations

import numpy as np

from minigan.checking import tuning
from minigan.checking.directional import DirectionalChecker


def measure_error_map(checker: DirectionalChecker, shape: tuple[int, ...], offset: int, step: float) -> np.ndarray:
    """|analytic - numeric| of each entry of one array, (rows, columns), from two evaluations each with this step.

    shape, offset: of the array, and of its first entry in the vector of all entries. The last axis becomes the columns
    and all others the rows. In an array of more than 32 rows or columns a cell stands for a block of neighbours, and is
    the error along the block's direction of random signs, divided by the length of the direction.
    """
    columns = shape[-1] if shape else 1
    rows = int(np.prod(shape)) // columns
    lengths = checker.limits.lengths[offset : offset + rows * columns].reshape(rows, columns)
    moves = lengths * np.random.default_rng(0).choice([-1.0, 1.0], (rows, columns))
    across, down = (np.array_split(np.arange(extent), min(extent, tuning.MAX_CELLS)) for extent in (columns, rows))
    errors = np.empty((len(down), len(across)))
    for i, some_rows in enumerate(down):
        for j, some_columns in enumerate(across):
            block = np.zeros((rows, columns))
            block[np.ix_(some_rows, some_columns)] = moves[np.ix_(some_rows, some_columns)]
            direction = np.zeros(checker.gradient.size)
            direction[offset : offset + block.size] = block.reshape(-1)
            error = abs(checker.central_difference(direction, step) - checker.analytic(direction))
            errors[i, j] = error / (np.linalg.norm(block) or 1.0)  # the error of entries that cannot move is 0
    return errors
