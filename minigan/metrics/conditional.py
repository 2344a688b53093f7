"""Scores of a conditional generator: whether its pictures are of the class asked for, and how they differ within it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def shares_as_asked(recognised: np.ndarray, asked: np.ndarray, classes: Sequence[int]) -> list[float]:
    """For each class, the share of the pictures asked for it that are recognised as it.

    recognised, asked: the class (N,) that a classifier names for each picture, and the one asked for. Raises ValueError
    if no picture was asked for one of the `classes`.
    """
    counts = [int((asked == label).sum()) for label in classes]
    if 0 in counts:
        raise ValueError(f"no picture was asked for the class {classes[counts.index(0)]}; ask for some of each class")
    return [
        float((recognised[asked == label] == label).sum() / count) for label, count in zip(classes, counts, strict=True)
    ]


def within_class_spread(images: np.ndarray, labels: np.ndarray) -> float:
    """How much pictures of one class differ: the root of the mean over pixels of their variance, averaged over classes.

    images: (N, H, W, C) uint8, counted as pixels in [0, 1]; labels: (N,). 0 if a class has only one picture, over and
    over; the variance of a class is that of its pictures about their mean, divided by their number.
    """
    spreads = []
    for label in np.unique(labels):
        of_class = images[labels == label].astype(np.float64) / 255
        spreads.append(np.sqrt(of_class.var(axis=0).mean()))
    return float(np.mean(spreads))
