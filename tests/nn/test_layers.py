"""Layers: initial weights, state, training and evaluation, fusion, gradients, errors."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import differences

from minigan import Parameter, Tensor, grad, ops, vjp
from minigan.nn import (
    AveragePool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Maxout,
    MaxPool2d,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample2d,
    init,
)  # fmt: skip
from minigan.optim import Adam

# Initial weights.

SHAPE = (3, 3, 64, 128)


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        (init.glorot_uniform, math.sqrt(2 / (9 * 64 + 9 * 128))),
        (init.he_normal, math.sqrt(2 / (9 * 64))),
        (init.dcgan_normal, 0.02),
        (init.normal(0.5), 0.5),
    ],
)
def test_moments_of_initial_weights(initializer: init.Initializer, std: float, make_rng: Callable) -> None:
    drawn = initializer(make_rng(), SHAPE)
    count = drawn.size
    assert drawn.shape == SHAPE
    assert abs(drawn.mean()) < 5 * std / math.sqrt(count)
    assert abs(drawn.std() / std - 1) < 5 / math.sqrt(count)
    np.testing.assert_array_equal(drawn, initializer(make_rng(), SHAPE))
    assert (drawn != initializer(make_rng(1), SHAPE)).any()


def test_glorot_keeps_to_its_limit(make_rng: Callable) -> None:
    drawn = init.glorot_uniform(make_rng(), (300, 500))
    limit = math.sqrt(6 / 800)
    assert np.abs(drawn).max() <= limit
    assert np.abs(drawn).max() > 0.999 * limit


def test_fans_count_the_receptive_field() -> None:
    assert init.fans((5, 7)) == (5, 7)
    assert init.fans((4, 3, 5, 7)) == (60, 84)


def test_layers_draw_from_the_generator_they_are_given(make_rng: Callable) -> None:
    np.random.seed(0)  # must not matter
    one, two, other = Dense(3, 4, make_rng()), Dense(3, 4, make_rng()), Dense(3, 4, make_rng(1))
    np.testing.assert_array_equal(one.weight.numpy(), two.weight.numpy())
    assert (one.weight.numpy() != other.weight.numpy()).all()
    rng = make_rng()
    assert (Dense(3, 4, rng).weight.numpy() != Dense(3, 4, rng).weight.numpy()).all()
    assert one.bias is not None
    assert not one.bias.numpy().any()
    assert one.weight.dtype == one.bias.dtype == np.float32


# Modules.


def _network(seed: int = 0) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        Dense(6, 5, rng), BatchNorm(5), LeakyReLU(0.2), Dropout(0.4, seed=3), Dense(5, 4, rng, bias=False), Tanh()
    )


NAMES = ["0.weight", "0.bias", "1.scale", "1.shift", "4.weight"]


def test_parameters_are_named_by_their_place() -> None:
    network = _network()
    assert list(network.parameters()) == NAMES
    assert list(network.parameters("g.")) == [f"g.{name}" for name in NAMES]
    assert set(network.state()) == {*NAMES, "1.running_mean", "1.running_variance", "3.draws"}
    assert len(list(network.modules())) == 7


class Branches(Module):
    def __init__(self, rng: np.random.Generator) -> None:
        self.gain = Parameter(np.ones(3))
        self.left = [Dense(2, 3, rng)]
        self.right = [Dense(2, 3, rng), Tanh()]


def test_every_module_of_every_list_is_found(make_rng: Callable) -> None:
    branches = Branches(make_rng())
    assert len(branches.parameters()) == 5
    assert len(branches.state()) == 5


def test_a_state_is_a_copy_and_can_be_loaded(make_rng: Callable) -> None:
    network, other = _network(), _network(seed=1)
    for _ in range(3):
        network(Tensor(make_rng().standard_normal((8, 6)).astype(np.float32)))
    state = network.state()
    assert all(type(value) is np.ndarray for value in state.values())
    kept = {name: value.copy() for name, value in state.items()}
    other.load_state(state)
    network(Tensor(make_rng(1).standard_normal((8, 6)).astype(np.float32)))
    for name, value in other.state().items():
        np.testing.assert_array_equal(value, kept[name])
        np.testing.assert_array_equal(state[name], kept[name])
        assert value.dtype == kept[name].dtype
    other(Tensor(make_rng(2).standard_normal((8, 6)).astype(np.float32)))
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name])


def test_loading_bumps_versions_and_keeps_the_parameters() -> None:
    network = _network()
    parameters = network.parameters()
    network.load_state(_network(seed=1).state())
    for name, p in network.parameters().items():
        assert p is parameters[name]
        assert p.version == 1


def _wrong_states() -> dict[str, dict[str, np.ndarray]]:
    state = _network(seed=1).state()
    return {
        "missing": {name: value for name, value in state.items() if name != "4.weight"},
        "unknown": {**state, "9.weight": np.zeros(3)},
        "shape": {**state, "4.weight": np.zeros((4, 5), np.float32)},
        "buffer": {**state, "1.running_mean": np.zeros(4, np.float32)},
    }


@pytest.mark.parametrize("kind", list(_wrong_states()))
def test_a_state_that_does_not_fit_changes_nothing(kind: str) -> None:
    network = _network()
    before = network.state()
    with pytest.raises(ValueError, match=r"4\.weight|9\.weight|1\.running_mean"):
        network.load_state(_wrong_states()[kind])
    for name, value in network.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_state_of_another_type_is_refused() -> None:
    network = _network()
    before = network.state()
    with pytest.raises(ValueError, match=r"float64, expected .* float32"):
        network.load_state(_network(seed=1).astype("float64").state())
    assert all(np.array_equal(value, before[name]) for name, value in network.state().items())


def test_astype_converts_everything(make_rng: Callable) -> None:
    network = _network().astype("float64")
    assert {v.dtype.name for v in network.state().values()} == {"float64", "int64"}
    x = make_rng().standard_normal((4, 6))
    assert network(x).dtype == np.float64
    assert network.eval()(x).dtype == np.float64


def test_train_and_eval_reach_every_module() -> None:
    network = Sequential(_network(), Dense(4, 6), _network())
    assert all(m.training for m in network.modules())
    assert network.eval() is network
    assert not any(m.training for m in network.modules())
    assert network.train() is network
    assert all(m.training for m in network.modules())


def test_sequential_takes_modules_only() -> None:
    with pytest.raises(TypeError, match="got float in place 1"):
        Sequential(Tanh(), 0.5)  # type: ignore[arg-type]
    network = _network()
    assert len(network) == 6
    assert isinstance(network[1], BatchNorm)


# Batch normalisation.


def test_running_statistics_are_updated_as_in_keras(kernels: str, make_rng: Callable) -> None:
    layer = BatchNorm(3, momentum=0.9, eps=1e-3).astype("float64")
    mean, variance = np.zeros(3), np.ones(3)
    for step in range(5):
        x = make_rng(step).standard_normal((4, 2, 2, 3)) * 2 + 1
        y = layer(Tensor(x))
        flat = x.reshape(-1, 3)
        np.testing.assert_allclose(y.numpy().reshape(-1, 3).mean(axis=0), 0, atol=1e-12)
        mean = 0.9 * mean + 0.1 * flat.mean(axis=0)
        variance = 0.9 * variance + 0.1 * flat.var(axis=0)  # biased, as in Keras
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_variance.numpy(), variance, rtol=1e-13)
    layer.scale.assign([1.0, 2.0, 3.0])
    layer.shift.assign([0.5, 0.0, -0.5])
    x = make_rng(9).standard_normal((4, 3))
    expected = (x - mean) / np.sqrt(variance + 1e-3) * [1, 2, 3] + [0.5, 0, -0.5]
    np.testing.assert_allclose(layer.eval()(Tensor(x)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-13)  # use leaves them alone


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3), (0, 3), (0, 2, 2, 3)])
def test_batch_norm_of_a_batch_without_a_variance_is_refused(shape: tuple[int, ...], kernels: str) -> None:
    x = np.ones(shape)
    layer = BatchNorm(3).astype("float64")
    before = layer.state()
    message = rf"shape \({shape[0]}, .* has {shape[0]}; use a larger batch_size"
    for forward in (layer, Sequential(layer, LeakyReLU())):
        with pytest.raises(ValueError, match=message):
            forward(x)
    with pytest.raises(ValueError, match=message):
        ops.batch_norm(x, np.ones(3), np.ones(3), eps=1e-3)
    for name, value in layer.state().items():
        np.testing.assert_array_equal(value, before[name])
    assert layer.eval()(x).shape == shape
    layer.train()(np.ones((1, 1, 2, 3)))  # one image of two pixels has a variance


def test_in_evaluation_an_example_does_not_depend_on_its_batch(make_rng: Callable) -> None:
    layer = BatchNorm(3).astype("float64")
    layer(make_rng().standard_normal((8, 3)))
    layer.eval()
    x = make_rng(1).standard_normal((5, 3))
    np.testing.assert_array_equal(layer(x).numpy()[:1], layer(x[:1]).numpy())


# Dropout.


def test_dropout_keeps_the_mean_and_the_rate() -> None:
    layer = Dropout(0.3, seed=1)
    x = np.ones((400, 500), np.float32)
    y = layer(x).numpy()
    kept = y != 0
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert abs(kept.mean() - 0.7) < 5 * math.sqrt(0.21 / x.size)
    assert abs(y.mean() - 1) < 5 * math.sqrt(0.3 / 0.7 / x.size)


def test_dropout_masks_its_gradient_too() -> None:
    x = Tensor(np.ones((5, 7)))
    y = Dropout(0.5, seed=1)(x)
    np.testing.assert_array_equal(grad(ops.sum(y), [x])[0].numpy(), y.numpy())


def test_dropout_draws_anew_each_time_and_reproducibly() -> None:
    x = np.ones((6, 6), np.float32)
    one, two, other = Dropout(0.5, seed=1), Dropout(0.5, seed=1), Dropout(0.5, seed=2)
    masks = [one(x).numpy() for _ in range(4)]
    assert len({m.tobytes() for m in masks}) == 4
    for mask in masks:
        np.testing.assert_array_equal(two(x).numpy(), mask)
    assert (other(x).numpy() != masks[0]).any()


def test_dropout_continues_from_its_state() -> None:
    x = np.ones((6, 6), np.float32)
    one, two = Dropout(0.5, seed=1), Dropout(0.5, seed=1)
    one(x), one(x)
    state = one.state()
    two.load_state(state)
    np.testing.assert_array_equal(two(x).numpy(), one(x).numpy())
    two.load_state(two.state())
    np.testing.assert_array_equal(two(x).numpy(), one(x).numpy())
    assert int(state["draws"]) == 2


def test_dropout_in_evaluation_changes_nothing_and_draws_nothing() -> None:
    layer = Dropout(0.5, seed=1).eval()
    x = Tensor(np.ones((3, 3)))
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())
    assert layer.draws.item() == 0
    np.testing.assert_array_equal(Dropout(0.0, seed=1)(x).numpy(), x.numpy())


# Fusion changes nothing but the time.


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(0.2), LeakyReLU(1.0), LeakyReLU(-0.3), Tanh()], ids=repr)
@pytest.mark.parametrize("bias", [True, False])
def test_fusion_equals_the_layers_one_by_one(kernels: str, activation: Module, bias: bool, make_rng: Callable) -> None:
    rng = make_rng()
    network = Sequential(Dense(5, 7, rng, bias=bias), activation, Dense(7, 3, rng), activation).astype("float64")
    x, g = Tensor(rng.standard_normal((6, 5))), Tensor(rng.standard_normal((6, 3)))
    leaves = [x, *network.parameters().values()]
    fused = network(x)
    separate = x
    for layer in network.layers:
        separate = layer(separate)
    np.testing.assert_allclose(fused.numpy(), separate.numpy(), rtol=1e-14, atol=1e-15)
    for one, two in zip(vjp(fused, leaves, g), vjp(separate, leaves, g), strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-13, atol=1e-14)


def test_fusion_saves_a_pass() -> None:
    rng = np.random.default_rng(0)
    x = Tensor(np.ones((2, 3), np.float32))
    for activation in (ReLU(), LeakyReLU()):
        for layer in (Dense(3, 4, rng), BatchNorm(3)):
            y = Sequential(layer, activation)(x)
            assert y.parents[0] is x
            assert y.static["slope"] == activation.slope


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(0.2), LeakyReLU(1.0), LeakyReLU(-0.3), Tanh()], ids=repr)
@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 3, 3)])
def test_batch_norm_and_its_activation_in_training_and_evaluation(
    kernels: str, shape: tuple[int, ...], activation: Module, make_rng: Callable
) -> None:
    """Fused or not: the same values, running statistics, and derivatives of first and second order."""
    rng = make_rng()
    layer = BatchNorm(3, momentum=0.5).astype("float64")
    layer.scale.assign(rng.standard_normal(3))
    layer.shift.assign(rng.standard_normal(3))
    copied = copy.deepcopy(layer)
    network = Sequential(layer, activation)
    for training in (True, True, False, True, False):  # the mode may change after the passes were planned
        network.train(training)
        copied.train(training)
        x, g = Tensor(rng.standard_normal(shape) * 2 + 1), Tensor(rng.standard_normal(shape))
        versions = [buffer.version for buffer in layer.buffers().values()]
        y, expected = network(x), activation(copied(x))
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-14, atol=1e-15)
        for name, value in copied.state().items():
            np.testing.assert_array_equal(layer.state()[name], value)
        assert [buffer.version for buffer in layer.buffers().values()] == [v + training for v in versions]
        found = []
        for result, owner in ((y, layer), (expected, copied)):
            leaves = [x, owner.scale, owner.shift]
            first = vjp(result, leaves, g, create_graph=True)
            second = grad(ops.sum(first[0] * first[0]) + ops.sum(first[1] * first[1]), [x, owner.scale, g])
            found.append([*vjp(result, leaves, g), *first, *second])
        for one, two in zip(*found, strict=True):
            np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-11, atol=1e-12)


def test_in_evaluation_the_activation_is_applied_after_the_running_statistics() -> None:
    layer = BatchNorm(2, eps=0.0).astype("float64")
    layer.running_mean.assign([1.0, -1.0])
    layer.running_variance.assign([4.0, 0.25])
    network = Sequential(layer, LeakyReLU(0.25)).eval()
    y = network(Tensor(np.array([[5.0, 0.0], [-7.0, -3.0], [1.0, -1.0]])))
    assert y.numpy().tolist() == [[2.0, 2.0], [-1.0, -1.0], [0.0, 0.0]]


class Halved(LeakyReLU):
    """A LeakyReLU with another forward."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0.5


