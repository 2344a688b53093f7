"""The engine: the properties of `grad` and of Tensors, apart from the derivatives of single operations."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import minigan as mg
from minigan import Parameter, Tensor, autodiff, grad, no_grad, ops, vjp


def _leaf(*values: float) -> Tensor:
    return Tensor(np.array(values))


def _values(tensors: list[Tensor]) -> list[list[float]]:
    return [t.numpy().tolist() for t in tensors]


# Derivatives.


def test_derivatives_of_every_order() -> None:
    x = _leaf(3.0)
    y = ops.sum(x**4)
    found = []
    for _ in range(5):
        (y,) = grad(y, [x], create_graph=True)
        found.append(y.item())
    assert found == [4 * 27.0, 12 * 9.0, 24 * 3.0, 24.0, 0.0]


def test_third_derivative_of_a_mixed_expression() -> None:
    x = _leaf(0.7)
    y = ops.sum(ops.exp(x * 2.0) * ops.tanh(x))
    for _ in range(3):
        (y,) = grad(y, [x], create_graph=True)
    t = np.tanh(0.7)
    first, second = 1 - t**2, -2 * t * (1 - t**2)
    third = (6 * t**2 - 2) * (1 - t**2)
    expected = np.exp(1.4) * (8 * t + 3 * 4 * first + 3 * 2 * second + third)
    assert y.item() == pytest.approx(expected, rel=1e-13)


def test_the_gradient_is_linear_in_the_loss() -> None:
    x = Tensor(np.linspace(0.1, 1.0, 5))
    f, g = ops.sum(ops.exp(x)), ops.sum(x**3)
    (of_both,) = grad(2.0 * f - 3.0 * g, [x])
    np.testing.assert_allclose(of_both.numpy(), 2 * np.exp(x.numpy()) - 9 * x.numpy() ** 2, rtol=1e-14)


def test_vjp_is_linear_in_the_cotangent(make_rng) -> None:
    rng = make_rng()
    x, u, v = (Tensor(rng.standard_normal((3, 4))) for _ in range(3))
    y = ops.tanh(x) * x
    (separate_u,), (separate_v,) = vjp(y, [x], u), vjp(y, [x], v)
    (joint,) = vjp(y, [x], u * 2.0 + v)
    np.testing.assert_allclose(joint.numpy(), 2 * separate_u.numpy() + separate_v.numpy(), rtol=1e-13)


def test_cotangents_of_a_tensor_used_many_times_add_up() -> None:
    x = _leaf(2.0, -1.0)
    a, b = x * 3.0, x * x
    diamond = a * b + a  # 3 x^3 + 3 x
    assert _values(grad(ops.sum(diamond), [x])) == [[39.0, 12.0]]
    assert _values(grad(ops.sum(x * x * x), [x])) == [[12.0, 3.0]]
    assert _values(grad(ops.sum(ops.concatenate([x, x, x])), [x])) == [[3.0, 3.0]]


def test_exponentially_many_paths_take_linear_time() -> None:
    x = _leaf(1.0)
    y = x
    for _ in range(200):  # 2**200 paths
        y = y * 0.5 + y * 0.5
    assert _values(grad(ops.sum(y), [x])) == [[1.0]]


def test_an_intermediate_tensor_beside_its_ancestor() -> None:
    x = _leaf(2.0)
    h = x * x
    loss = ops.sum(h * h + x)
    assert _values(grad(loss, [x, h, loss])) == [[4 * 8.0 + 1], [8.0], 1.0]
    assert _values(grad(loss, [h, x])) == [[8.0], [33.0]]
    assert _values(grad(loss, [x, x])) == [[33.0], [33.0]]


def test_unconnected_tensors_get_zeros() -> None:
    x, other = _leaf(2.0), Tensor(np.ones((2, 3), np.float32))
    zero = grad(ops.sum(x), [other, x])[0]
    assert zero.shape == (2, 3)
    assert zero.dtype == np.float32
    assert not zero.numpy().any()
    assert _values(grad(ops.sum(ops.sign(x)), [x])) == [[0.0]]
    later = x * 2.0
    assert _values(grad(ops.sum(x), [later])) == [[0.0]]


def test_zeros_are_also_differentiable() -> None:
    x = _leaf(2.0)
    (flat,) = grad(ops.sum(ops.sign(x)), [x], create_graph=True)
    assert _values(grad(ops.sum(flat), [x])) == [[0.0]]


def test_grad_changes_no_tensor(kernels: str) -> None:
    w = Parameter(np.full((3, 2), 0.5))
    x = Tensor(np.ones((4, 3)))
    y = ops.tanh(x @ w)
    loss = ops.sum(y * y)
    before = [(t.numpy(), t.parents, t.rule, t.creation_index, t.version) for t in (w, x, y, loss)]
    first, again = grad(loss, [w]), grad(loss, [w])
    for t, (data, parents, rule, number, version) in zip((w, x, y, loss), before, strict=True):
        np.testing.assert_array_equal(t.numpy(), data)
        assert (t.parents, t.rule, t.creation_index, t.version) == (parents, rule, number, version)
    np.testing.assert_array_equal(first[0].numpy(), again[0].numpy())
    assert not hasattr(w, "grad")


def test_only_paths_to_the_targets_are_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    visited = []
    pull_back = autodiff.Rule.pull_back

    def spy(rule, g, y, needs_grad):
        visited.append((rule.name, tuple(needs_grad)))
        return pull_back(rule, g, y, needs_grad)

    a, b = _leaf(1.0, 2.0), _leaf(3.0, 4.0)
    loss = ops.sum(ops.exp(a) * ops.tanh(b))
    monkeypatch.setattr(autodiff.Rule, "pull_back", spy)
    grad(loss, [b])
    assert visited == [("sum", (True,)), ("multiply", (False, True)), ("tanh", (True,))]


@pytest.mark.parametrize("slope", [1.0, 0.2, 0.0, -0.5])
def test_the_fused_and_the_composite_derivative_of_batch_norm_agree(kernels: str, slope: float, make_rng) -> None:
    rng = make_rng()
    leaves = [Tensor(rng.standard_normal(s)) for s in ((8, 5), (5,), (5,))]
    g = Tensor(rng.standard_normal((8, 5)))
    y = ops.batch_norm(*leaves, eps=1e-3, slope=slope)
    by_hand = vjp(y, leaves, g)
    composed = vjp(y, leaves, g, create_graph=True)
    formula = vjp(ops.norm._batch_norm_composite(*leaves, eps=1e-3, slope=slope), leaves, g)
    for one, two, three in zip(by_hand, composed, formula, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(one.numpy(), three.numpy(), rtol=1e-12, atol=1e-13)
        assert one.rule is None
        assert two.rule is not None


@pytest.mark.parametrize("slope", [0.2, 0.0, -0.5])
@pytest.mark.parametrize("shape", [(8, 5), (2, 3, 4, 5), (2, 5)])
def test_batch_norm_fused_with_leaky_relu_equals_two_operations(kernels: str, shape, slope: float, make_rng) -> None:
    """Values to the bit, derivatives of first and second order up to rounding."""
    rng = make_rng()
    leaves = [Tensor(rng.standard_normal(s)) for s in (shape, (5,), (5,))]
    g = Tensor(rng.standard_normal(shape))
    fused = ops.batch_norm(*leaves, eps=1e-3, slope=slope)
    separate = ops.leaky_relu(ops.batch_norm(*leaves, eps=1e-3), slope=slope)
    assert (fused.numpy() < 0).any() == (slope > 0)
    np.testing.assert_array_equal(fused.numpy(), separate.numpy())
    for one, two in zip(fused.saved, separate.parents[0].saved, strict=True):
        np.testing.assert_array_equal(Tensor(one).numpy(), Tensor(two).numpy())
    found = []
    for y in (fused, separate):
        first = vjp(y, leaves, g, create_graph=True)
        squares = ops.sum(first[0] * first[0]) + ops.sum(first[1] * first[1]) + ops.sum(first[2] * first[2])
        found.append([*vjp(y, leaves, g), *first, *grad(squares, [*leaves, g])])
    assert found[0][-4].numpy().any()
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-11, atol=1e-11)


def test_gradients_have_a_graph_only_with_create_graph() -> None:
    x = _leaf(2.0)
    loss = ops.sum(x**3)
    assert grad(loss, [x])[0].parents == ()
    assert grad(loss, [x], create_graph=True)[0].parents != ()


# Refusals.


def test_a_loss_of_many_elements_is_refused() -> None:
    x = _leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"loss of one element, got shape \(2,\)"):
        grad(x * 2.0, [x])
    assert _values(grad(ops.reshape(ops.sum(x), (1, 1)), [x])) == [[1.0, 1.0]]


def test_a_cotangent_of_another_shape_is_refused() -> None:
    x = _leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"cotangent has shape \(3,\), but y has shape \(2,\)"):
        vjp(x * 2.0, [x], _leaf(1.0, 1.0, 1.0))


def test_a_parameter_changed_after_the_forward_is_refused() -> None:
    p = Parameter(np.array([1.0, 2.0]))
    loss = ops.sum(p * p)
    p.assign([3.0, 4.0])
    with pytest.raises(RuntimeError, match="multiply used a Parameter or Buffer that has changed since"):
        grad(loss, [p])
    assert _values(grad(ops.sum(p * p), [p])) == [[6.0, 8.0]]


def test_a_parameter_changed_off_the_path_does_not_matter() -> None:
    p, q = Parameter(np.array([1.0])), Parameter(np.array([5.0]))
    loss = ops.sum(p * p) + ops.sum(q * q)
    q.assign([7.0])
    assert _values(grad(loss, [p])) == [[2.0]]


VIEWS = {
    "transpose": lambda p: ops.transpose(p),
    "reshape": lambda p: ops.reshape(p, (2, 1)),
    "index": lambda p: ops.transpose(p[:, :]),
    "broadcast_to": lambda p: ops.transpose(ops.broadcast_to(p, (1, 2))),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_parameter_is_a_copy_or_refused_after_a_change(view: str) -> None:
    p, x = Parameter(np.array([[1.0, 2.0]])), Tensor(np.array([[3.0], [4.0]]))
    loss = ops.sum(x * VIEWS[view](p))
    p.assign([[10.0, 20.0]])
    try:
        (found,) = grad(loss, [x])
    except RuntimeError:
        return
    assert found.numpy().tolist() == [[1.0], [2.0]]  # of the loss as it was computed


def test_mixed_types_are_refused() -> None:
    a, b = Tensor(np.ones(2, np.float32)), Tensor(np.ones(2))
    with pytest.raises(TypeError, match="multiply got float32 and float64"):
        a * b
    with pytest.raises(TypeError, match="matmul got float"):
        ops.matmul(Tensor(np.ones((2, 2))), Tensor(np.ones((2, 2), np.float32)))


def test_operations_on_numbers_alone_are_refused() -> None:
    with pytest.raises(TypeError, match="at least one Tensor"):
        ops.add(1, 2.0)


def test_a_tensor_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="no truth value"):
        bool(_leaf(1.0))


@pytest.mark.parametrize("values", [np.array([1j]), ["a"], [None]])
def test_numbers_that_are_not_real_are_refused(values: object) -> None:
    with pytest.raises(TypeError, match="real numbers"):
        Tensor(values)


# Types and values of Tensors.


@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5)], ids=lambda n: type(n).__name__)
def test_numbers_keep_float32(number: float) -> None:
    x = Tensor(np.array([1.0, 3.0], np.float32))
    results = [x * number, number * x, x + number, number - x, x / number, number / x, ops.maximum(x, number)]
    assert [r.dtype for r in results] == [np.dtype(np.float32)] * len(results)
    np.testing.assert_allclose((number / x).numpy(), np.array([number, number / 3], np.float32), rtol=1e-6)
    assert grad(ops.sum(x * number), [x])[0].dtype == np.float32


def test_python_values_become_float64_and_arrays_are_kept() -> None:
    assert Tensor([[1, 2], [3, 4]]).dtype == np.float64
    assert Tensor(np.arange(3)).dtype == np.float64
    half = np.ones(3, np.float32)
    assert Tensor(half).data is half


def test_arrays_and_tensors_mix_from_either_side() -> None:
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = Tensor(array)
    for y, expected in (
        (array + x, array + array),
        (array - x * 2.0, -array),
        (array * x, array * array),
        (array / x, array / array),
        (array @ x, array @ array),
        (x @ array, array @ array),
    ):
        assert isinstance(y, Tensor)
        np.testing.assert_array_equal(y.numpy(), expected)


def test_full_reductions_are_zero_dimensional() -> None:
    for y in (ops.sum(_leaf(1.0, 2.0)), _leaf(1.0, 2.0)[1], ops.logsumexp(_leaf(0.0))):
        assert type(y.data) is np.ndarray
        assert y.shape == ()


def test_a_tensor_can_be_looped_over() -> None:
    assert [row.numpy().tolist() for row in Tensor([[1.0, 2.0], [3.0, 4.0]])] == [[1.0, 2.0], [3.0, 4.0]]


def test_numpy_gives_a_copy() -> None:
    x = _leaf(1.0)
    x.numpy()[0] = 5.0
    assert x.item() == 1.0


def test_assign_takes_the_same_shape_only() -> None:
    p = Parameter(np.zeros((2, 3), np.float32))
    p.assign(np.arange(6.0).reshape(2, 3))
    assert p.version == 1
    assert p.dtype == np.float32
    assert p.numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match=r"shape \(3,\) to a parameter of shape \(2, 3\)"):
        p.assign(np.zeros(3))
    assert p.version == 1


# Recording.


def test_no_grad_records_nothing() -> None:
    x = _leaf(1.0)
    with no_grad():
        y = ops.exp(x) * 2.0
        assert y.parents == ()
        assert y.rule is None
    assert _values(grad(ops.sum(y), [x])) == [[0.0]]
    assert (x * 2.0).parents


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(ValueError, match="stop"), no_grad():
        raise ValueError("stop")
    assert (_leaf(1.0) * 2.0).parents


# Errors say where they happened.


def test_errors_name_the_operation_and_the_shapes() -> None:
    with pytest.raises(ValueError, match="broadcast") as raised:
        Tensor(np.ones((2, 3))) + Tensor(np.ones((4,)))
    assert raised.value.__notes__ == ["operation add with inputs of shapes (2, 3), (4,)"]


def test_errors_in_a_derivative_name_the_operation() -> None:
    @autodiff.primitive(lambda g, y, x: ops.sum(g))
    def wrong(B, x):
        return x * 2.0

    x = _leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"derivative has shape \(\) for an input of shape \(2,\)") as raised:
        grad(ops.sum(wrong(x)), [x])
    assert raised.value.__notes__ == ["... in the derivative: operation wrong with inputs of shapes (2,)"]


# Memory.


@pytest.mark.slow
def test_a_deep_chain_neither_recurses_in_grad_nor_in_deletion() -> None:
    x = _leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y + 0.0
    assert _values(grad(ops.sum(y), [x])) == [[1.0]]
    end = weakref.ref(y)
    del y
    assert end() is None


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_collector")
def test_graphs_are_freed_without_the_collector(kernels: str) -> None:
    x = Parameter(np.ones((4, 3)))
    hidden = ops.batch_norm(ops.tanh(x), ops.sum(x, axis=0), x[0], eps=1e-3, slope=0.2)
    loss = ops.sum(hidden * hidden)
    (first,) = grad(loss, [x], create_graph=True)
    (second,) = grad(ops.sum(first * first), [x])
    watched = [weakref.ref(t) for t in (hidden, loss, first, second)]
    del hidden, loss, first, second
    assert [w() for w in watched] == [None] * 4
    x_alive = weakref.ref(x)
    del x
    assert x_alive() is None


@pytest.mark.usefixtures("_without_collector")
def test_grad_of_a_failed_operation_leaves_no_garbage() -> None:
    x = _leaf(1.0, 2.0)
    with contextlib.suppress(ValueError):
        x + _leaf(1.0, 2.0, 3.0)
    alive = weakref.ref(x)
    del x
    assert alive() is None


def test_a_loss_of_constants_has_zero_gradients() -> None:
    assert mg.grad(_leaf(1.0), []) == []


def test_a_graph_that_is_not_kept_gives_the_same_gradients_and_is_freed(kernels: str) -> None:
    x, w = Tensor(np.linspace(-1, 2, 12).reshape(4, 3)), Tensor(np.ones((3, 2)))

    def loss_and_hidden() -> tuple[Tensor, weakref.ref]:
        hidden = ops.tanh(x @ w)
        return ops.sum(hidden * hidden), weakref.ref(hidden)

    kept, hidden = loss_and_hidden()
    expected = grad(kept, [x, w])
    assert hidden() is not None
    loss, hidden = loss_and_hidden()
    found = grad(loss, [x, w], keep_graph=False)
    assert hidden() is None
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    with pytest.raises(RuntimeError, match="freed this graph"):
        grad(loss, [x])
    with pytest.raises(RuntimeError, match="freed this graph"):
        grad(loss * 2.0, [w])


def test_results_off_the_paths_keep_their_graph_when_it_is_freed() -> None:
    x, w = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    fake = x * x
    grad(ops.sum(fake * w), [w], keep_graph=False)  # like the discriminator's step: x is not asked for
    np.testing.assert_array_equal(grad(ops.sum(fake), [x])[0].numpy(), [2.0, 4.0])
