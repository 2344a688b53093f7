"""Edge cases of operations: infinite numbers, NaN, empty arrays, arrays without axes, sums of very many numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigan import Tensor, grad, ops, vjp
from minigan.gan import losses
from minigan_kernels import sums

INF, NAN = math.inf, math.nan


# Infinite numbers.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_leaky_relu_of_infinite_numbers(kernels: str, slope: float, dtype: str) -> None:
    x = Tensor(np.array([-INF, INF, -1.0, 2.0, NAN] * 9, dtype))
    below = -INF if slope else 0.0
    y = ops.leaky_relu(x, slope=slope)
    np.testing.assert_array_equal(y.numpy(), [below, INF, -slope, 2.0, NAN] * 9)
    (g,) = vjp(y, [x], Tensor(np.full(x.shape, 3.0, dtype)))
    np.testing.assert_array_equal(g.numpy()[:4], [3 * slope, 3.0, 3 * slope, 3.0])


def test_relu_sends_0_back_where_it_is_0_even_for_an_infinite_cotangent(kernels: str) -> None:
    x, v = Tensor([-1.0, 0.0, 1.0, -INF]), Tensor([INF, -INF, INF, NAN])
    np.testing.assert_array_equal(ops.slope_gate(x, v, slope=0.0).numpy(), [0.0, 0.0, INF, 0.0])
    np.testing.assert_array_equal(ops.slope_gate(x, v, slope=0.5).numpy(), [INF, -INF, INF, NAN])


def _layers() -> dict[str, tuple[Callable[[Tensor, Tensor, float], Tensor], tuple[int, ...], tuple[int, ...]]]:
    """Operations with a fused LeakyReLU, as functions of x, bias and slope; the other weights are zero."""

    def dense(x: Tensor, b: Tensor, slope: float) -> Tensor:
        return ops.dense(x, np.zeros((x.shape[1], b.size)), b, slope=slope)

    def conv(x: Tensor, b: Tensor, slope: float) -> Tensor:
        return ops.conv2d(x, np.zeros((4, 4, x.shape[3], b.size)), b, stride=2, padding=1, slope=slope)

    def transposed(x: Tensor, b: Tensor, slope: float) -> Tensor:
        return ops.conv_transpose2d(x, np.zeros((4, 4, b.size, x.shape[3])), b, stride=2, padding=1, slope=slope)

    def norm(x: Tensor, b: Tensor, slope: float) -> Tensor:
        return ops.batch_norm(x, np.ones(b.size), b, eps=1e-3, slope=slope)

    return {
        "dense": (dense, (9, 20), (70,)),
        "dense of few inputs": (dense, (9, 2), (70,)),
        "dense to few outputs": (dense, (9, 20), (3,)),
        "conv": (conv, (2, 6, 6, 3), (9,)),
        "conv of many channels": (conv, (16, 8, 8, 32), (32,)),
        "conv of one pixel": (conv, (3, 2, 2, 5), (9,)),
        "conv of no channels": (conv, (2, 6, 6, 0), (9,)),
        "transposed": (transposed, (2, 6, 6, 3), (9,)),
        "transposed of many channels": (transposed, (16, 8, 8, 32), (32,)),
        "transposed to few channels": (transposed, (2, 6, 6, 16), (3,)),
        "batch norm": (norm, (9, 20), (20,)),
    }


@pytest.mark.parametrize("name", _layers())
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_fused_relu_of_minus_infinity_is_0(name: str, slope: float, kernels: str) -> None:
    layer, shape, (outputs,) = _layers()[name]
    x = Tensor(np.random.default_rng(0).standard_normal(shape))
    bias = np.where(np.arange(outputs) % 3, -INF, INF)
    b = Tensor(bias)
    y = layer(x, b, slope)
    expected = np.where(bias > 0, INF, -INF if slope else 0.0)
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(expected, y.shape))
    gradients = vjp(y, [x, b], Tensor(np.ones(y.shape)))
    rows = math.prod(y.shape[:-1])
    np.testing.assert_array_equal(gradients[1].numpy(), np.where(bias > 0, rows, rows * slope))
    assert not np.isnan(gradients[0].numpy()).any()


def test_the_hinge_loss_of_infinite_logits() -> None:
    real, fake = Tensor([[INF], [2.0]]), Tensor([[-INF], [-3.0]])
    loss = losses.get("hinge").discriminator(real, fake)
    assert loss.item() == 0.0
    for g in grad(loss, [real, fake]):
        assert not g.numpy().any()


LOGSUMEXP = [  # and the softmax: the limit as the largest elements grow, or fall, together
    ([-INF, -INF], -INF, [0.5, 0.5]),
    ([-INF, 3.0], 3.0, [0.0, 1.0]),
    ([INF, 0.0], INF, [1.0, 0.0]),
    ([INF, -INF, INF, 1000.0], INF, [0.5, 0.0, 0.5, 0.0]),
    ([NAN, 0.0], NAN, [NAN, NAN]),
    ([-INF], -INF, [1.0]),
]


@pytest.mark.parametrize(("values", "expected", "shares"), LOGSUMEXP)
@pytest.mark.filterwarnings("error")
def test_logsumexp_and_softmax_of_infinite_numbers(values: list[float], expected: float, shares: list[float]) -> None:
    x = Tensor(values)
    y = ops.logsumexp(x)
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(grad(y, [x])[0].numpy(), shares)
    np.testing.assert_array_equal(ops.softmax(x).numpy(), shares)
    beside = Tensor([[0.0] * len(values), values])
    np.testing.assert_allclose(ops.logsumexp(beside).numpy(), [math.log(len(values)), expected], rtol=1e-15)


@pytest.mark.parametrize("operation", [ops.maximum, ops.minimum])
def test_nan_propagates_through_maximum_and_minimum_into_both_gradients(operation: Callable[..., Tensor]) -> None:
    a, b = Tensor([NAN, 1.0, NAN, 1.0]), Tensor([1.0, NAN, NAN, 2.0])
    y = operation(a, b)
    np.testing.assert_array_equal(np.isnan(y.numpy()), [True, True, True, False])
    for g in vjp(y, [a, b], Tensor(np.ones(4))):
        np.testing.assert_array_equal(np.isnan(g.numpy()), [True, True, True, False])
    assert math.isnan(grad(ops.sum(operation(a, 0.5)), [a])[0].numpy()[0])
    small = Tensor(np.array([NAN, 1.0], np.float32))
    assert grad(ops.sum(operation(small, 0.0)), [small])[0].dtype == np.float32


# Empty arrays, and arrays without axes.


EMPTY: list[tuple[Callable[[], Any], str]] = [
    (lambda: ops.mean(np.zeros((0, 3))), r"mean needs at least one number along axis None, got shape \(0, 3\)"),
    (lambda: ops.mean(np.zeros((0, 3)), axis=0), r"mean needs at least one number along axis 0, got shape \(0, 3\)"),
    (lambda: ops.mean_softplus(np.zeros((0, 1))), r"mean_softplus needs at least one number, got shape \(0, 1\)"),
    (lambda: ops.logsumexp(np.zeros((3, 0))), r"logsumexp needs at least one number along axis -1, got shape \(3, 0\)"),
    (lambda: ops.softmax(np.zeros((0, 3)), axis=0), r"softmax needs at least one number along axis 0, got shape"),
    (lambda: ops.logsumexp(np.zeros(())), "axis -1 is out of range for 0 axes"),
    (lambda: ops.softmax(np.zeros(())), "axis -1 is out of range for 0 axes"),
    (lambda: ops.batch_norm(np.zeros((0, 3)), np.ones(3), np.ones(3), eps=1e-3), r"of shape \(0, 3\) has 0"),
    (lambda: ops.batch_norm(np.zeros(()), np.ones(()), np.ones(()), eps=1e-3), r"batch_norm needs x \(..., C\)"),
    (lambda: losses.get("hinge").discriminator(Tensor(np.zeros((0, 1))), Tensor(np.zeros((0, 1)))), "mean needs"),
]


@pytest.mark.parametrize(("compute", "sentence"), EMPTY)
def test_operations_without_a_value_for_no_elements_are_refused(compute: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compute()


def test_empty_arrays_where_they_make_sense(kernels: str) -> None:
    nothing = Tensor(np.zeros((0, 3)))
    assert ops.mean(nothing, axis=1).shape == (0,)
    assert ops.logsumexp(nothing).shape == (0,)
    assert ops.softmax(nothing).shape == (0, 3)
    assert ops.relu(nothing).shape == (0, 3)
    assert ops.sum(nothing, axis=0).numpy().tolist() == [0.0, 0.0, 0.0]
    assert grad(ops.sum(nothing), [nothing])[0].shape == (0, 3)
    y = ops.batch_norm(np.zeros((4, 0)), np.zeros(0), np.zeros(0), eps=1e-3)
    assert y.shape == (4, 0)


def test_an_empty_list_selects_nothing() -> None:
    x = Tensor(np.ones((3, 2)))
    for key, shape in (([], (0, 2)), ((slice(None), []), (3, 0)), ([[]], (1, 0, 2)), (np.zeros(0, int), (0, 2))):
        y = x[key]
        assert y.shape == shape == x.numpy()[key].shape
        assert not grad(ops.sum(y), [x])[0].numpy().any()
    with pytest.raises(IndexError, match="integer"):
        x[np.zeros(0)]


def test_arrays_without_axes(kernels: str) -> None:
    x = Tensor(0.3)
    logistic = 1 / (1 + math.exp(-0.3))
    cases: list[tuple[Callable[[Tensor], Tensor], float, float]] = [
        (ops.mean_softplus, math.log1p(math.exp(0.3)), logistic),
        (ops.mean, 0.3, 1.0),
        (ops.relu, 0.3, 1.0),
        (ops.softplus, math.log1p(math.exp(0.3)), logistic),
        (lambda t: ops.leaky_relu(-t, 0.2), -0.06, -0.2),
        (lambda t: ops.maximum(t, 0.5), 0.5, 0.0),
    ]
    for function, value, slope in cases:
        y = function(x)
        assert y.shape == ()
        assert y.item() == pytest.approx(value, rel=1e-14)
        for create_graph in (False, True):
            (g,) = grad(y, [x], create_graph=create_graph)
            assert g.shape == ()
            assert g.item() == pytest.approx(slope, rel=1e-14)


# Sums of very many numbers in float32.


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((300_000, 3), 0), ((3, 300_000), 1), ((60, 70, 80, 3), (0, 1, 2)), ((700, 500, 2), 1), ((30_000, 3, 7), (0, 2))],
)
@pytest.mark.parametrize("value", [0.1, 0.7])
def test_a_sum_of_many_equal_numbers_is_accurate(shape: Any, axis: Any, value: float) -> None:
    x = np.full(shape, value, np.float32)
    count = math.prod(shape[i] for i in np.atleast_1d(axis))
    expected = float(np.float32(value)) * count
    for laid in (x, np.asfortranarray(x)):
        np.testing.assert_allclose(ops.sum(laid, axis=axis).numpy(), expected, rtol=1e-6)
        np.testing.assert_allclose(ops.mean(laid, axis=axis, keepdims=True).numpy(), np.float32(value), rtol=1e-6)


def test_blocked_sums_add_every_element_once() -> None:
    """With integers, whose sums are exact in any order."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        shape = tuple(rng.choice([0, 1, 2, 3, 17, 40, 300], rng.integers(1, 5)))
        if math.prod(shape) > 1e6:
            continue
        x = rng.integers(-9, 10, shape).astype(np.float32)
        x = x.transpose(rng.permutation(x.ndim))[:: rng.choice([1, -2])]
        axis = tuple(rng.permutation(x.ndim)[: rng.integers(0, x.ndim + 1)] - rng.choice([0, x.ndim]))
        for chosen in (axis, None, axis[0] if axis else None):
            for keepdims in (False, True):
                found, expected = sums.total(x, chosen, keepdims), x.sum(axis=chosen, keepdims=keepdims)
                np.testing.assert_array_equal(found, expected)
                assert np.shape(found) == np.shape(expected)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 3, 40])