@pytest.mark.parametrize("layer", ["Dense", "BatchNorm", "Conv2d", "ConvTranspose2d"])
def test_a_subclass_of_an_activation_keeps_its_own_forward(layer: str, make_rng: Callable) -> None:
    rng = make_rng()
    made = {
        "Dense": lambda: Dense(3, 4, rng), "BatchNorm": lambda: BatchNorm(3),
        "Conv2d": lambda: Conv2d(3, 4, 3, rng), "ConvTranspose2d": lambda: ConvTranspose2d(3, 4, 3, rng),
    }[layer]()  # fmt: skip
    x = Tensor(rng.standard_normal((2, 4, 5, 3) if layer.startswith("Conv") else (4, 3)).astype(np.float32))
    own, plain = (Sequential(made, after)(x).numpy() for after in (Halved(0.2), LeakyReLU(0.2)))
    assert (plain < 0).any()
    np.testing.assert_allclose(own, plain / 2, rtol=1e-6)


# Layers for images.


def _image_network(seed: int = 0) -> Sequential:
    """From (batch, 6, 6, 3) to (batch, 12, 12, 2)."""
    rng = np.random.default_rng(seed)
    return Sequential(
        Conv2d(3, 5, 4, rng, stride=2, padding=1), LeakyReLU(0.2),
        Upsample2d(2), AveragePool2d(3, stride=1, padding="same"),
        ConvTranspose2d(5, 4, (4, 3), rng, stride=(2, 1), padding=((1, 1), (1, 1))), BatchNorm(4), ReLU(),
        ConvTranspose2d(4, 2, 3, rng, stride=(1, 2), padding="same", bias=False), MaxPool2d((1, 1)),
    )  # fmt: skip


