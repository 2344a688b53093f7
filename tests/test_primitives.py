"""Every primitive to second order against finite differences; kinks; numerical safety."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import differences
import numpy as np
import pytest

import minigan as mg
from minigan import Tensor, autodiff, grad, ops, vjp
from minigan.ops import elementwise, linear, norm, shape

_rng = np.random.default_rng(8)


def _signed(*extents: int) -> np.ndarray:
    """Numbers of either sign, at least 0.4 away from zero."""
    return _rng.uniform(0.4, 1.6, extents) * _rng.choice([-1.0, 1.0], extents)


def _positive(*extents: int) -> np.ndarray:
    return _rng.uniform(0.4, 1.6, extents)


def _apart(*extents: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays that differ by at least 0.4 everywhere, in either order."""
    a = _signed(*extents)
    return a, a + _signed(*extents)


def _dense_inputs(rows: int, depth: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every sum x @ w + b lies far from 0; about half of the columns are negative."""
    sides = np.where(np.arange(columns) % 2, 1.0, -1.0)
    return _positive(rows, depth), _positive(depth, columns) * sides, _positive(columns) * sides


@dataclass(frozen=True)
class Case:
    primitive: str
    number: int
    function: Callable[..., Tensor]
    inputs: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        return f"{self.primitive}-{self.number}-{'x'.join(str(i.shape) for i in self.inputs)}".replace(" ", "")


TABLE: dict[str, list[tuple[Callable[..., Tensor], tuple[np.ndarray, ...]]]] = {
    "add": [
        (ops.add, (_signed(3, 5), _signed(3, 5))),
        (ops.add, (_signed(5), _signed(2, 3, 5))),
        (ops.add, (_signed(3, 1), _signed(1, 5))),
        (ops.add, (_signed(), _signed(7))),
        (lambda x: 2 + x, (_signed(3),)),
        (lambda x: x + x, (_signed(3),)),
    ],
    "subtract": [
        (ops.subtract, (_signed(3, 5), _signed(5))),
        (ops.subtract, (_signed(1, 1), _signed(2, 3, 1))),
        (lambda x: 2.0 - x, (_signed(3),)),
        (lambda x: x - 1, (_signed(3),)),
    ],
    "multiply": [
        (ops.multiply, (_signed(3, 5), _signed(3, 5))),
        (ops.multiply, (_signed(4, 1, 3), _signed(5, 1))),
        (ops.multiply, (_signed(), _signed(2, 2))),
        (lambda x: x * x, (_signed(3, 3),)),
        (lambda x: -3 * x, (_signed(3),)),
    ],
    "divide": [
        (ops.divide, (_signed(3, 5), _signed(3, 5))),
        (ops.divide, (_signed(2, 1), _signed(3, 1, 4))),
        (lambda x: 2.0 / x, (_signed(5),)),
        (lambda x: x / 4, (_signed(5),)),
        (lambda x: x / x, (_signed(5),)),
    ],
    "negative": [(ops.negative, (_signed(3, 2),)), (ops.negative, (_signed(),))],
    "_power": [
        (lambda x: x**3, (_signed(3, 2),)),
        (lambda x: ops.power(x, -1.5), (_positive(5),)),
        (lambda x: ops.power(x, 0.5), (_positive(5),)),
        (lambda x: x**2, (np.array([0.0, 1.0, -2.0]),)),
        (lambda x: x**1, (np.array([0.0, 1.0, -2.0]),)),
        (lambda x: x**0, (np.array([0.0, 1.0, -2.0]),)),
    ],
    "exp": [(ops.exp, (_signed(3, 5),))],
    "log": [(ops.log, (_positive(3, 5),))],
    "sqrt": [(ops.sqrt, (_positive(3, 5),))],
    "sign": [(ops.sign, (_signed(3, 5),))],
    "absolute": [(ops.absolute, (_signed(3, 5),)), (abs, (_signed(4),))],
    "share_of_maximum": [
        (ops.share_of_maximum, _apart(3, 5)),
        (lambda x: ops.share_of_maximum(x, 0.0), (_signed(3),)),
    ],
    "maximum": [
        (ops.maximum, _apart(3, 5)),
        (ops.maximum, (_signed(4, 3), np.array([0.1, -0.1, 3.0]))),
        (ops.maximum, (np.array([[0.1], [-0.1]]), _signed(3))),
        (lambda x: ops.maximum(x, 0.0), (_signed(5),)),
        (lambda x: ops.maximum(0.0, x), (_signed(5),)),
    ],
    "tanh": [(ops.tanh, (_signed(3, 5),))],
    "sigmoid": [(ops.sigmoid, (_signed(3, 5) * 3,))],
    "softplus": [(ops.softplus, (_signed(3, 5) * 3,))],
    "_slope_gate": [
        (lambda x, v, s=s: ops.slope_gate(x, v, slope=s), (_signed(3, 5), _signed(3, 5))) for s in (0.0, 0.2, 1.0)
    ],
    "_leaky_relu": [
        (ops.leaky_relu, (_signed(3, 5),)),
        (ops.relu, (_signed(3, 5),)),
        (lambda x: ops.leaky_relu(x, slope=-0.5), (_signed(2, 2, 3),)),
        (lambda x: ops.leaky_relu(ops.transpose(x)), (_signed(4, 3),)),
    ],
    "_matmul": [
        (lambda a, b, s=s, t=t: ops.matmul(a, b, transpose_a=s, transpose_b=t), (_signed(*m), _signed(*n)))
        for s, t, m, n in (
            (False, False, (3, 5), (5, 2)),
            (True, False, (5, 3), (5, 2)),
            (False, True, (3, 5), (2, 5)),
            (True, True, (5, 3), (2, 5)),
            (False, True, (1, 7), (9, 7)),
            (True, True, (1, 1), (3, 1)),
            (False, False, (7, 1), (1, 65)),
        )
    ]
    + [(lambda a: a @ a, (_signed(3, 3),)), (lambda a: ops.matmul(a, a, transpose_a=True), (_signed(3, 3),))],
    "_dense": [
        (lambda x, w, b, s=s: ops.dense(x, w, b, slope=s), _dense_inputs(*extents))
        for s in (0.0, 0.2, 1.0)
        for extents in ((5, 3, 4), (1, 2, 7))
    ],
    "_batch_norm": [
        (lambda x, g, b: ops.batch_norm(x, g, b, eps=1e-3), (_signed(6, 3), _signed(3), _signed(3))),
        (lambda x, g, b: ops.batch_norm(x, g, b, eps=1e-2), (_signed(2, 3, 2, 5), _signed(5), _signed(5))),
        (lambda x, g, b: ops.batch_norm(x, g, b, eps=1e-3), (_signed(4, 1), _signed(1), _signed(1))),
        (lambda x: ops.batch_norm(x, ops.sum(x, axis=0), x[0], eps=1e-3), (_signed(5, 2),)),
    ],
    "_softmax": [(lambda x, a=a: ops.softmax(x, axis=a), (_signed(3, 5),)) for a in (0, 1, -2)]
    + [(ops.softmax, (_signed(7),)), (lambda x: ops.softmax(x, axis=1), (_signed(2, 3, 4),))],
    "_mean_softplus": [(lambda x, s=s: ops.mean_softplus(x, s), (_signed(3, 5),)) for s in (1, -1)]
    + [(ops.mean_softplus, (_signed(1),))],
    "_logsumexp": [(lambda x, a=a: ops.logsumexp(x, axis=a), (_signed(3, 5),)) for a in (0, 1, -1, -2)]
    + [(ops.logsumexp, (_signed(7),)), (lambda x: ops.logsumexp(x, axis=1), (_signed(2, 3, 4),))],
    "_sum": [
        (lambda x, a=a, k=k: ops.sum(x, axis=a, keepdims=k), (_signed(2, 3, 5),))
        for a in (None, 0, -1, (0, 2), (-2, 0), (0, 1, 2), ())
        for k in (False, True)
    ]
    + [(ops.sum, (_signed(),)), (ops.sum, (_signed(1, 1),))],
    "_broadcast_to": [
        (lambda x: ops.broadcast_to(x, (4, 3, 5)), (_signed(3, 1),)),
        (lambda x: ops.broadcast_to(x, (2, 3)), (_signed(),)),
        (lambda x: ops.broadcast_to(x, (2, 3)), (_signed(2, 3),)),
        (lambda x: ops.broadcast_to(x, (1, 3)), (_signed(3),)),
    ],
    "_reshape": [
        (lambda x: ops.reshape(x, (5, -1)), (_signed(2, 3, 5),)),
        (lambda x: ops.reshape(x, -1), (_signed(2, 3),)),
        (lambda x: ops.reshape(x, ()), (_signed(1),)),
        (lambda x: ops.reshape(ops.transpose(x), (2, 3)), (_signed(2, 3),)),
    ],
    "_transpose": [
        (ops.transpose, (_signed(2, 3, 5),)),
        (lambda x: ops.transpose(x, (2, 0, 1)), (_signed(2, 3, 5),)),
        (lambda x: ops.transpose(x, (-1, 0, -2)), (_signed(2, 3, 5),)),
        (ops.transpose, (_signed(4),)),
    ],
    "_concatenate": [
        (lambda a, b, c: ops.concatenate([a, b, c]), (_signed(2, 3), _signed(1, 3), _signed(4, 3))),
        (lambda a, b, c: ops.concatenate([a, b, c], axis=-1), (_signed(2, 1), _signed(2, 3), _signed(2, 2))),
        (lambda a, b: ops.concatenate([a, b, a], axis=1), (_signed(2, 1, 3), _signed(2, 2, 3))),
        (lambda a: ops.concatenate((a,)), (_signed(3),)),
    ],
    "_index": [
        (lambda x, k=k: x[k], (_signed(4, 3, 5),))
        for k in (
            1,
            -1,
            slice(None, None, 2),
            slice(None, None, -1),
            (slice(1, 3), 0),
            (0, 1, 2),
            (Ellipsis, 2),
            (None, slice(None), None, 1),
            np.array([0, 2, 2, -1]),
            (slice(None), np.array([1, 1, 0])),
            (np.array([0, 1, 0]), np.array([2, 0, 2])),
            (np.array([[0, 3], [3, 3]]), slice(None), -1),
            (Ellipsis, np.array([4, 4])),
            np.zeros(0, np.int64),
        )
    ],
    "_place": [
        (lambda x, k=k, s=s: shape._place(x, key=k, shape=s), (_signed(*extents),))
        for k, s, extents in (
            (slice(1, 3), (4, 3), (2, 3)),
            ((Ellipsis, 0), (2, 3), (2,)),
            ((None, 1), (4, 3), (1, 3)),
            (np.array([0, 2, 0]), (3, 2), (3, 2)),
            ((np.array([1, 1]), np.array([0, 0])), (3, 2), (2,)),
        )
    ],
    "_pad": [
        (lambda x: ops.pad(x, ((1, 2), (0, 3))), (_signed(2, 3),)),
        (lambda x: ops.pad(x, ((0, 0),)), (_signed(4),)),
        (lambda x: ops.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0))), (_signed(2, 3, 3, 2),)),
    ],
    "_same": [(autodiff._same, (_signed(2, 3),))],
}
CASES = [Case(name, i, f, inputs) for name, cases in TABLE.items() for i, (f, inputs) in enumerate(cases)]

# Made of primitives; their derivatives are the primitives', but the formulas are their own.
COMPOSED: list[tuple[str, Callable[..., Tensor], tuple[np.ndarray, ...]]] = [
    ("minimum", ops.minimum, _apart(3, 5)),
    ("minimum-number", lambda x: ops.minimum(x, 0.0), (_signed(3),)),
    ("mean", ops.mean, (_signed(3, 5),)),
    ("mean-axis", lambda x: ops.mean(x, -1, keepdims=True), (_signed(3, 5),)),
    ("mean-axes", lambda x: ops.mean(x, (0, -1)), (_signed(3, 2, 5),)),
    ("sum_like", ops.sum_like, (_signed(4, 3, 5), _signed(3, 1))),
    ("sum_like-scalar", ops.sum_like, (_signed(4, 3), _signed())),
]


def _primitives() -> Iterator[tuple[str, Any]]:
    modules = [autodiff, ops] + [
        importlib.import_module(f"minigan.ops.{found.name}") for found in pkgutil.walk_packages(ops.__path__)
    ]
    for module in modules:
        for value in vars(module).values():
            if hasattr(value, "rule") and isinstance(value.rule, autodiff.Rule):
                yield value.rule.name, value


def test_the_table_holds_every_primitive() -> None:
    rules = dict(_primitives())
    assert len({id(p.rule) for _, p in _primitives()}) == len(rules), "two primitives have the same name"
    assert rules.keys() == {name.lstrip("_") for name in TABLE}
    assert len(rules) > 25


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_case_ends_in_the_primitive_it_names(case: Case) -> None:
    y = case.function(*map(Tensor, case.inputs))
    assert y.rule is not None
    assert y.rule.name == case.primitive.lstrip("_")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_first_derivatives(case: Case, kernels: str) -> None:
    differences.check_first_order(case.function, case.inputs)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_derivatives(case: Case, kernels: str) -> None:
    differences.check_second_order(case.function, case.inputs)


@pytest.mark.parametrize(("name", "function", "inputs"), COMPOSED, ids=[c[0] for c in COMPOSED])
def test_composed_operations(name: str, function: Callable[..., Tensor], inputs: tuple[np.ndarray, ...]) -> None:
    differences.check_first_order(function, inputs)
    differences.check_second_order(function, inputs)


FORWARDS = [
    ("add", np.add, 2), ("subtract", np.subtract, 2), ("multiply", np.multiply, 2), ("divide", np.divide, 2),
    ("maximum", np.maximum, 2), ("minimum", np.minimum, 2), ("negative", np.negative, 1), ("exp", np.exp, 1),
    ("absolute", np.abs, 1), ("tanh", np.tanh, 1), ("sign", np.sign, 1), ("sum", np.sum, 1), ("mean", np.mean, 1),
    ("transpose", np.transpose, 1), ("matmul", np.matmul, 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "expected", "count"), FORWARDS, ids=[f[0] for f in FORWARDS])
def test_values_are_numpys(name: str, expected: Callable, count: int, kernels: str) -> None:
    inputs = [_signed(5, 5) for _ in range(count)]
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


def test_absolute_at_zero_is_flat() -> None:
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
    with pytest.raises(ValueError, match=r"two matrices"):
        ops.matmul(ones(2), ones(2, 2))
    with pytest.raises(ValueError, match=r"dense needs"):
        ops.dense(ones(2, 3), ones(3, 4), ones(3))
    with pytest.raises(ValueError, match=r"slope 0 or more"):
        ops.dense(ones(2, 3), ones(3, 4), ones(4), slope=-0.1)
    with pytest.raises(ValueError, match=r"batch_norm needs"):
        ops.batch_norm(ones(2, 3), ones(2), ones(3), eps=1e-3)
    with pytest.raises(ValueError, match=r"shape"):
        ops.slope_gate(ones(4, 3), ones(3), slope=0.2)


def test_the_modules_of_this_file_are_the_librarys() -> None:
    assert {elementwise, linear, norm, shape} <= {importlib.import_module(p.__module__) for _, p in _primitives()}
    assert mg.ops is ops
