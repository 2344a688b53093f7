"""Class labels: one-hot vectors, and the cross-entropy of a classifier. Labels are class numbers, held as floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autodiff import Tensor, primitive
from minigan.core import backend
from minigan.ops.reductions import logsumexp
from minigan.ops.shape import mean, reshape
from minigan.ops.shape import sum as sum_


@primitive(None, formula={"labels": "0"})
def _one_hot(B, labels, *, count, dtype):
    """NaN for a label that is no class: an error that shows without reading a number on the host."""
    hot = labels[..., None] == B.xp.arange(count, dtype=str(labels.dtype))
    return B.xp.where(hot.any(axis=-1, keepdims=True), hot, B.xp.nan).astype(dtype)


def one_hot(labels: Any, count: int, dtype: Any = None) -> Tensor:
    """(..., count): 1 at the place of each label (...), 0 elsewhere. Constant in the labels: its derivative is zero.

    labels: whole numbers from 0 to count - 1, as a Tensor or array. dtype: of the result; that of the Tensor of labels
    if None. Raises ValueError for another label; on a GPU, and where a step is replayed, its vector is NaN instead,
    because reading the labels would make the host wait.
    """
    labels = labels if isinstance(labels, Tensor) else Tensor(labels)
    if backend.recorder is None and type(labels.data) is np.ndarray:
        known = np.isin(labels.data, np.arange(count))
        if not known.all():
            raise ValueError(
                f"one_hot got the label {labels.data[~known][0]:g}; labels are whole numbers from 0 to {count - 1}"
            )
    return _one_hot(labels, count=count, dtype=str(labels.dtype if dtype is None else np.dtype(dtype)))


def cross_entropy(logits: Any, labels: Any) -> Tensor:
    """The mean of -log softmax(logits)[label] over all examples: logits (..., classes), labels (...), class numbers.

    Raises ValueError if the shapes do not fit, if there is no example, or for a label that is no class.
    """
    labels = labels if isinstance(labels, Tensor) else Tensor(labels)
    if not logits.shape or logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"cross_entropy needs logits (..., classes) and a class number for each example, labels (...); got shapes "
            f"{logits.shape} and {labels.shape}"
        )
    chosen = sum_(logits * one_hot(labels, logits.shape[-1], logits.dtype), axis=-1)
    # Relative to the label's own logit: the difference of two large numbers would lose the digits of a small loss.
    return mean(logsumexp(logits - reshape(chosen, (*chosen.shape, 1))))