def test_parameters_of_convolutions(make_rng: Callable) -> None:
    for layer, shape in (
        (Conv2d(3, 5, 4, make_rng()), (4, 4, 3, 5)),
        (Conv2d(3, 5, (2, 7), make_rng(), stride=2, padding="same"), (2, 7, 3, 5)),
        (ConvTranspose2d(3, 5, 4, make_rng()), (4, 4, 5, 3)),
        (ConvTranspose2d(3, 5, (2, 7), make_rng(), output_size=(9, 9)), (2, 7, 5, 3)),
    ):
        assert {name: p.shape for name, p in layer.parameters().items()} == {"weight": shape, "bias": (5,)}
        assert {p.dtype.name for p in layer.parameters().values()} == {"float32"}
        assert not layer.bias.numpy().any()
        np.testing.assert_array_equal(layer.weight.numpy(), init.glorot_uniform(make_rng(), shape).astype(np.float32))
    for make in (Conv2d, ConvTranspose2d):
        assert list(make(3, 5, 4, make_rng(), bias=False).parameters()) == ["weight"]
        drawn = make(3, 5, 4, make_rng(), initializer=init.dcgan_normal).weight.numpy()
        np.testing.assert_array_equal(drawn, (0.02 * make_rng().standard_normal(drawn.shape)).astype(np.float32))
        rng = make_rng()
        assert (make(3, 5, 4, rng).weight.numpy() != make(3, 5, 4, rng).weight.numpy()).all()


