"""Derivatives of functions: against closed forms, finite differences, and each other."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import Tensor, nn, ops

_rng = np.random.default_rng(3)
A, X, V, U = (_rng.standard_normal(shape) for shape in ((3, 4), (2, 4), (2, 4), (2, 3)))


def _f(x: Any) -> Tensor:
    """(2, 4) to (2, 3)."""
    return ops.tanh(x @ A.T) * ops.sum(x * x)


def _by_differences(f: Any, x: np.ndarray) -> np.ndarray:
    """The Jacobian by central differences."""
    columns = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = 1e-6
        step = step.reshape(x.shape)
        columns.append((f(Tensor(x + step)).numpy() - f(Tensor(x - step)).numpy()) / 2e-6)
    return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)


def test_the_jacobian_is_that_of_finite_differences() -> None:
    found = mg.jacobian(_f, X)
    assert found.shape == (2, 3, 2, 4)
    np.testing.assert_allclose(found.numpy(), _by_differences(_f, X), rtol=1e-6, atol=1e-8)


def test_jvp_is_the_jacobian_times_v_and_the_adjoint_of_vjp() -> None:
    jacobian = mg.jacobian(_f, X).numpy()
    along = mg.jvp(_f, X, V)
    np.testing.assert_allclose(along.numpy(), np.tensordot(jacobian, V, 2), rtol=1e-13)
    x = Tensor(X)
    back = mg.vjp(_f(x), x, U)
    assert np.vdot(U, along.numpy()) == pytest.approx(np.vdot(back.numpy(), V), rel=1e-13)


def test_hvp_of_a_quadratic_form_is_its_matrix_times_v() -> None:
    matrix = _rng.standard_normal((4, 4))

    def quadratic(x: Tensor) -> Tensor:
        return x @ Tensor(matrix) @ x

    x, v = X[0], V[0]
    np.testing.assert_allclose(mg.hvp(quadratic, x, v).numpy(), (matrix + matrix.T) @ v, rtol=1e-13)
    value, gradient = mg.value_and_grad(quadratic)(x)
    assert float(value) == pytest.approx(x @ matrix @ x, rel=1e-13)
    np.testing.assert_allclose(gradient.numpy(), (matrix + matrix.T) @ x, rtol=1e-13)


def test_hvp_is_symmetric_and_the_derivative_of_the_gradient() -> None:
    def f(x: Tensor) -> Tensor:
        return ops.sum(_f(x) ** 2)

    w = _rng.standard_normal(X.shape)
    of_v, of_w = mg.hvp(f, X, V).numpy(), mg.hvp(f, X, w).numpy()
    assert np.vdot(of_v, w) == pytest.approx(np.vdot(of_w, V), rel=1e-12)
    gradient = mg.value_and_grad(f)
    ahead, behind = (gradient(X + step * V)[1].numpy() for step in (1e-6, -1e-6))
    np.testing.assert_allclose(of_v, (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-6)


def test_results_have_the_form_of_the_point() -> None:
    a, b = X[0], X[1]

    def product(parts: Any) -> Tensor:
        first, second = parts.values() if isinstance(parts, dict) else parts
        return ops.sum(first * first * second)

    for x in ([a, b], (a, Tensor(b)), {"a": a, "b": Tensor(b)}):
        value, gradient = mg.value_and_grad(product)(x)
        along = mg.jvp(product, x, x)
        second = mg.hvp(product, x, x)
        jacobian = mg.jacobian(product, x)
        assert type(gradient) is type(second) is type(jacobian) is type(x)
        assert float(along) == pytest.approx(3 * float(value), rel=1e-13)  # Euler: the function is of degree 3
        parts = [list(form.values()) if isinstance(form, dict) else form for form in (gradient, second, jacobian)]
        for first, twice, row, expected in zip(*parts, (2 * a * b, a * a), strict=True):
            np.testing.assert_allclose(first.numpy(), expected, rtol=1e-13)
            np.testing.assert_allclose(row.numpy(), expected, rtol=1e-13)
            np.testing.assert_allclose(twice.numpy(), 2 * expected, rtol=1e-13)  # the gradient is of degree 2


def test_a_module_is_differentiated_by_its_parameters() -> None:
    network = nn.Sequential(nn.Dense(4, 3, np.random.default_rng(0)), nn.Tanh()).astype("float64")

    def loss(module: Any) -> Tensor:
        return ops.mean(module(X) ** 2)

    value, gradient = mg.value_and_grad(loss)(network)
    expected = mg.grad(loss(network), network)
    assert gradient.keys() == expected.keys() == network.parameters().keys()
    for name, g in gradient.items():
        np.testing.assert_array_equal(g.numpy(), expected[name].numpy())
    rates = mg.jacobian(lambda module: module(X), network)
    assert {name: g.shape for name, g in rates.items()} == {"0.weight": (2, 3, 4, 3), "0.bias": (2, 3, 3)}
    along = mg.jvp(loss, network, gradient)
    assert float(along) == pytest.approx(sum(float((g * g).sum()) for g in gradient.values()), rel=1e-13)
    second = mg.hvp(loss, network, {name: g.numpy() for name, g in gradient.items()})
    assert {name: g.shape for name, g in second.items()} == {name: g.shape for name, g in gradient.items()}
    assert value.shape == ()


def test_numbers_and_tensors_of_the_graph_are_points_too() -> None:
    value, gradient = mg.value_and_grad(lambda x: x**3)(2.0)
    assert (float(value), float(gradient)) == (8.0, 12.0)
    assert float(mg.hvp(lambda x: x**3, np.float32(2.0), 1)) == 12.0
    y = Tensor(2.0) * 1.5
    assert float(mg.value_and_grad(lambda x: x * x)(y)[1]) == 6.0


def test_results_can_be_differentiated_again() -> None:
    x = Tensor(X)
    _, gradient = mg.value_and_grad(lambda t: ops.sum(t**4), create_graph=True)(x)
    np.testing.assert_allclose(mg.grad(ops.sum(gradient), x).numpy(), 12 * X**2, rtol=1e-13)
    along = mg.jvp(lambda t: t**3, x, V, create_graph=True)
    np.testing.assert_allclose(mg.grad(ops.sum(along), x).numpy(), 6 * X * V, rtol=1e-13)
    second = mg.hvp(lambda t: ops.sum(t**4), x, V, create_graph=True)
    np.testing.assert_allclose(mg.grad(ops.sum(second), x).numpy(), 24 * X * V, rtol=1e-13)
    assert mg.jvp(lambda t: t**3, x, V).rule is None


def test_functions_that_do_not_depend_on_the_point_have_derivative_zero() -> None:
    def constant(_: Tensor) -> Tensor:
        return Tensor(np.ones(5))

    assert not mg.jacobian(constant, X).numpy().any()
    assert mg.jvp(constant, X, V).numpy().tolist() == [0.0] * 5
    assert not mg.hvp(lambda x: ops.sum(x), X, V).numpy().any()
    assert mg.jacobian(lambda x: x, np.zeros(0)).shape == (0, 0)
    np.testing.assert_array_equal(mg.jacobian(lambda x: x, V[0]).numpy(), np.eye(4))
    np.testing.assert_array_equal(mg.jacobian(lambda x: ops.transpose(x), V).numpy().reshape(8, 8).sum(0), np.ones(8))


def test_derivatives_are_taken_inside_of_no_grad() -> None:
    with mg.no_grad():
        assert mg.jvp(lambda x: x * x, X, V).numpy().tolist() == (2 * X * V).tolist()
        assert mg.hvp(lambda x: ops.sum(x * x), X, V).numpy().tolist() == (2 * V).tolist()


def test_float32_stays_float32() -> None:
    x = X.astype(np.float32)
    derivatives = [
        mg.jacobian(lambda x: x * x, x),
        mg.jvp(lambda x: x * x, x, V),
        mg.hvp(lambda x: ops.sum(x * x), x, V),
    ]
    assert {d.dtype for d in derivatives} == {np.dtype(np.float32)}


def test_nothing_waits_for_the_device(standin: ModuleType) -> None:
    expected = mg.jacobian(_f, X).numpy(), mg.jvp(_f, X, V).numpy()
    mg.use("cupy", "reference")
    x, v = Tensor(X), Tensor(V)
    with standin._standin.count_synchronisations() as waits:
        found = mg.jacobian(_f, x), mg.jvp(_f, x, v), mg.hvp(lambda x: ops.sum(_f(x)), x, v)
    assert waits.count == 0
    for one, other in zip(found, expected, strict=False):
        assert type(one.data) is standin.ndarray
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-12)


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: mg.jvp(_f, X, V[0]), ValueError, r"jvp needs a direction v of the shape \(2, 4\) of x, got shape \(4,\)"),
    (lambda: mg.jvp(lambda x: x[0], [X], V), TypeError, "jvp needs a direction v in the form of x, .* 1; got ndarray"),
    (lambda: mg.hvp(lambda x: x["a"].sum(), {"a": X}, {"b": V}), TypeError, "hvp needs a direction v in the form of x"),
    (lambda: mg.jvp(lambda x: Tensor(1.0), [], []), TypeError, "jvp needs a direction v"),
    (lambda: mg.hvp(_f, X, V), ValueError, r"grad needs a loss of one element, got shape \(2, 3\)"),
    (lambda: mg.value_and_grad(_f)(X), ValueError, "grad needs a loss of one element"),
    (lambda: mg.jacobian(lambda x: 3.0, X), TypeError, r"jacobian differentiates a Tensor, but its f\(x\) is float"),  # type: ignore[arg-type, return-value]
    (lambda: mg.jacobian(_f, "x"), TypeError, "jacobian takes the derivative with respect to a Tensor.* got str"),
    (lambda: mg.value_and_grad(_f)([1.0, 2.0]), TypeError, "got a list with float at place 0"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_mistakes_get_a_sentence(number: int) -> None:
    call, kind, sentence = REFUSED[number]
    with pytest.raises(kind, match=sentence):
        call()
