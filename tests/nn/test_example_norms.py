"""LayerNorm, InstanceNorm and the minibatch standard deviation, against their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minigan import Tensor, grad, ops, penalties
from minigan.nn import (
    BatchNorm,
    Dense,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    MinibatchStandardDeviation,
    Module,
    Sequential,
)


def _normalised(numbers: np.ndarray, eps: float) -> np.ndarray:
    return (numbers - numbers.mean()) / np.sqrt(numbers.var() + eps)


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 5, 3)])
def test_layer_norm_is_that_of_each_example(shape: tuple[int, ...], make_rng: Callable) -> None:
    x = make_rng().standard_normal(shape) * 3 + 100
    layer = LayerNorm(3, eps=1e-3).astype("float64")
    layer.scale.assign([1.0, 2.0, -3.0])
    layer.shift.assign([0.0, 5.0, 1.0])
    expected = np.stack([_normalised(example, 1e-3) for example in x]) * [1, 2, -3] + [0, 5, 1]
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), layer.train()(x).numpy())


def test_instance_norm_is_that_of_each_channel_of_each_example(make_rng: Callable) -> None:
    x = make_rng().standard_normal((3, 2, 5, 2)) * 3 + 100
    layer = InstanceNorm(2, eps=1e-3).astype("float64")
    layer.scale.assign([2.0, -3.0])
    layer.shift.assign([5.0, 1.0])
    expected = np.empty(x.shape)
    for example in range(3):
        for channel, (scale, shift) in enumerate([(2, 5), (-3, 1)]):
            expected[example, ..., channel] = _normalised(x[example, ..., channel], 1e-3) * scale + shift
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("norm", [LayerNorm, InstanceNorm])
def test_no_example_depends_on_another(norm: Callable[[int], Module], make_rng: Callable) -> None:
    """So the gradient of the sum of the scores is, example by example, the gradient that a penalty means."""
    x = make_rng().standard_normal((4, 3, 3, 2))
    layer = norm(2).astype("float64")
    np.testing.assert_allclose(layer(x).numpy()[1:2], layer(x[1:2]).numpy(), rtol=1e-13)
    assert not layer.mixes_examples
    assert BatchNorm(2).mixes_examples


def test_a_penalty_of_a_critic_with_layer_norm_has_the_right_gradient(make_rng: Callable) -> None:
    """The double backward of WGAN-GP through the norm, against central differences of the penalty in each scale."""
    rng = make_rng()
    critic = Sequential(Dense(3, 5, rng), LayerNorm(5), LeakyReLU(), Dense(5, 1, rng)).astype("float64")
    real, fake, u = (Tensor(rng.standard_normal((4, n))) for n in (3, 3, 1))
    scale = critic.parameters()["1.scale"]
    start = scale.numpy()
    (found,) = grad(penalties.wgan_gp(critic, real, fake, u), [scale])
    for i in range(5):
        values = []
        for step in (1e-5, -1e-5):
            scale.assign(start + step * np.eye(5)[i])
            values.append(penalties.wgan_gp(critic, real, fake, u).item())
        assert found.numpy()[i] == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape", "sentence"),
    [
        (LayerNorm(3), (2, 4), r"LayerNorm\(3\) takes \(batch, ..., 3\), got shape \(2, 4\)"),
        (LayerNorm(1), (2, 1), "needs two numbers or more in an example"),
        (InstanceNorm(3), (2, 3), "needs two pixels or more"),
        (InstanceNorm(3), (2, 1, 1, 3), "needs two pixels or more"),
        (MinibatchStandardDeviation(4), (6, 3), "a batch that is a multiple of 4, got shape"),
        (MinibatchStandardDeviation(4), (0, 3), "a batch that is a multiple of 4, got shape"),
    ],
)
def test_inputs_that_cannot_be_normalised_are_refused(layer: Module, shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        layer(np.ones(shape, np.float32))


@pytest.mark.parametrize("make", [lambda: LayerNorm(0), lambda: InstanceNorm(2, eps=0.0), lambda: LayerNorm(3, eps=-1)])
def test_settings_out_of_range_are_refused(make: Callable) -> None:
    with pytest.raises(ValueError, match=r"Norm's (features|eps) must be"):
        make()


@pytest.mark.parametrize(("count", "group"), [(6, 3), (4, 4), (3, 8), (6, 2)])
def test_minibatch_standard_deviation_is_its_definition(count: int, group: int, make_rng: Callable) -> None:
    x = make_rng().standard_normal((count, 2, 3, 2))
    y = MinibatchStandardDeviation(group)(x).numpy()
    np.testing.assert_array_equal(y[..., :2], x)
    groups = max(count // group, 1)
    for i in range(count):
        members = x[i % groups :: groups]
        expected = np.sqrt(members.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(y[i, ..., 2], expected, rtol=1e-12)


def test_equal_examples_have_no_deviation_and_a_finite_gradient() -> None:
    x = Tensor(np.ones((4, 3)))
    y = MinibatchStandardDeviation()(x)
    np.testing.assert_allclose(y.numpy()[:, 3], 1e-4)
    (g,) = grad(ops.sum(y), [x])
    np.testing.assert_array_equal(g.numpy(), np.ones((4, 3)))