def test_shapes_of_layers_for_images(make_rng: Callable) -> None:
    rng, x = make_rng(), np.ones((2, 7, 8, 3), np.float32)
    for layer, shape in (
        (Conv2d(3, 5, 4, rng, stride=2, padding=1), (2, 3, 4, 5)),
        (Conv2d(3, 5, (3, 1), rng, stride=(3, 2), padding="same"), (2, 3, 4, 5)),
        (Conv2d(3, 5, 4, rng, padding="valid"), (2, 4, 5, 5)),
        (Conv2d(3, 5, 4, rng, padding=((0, 2), (3, 0))), (2, 6, 8, 5)),
        (ConvTranspose2d(3, 5, 4, rng, stride=2, padding=1), (2, 14, 16, 5)),
        (ConvTranspose2d(3, 5, 5, rng, stride=2, padding="same"), (2, 14, 16, 5)),
        (ConvTranspose2d(3, 5, 3, rng, stride=(2, 4)), (2, 15, 31, 5)),
        (ConvTranspose2d(3, 5, 3, rng, stride=(2, 4), padding="valid"), (2, 15, 32, 5)),
        (ConvTranspose2d(3, 5, 3, rng, stride=2, padding=1, output_size=(14, 15)), (2, 14, 15, 5)),
        (Upsample2d(), (2, 14, 16, 3)),
        (Upsample2d((1, 3)), (2, 7, 24, 3)),
        (AveragePool2d(), (2, 3, 4, 3)),
        (AveragePool2d((3, 2), stride=(2, 1), padding=1), (2, 4, 9, 3)),
        (MaxPool2d(3), (2, 2, 2, 3)),
        (MaxPool2d(3, stride=2, padding="same"), (2, 4, 4, 3)),
    ):
        y = layer(x)
        assert y.shape == shape, layer
        assert y.dtype == np.float32


