"""Every primitive against finite differences to second order; kinks; numerical safety."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.primitive_cases import CASES, COMPOSED_CASES, Case

import minigan as mg
from minigan import Tensor, autodiff, grad, gradcheck, ops, vjp
from minigan.autodiff import engine
from minigan.ops import conv, elementwise, linear, norm, pool, shape
from minigan.selftest.sampler import Sampler

_draw = Sampler(8, "values")


def _primitives() -> Iterator[tuple[str, Any]]:
    modules = [engine, ops] + [
        importlib.import_module(f"minigan.ops.{found.name}") for found in pkgutil.walk_packages(ops.__path__)
    ]
    for module in modules:
        for value in vars(module).values():
            if hasattr(value, "rule") and isinstance(value.rule, autodiff.Rule):
                yield value.rule.name, value


def test_the_cases_cover_every_primitive() -> None:
    rules = dict(_primitives())
    assert len({id(p.rule) for _, p in _primitives()}) == len(rules), "two primitives have the same name"
    assert rules.keys() == {name.lstrip("_") for name in {case.operation for case in CASES}}
    assert len(rules) > 25


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_case_ends_in_the_primitive_it_names(case: Case) -> None:
    y = case.function(*map(Tensor, case.inputs))
    assert y.rule is not None
    assert y.rule.name == case.operation.lstrip("_")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_first_and_second_derivatives(case: Case, kernels: str) -> None:
    gradcheck(case.function, list(case.inputs), order=2).raise_for_failure()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derivatives_are_linear_in_the_cotangent(case: Case, kernels: str) -> None:
    tensors = [Tensor(x) for x in case.inputs]
    y = case.function(*tensors)
    u, v = _draw.normal(*y.shape), _draw.normal(*y.shape)
    for create_graph in (False, True):
        of_u, of_v, of_both = (
            vjp(y, tensors, Tensor(cotangent), create_graph=create_graph) for cotangent in (u, v, u - 2 * v)
        )
        for first, second, both in zip(of_u, of_v, of_both, strict=True):
            expected = first.numpy() - 2 * second.numpy()
            np.testing.assert_allclose(both.numpy(), expected, rtol=0, atol=1e-12 * (1 + abs(expected).max(initial=0)))


@pytest.mark.parametrize("case", COMPOSED_CASES, ids=str)
def test_composed_operations(case: Case) -> None:
    gradcheck(case.function, list(case.inputs), order=2).raise_for_failure()


FORWARDS = [
    ("add", np.add, 2), ("subtract", np.subtract, 2), ("multiply", np.multiply, 2), ("divide", np.divide, 2),
    ("maximum", np.maximum, 2), ("minimum", np.minimum, 2), ("negative", np.negative, 1), ("exp", np.exp, 1),
    ("absolute", np.abs, 1), ("tanh", np.tanh, 1), ("sign", np.sign, 1), ("sum", np.sum, 1), ("mean", np.mean, 1),
    ("transpose", np.transpose, 1), ("matmul", np.matmul, 2), ("sin", np.sin, 1), ("cos", np.cos, 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "expected", "count"), FORWARDS, ids=[f[0] for f in FORWARDS])
def test_values_equal_those_of_numpy(name: str, expected: Callable, count: int, kernels: str) -> None:
    inputs = [_draw.signed(5, 5) for _ in range(count)]
    np.testing.assert_allclose(getattr(ops, name)(*map(Tensor, inputs)).numpy(), expected(*inputs), rtol=1e-13)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_stays_float32(case: Case, kernels: str) -> None:
    tensors = [Tensor(x.astype(np.float32)) for x in case.inputs]
    y = case.function(*tensors)
    assert y.dtype == np.float32
    u = Tensor(np.ones(y.shape, np.float32))
    assert {g.dtype for g in vjp(y, tensors, u)} == {np.dtype(np.float32)}
    assert {g.dtype for g in vjp(y, tensors, u, create_graph=True)} == {np.dtype(np.float32)}


# What happens at kinks is a convention: documented, and the same for every implementation.


def _slope_at(function: Callable[[Tensor], Tensor], x: float) -> float:
    leaf = Tensor(np.array([x]))
    return grad(ops.sum(function(leaf)), [leaf])[0].item()


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_leaky_relu_at_zero_has_the_slope_of_the_left(kernels: str, zero: float) -> None:
    assert _slope_at(lambda x: ops.leaky_relu(x, slope=0.2), zero) == 0.2
    assert _slope_at(ops.relu, zero) == 0.0


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_fused_dense_has_the_kink_of_the_separate_layers(kernels: str, slope: float) -> None:
    w, b = np.array([[1.0, -1.0, 2.0]]), np.array([-1.0, 1.0, 0.0])

    def fused(x: Tensor) -> Tensor:
        return ops.dense(x, w, b, slope=slope)

    def separate(x: Tensor) -> Tensor:
        return ops.leaky_relu(x @ w + b, slope=slope)

    x = Tensor([[1.0], [0.0], [3.0]])  # sums of exactly zero among them
    g = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    np.testing.assert_array_equal(fused(x).numpy(), separate(x).numpy())
    np.testing.assert_array_equal(vjp(fused(x), [x], g)[0].numpy(), vjp(separate(x), [x], g)[0].numpy())


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_fused_batch_norm_has_the_kink_of_the_separate_operations(kernels: str, slope: float, zero: float) -> None:
    x = Tensor(np.array([[-1.0, 3.0, 0.5], [0.0, 0.0, 0.0], [1.0, -3.0, -0.5]]))  # the second row is the mean
    gamma, beta = Tensor(np.array([1.0, -2.0, zero])), Tensor(np.full(3, zero))
    g = Tensor(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]))
    leaves = [x, gamma, beta]
    fused = ops.batch_norm(*leaves, eps=1e-3, slope=slope)
    separate = ops.leaky_relu(ops.batch_norm(*leaves, eps=1e-3), slope=slope)
    assert not fused.numpy()[1].any()
    np.testing.assert_array_equal(fused.numpy(), separate.numpy())
    for create_graph in (False, True):
        one, two = (vjp(y, leaves, g, create_graph=create_graph) for y in (fused, separate))
        for first, second in zip(one, two, strict=True):
            np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-14, atol=1e-15)
    assert vjp(fused, leaves, g)[2].numpy()[2] == pytest.approx(18.0 * slope, rel=1e-15)


def test_the_derivative_of_absolute_at_zero_is_zero() -> None:
    assert _slope_at(ops.absolute, 0.0) == 0.0


def test_equal_maximum_and_minimum_share_the_cotangent() -> None:
    for operation in (ops.maximum, ops.minimum):
        a, b = Tensor([1.0, 1.0]), Tensor([1.0, 2.0])
        ga, gb = vjp(operation(a, b), [a, b], Tensor([6.0, 6.0]))
        first = 3.0, 3.0
        assert (ga.numpy()[0], gb.numpy()[0]) == first
        assert ga.numpy()[1] + gb.numpy()[1] == 6.0


# Exact for arguments of any size: against closed forms in a wider type, without a warning.

SIZES = [0.0, 1e-4, -1e-4, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0, 1e4, -1e4]
FLOATS = [np.float32, np.float64]


def _logistic(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _log_one_plus_exp(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _derivatives(function: Callable[[Tensor], Tensor], x: np.ndarray, order: int) -> np.ndarray:
    leaf = Tensor(x)
    y = function(leaf)
    for _ in range(order):
        (y,) = grad(ops.sum(y), [leaf], create_graph=True)
    assert y.dtype == x.dtype
    return y.numpy()


def _assert_close(found: np.ndarray, expected: np.ndarray, size: np.ndarray | None = None, ulps: int = 6) -> None:
    """Within `ulps` units in the last place of `size` (the expected value itself), or of the smallest number."""
    limits = np.finfo(found.dtype)
    size = np.abs(expected if size is None else size)
    allowed = ulps * (size * np.longdouble(limits.eps) + np.longdouble(limits.smallest_subnormal))
    error = np.abs(found.astype(np.longdouble) - expected)
    assert np.all(error <= allowed), f"{error / allowed * ulps} units in the last place"


SMOOTH = {
    "softplus": (_log_one_plus_exp, _logistic, lambda x: _logistic(x) * _logistic(-x)),
    "sigmoid": (
        _logistic,
        lambda x: _logistic(x) * _logistic(-x),
        lambda x: -_logistic(x) * _logistic(-x) * np.tanh(x / 2),
    ),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", SMOOTH)
def test_softplus_and_sigmoid_are_exact(name: str, order: int, dtype: type) -> None:
    x = np.array(SIZES, dtype)
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        found = _derivatives(getattr(ops, name), x, order)
    wide = x.astype(np.longdouble)
    expected = SMOOTH[name][order](wide)
    # sigmoid'' = s(x) s(-x) (s(-x) - s(x)): near 0 the bracket cancels, so the error is measured by what it scales.
    size = _logistic(wide) * _logistic(-wide) if (name, order) == ("sigmoid", 2) else None
    _assert_close(found, expected, size)


def _rows(dtype: type) -> np.ndarray:
    """Pairs (x, 0), (0, x), (x, x) and (x, x + 1), whose differences are exact."""
    x = np.array(SIZES, dtype)
    return np.stack([np.stack([x, 0 * x]), np.stack([0 * x, x]), np.stack([x, x]), np.stack([x, x + 1])]).swapaxes(1, 2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_logsumexp_is_exact(dtype: type) -> None:
    x = _rows(dtype)
    wide = x.astype(np.longdouble)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = ops.logsumexp(Tensor(x)).numpy()
    larger, smaller = wide.max(axis=-1), wide.min(axis=-1)
    _assert_close(found, larger + np.log1p(np.exp(smaller - larger)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_gradient_of_logsumexp_is_exact(dtype: type) -> None:
    x = _rows(dtype)
    wide = x.astype(np.longdouble)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = _derivatives(ops.logsumexp, x, 1)
    _assert_close(found, _logistic(wide - wide[..., ::-1]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_second_gradient_of_logsumexp_is_exact(dtype: type) -> None:
    x = _rows(dtype)
    leaf, v = Tensor(x), np.array([1.0, -2.0], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        (first,) = grad(ops.sum(ops.logsumexp(leaf)), [leaf], create_graph=True)
        found = grad(ops.sum(first * v), [leaf])[0].numpy()
    p = _logistic(x.astype(np.longdouble) - x[..., ::-1])
    # p (v - <p, v>) cancels where p is near 1: the error is measured by the terms.
    _assert_close(found, p * p[..., ::-1] * (v - v[::-1]), size=4 * p)


def test_log_of_sigmoid_is_minus_softplus() -> None:
    x = Tensor(np.linspace(-30, 30, 13))
    np.testing.assert_allclose(ops.log(ops.sigmoid(x)).numpy(), -ops.softplus(-x).numpy(), rtol=1e-13, atol=1e-15)


# Errors.


def test_shapes_that_do_not_fit_are_refused(kernels: str) -> None:
    def ones(*extents: int) -> Tensor:
        return Tensor(np.ones(extents))

    with pytest.raises(ValueError, match=r"inner extents 3 and 4"):
        ops.matmul(ones(2, 3), ones(4, 2))
    with pytest.raises(ValueError, match=r"inner extents 2 and 4"):
        ops.matmul(ones(2, 3), ones(4, 2), transpose_a=True)
    with pytest.raises(ValueError, match=r"vectors, matrices or batches of them, got shapes \(\) and \(2, 2\)"):
        ops.matmul(ones(), ones(2, 2))
    with pytest.raises(ValueError, match=r"vectors, matrices or batches of them"):
        ops.matmul(ones(2), ones(2, 2), transpose_a=True)
    with pytest.raises(ValueError, match=r"inner extents 2 and 3"):
        ops.matmul(ones(4, 3, 2), ones(4, 3, 2))
    with pytest.raises(ValueError, match=r"dense needs"):
        ops.dense(ones(2, 3), ones(3, 4), ones(3))
    with pytest.raises(ValueError, match=r"slope 0 or more"):
        ops.dense(ones(2, 3), ones(3, 4), ones(4), slope=-0.1)
    with pytest.raises(ValueError, match=r"batch_norm needs"):
        ops.batch_norm(ones(2, 3), ones(2), ones(3), eps=1e-3)
    with pytest.raises(ValueError, match=r"shape"):
        ops.slope_gate(ones(4, 3), ones(3), slope=0.2)


def test_the_modules_of_this_file_are_the_librarys() -> None:
    assert {conv, elementwise, linear, norm, pool, shape} <= {
        importlib.import_module(p.__module__) for _, p in _primitives()
    }
    assert mg.ops is ops
