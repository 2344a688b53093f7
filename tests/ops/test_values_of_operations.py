"""Operations on selected elements, labels and batches: NumPy's values, edges, refusals, and steps that are replayed."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.environment import needs_compiler
from support.replayed_gans import STEPS, bits, dense_network, make_gan

import minigan as mg
from minigan import GAN, Tensor, grad, nn, ops, vjp
from minigan.core import backend

INF, NAN = math.inf, math.nan
_rng = np.random.default_rng(7)


# Products.

PRODUCTS = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((2, 3), (5, 3, 4)), ((0, 2, 3), (0, 3, 4)),
    ((2, 0), (0, 3)), ((4, 2, 0), (4, 0, 3)), ((1, 2, 3), (3, 4)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_matmul_is_numpys(a: tuple[int, ...], b: tuple[int, ...], dtype: str, kernels: str) -> None:
    x, y = _rng.standard_normal(a).astype(dtype), _rng.standard_normal(b).astype(dtype)
    expected = x @ y
    found = ops.matmul(Tensor(x), Tensor(y))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize(("left", "right"), [(True, False), (False, True), (True, True)])
def test_flags_transpose_each_matrix_of_a_batch(left: bool, right: bool, kernels: str) -> None:
    a, b = _rng.standard_normal((5, 2, 3)), _rng.standard_normal((3, 4))
    for x, y in ((a, np.broadcast_to(b, (5, 3, 4)).copy()), (a, b), (a[0], np.broadcast_to(b, (5, 3, 4)).copy())):
        given = Tensor(x.swapaxes(-1, -2) if left else x), Tensor(y.swapaxes(-1, -2) if right else y)
        found = ops.matmul(*given, transpose_a=left, transpose_b=right)
        np.testing.assert_allclose(found.numpy(), x @ y, rtol=1e-12, atol=1e-13)


def test_a_batch_times_a_matrix_is_one_product_of_matrices() -> None:
    x, w = Tensor(_rng.standard_normal((5, 2, 3))), Tensor(_rng.standard_normal((3, 4)))
    y: Any = x @ w
    assert [y.rule.name, y.parents[0].rule.name, y.parents[0].shape] == ["reshape", "matmul", (10, 4)]
    for a, b in (((5, 2, 3), (5, 3, 4)), ((2, 3), (3, 4))):
        product: Any = Tensor(np.ones(a)) @ Tensor(np.ones(b))
        assert product.rule.name == "matmul"
        assert all(parent.rule is None for parent in product.parents), "something was done for nothing"


# Powers, selections.


def test_powers() -> None:
    x = np.array([0.5, 1.0, 3.0])
    for found, expected in (
        (2.0 ** Tensor(x), 2.0**x), (Tensor(x) ** Tensor(x), x**x), (Tensor(x) ** x, x**x), (x ** Tensor(x), x**x),
        (Tensor(x) ** np.float32(2), x**2), (ops.power(np.float64(2), Tensor(x)), 2.0**x),
        (Tensor(x) ** [1, 2, 3], x ** np.array([1, 2, 3])),
    ):  # fmt: skip
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15)
    assert (2.0 ** Tensor(3.0)).item() == 8.0
    assert (Tensor(0.0) ** Tensor(2.0)).item() == 0.0
    base, exponent = Tensor(0.0), Tensor(2.0)
    assert grad(base**exponent, [base])[0].item() == 0.0
    small = 2.0 ** Tensor(np.float32(3.0))
    assert (small.dtype, small.item()) == (np.float32, 8.0)


def test_where_keeps_the_other_branch_out_even_if_it_is_infinite(kernels: str) -> None:
    x = Tensor([-1.0, 0.0, 4.0])
    (of_x,) = grad(ops.sum(ops.where(x.numpy() > 0, x**2, -x)), [x])
    assert of_x.numpy().tolist() == [-1.0, -1.0, 8.0]
    a, b = Tensor([INF, 1.0]), Tensor([2.0, NAN])
    chosen = ops.where([False, True], a, b)
    assert chosen.numpy().tolist() == [2.0, 1.0]
    assert [g.numpy().tolist() for g in vjp(chosen, [a, b], Tensor([3.0, 5.0]))] == [[0.0, 5.0], [3.0, 0.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_keeps_the_dtype_of_what_it_selects_from(dtype: str) -> None:
    x = Tensor(np.ones(3, dtype))
    for y in (ops.where([True, False, True], x, 0.0), ops.where(np.ones(3, bool), 1, x), ops.where(x, 1.0, 2.0)):
        assert y.dtype == dtype
    assert ops.where([True, False], 1.0, 2.0).numpy().tolist() == [1.0, 2.0]
    assert ops.where(Tensor([-2.0, 0.0, 0.5]), 1.0, 2.0).numpy().tolist() == [1.0, 2.0, 1.0]  # as NumPy's truth


def test_clip_and_its_slopes() -> None:
    x = Tensor([-2.0, -1.0, 0.0, 1.0, 2.0, NAN])
    y = ops.clip(x, -1.0, 1.0)
    np.testing.assert_array_equal(y.numpy(), [-1.0, -1.0, 0.0, 1.0, 1.0, NAN])
    np.testing.assert_array_equal(grad(ops.sum(y), [x])[0].numpy(), [0.0, 0.5, 1.0, 0.5, 0.0, NAN])
    assert ops.clip(x) is x
    assert ops.clip(np.ones(2), high=0.5).numpy().tolist() == [0.5, 0.5]


def test_stack_refuses_what_does_not_fit() -> None:
    x = Tensor(np.ones((2, 3)))
    np.testing.assert_array_equal(
        ops.stack([x, 2.0 * x], axis=-1).numpy(), np.stack([np.ones((2, 3))] * 2, -1) * [1, 2]
    )
    for parts in ([], [x, x[0]]):
        with pytest.raises(ValueError, match="stack needs one or more Tensors of one shape, got the shapes"):
            ops.stack(parts)
    with pytest.raises(ValueError, match="axis 3 is out of range for 3 axes"):
        ops.stack([x, x], axis=3)


# Reductions.


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-1, 0, 1), ()])
def test_reductions_are_numpys(axis: Any, keepdims: bool, kernels: str) -> None:
    x = _rng.standard_normal((3, 4, 5))
    expected = {
        "max": x.max(axis=axis, keepdims=keepdims), "min": x.min(axis=axis, keepdims=keepdims),
        "var": x.var(axis=axis, keepdims=keepdims),
        "logsumexp": np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)),
    }  # fmt: skip
    for name, values in expected.items():
        found = getattr(ops, name)(Tensor(x), axis, keepdims=keepdims)
        assert found.shape == values.shape
        np.testing.assert_allclose(found.numpy(), values, rtol=1e-12, atol=1e-15)


def test_equal_maxima_over_several_axes_share_the_cotangent() -> None:
    x = Tensor([[1.0, 3.0], [3.0, 3.0]])
    np.testing.assert_allclose(grad(ops.max(x), [x])[0].numpy(), np.array([[0, 1], [1, 1]]) / 3, rtol=1e-15)
    np.testing.assert_allclose(grad(ops.min(-x), [x])[0].numpy(), -np.array([[0, 1], [1, 1]]) / 3, rtol=1e-15)
    np.testing.assert_array_equal(ops.max(Tensor([[NAN, 1.0], [2.0, INF]]), axis=1).numpy(), [NAN, INF])


def test_logsumexp_over_several_axes_does_not_overflow() -> None:
    x = Tensor([[1000.0, 1000.0], [1000.0, 1000.0]])
    assert ops.logsumexp(x, None).item() == pytest.approx(1000 + math.log(4), rel=1e-15)
    np.testing.assert_allclose(grad(ops.logsumexp(x, (0, 1)), [x])[0].numpy(), 0.25, rtol=1e-15)
    assert ops.logsumexp(Tensor(2.0), None).item() == 2.0


@pytest.mark.parametrize("name", ["max", "min", "var", "mean", "logsumexp", "softmax", "share_of_largest"])
def test_reductions_refuse_no_elements_and_wrong_axes(name: str) -> None:
    reduce = getattr(ops, name)
    with pytest.raises(ValueError, match=r"needs at least one number along axis 0, got shape \(0, 3\)"):
        reduce(np.zeros((0, 3)), 0)
    with pytest.raises(ValueError, match="axis 2 is out of range for 2 axes"):
        reduce(np.ones((2, 3)), 2)
    with pytest.raises(ValueError, match=r"got axis \(0, -2\), which names an axis twice"):
        reduce(np.ones((2, 3)), (0, -2))


# Labels.


def test_one_hot_vectors() -> None:
    labels = np.array([[2, 0], [1, 1]])
    for given in (labels, labels.tolist(), labels.astype(np.uint8), Tensor(labels)):
        np.testing.assert_array_equal(ops.one_hot(given, 3).numpy(), np.eye(3)[labels])
    assert ops.one_hot(labels, 3, dtype="float32").dtype == np.float32
    assert ops.one_hot(Tensor(np.float32([1.0])), 3).dtype == np.float32
    assert ops.one_hot(np.zeros(0), 3).shape == (0, 3)


@pytest.mark.parametrize("label", [-1, 3, 0.5, NAN, INF])
def test_a_label_that_is_no_class_is_refused(label: float) -> None:
    with pytest.raises(ValueError, match=rf"one_hot got the label {label:g}; labels are whole numbers from 0 to 2"):
        ops.one_hot([0, label, 1], 3)


def test_on_a_device_it_is_nan_and_nothing_waits(standin: ModuleType) -> None:
    mg.use("cupy", "reference")
    labels, logits = Tensor([0.0, 3.0, NAN, 1.5, 2.0]), Tensor(np.zeros((5, 3)))
    with standin._standin.count_synchronisations() as waits:
        vectors, loss = ops.one_hot(labels, 3), ops.cross_entropy(logits, labels)
    assert waits.count == 0
    np.testing.assert_array_equal(vectors.numpy(), [[1, 0, 0], [NAN] * 3, [NAN] * 3, [NAN] * 3, [0, 0, 1]])
    assert math.isnan(loss.item())


def test_cross_entropy_and_its_gradient() -> None:
    logits, labels = _rng.standard_normal((6, 4)), _rng.integers(0, 4, 6)
    x = Tensor(logits)
    loss = ops.cross_entropy(x, labels)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert loss.item() == pytest.approx(-np.log(p[np.arange(6), labels]).mean(), rel=1e-14)
    np.testing.assert_allclose(grad(loss, [x])[0].numpy(), (p - np.eye(4)[labels]) / 6, rtol=1e-12, atol=1e-16)
    assert ops.cross_entropy(Tensor(np.zeros((2, 3, 5), np.float32)), np.ones((2, 3))).item() == pytest.approx(
        math.log(5)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_cross_entropy_keeps_its_digits(dtype: type) -> None:
    loss = ops.cross_entropy(Tensor(np.array([[60.0, 0.0, 0.0]], dtype)), [0])
    assert loss.item() == pytest.approx(2 * math.exp(-60), rel=1e-5 if dtype is np.float32 else 1e-14, abs=0)
    assert ops.cross_entropy(Tensor(np.array([[0.0, 1e30]], dtype)), [0]).item() == dtype(1e30)


def test_logits_and_labels_must_fit() -> None:
    for logits, labels in (
        (np.ones((4, 3)), [0, 1]),
        (np.ones(3), [0]),
        (np.ones(()), 0),
        (np.ones((4, 3)), np.ones((4, 1))),
    ):
        with pytest.raises(
            ValueError, match=r"cross_entropy needs logits \(..., classes\) and a class number for each"
        ):
            ops.cross_entropy(Tensor(logits), labels)


# A step that uses them is replayed.


class _Mixed(nn.Module):
    """A discriminator that uses every operation of this page on its way."""

    def __init__(self) -> None:
        self.inside, self.last = dense_network(6), dense_network(1, inputs=8)

    def forward(self, x: Tensor) -> Tensor:
        features = self.inside(x)
        tokens = ops.reshape(features, (-1, 3, 2))
        attention = ops.softmax(tokens @ ops.transpose(tokens, (0, 2, 1)))
        mixed = ops.reshape(attention @ tokens, features.shape)
        label = ops.where(ops.sign(x[:, 0]) - 1.0, 0.0, 1.0)
        spread = ops.clip(ops.sqrt(ops.var(features, 0) + 1e-3), 0.1, 2.0) ** ops.sigmoid(ops.max(features, 0))
        known = ops.sum(ops.one_hot(label, 2) * ops.stack([ops.min(x, 1), ops.logsumexp(x, (1,))], axis=1), 1, True)
        entropy = ops.cross_entropy(mixed, label)
        return self.last(ops.concatenate([mixed * spread, known, known * entropy], axis=1))


def _mixed_gan(dtype: str) -> GAN:
    return make_gan(dtype, networks=(dense_network(2), _Mixed()), penalty=mg.penalties.r1)


def _train(gan: GAN, replay: bool) -> list[Any]:
    def batch(step: int) -> np.ndarray:
        dtype = gan.discriminator_optimizer.parameters[0].dtype
        return np.random.default_rng(step).standard_normal((12, 2)).astype(dtype)

    mg.use(backend.current(), backend.current().kernels, replay=replay)
    return [
        {name: value.numpy().tobytes() for name, value in gan.train_step(batch(step)).items()} for step in range(STEPS)
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_with_these_operations_is_replayed_with_the_bits_of_a_plain_one(dtype: str, kernels: str) -> None:
    plain, replayed = _mixed_gan(dtype), _mixed_gan(dtype)
    assert _train(plain, replay=False) == _train(replayed, replay=True)
    assert bits(plain) == bits(replayed)
    if (backend.current().name, kernels) == ("cupy", "reference"):
        assert "cuBLAS" in (replayed.replay.fallback_reason or "")
        return
    assert replayed.replay.fallback_reason is None
    assert replayed.replay.steps > STEPS / 2


@pytest.mark.slow
@needs_compiler
def test_a_step_with_these_operations_becomes_a_graph_of_the_device(cupy: ModuleType) -> None:
    mg.use("cupy", "cuda")
    plain, replayed = _mixed_gan("float32"), _mixed_gan("float32")
    assert _train(plain, replay=False) == _train(replayed, replay=True)
    assert (replayed.replay.fallback_reason, bits(plain) == bits(replayed)) == (None, True)