def test_names_state_and_dtype_of_a_convolutional_network(make_rng: Callable) -> None:
    network, other = _image_network(), _image_network(seed=1)
    names = ["0.weight", "0.bias", "4.weight", "4.bias", "5.scale", "5.shift", "7.weight"]
    assert list(network.parameters()) == names
    x = make_rng().standard_normal((2, 6, 6, 3)).astype(np.float32)
    network(x), other(x)
    assert network(x).shape == (2, 12, 12, 2)
    other.load_state(network.state())
    np.testing.assert_array_equal(other.eval()(x).numpy(), network.eval()(x).numpy())
    wide = _image_network().astype("float64")
    assert {v.dtype.name for v in wide.state().values()} == {"float64"}
    assert wide(x.astype(np.float64)).dtype == np.float64
    np.testing.assert_allclose(wide(x.astype(np.float64)).numpy(), _image_network()(x).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(0.2), LeakyReLU(1.0), LeakyReLU(-0.3), Tanh()], ids=repr)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [Conv2d, ConvTranspose2d])
def test_fused_convolutions_equal_the_layers_one_by_one(
    kernels: str, make: type, bias: bool, activation: Module, make_rng: Callable
) -> None:
    rng = make_rng()
    network = Sequential(
        make(3, 9, 4, rng, stride=2, padding=1, bias=bias), activation,
        make(9, 4, 3, rng, padding="same", bias=not bias), activation,
    ).astype("float64")  # fmt: skip
    for name, p in network.parameters().items():
        if "bias" in name:
            p.assign(rng.standard_normal(p.shape) * 0.3)
    x = Tensor(rng.standard_normal((2, 6, 8, 3)))
    leaves = [x, *network.parameters().values()]
    fused = network(x)
    separate = x
    for layer in network.layers:
        separate = layer(separate)
    g = Tensor(rng.standard_normal(fused.shape))
    np.testing.assert_allclose(fused.numpy(), separate.numpy(), rtol=1e-13, atol=1e-14)
    for create_graph in (False, True):
        of_fused, of_separate = (vjp(y, leaves, g, create_graph=create_graph) for y in (fused, separate))
        for one, two in zip(of_fused, of_separate, strict=True):
            np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-12, atol=1e-13)
    (dx,), (expected,) = (vjp(y, [x], g, create_graph=True) for y in (fused, separate))
    second, expected_second = (grad(ops.sum(d * d), [*leaves[1:], g]) for d in (dx, expected))
    assert any(found.numpy().any() for found in second)
    for one, two in zip(second, expected_second, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [Conv2d, ConvTranspose2d])
def test_fusion_saves_a_pass_after_a_convolution(make: type, bias: bool, make_rng: Callable) -> None:
    x = Tensor(np.ones((1, 4, 4, 3), np.float32))
    for activation in (ReLU(), LeakyReLU()):
        y = Sequential(make(3, 4, 3, make_rng(), bias=bias), activation)(x)
        assert y.parents[0] is x
        assert y.static["slope"] == activation.slope


@pytest.mark.parametrize("make", [Conv2d, ConvTranspose2d])
def test_the_precision_reaches_the_kernels(make: type, make_rng: Callable) -> None:
    x = Tensor(np.ones((1, 4, 4, 3), np.float32))
    for precision in ("exact", "fast"):
        layer = make(3, 4, 4, make_rng(), stride=2, padding=1, precision=precision)
        assert layer(x).static["geometry"].precision == precision


# Gradients in float64.


def _layers() -> dict[str, tuple[Module, tuple[int, ...]]]:
    rng = np.random.default_rng(5)
    return {
        "Dense": (Dense(4, 3, rng), (5, 4)),
        "Dense-bias": (Dense(4, 3, rng, bias=False), (5, 4)),
        "BatchNorm": (BatchNorm(3), (6, 3)),
        "BatchNorm-image": (BatchNorm(2), (2, 3, 3, 2)),
        "BatchNorm-eval": (BatchNorm(3).eval(), (6, 3)),
        "LeakyReLU": (LeakyReLU(), (3, 4)),
        "ReLU": (ReLU(), (3, 4)),
        "Tanh": (Tanh(), (3, 4)),
        "Sigmoid": (Sigmoid(), (3, 4)),
        "Maxout": (Maxout(3), (4, 6)),
        "Flatten": (Flatten(), (3, 2, 2)),
        "Reshape": (Reshape(2, 3), (3, 6)),
        "Dropout-eval": (Dropout(0.5, seed=0).eval(), (3, 4)),
        "Conv2d": (Conv2d(3, 4, 4, rng, stride=2, padding=1), (2, 4, 6, 3)),
        "Conv2d-bias": (Conv2d(2, 3, (3, 2), rng, padding="same", bias=False), (2, 3, 4, 2)),
        "Conv2d-fast": (Conv2d(3, 4, 4, rng, stride=2, padding=1, precision="fast"), (1, 6, 6, 3)),
        "ConvTranspose2d": (ConvTranspose2d(3, 4, 4, rng, stride=2, padding=1), (2, 2, 3, 3)),
        "ConvTranspose2d-bias": (ConvTranspose2d(2, 3, 3, rng, stride=2, padding="same", bias=False), (2, 2, 3, 2)),
        "ConvTranspose2d-size": (ConvTranspose2d(2, 3, 3, rng, stride=3, output_size=(8, 13)), (1, 2, 4, 2)),
        "Upsample2d": (Upsample2d((2, 3)), (2, 2, 3, 2)),
        "AveragePool2d": (AveragePool2d(3, stride=2, padding=1), (2, 4, 5, 2)),
        "images": (
            Sequential(
                Conv2d(2, 3, 4, rng, stride=2, padding=1),
                BatchNorm(3),
                Tanh(),
                Upsample2d(),
                ConvTranspose2d(3, 2, 3, rng, padding=1),
                Tanh(),
                AveragePool2d(),
                Flatten(),
                Dense(8, 1, rng),
            ),
            (2, 4, 4, 2),
        ),
        "network": (Sequential(Dense(4, 6, rng), BatchNorm(6), Tanh(), Dense(6, 2, rng), Sigmoid()), (5, 4)),
    }


