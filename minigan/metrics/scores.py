"""How often a classifier is right, and how close pictures are to their originals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.core.errors import UsageError


def accuracy(predicted: Any, labels: Any) -> float:
    """The share of examples whose label is predicted, from 0 to 1.

    predicted: logits or probabilities (n, classes), of which the largest counts, or labels (n,); labels: class numbers
    (n,). Tensors or arrays. Raises UsageError if the shapes do not fit, or there is no example, or a single class.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        raise UsageError(
            "accuracy takes the scores of two classes or more, but there is one column; of logits of one class give "
            "the labels, (logits[:, 0] > 0)"
        )
    if labels.ndim != 1 or not labels.size or predicted.ndim not in (1, 2) or len(predicted) != len(labels):
        raise UsageError(
            f"the predictions have shape {predicted.shape} and the labels {labels.shape}, expected (n, classes) or "
            "(n,), and (n,), for one or more examples; reshape them"
        )
    return float(((predicted.argmax(axis=1) if predicted.ndim == 2 else predicted) == labels).mean())


def psnr(a: Any, b: Any, data_range: float) -> float:
    """The peak signal-to-noise ratio 10 log10(data_range^2 / mean((a - b)^2)) in decibels; infinite if a equals b.

    a, b: Tensors or arrays of one shape. data_range: the largest possible difference, 255 for bytes, 2 for numbers in
    [-1, 1]. Raises UsageError if the shapes differ, there are no numbers, or the range is not positive.
    """
    a, b = (np.asarray(x).astype(np.float64) for x in (a, b))
    if a.shape != b.shape or not a.size:
        raise UsageError(
            f"pictures of shapes {a.shape} and {b.shape} cannot be compared, expected one shape; crop them"
        )
    if not 0 < data_range < math.inf:
        raise UsageError(f"the data range is {data_range}, expected a finite number above 0; give 255 for bytes")
    error = float(np.mean((a - b) ** 2))
    return 10 * math.log10(data_range**2 / error) if error else math.inf
