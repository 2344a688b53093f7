"""The nearest neighbours of samples among examples: whether a generator repeats what it was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

_NUMBERS_AT_ONCE = 1 << 22
_SPARE = 4  # further candidates whose distances are computed exactly


def nearest(samples: Any, examples: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(places, distances), both (N, count): the nearest of `examples` (M, ...) to each of `samples` (N, ...), in order.

    A distance is the root of the mean squared difference of the numbers, in their unit: pixels of 0 to 255 for bytes.
    Candidates are found by |a|^2 - 2 a b + |b|^2 in float32, and their distances computed exactly. Raises ValueError if
    the shapes do not fit or there are fewer than `count` examples.
    """
    samples, examples = np.asarray(samples), np.asarray(examples)
    if samples.shape[1:] != examples.shape[1:] or not 1 <= count <= len(examples):
        raise ValueError(
            f"samples have shape {samples.shape}, examples {examples.shape}, and {count} neighbours are wanted; "
            "expected the same shape but for the first axis, and at least so many examples"
        )
    a, b = samples.reshape(len(samples), -1), examples.reshape(len(examples), -1)
    centre = a.mean(axis=0, dtype=np.float64).astype(np.float32)  # smaller numbers round less
    centred = a.astype(np.float32) - centre
    kept = min(count + _SPARE, len(b))
    places = np.empty((len(a), 0), np.int64)
    squares = np.empty((len(a), 0), np.float32)
    rows = max(1, _NUMBERS_AT_ONCE // b.shape[1])
    for start in range(0, len(b), rows):
        block = b[start : start + rows].astype(np.float32) - centre
        new = (block * block).sum(axis=1) - 2 * (centred @ block.T)  # without |a|^2, which is the same for all
        squares = np.concatenate([squares, new], axis=1)
        places = np.concatenate([places, np.broadcast_to(np.arange(start, start + len(block)), new.shape)], axis=1)
        if squares.shape[1] > kept:
            chosen = np.argpartition(squares, kept - 1, axis=1)[:, :kept]
            squares, places = np.take_along_axis(squares, chosen, 1), np.take_along_axis(places, chosen, 1)
    exact = np.stack([_distances(x, b[found]) for x, found in zip(a, places, strict=True)])
    order = np.lexsort((places, exact), axis=1)[:, :count]
    return np.take_along_axis(places, order, 1), np.take_along_axis(exact, order, 1)


def nearest_where_known(pictures: Any, weights: Any, examples: Any, count: int) -> np.ndarray:
    """The places (N, count) of the `examples` (M, ...) with the smallest sum of weights * (picture - example)^2.

    pictures, weights: (N, ...); weights are 0 where a picture is unknown. In order, computed in float32 from the
    expanded square. Raises ValueError if the shapes do not fit or there are fewer than `count` examples.
    """
    pictures, weights, examples = (np.asarray(array) for array in (pictures, weights, examples))
    if not pictures.shape[1:] == weights.shape[1:] == examples.shape[1:] or not 1 <= count <= len(examples):
        raise ValueError(
            f"pictures have shape {pictures.shape}, weights {weights.shape}, examples {examples.shape}, and {count} "
            "neighbours are wanted; expected the same shape but for the first axis, and at least so many examples"
        )
    rows = max(1, _NUMBERS_AT_ONCE // len(examples))
    parts = [slice(start, start + rows) for start in range(0, len(pictures), rows)]
    return np.concatenate([_nearest_where_known(pictures[part], weights[part], examples, count) for part in parts])


def _nearest_where_known(pictures: np.ndarray, weights: np.ndarray, examples: np.ndarray, count: int) -> np.ndarray:
    w = weights.reshape(len(weights), -1).astype(np.float32)
    weighted = 2 * w * pictures.reshape(len(pictures), -1).astype(np.float32)
    b = examples.reshape(len(examples), -1)
    errors = np.empty((len(w), len(b)), np.float32)
    rows = max(1, _NUMBERS_AT_ONCE // b.shape[1])
    for start in range(0, len(b), rows):
        block = b[start : start + rows].astype(np.float32)
        errors[:, start : start + rows] = w @ (block * block).T - weighted @ block.T  # w picture^2 is the same for all
    kept = np.argpartition(errors, count - 1, axis=1)[:, :count]
    order = np.lexsort((kept, np.take_along_axis(errors, kept, 1)), axis=1)
    return np.take_along_axis(kept, order, 1)


def _distances(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    difference = others.astype(np.float64) - x.astype(np.float64)
    return np.asarray(np.sqrt((difference * difference).mean(axis=1)))