@pytest.mark.parametrize("name", list(_layers()))
def test_gradients_of_layers(name: str, kernels: str) -> None:
    layer, shape = _layers()[name]
    layer.astype("float64")
    rng = np.random.default_rng(6)
    x = rng.uniform(0.4, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    names = list(layer.parameters())

    def function(x: Tensor, *values: Tensor) -> Tensor:
        for name_, value in zip(names, values, strict=True):
            owner: Module = layer
            *path, last = name_.split(".")
            for step in path:
                owner = dict(owner.children())[step]
            setattr(owner, last, value)
        return layer(x)

    values = [p.numpy() + rng.uniform(0.1, 0.3, p.shape) for p in layer.parameters().values()]
    differences.check_first_order(function, [x, *values])
    differences.check_second_order(function, [x, *values])


# Errors name the layer.


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Dense(4, 3, np.random.default_rng(0)), (2, 5), r"Dense\(4, 3\) takes \(batch, 4\), got shape \(2, 5\)"),
        (Dense(4, 3, np.random.default_rng(0)), (2, 2, 2), r"Dense\(4, 3\).*Flatten"),
        (BatchNorm(3), (2, 4), r"BatchNorm\(3\) takes \(..., 3\), got shape \(2, 4\)"),
        (Maxout(3), (4, 5), r"Maxout\(3\) takes \(batch, a multiple of 3\), got shape \(4, 5\)"),
        (Reshape(2, 3), (4, 5), r"Reshape\(2, 3\) takes 6 numbers for each example, got shape \(4, 5\)"),
        (
            Conv2d(3, 4, 4, np.random.default_rng(0), stride=2, padding=1),
            (2, 6, 6, 5),
            r"Conv2d\(3, 4, 4, stride=2, padding=1\) takes \(batch, height, width, 3\), got shape \(2, 6, 6, 5\)",
        ),
        (
            Conv2d(3, 4, (4, 2), np.random.default_rng(0), stride=(2, 1), padding="same"),
            (2, 108),
            r"Conv2d\(3, 4, \(4, 2\), stride=\(2, 1\), padding='same'\) takes .* got shape \(2, 108\)",
        ),
        (
            Conv2d(3, 4, 4, np.random.default_rng(0)),
            (2, 3, 6, 3),
            r"Conv2d\(3, 4, 4, .*\) on shape \(2, 3, 6, 3\): .* does not fit .*\(3 - 4\) // 1 \+ 1 = 0 rows",
        ),
        (
            Conv2d(3, 4, 4, np.random.default_rng(0), padding="full"),
            (2, 6, 6, 3),
            r"Conv2d\(3, 4, 4, stride=1, padding='full'\) on shape \(2, 6, 6, 3\): padding must be .* not 'full'",
        ),
        (
            ConvTranspose2d(3, 4, 4, np.random.default_rng(0), stride=2),
            (2, 3, 3, 4),
            r"ConvTranspose2d\(3, 4, 4, stride=2, padding=0\) takes \(batch, height, width, 3\), got .*3, 3, 4",
        ),
        (
            ConvTranspose2d(3, 4, 4, np.random.default_rng(0), stride=2, padding=1, output_size=(9, 9)),
            (2, 3, 3, 3),
            r"ConvTranspose2d\(.*\) on shape \(2, 3, 3, 3\): 3 x 3 pixels cannot become 9 x 9",
        ),
        (
            MaxPool2d(3, padding=1),
            (2, 5, 0, 3),
            r"MaxPool2d\(\(3, 3\), stride=\(3, 3\), padding=1\) on shape \(2, 5, 0, 3\): .* does not fit",
        ),
        (AveragePool2d(2, padding=2), (2, 5, 5, 3), r"AveragePool2d\(.*\) on shape .* windows outside of the image"),
        (AveragePool2d(), (2, 5), r"AveragePool2d\(.*\) on shape \(2, 5\): average_pool2d takes images"),
        (Upsample2d(), (2, 5), r"upsample2d takes images \(N, H, W, C\), got shape \(2, 5\)"),
    ],
    ids=[
        "dense", "dense-image", "batch-norm", "maxout", "reshape", "conv", "conv-flat", "conv-small", "conv-padding",
        "transposed", "transposed-size", "max-pool", "average-pool", "average-pool-flat", "upsample",
    ],
)  # fmt: skip
def test_shape_errors_name_the_layer(layer: Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=message):
        Sequential(layer, LeakyReLU())(np.ones(shape, np.float32))


