"""The gradient checker at boundaries of a domain, at discontinuities, at entries that are not finite, and in noise."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.environment import EXHAUSTIVE

from minigan.checking import Report, Verdict, check_pair, check_vjp

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gradcheck_domains as domains  # noqa: E402

sys.path.remove(str(BENCHMARKS))

RNG = np.random.default_rng(11)
X = RNG.standard_normal(8)
SCORES, LABELS = RNG.standard_normal(12), RNG.choice([-1.0, 1.0], 12)


# Domains.


@pytest.mark.exhaustive
@pytest.mark.slow
def test_right_gradients_near_the_edge_of_a_domain_are_accepted() -> None:
    alarms = []
    for number, point in enumerate(domains.points(1, 1000 if EXHAUSTIVE else 250)):
        report = check_pair(point.function.f, point.function.gradient, point.x, seed=number)
        if report.verdict is not Verdict.PASS or report.where:
            alarms.append(f"{point.name} {number}: {report}")
    assert not alarms, "\n".join(alarms)


@pytest.mark.slow
@pytest.mark.parametrize("mistake", domains.MISTAKES)
def test_one_wrong_entry_near_the_edge_of_a_domain_is_found(mistake: str) -> None:
    for number, point in enumerate(domains.points(2, 60)):
        wrong = point.wrong(domains.MISTAKES[mistake])
        report = check_pair(point.function.f, wrong, point.x, names=["x"], seed=number)
        assert (report.verdict, report.index) == (Verdict.FAIL, (point.entry,)), f"{point.name} {number}: {report}"


class RefusalError(Exception):
    pass


def _careful_root(x: np.ndarray) -> float:
    if (x < 0).any():
        raise RefusalError("no root of a negative number")
    return float(np.sqrt(x).sum())


def test_any_exception_near_the_point_is_a_boundary_of_the_domain() -> None:
    x = np.array([1e-3, 1.0, 2.0])
    assert check_pair(_careful_root, lambda x: 0.5 / np.sqrt(x), x).verdict is Verdict.PASS
    report = check_pair(_careful_root, lambda x: 0.5 / np.sqrt(x) * [1, 1, 1.001], x)
    assert (report.verdict, report.index) == (Verdict.FAIL, (2,))


def test_an_exception_at_the_point_is_passed_on() -> None:
    with pytest.raises(RefusalError, match="no root of a negative number"):
        check_pair(_careful_root, lambda x: x, np.array([1.0, -1.0]))


def test_a_result_of_another_shape_is_a_boundary_of_the_domain() -> None:
    x = np.array([0.05, 1.0, -2.0])

    def vjp(x: np.ndarray, u: np.ndarray) -> np.ndarray:
        g = np.zeros_like(x)
        g[x > 0] = 2 * x[x > 0] * u
        return g

    assert check_vjp(lambda x: x[x > 0] ** 2, vjp, x).ok


def test_an_entry_that_cannot_move_is_named_and_the_rest_checked() -> None:
    """x^1.5 at 0, which is not defined on the left."""
    x = np.array([0.0, 1.0, 2.0])
    report = check_pair(lambda x: (x**1.5).sum(), lambda x: 1.5 * np.sqrt(x), x, names=["x"])
    assert report.verdict is Verdict.PASS
    assert "apart from x[0], which cannot move" in str(report)
    assert not check_pair(lambda x: (x**1.5).sum(), lambda x: 1.5 * np.sqrt(x) * [1, 1, 1.001], x).ok


def test_an_isolated_point_cannot_be_checked() -> None:
    def f(x: np.ndarray) -> float:
        if (x != X).any():
            raise RuntimeError("elsewhere")
        return float((x**2).sum())

    report = check_pair(f, lambda x: 2 * x, X)
    assert (report.verdict, report.cause) == (Verdict.NOISY, "edge of the domain")
    assert "f raises RuntimeError: elsewhere at every point" in report.explanation


def test_the_point_near_a_kink_lies_in_the_domain() -> None:
    def f(x: np.ndarray) -> float:
        return float((np.abs(x - 1) + np.log(x)).sum())

    x = np.array([1.0, 1e-3, 2.0])
    report = check_pair(f, lambda x: np.sign(x - 1) + 1 / x, x)
    assert (report.verdict, report.ok) == (Verdict.KINK, True), str(report)
    report = check_pair(f, lambda x: np.sign(x - 1) + 1 / x * [1, 1.001, 1], x)
    assert not report.ok


# Zeros.


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0])
@pytest.mark.parametrize("f", [np.tanh, np.sin, lambda x: x, lambda x: x + x**3])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4)])
def test_a_wrong_gradient_where_f_and_x_are_zero(f: Callable, factor: float, shape: tuple[int, ...]) -> None:
    for seed in range(3):
        x = np.zeros(shape)
        assert check_pair(lambda x: f(x).sum(), lambda x: np.ones_like(x), x, seed=seed).ok
        report = check_pair(lambda x: f(x).sum(), lambda x: np.full_like(x, factor), x, seed=seed)
        assert report.verdict is Verdict.FAIL
        assert report.numeric == pytest.approx(1, abs=1e-9)


def test_a_derivative_where_everything_is_zero() -> None:
    report = check_pair(lambda x: 0 * x.sum(), lambda x: np.array([0.0, 3.0, 0.0]), np.zeros(3), names=["x"])
    assert (report.verdict, report.index, report.cause) == (Verdict.FAIL, (1,), "missing gate")


# Numbers that are not finite.


def _masked_softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def _softmax_vjp(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    y = _masked_softmax(x)
    return y * (u - (u * y).sum())


@pytest.mark.parametrize("x", [np.array([1.0, -np.inf, 2.0]), np.array([-np.inf, 0.3, -np.inf, -0.2])])
def test_masked_numbers_are_left_as_they_are(x: np.ndarray) -> None:
    assert check_vjp(_masked_softmax, _softmax_vjp, x).verdict is Verdict.PASS
    scale = np.where(np.arange(x.size) == np.flatnonzero(np.isfinite(x))[0], 1.001, 1.0)
    assert check_vjp(_masked_softmax, lambda x, u: scale * _softmax_vjp(x, u), x).verdict is Verdict.FAIL


def test_a_number_that_f_ignores_has_a_derivative_of_zero() -> None:
    x = np.array([1.0, np.nan, 2.0])
    right = np.array([1.0, 0.0, 1.0])
    assert check_pair(np.nansum, lambda x: right, x, names=["x"]).verdict is Verdict.PASS
    assert check_pair(np.nansum, lambda x: right * [1, 1, 1.001], x).verdict is Verdict.FAIL
    report = check_pair(np.nansum, lambda x: np.ones(3), x, names=["x"])
    assert (report.verdict, report.name, report.cause) == (Verdict.FAIL, "x", "not zero")
    assert "f ignores x[1], which is nan" in report.explanation


# Noise.


def _noisy(size: float) -> Callable[[np.ndarray], float]:
    """The sum of squares, with last digits that differ from call to call."""
    rng = np.random.default_rng(12)
    return lambda x: float((x**2).sum() * (1 + size * rng.standard_normal()))


@pytest.mark.parametrize("size", [1e-16, 1e-15, 1e-12, 1e-10])
def test_differences_of_rounding_between_calls_are_noise(size: float) -> None:
    rng = np.random.default_rng(13)

    def derivative(factor: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: factor * 2 * x * (1 + size * rng.standard_normal(x.shape))

    for seed in range(5):
        assert check_pair(_noisy(size), derivative(1.0), X, seed=seed).verdict is Verdict.PASS
        assert check_pair(_noisy(size), derivative(1.001), X, seed=seed).verdict is Verdict.FAIL


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_larger_differences_are_not_repeatable(size: float) -> None:
    assert check_pair(_noisy(size), lambda x: 2 * x, X).verdict is Verdict.NONDETERMINISTIC


# Jumps.


def _loss(s: Any, labels: Any) -> Any:
    """Logistic loss; any label but 1 counts as the other."""
    return np.where(labels == 1, np.logaddexp(0, -s), np.logaddexp(0, s)).sum()


def _loss_gradient(s: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    sigmoid = 1 / (1 + np.exp(-s))
    return np.where(labels == 1, sigmoid - 1, sigmoid), np.zeros_like(labels)


def _signed(s: Any, labels: Any) -> Any:
    return (np.tanh(s) * labels.astype(int)).sum()


def _signed_gradient(s: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    return (1 - np.tanh(s) ** 2) * labels.astype(int), np.zeros_like(labels)


def _checked(f: Callable, gradient: Callable, entry: int, factor: float) -> Report:
    def changed(s: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        of_scores, of_labels = gradient(s, labels)
        if np.array_equal(labels, LABELS):  # at a point near by it is right
            of_scores[entry] *= factor
        return of_scores, of_labels

    return check_pair(f, changed, (SCORES, LABELS), names=["s", "labels"])


@pytest.mark.parametrize(("f", "gradient"), [(_loss, _loss_gradient), (_signed, _signed_gradient)])
def test_a_jump_in_some_entries_hides_no_mistake_in_others(f: Callable, gradient: Callable) -> None:
    right = _checked(f, gradient, 0, 1.0)
    assert (right.verdict, right.ok, right.cause) == (Verdict.KINK, True, "jump")
    assert "labels[0] and" in right.explanation
    for entry, factor in ((0, 1.001), (3, -1.0), (7, 0.0), (11, 1.001)):
        report = _checked(f, gradient, entry, factor)
        assert (report.verdict, report.entry) == (Verdict.FAIL, f"s[{entry}]"), str(report)


def test_a_derivative_by_entries_that_jump_is_checked_near_by() -> None:
    report = check_pair(_signed, lambda s, labels: (_signed_gradient(s, labels)[0], 5 + 0 * labels), (SCORES, LABELS))
    assert (report.verdict, report.name) == (Verdict.FAIL, "labels")
    assert "at a point near the given one" in report.where


@pytest.mark.parametrize("f", [np.floor, np.ceil, np.round, np.trunc, np.sign, lambda x: x >= 1])
def test_jumps_in_some_entries_do_not_prevent_the_check_of_others(f: Callable) -> None:
    x = np.array([1.0, 0.4, 0.0, -2.0, 2.5, 3.7])

    def value(x: np.ndarray) -> np.ndarray:
        return f(x) + np.sin(x)

    assert check_vjp(value, lambda x, u: u * np.cos(x), x).ok
    for place in (1, 5):
        scale = np.where(np.arange(6) == place, 1.001, 1.0)
        report = check_vjp(value, lambda x, u, scale=scale: u * np.cos(x) * scale, x)
        assert (report.verdict, report.index) == (Verdict.FAIL, (place,)), str(report)
