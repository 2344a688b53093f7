"""Accuracy and peak signal-to-noise ratio, on cases that can be counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minigan import Tensor
from minigan.core.errors import UsageError
from minigan.metrics import accuracy, psnr


def test_accuracy_counts_the_right_labels() -> None:
    logits = np.array([[0.0, 2.0, 1.0], [5.0, -1.0, 4.0], [-3.0, -2.0, -1.0], [0.0, 1.0, 0.5]])
    labels = [1, 2, 2, 1]
    assert accuracy(logits, labels) == 0.75
    assert accuracy(Tensor(logits), Tensor(np.array(labels, np.float64))) == 0.75
    assert accuracy(logits.argmax(axis=1), np.array(labels)) == 0.75
    assert accuracy(logits[:2], [0, 1]) == 0.0


def test_psnr_of_known_errors() -> None:
    black, white = np.zeros((2, 4, 4, 1), np.uint8), np.full((2, 4, 4, 1), 255, np.uint8)
    assert psnr(black, white, 255) == 0.0
    assert psnr(white, black, 255) == 0.0
    assert psnr(black, black, 255) == math.inf
    x = Tensor(np.zeros((3, 5)))
    assert psnr(x, x + 0.02, data_range=2) == pytest.approx(40.0, rel=1e-12)  # an error of a hundredth of the range
    assert psnr(np.float32([[1e20]]), np.float32([[-1e20]]), 2e20) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("predicted", "labels"),
    [([1, 2], [1]), ([], []), (np.ones((2, 3, 4)), [1, 2]), (np.ones((2, 3)), [[1], [2]]), (1, 1)],
)
def test_predictions_that_do_not_fit_are_refused(predicted: Any, labels: Any) -> None:
    with pytest.raises(UsageError, match=r"the predictions have shape .* expected \(n, classes\) or"):
        accuracy(predicted, labels)


def test_a_single_logit_has_no_largest_class() -> None:
    with pytest.raises(UsageError, match=r"there is one column; of logits of one class give the labels"):
        accuracy([[3.0], [-2.0]], [1, 0])


def test_pictures_that_cannot_be_compared_are_refused() -> None:
    for a, b in ((np.ones(3), np.ones((3, 1))), (np.ones(0), np.ones(0))):
        with pytest.raises(UsageError, match="cannot be compared, expected one shape"):
            psnr(a, b, 1)
    for data_range in (0, -1, math.inf, math.nan):
        with pytest.raises(UsageError, match="expected a finite number above 0"):
            psnr(np.ones(3), np.zeros(3), data_range)