def test_invalid_settings_are_refused() -> None:
    rng = np.random.default_rng(0)
    for make, message in (
        (lambda: Dense(0, 3, rng), "Dense's inputs must be a whole number"),
        (lambda: Dense(3, 2.0, rng), "Dense's outputs must be a whole number"),
        (lambda: BatchNorm(-1), "BatchNorm's features"),
        (lambda: BatchNorm(3, momentum=1.0), "momentum"),
        (lambda: Dropout(1.0, seed=0), "rate"),
        (lambda: Dropout(-0.1, seed=0), "rate"),
        (lambda: Maxout(0), "Maxout's pieces must be a whole number of at least 1, got 0"),
        (lambda: Reshape(3, 0), "Reshape's extent 1"),
        (lambda: Conv2d(0, 3, 4, rng), "Conv2d's inputs must be a whole number of at least 1, got 0"),
        (lambda: Conv2d(3, 2.5, 4, rng), "Conv2d's outputs must be a whole number of at least 1, got 2.5"),
        (lambda: ConvTranspose2d(3, -1, 4, rng), "ConvTranspose2d's outputs"),
        (lambda: Conv2d(3, 3, 0, rng), "a kernel is one or two whole numbers of at least 1, not 0"),
        (lambda: Conv2d(3, 3, (3, 3, 3), rng), r"a kernel is .* not \(3, 3, 3\)"),
        (lambda: ConvTranspose2d(3, 3, 4, rng, stride=(1, 0)), r"a stride is .* not \(1, 0\)"),
        (lambda: Upsample2d(0), "a factor is"),
        (lambda: MaxPool2d(0), "a window is"),
        (lambda: AveragePool2d(2, stride=-1), "a stride is"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_maxout_is_the_largest_piece_of_each_unit(make_rng: Callable) -> None:
    network = Sequential(Dense(3, 8, make_rng()), Maxout(4)).astype("float64")
    x = make_rng(1).standard_normal((5, 3))
    weight = network.parameters()["0.weight"].numpy()
    pieces = np.stack([x @ weight[:, 2 * piece : 2 * piece + 2] for piece in range(4)])
    np.testing.assert_allclose(network(Tensor(x)).numpy(), pieces.max(axis=0), rtol=1e-12)


def test_equal_pieces_share_the_cotangent() -> None:
    x = Tensor(np.array([[1.0, 7.0, 2.0, 7.0, 0.0, 3.0]]))  # units 0 and 1; pieces (1, 7), (2, 7), (0, 3)
    y = Maxout(3)(x)
    assert y.numpy().tolist() == [[2.0, 7.0]]
    (slope,) = grad(ops.sum(y * np.array([10.0, 100.0])), [x])
    assert slope.numpy().tolist() == [[0.0, 50.0, 10.0, 50.0, 0.0, 0.0]]


def test_shapes_of_flatten_and_reshape(make_rng: Callable) -> None:
    x = make_rng().standard_normal((3, 2, 2, 5))
    flat = Flatten()(x)
    assert flat.shape == (3, 20)
    np.testing.assert_array_equal(Reshape(2, 2, 5)(flat).numpy(), x)
    assert Flatten()(np.ones((0, 2, 3))).shape == (0, 6)


def test_a_deep_copy_computes_with_its_own_parameters() -> None:
    original = Sequential(Dense(3, 2, np.random.default_rng(0)), LeakyReLU(0.2))
    copied = copy.deepcopy(original)
    original[0].weight.assign(np.zeros((3, 2)))
    x = Tensor(np.ones((1, 3), np.float32))
    assert not np.any(original(x).numpy())
    assert np.any(copied(x).numpy())


def test_parameters_an_optimiser_holds_are_not_converted() -> None:
    network = Sequential(Dense(3, 2, np.random.default_rng(0)))
    Adam(network.parameters())
    with pytest.raises(RuntimeError, match="before an optimiser"):
        network.astype("float64")


def test_a_tensor_of_a_parameter_keeps_its_numbers() -> None:
    parameter = Parameter(np.ones(3))
    kept = Tensor(parameter)
    parameter.assign(np.zeros(3))
    assert np.all(kept.numpy() == 1)


def test_astype_keeps_a_shared_parameter_shared() -> None:
    rng = np.random.default_rng(0)
    a, b = Dense(3, 3, rng), Dense(3, 3, rng)
    b.weight = a.weight
    network = Sequential(a, b).astype("float64")
    assert network[0].weight is network[1].weight
    assert network[0].weight.dtype == np.float64


# What a Module is made of, wherever it lies.


class Everywhere(Module):
    """Parameters and Modules in containers of every kind; some are shared, and one refers back to the network."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.gain = Parameter(np.ones(3))
        self.parts = {"a": Dense(2, 3, rng), 7: (Tanh(), [BatchNorm(3, momentum=0.5)])}
        self.gains = [Parameter(np.full(3, 2.0)), {"last": (Parameter(np.full(3, 3.0)),)}]
        self.again = [self.parts["a"], self.gain]
        self.inner = Inner(self)
        self.numbers = [1.0, "two", None]
        self.numbers.append(self.numbers)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        first: Any = self.parts["a"]
        tanh, (norm,) = self.parts[7]  # type: ignore[misc]
        one, rest = self.gains
        return norm(tanh(first(x)) * self.gain * one * rest["last"][0])  # type: ignore[index, operator]


class Inner(Module):
    def __init__(self, whole: Module) -> None:
        self.whole = whole
        self.shift = Parameter(np.zeros(3))


EVERYWHERE = [
    "gain", "gains.0", "gains.1.last.0", "parts.a.weight", "parts.a.bias", "parts.7.1.0.scale", "parts.7.1.0.shift",
    "inner.shift",
]  # fmt: skip


def test_parameters_in_any_container_are_found_once_by_name(make_rng: Callable) -> None:
    module = Everywhere(make_rng())
    assert list(module.parameters()) == EVERYWHERE
    assert len(set(module.parameters().values())) == len(EVERYWHERE)
    buffers = {"parts.7.1.0.running_mean", "parts.7.1.0.running_variance"}
    assert set(module.state()) == {*EVERYWHERE, *buffers}
    assert [type(part).__name__ for part in module.modules()] == ["Everywhere", "Dense", "Tanh", "BatchNorm", "Inner"]
    module.eval()
    assert not any(part.training for part in module.modules())


def test_parameters_in_any_container_are_trained_saved_and_converted(make_rng: Callable) -> None:
    module, other = (Everywhere(make_rng(seed)).astype("float64") for seed in (0, 1))
    assert {value.dtype for value in module.state().values()} == {np.dtype("float64")}
    x = make_rng(2).standard_normal((5, 2))
    before = module.state()
    parameters = {name: p for name, p in module.parameters().items() if name != "inner.shift"}  # not part of `forward`
    weights = make_rng(3).standard_normal((5, 3))
    optimizer = Adam(parameters, 0.1)
    optimizer.step(grad(ops.sum(module(x) * weights), optimizer.parameters))
    after = module.state()
    assert all(np.any(after[name] != before[name]) for name in parameters)
    other.load_state(after)
    np.testing.assert_array_equal(other.eval()(x).numpy(), module.eval()(x).numpy())


def test_a_layer_that_a_subclass_of_sequential_adds_is_found(make_rng: Callable) -> None:
    class WithHead(Sequential):
        def __init__(self, rng: np.random.Generator) -> None:
            super().__init__(Dense(2, 3, rng), LeakyReLU(0.2))
            self.head = Dense(3, 1, rng)

    assert list(WithHead(make_rng()).parameters()) == ["0.weight", "0.bias", "head.weight", "head.bias"]


def test_modules_in_a_set_and_two_of_one_name_are_refused(make_rng: Callable) -> None:
    class Holder(Module):
        def __init__(self, parts: Any) -> None:
            self.parts = parts

    with pytest.raises(TypeError, match=r"'parts\.0' is a set of Modules, Parameters or Buffers, which has no order"):
        Holder([{Tanh()}]).parameters()
    one = Dense(2, 2, make_rng(), bias=False)
    two = Dense(2, 2, make_rng(), bias=False)
    for twice in ({"a.b": one, "a": {"b": two}}, {1: one, "1": two}):
        with pytest.raises(ValueError, match=r"two parameters or buffers are called 'parts\.(a\.b|1)\.weight'"):
            Holder(twice).state()
    assert len(Holder({1, 2}).parameters()) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense("3", 4), lambda: Dense(True, 4), lambda: Dropout("half", 0), lambda: LeakyReLU("0.2"),
        lambda: BatchNorm(3, momentum="high"), lambda: Reshape(2, "3"), lambda: Conv2d(3, 4, 2.5),
    ],
)  # fmt: skip
def test_arguments_of_the_wrong_kind_get_a_sentence_when_the_layer_is_made(make: Callable) -> None:
    with pytest.raises(ValueError, match=r"(must|is) .*(got|not) ('|True|2\.5)"):
        make()


def test_numbers_of_numpy_and_shapes_in_a_tuple_are_taken() -> None:
    assert Dense(np.int64(3), 4).weight.shape == (3, 4)
    assert repr(Reshape((4, np.int64(2)))) == repr(Reshape(4, 2)) == "Reshape(4, 2)"
    assert Dropout(np.float32(0.5)).rate == 0.5
