"""The kernel distance against its published definition, and without bias."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.metrics.kernel_distance import KernelMatrices, kernel_distance


def by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Binkowski et al., 2018, equation 4, with the kernel of section 3.2, sum by sum."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_it_agrees_with_the_definition() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 4)), rng.normal(1, 2, size=(9, 4))
    assert kernel_distance(x, y) == pytest.approx(by_definition(x, y), rel=1e-12)


def test_the_mean_over_draws_of_equal_distributions_is_zero() -> None:
    rng = np.random.default_rng(1)
    values = [kernel_distance(*rng.normal(size=(2, 20, 3))) for _ in range(2_000)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error and min(values) < 0


def test_a_closed_form_for_a_shift() -> None:
    """In one dimension E (x y + 1)^3 is a polynomial of the moments of x and y."""
    shift = 0.5
    of_zero, of_shifted = (np.array([1, m, m**2 + 1, m**3 + 3 * m]) for m in (0.0, shift))  # E 1, x, x^2, x^3
    binomials = np.array([1, 3, 3, 1])
    expected = (binomials * (of_zero - of_shifted) ** 2).sum()
    rng = np.random.default_rng(2)
    values = [kernel_distance(rng.normal(size=(50, 1)), rng.normal(shift, 1, (50, 1))) for _ in range(1_000)]
    assert abs(np.mean(values) - expected) < 3 * np.std(values) / np.sqrt(len(values))


def test_a_resample_leaves_pairs_of_copies_out() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(5, 2))
    counts = np.array([2, 0, 1, 3, 0, 0])
    places = np.repeat(np.arange(6), counts)
    kernel = (x[places] @ x[places].T / 2 + 1) ** 3
    different = places[:, None] != places[None, :]
    z = y[[0, 1, 2, 3, 4]]
    expected = kernel[different].mean() + ((z @ z.T / 2 + 1) ** 3)[~np.eye(5, dtype=bool)].mean()
    expected -= 2 * ((x[places] @ z.T / 2 + 1) ** 3).mean()
    (value,) = KernelMatrices(x, y).resampled(counts[None].astype(float), np.ones((1, 5)))
    assert value == pytest.approx(expected, rel=1e-12)


def test_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="two or more points of one dimension"):
        kernel_distance(np.zeros((5, 2)), np.zeros((5, 3)))
