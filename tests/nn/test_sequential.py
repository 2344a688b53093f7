"""Sequential, Residual, Concatenate and mlp: what they compute, how they are taken apart, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigan import Parameter, Tensor, ops
from minigan.nn import (
    AveragePool2d,
    BatchNorm,
    Concatenate,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    FourierFeatures,
    GlobalAveragePool2d,
    LayerNorm,
    LeakyReLU,
    Maxout,
    MinibatchStandardDeviation,
    Module,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    SpectralNorm,
    Tanh,
    Upsample2d,
    mlp,
)


def test_layers_may_come_one_by_one_or_in_a_list(make_rng: Callable) -> None:
    layers = [Dense(3, 4, 0), ReLU(), Dense(4, 2, 1)]
    x = make_rng().standard_normal((5, 3))
    each: list[Sequential] = [Sequential(*layers), Sequential(layers), Sequential(Sequential(layers))]
    for network in each:
        np.testing.assert_array_equal(network(x).numpy(), each[0](x).numpy())
    assert list(each[1].parameters()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(each[2].parameters()) == ["0.0.weight", "0.0.bias", "0.2.weight", "0.2.bias"]


def test_it_can_be_sliced_and_iterated() -> None:
    network = Sequential(Dense(3, 4, 0), ReLU(), Dense(4, 2, 1), Tanh())
    head, tail = network[:2], network[-2:]
    assert isinstance(head, Sequential)
    assert [*head, *tail] == list(network) == [network[i] for i in range(len(network))]
    assert head.parameters()["0.weight"] is network.parameters()["0.weight"]
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(tail(head(x)).numpy(), network(x).numpy())
    assert repr(network[3:1]) == "Sequential()"
    assert len(network[:0]) == 0


def test_without_layers_the_output_is_the_input() -> None:
    x = Tensor(np.ones((2, 3)))
    assert Sequential()(x) is x
    with pytest.raises(ValueError, match="takes one input, got 2"):
        Sequential()(x, x)


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ((Dense,), r"got the class Dense in place 0; write Dense\(...\)"),
        (([ReLU(), Tanh],), r"got the class Tanh in place 1; write Tanh\(...\)"),
        ((Tanh(), np.tanh), "got ufunc in place 1"),
        ((None,), "got NoneType in place 0"),
    ],
)
def test_what_is_no_module_is_refused(layers: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        Sequential(*layers)
    with pytest.raises(TypeError, match=sentence):
        Residual(*layers)


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(3, 4, 0), Dense(5, 1, 0)],
        [Dense(3, 4, 0), LeakyReLU(), Dropout(0.5), BatchNorm(5)],
        [Conv2d(3, 4, 3), Upsample2d(), AveragePool2d(), Conv2d(3, 4, 3)],
        [Conv2d(3, 4, 3), GlobalAveragePool2d(), Dense(3, 1)],
        [SpectralNorm(Dense(3, 4)), Dense(3, 1)],
        [Dense(2, 8), Reshape(2, 2, 2), Conv2d(3, 1, 1)],
        [Dense(2, 8), MinibatchStandardDeviation(), Dense(8, 1)],
        [Dense(2, 9), Maxout(3), Dense(9, 1)],
        [Dense(2, 8), Maxout(3)],
        [FourierFeatures(2, 4), Dense(8, 1)],
        [Sequential(Dense(3, 4)), Sequential(Dense(3, 4))],
        [Dense(3, 4), LayerNorm(3)],
        [Dense(3, 4), Residual(Dense(4, 3), Dense(3, 4)), Dense(3, 1)],
        [Embedding(10, 4), Dense(10, 1)],
        [Dense(3, 4), Concatenate(Tanh(), Dense(4, 2)), Dense(4, 1)],
        [Dense(3, 4), Concatenate(Tanh(), Dense(3, 2))],
    ],
)
def test_layers_that_do_not_fit_are_refused_when_they_are_put_together(layers: list[Module]) -> None:
    with pytest.raises(ValueError, match=r"takes (a multiple of )?\d+ numbers.*the layer before it gives \d+"):
        Sequential(layers)


class Doubled(Dense):
    """A Dense whose output is twice as wide as its arguments say."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return ops.concatenate([y, y], axis=-1)


def test_layers_that_fit_or_of_which_nothing_is_known_are_accepted() -> None:
    network = Sequential(
        Doubled(3, 4),
        Dense(8, 6),
        Reshape(2, 1, 3),
        Conv2d(3, 2, 1),
        Flatten(),
        Dense(4, 4),
        Residual(Dense(4, 4)),
        Tanh(),
    )
    assert network(np.ones((2, 3))).shape == (2, 4)


# Several inputs.