def test_sums_over_rows_in_the_kernels_are_accurate(table: dict, columns: int) -> None:
    rows, value = 200_000, 0.7
    v = np.full((rows, columns), value, np.float32)
    expected = float(np.float32(value)) * rows
    _, found = table["bias_act_grad"](v, v, 0.2)
    np.testing.assert_allclose(found, expected, rtol=4e-7)
    one = np.ones(columns, np.float32)
    x = np.where(np.arange(rows) % 2, 1.0, -1.0).astype(np.float32)[:, None].repeat(columns, axis=1)
    y, mean, variance = table["batch_norm"](x, one, 3 * one, 0.0, 1.0)
    np.testing.assert_allclose(mean, 0.0, atol=1e-6)
    np.testing.assert_allclose(variance, 1.0, rtol=1e-6)
    np.testing.assert_allclose(y, x + 3, rtol=1e-6)
    _, dgamma, dbeta = table["batch_norm_grad"](v, x, one, 3 * one, mean, variance, 0.0, 1.0)
    np.testing.assert_allclose(dbeta, expected, rtol=4e-6)  # in blocks of up to 512 rows, added one after another
    _, dgamma, _ = table["batch_norm_grad"](x, x, one, 3 * one, mean, variance, 0.0, 1.0)
    np.testing.assert_allclose(dgamma, rows, rtol=1e-6)


def test_fused_and_composite_batch_norm_agree_far_from_zero(kernels: str) -> None:
    """For numbers about 1e4 with differences of about 1: both are compared with float64."""
    rng = np.random.default_rng(4)
    wide = rng.standard_normal((100_000, 3)) + 1e4
    x, one = Tensor(wide.astype(np.float32)), Tensor(np.ones(3, np.float32))
    exact = x.numpy().astype(np.float64)
    expected = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + 1e-3)
    for y in (
        ops.batch_norm(x, one, one * 0.0, eps=1e-3),
        ops.norm._batch_norm_composite(x, one, 0.0, eps=1e-3, slope=1),
    ):
        np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=2e-3)  # a unit in the last place of 1e4 is 1e-3


@pytest.mark.parametrize("axis", [4, -3, (0, 0), (0, 2)])
@pytest.mark.parametrize("rows", [3, 3000])
def test_an_axis_that_is_none_or_named_twice_is_refused(rows: int, axis: Any) -> None:
    x = Tensor(np.ones((rows, 2)))
    for operation in (ops.sum, ops.mean):
        with pytest.raises((ValueError, IndexError)):
            operation(x, axis)
