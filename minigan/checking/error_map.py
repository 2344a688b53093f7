"""The errors of a derivative over an array, measured entry by entry, or block by block where it is large."""

from __future__ import annotations

import numpy as np

from minigan.checking.directional import DirectionalChecker

_CELLS = 32  # each way, at most: two evaluations for each


def measure_error_map(checker: DirectionalChecker, shape: tuple[int, ...], start: int, step: float) -> np.ndarray:
    """|claimed - measured| of each entry of the array whose numbers begin at `start`; (rows, columns).

    The last axis becomes the columns and all others the rows. In an array of more than 32 x 32 entries a cell is a
    block of neighbours: the error of their sum, with random signs, over the root of their number (where some move less
    than others, over the length of the move).
    """
    columns = shape[-1] if shape else 1
    rows = int(np.prod(shape)) // columns
    lengths = checker.limits.lengths[start : start + rows * columns].reshape(rows, columns)
    moves = lengths * np.random.default_rng(0).choice([-1.0, 1.0], (rows, columns))
    across, down = (np.array_split(np.arange(extent), min(extent, _CELLS)) for extent in (columns, rows))
    errors = np.empty((len(down), len(across)))
    for i, some_rows in enumerate(down):
        for j, some_columns in enumerate(across):
            block = np.zeros((rows, columns))
            block[np.ix_(some_rows, some_columns)] = moves[np.ix_(some_rows, some_columns)]
            direction = np.zeros(checker.gradient.size)
            direction[start : start + block.size] = block.reshape(-1)
            error = abs(checker.central_difference(direction, step) - checker.analytic(direction))
            errors[i, j] = error / (np.linalg.norm(block) or 1.0)  # numbers that are held have no error
    return errors