class Sum(Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def test_the_first_layer_gets_all_inputs() -> None:
    network = Sequential(Sum(), LeakyReLU(0.5))
    np.testing.assert_array_equal(network([1.0, -3.0], [0.5, 1.0]).numpy(), [1.5, -1.0])


def test_a_residual_adds_its_layers_to_its_shortcut(make_rng: Callable) -> None:
    body, shortcut = Sequential(Dense(3, 4, 0), Tanh()), Dense(3, 4, 1)
    x = make_rng().standard_normal((5, 3)).astype(np.float32)
    y = Residual(*body, shortcut=shortcut)(x).numpy()
    np.testing.assert_array_equal(y, body(x).numpy() + shortcut(x).numpy())
    square = Dense(3, 3, 2)
    np.testing.assert_array_equal(Residual(square)(x).numpy(), x + square(x).numpy())
    assert list(Residual(*body, shortcut=shortcut).parameters()) == [
        "body.0.weight", "body.0.bias", "shortcut.weight", "shortcut.bias",
    ]  # fmt: skip


def test_a_residual_whose_shapes_differ_is_refused() -> None:
    with pytest.raises(ValueError, match=r"adds shapes \(2, 3\) and \(2, 1\), which must be equal; give a shortcut"):
        Residual(Dense(3, 1))(np.ones((2, 3)))
    with pytest.raises(ValueError, match="adds 3 channels and 1, which must be equal; give a shortcut"):
        Sequential(Dense(2, 3), Residual(Dense(3, 1)))
    with pytest.raises(TypeError, match="Residual's shortcut takes Modules, got the class Dense"):
        Residual(Dense(3, 1), shortcut=Dense)  # type: ignore[arg-type]


def test_branches_share_one_input_or_take_one_each(make_rng: Callable) -> None:
    one, two = Dense(3, 4, 0), Dense(3, 2, 1)
    x = make_rng().standard_normal((5, 3)).astype(np.float32)
    expected = np.concatenate([one(x).numpy(), two(x).numpy()], axis=1)
    np.testing.assert_array_equal(Concatenate(one, two)(x).numpy(), expected)
    embedding = Embedding(4, 2, 3)
    y = Concatenate(Sequential(), embedding)(x, [0, 1, 3, 2, 0]).numpy()
    np.testing.assert_array_equal(y, np.concatenate([x, embedding.weight.numpy()[[0, 1, 3, 2, 0]]], axis=1))


def test_branches_that_cannot_be_joined_are_refused() -> None:
    with pytest.raises(ValueError, match="two branches or more, got 1"):
        Concatenate(Tanh())
    with pytest.raises(ValueError, match="takes one input or 2, one for each branch, got 3"):
        Concatenate(Tanh(), Tanh())([1.0], [1.0], [1.0])
    with pytest.raises(ValueError, match=r"the others must agree, got \(2, 3\) and \(1, 3\)"):
        Concatenate(Tanh(), Tanh())(np.ones((2, 3)), np.ones((1, 3)))


# Embedding and mlp.


def test_an_embedding_gives_the_rows_of_its_weight() -> None:
    layer = Embedding(5, 3, seed := 2)
    weight = np.random.default_rng(seed).normal(0, 1, (5, 3)).astype(np.float32)
    for labels in ([4, 0, 4], np.array([4, 0, 4], np.uint8), np.array([4.0, 0.0, 4.0]), Tensor(np.array([4.0, 0, 4]))):
        np.testing.assert_array_equal(layer(labels).numpy(), weight[[4, 0, 4]])


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [([[1], [2]], r"takes labels \(batch,\), class numbers from 0 to 4, got shape \(2, 1\)"), ([1, 5], "the label 5")],
)
def test_labels_that_are_none_are_refused(labels: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Embedding(5, 3)(labels)


def test_an_mlp_is_its_layers(make_rng: Callable) -> None:
    network = mlp([3, 5, 4, 2], 7, activation=ReLU, output=Tanh())
    assert repr(network) == "Dense(3, 5) - ReLU() - Dense(5, 4) - ReLU() - Dense(4, 2) - Tanh()"
    rng = np.random.default_rng(7)
    same = Sequential(Dense(3, 5, rng), ReLU(), Dense(5, 4, rng), ReLU(), Dense(4, 2, rng), Tanh())
    x = make_rng().standard_normal((6, 3))
    np.testing.assert_array_equal(network(x).numpy(), same(x).numpy())
    assert repr(mlp([2, 1])) == "Dense(2, 1)"
    assert repr(mlp([2, 3, 1])) == "Dense(2, 3) - LeakyReLU(0.2) - Dense(3, 1)"


class Slope(Module):
    def __init__(self) -> None:
        self.slope = Parameter(np.ones(1, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return ops.maximum(x, x * self.slope)


def test_activations_with_parameters_are_not_shared() -> None:
    for activation in (Slope, Slope()):
        assert len(mlp([2, 3, 3, 1], activation=activation).parameters()) == 3 * 2 + 2


@pytest.mark.parametrize("sizes", [[], [3], 3, [3, 0, 1], [3, 2.5]])
def test_sizes_that_are_none_are_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match=r"mlp takes the sizes|must be a whole number of at least 1"):
        mlp(sizes)


def test_an_activation_that_is_no_layer_is_refused() -> None:
    for activation in ("relu", lambda: None, 0.2):
        with pytest.raises(TypeError, match="mlp's activation is a layer or makes one, such as"):
            mlp([2, 3, 1], activation=activation)  # type: ignore[arg-type]
