"""What every Module can do: inputs as arrays, predict, frozen parts, seeds, repr, summary."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import Parameter, Tensor, grad, ops
from minigan.gan.ema import EMA
from minigan.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    FourierFeatures,
    GaussianNoise,
    LeakyReLU,
    Module,
    Sequential,
    SpectralNorm,
    Tanh,
    manual_seed,
    mlp,
    seeds,
    spectral_norm,
)
from minigan.optim import Adam


@pytest.fixture(autouse=True)
def _default_stream() -> Iterator[None]:
    manual_seed(0)
    yield
    manual_seed(0)


class Conditional(Module):
    """A custom network of two inputs, with a Parameter of its own."""

    def __init__(self) -> None:
        self.embedding = Embedding(4, 3, 0)
        self.gain = Parameter(np.full(5, 2.0, np.float32))
        self.body = [Dense(5, 6, 1), BatchNorm(6)]

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        hidden = ops.concatenate([x, self.embedding(labels)], axis=1) * self.gain
        for layer in self.body:
            hidden = layer(hidden)
        return hidden


# Inputs.


def test_arrays_are_converted_to_the_dtype_of_the_network() -> None:
    x = np.arange(6).reshape(2, 3)
    for dtype in ("float32", "float64"):
        network = Dense(3, 2, 0).astype(dtype)
        expected = network(Tensor(x.astype(dtype))).numpy()
        for given in (x, x.tolist(), x.astype(np.uint8), x.astype(np.float32), x.astype(np.float64), x > 7):
            y = network(given)
            assert y.dtype == dtype
            if not isinstance(given, np.ndarray) or given.dtype != bool:
                np.testing.assert_array_equal(y.numpy(), expected)
    assert Tanh()(np.ones(3, np.float32)).dtype == np.float32  # nothing says another one
    assert Tanh()([1, 2]).dtype == np.float64


def test_inputs_that_are_not_safe_to_convert_are_refused() -> None:
    network = Sequential(Flatten(), Dense(12, 1))
    pictures = np.zeros((5, 2, 2, 3), np.uint8)
    for call in (network, network.predict):
        with pytest.raises(TypeError, match=r"bytes \(uint8\) of shape \(5, 2, 2, 3\); scale them .* x / 127.5 - 1"):
            call(pictures)
    assert network.predict(pictures / 127.5 - 1).shape == (5, 1)
    with pytest.raises(TypeError, match="a Tensor holds real numbers, got dtype complex128"):
        network(np.zeros((1, 12), complex))


def test_a_module_takes_several_inputs(make_rng: Callable) -> None:
    network = Conditional().eval()
    x = make_rng().standard_normal((3, 2))
    y = network(x, [3, 0, 1]).numpy()
    assert y.shape == (3, 6)
    np.testing.assert_allclose(network(x[1:2], np.array([0])).numpy(), y[1:2], rtol=1e-6)
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        Module()(x)


# predict.


def test_predict_is_evaluation_in_batches_and_leaves_no_trace(make_rng: Callable) -> None:
    network = Sequential(Dense(3, 4, 0), BatchNorm(4), Dropout(0.5, 1), GaussianNoise(1.0, 2), Dense(4, 2, 3))
    network(make_rng().standard_normal((8, 3)))
    network[2].eval()
    before, modes = network.state(), [m.training for m in network.modules()]
    x = make_rng(1).standard_normal((7, 3))
    expected = copy.deepcopy(network).eval()(x).numpy()
    for batch in (1, 3, 7, 500):
        y = network.predict(x, batch=batch)
        assert type(y) is np.ndarray
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network.predict(Tensor(x)), expected, rtol=1e-5, atol=1e-6)
    assert network.predict(x[:0]).shape == (0, 2)
    assert [m.training for m in network.modules()] == modes
    for name, value in network.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_predict_divides_every_input() -> None:
    network, labels = Conditional(), np.arange(7) % 4
    x = np.arange(14.0).reshape(7, 2)
    seen: list[int] = []
    network.body.insert(0, Watching(seen))
    np.testing.assert_allclose(network.predict(x, labels, batch=3), network.predict(x, labels), rtol=1e-6)
    assert seen == [3, 3, 1, 7]


class Watching(Module):
    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        self.seen.append(len(x))
        return x


class TwoHeads(Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * 2.0, ops.sum(x, axis=1)


def test_predict_of_several_outputs_is_a_tuple() -> None:
    x = np.arange(10.0).reshape(5, 2)
    doubled, total = TwoHeads().predict(x, batch=2)
    np.testing.assert_array_equal(doubled, x * 2)
    np.testing.assert_array_equal(total, x.sum(axis=1))
    assert TwoHeads().summary(2).rows[0].outputs == ["(n, 2)", "(n,)"]


@pytest.mark.parametrize(
    ("inputs", "options"),
    [((), {}), ((np.ones((3, 2)), np.ones(2)), {}), ((1.0,), {}), ((np.ones((3, 2)),), {"batch": 0})],
)
def test_predict_refuses_what_it_cannot_divide(inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"predict takes arrays \(n, ...\) of one n|predict's batch must be"):
        Conditional().predict(*inputs, **options)


# Frozen parts.


def test_a_frozen_part_is_not_trained_but_passes_gradients_on(make_rng: Callable) -> None:
    features = Sequential(Dense(3, 4, 0), BatchNorm(4), Dropout(0.5, 1))
    features(make_rng().standard_normal((8, 3)))
    before = features.state()
    before_it = Dense(2, 3, 2)
    network = Sequential(before_it, features.frozen(), Dense(4, 1, 3))
    assert list(network.trainable_parameters()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert set(network.trainable_parameters()) < set(network.parameters())
    optimizer = Adam(network.trainable_parameters(), 0.1)
    network.train()
    for step in range(3):
        loss = ops.mean(network(make_rng(step).standard_normal((8, 2))))
        gradients = grad(loss, optimizer.parameters)
        assert all(g.numpy().any() for g in gradients)
        optimizer.step(gradients)
    for name, value in features.state().items():
        np.testing.assert_array_equal(value, before[name])
    x = make_rng(9).standard_normal((4, 2))
    np.testing.assert_array_equal(network(x).numpy(), network(x).numpy())  # no dropout
    assert [m.training for m in network] == [True, False, True]
    features.frozen(False)
    assert len(network.trainable_parameters()) == len(network.parameters())
    assert all(m.training for m in network.modules())


def test_freezing_what_an_optimiser_has_is_refused() -> None:
    network = mlp([2, 3, 1])
    optimizer = Adam(network.parameters(), 0.1)
    with pytest.raises(RuntimeError, match="an optimiser already has these parameters"):
        network.frozen()
    assert network.training
    assert not copy.deepcopy(network).frozen().trainable_parameters()
    del optimizer
    assert not network.frozen().trainable_parameters()


def test_a_custom_module_is_frozen_saved_and_averaged_like_a_layer() -> None:
    network = Conditional()
    names = {
        "embedding.weight", "gain", "body.0.weight", "body.0.bias", "body.1.scale", "body.1.shift",
        "body.1.running_mean", "body.1.running_variance",
    }  # fmt: skip
    assert network.state().keys() == names
    average = EMA(network, 0.5)
    network.gain.assign(np.zeros(5))
    average.update(Tensor(np.array([0.25])))
    np.testing.assert_allclose(average.network.parameters()["gain"].numpy(), 1.5)
    outer = Sequential(network.frozen(), Dense(6, 1))
    assert list(outer.trainable_parameters()) == ["1.weight", "1.bias"]


def test_a_parameter_that_a_frozen_part_shares_is_frozen() -> None:
    one, two = Dense(2, 2), Dense(2, 2)
    two.weight = one.weight
    one.frozen()
    assert list(Sequential(two, one).trainable_parameters()) == ["0.bias"]


# Seeds.

SEEDED: dict[str, Callable[..., Module]] = {
    "Dense": lambda *seed: Dense(3, 4, *seed),
    "Conv2d": lambda *seed: Conv2d(3, 4, 2, *seed),
    "ConvTranspose2d": lambda *seed: ConvTranspose2d(3, 4, 2, *seed),
    "Embedding": lambda *seed: Embedding(3, 4, *seed),
    "FourierFeatures": lambda *seed: FourierFeatures(3, 4, *seed),
    "mlp": lambda *seed: mlp([3, 4], *seed),
    "SpectralNorm": lambda *seed: SpectralNorm(Dense(3, 4, 9), *seed),
    "spectral_norm": lambda *seed: spectral_norm(Dense(3, 4, 9), *seed),
}


def _numbers(module: Module) -> bytes:
    return b"".join(value.tobytes() for value in module.state().values())


@pytest.mark.parametrize("kind", SEEDED)
def test_a_seed_is_a_generator_of_that_seed(kind: str) -> None:
    make = SEEDED[kind]
    assert _numbers(make(5)) == _numbers(make(np.random.default_rng(5))) == _numbers(make(np.int64(5)))
    assert _numbers(make(5)) != _numbers(make(6))
    rng = np.random.default_rng(5)
    assert _numbers(make(rng)) != _numbers(make(rng))


@pytest.mark.parametrize("kind", SEEDED)
def test_without_a_seed_layers_differ_and_the_program_repeats(kind: str) -> None:
    make = SEEDED[kind]
    first = [_numbers(make()) for _ in range(3)]
    assert len(set(first)) == 3
    mg.manual_seed(0)
    assert [_numbers(make()) for _ in range(3)] == first
    mg.manual_seed(1)
    assert _numbers(make()) not in first


@pytest.mark.parametrize("make", [lambda *seed: Dropout(0.5, *seed), lambda *seed: GaussianNoise(1.0, *seed)])
def test_layers_with_noise_take_seeds_too(make: Callable[..., Module]) -> None:
    x = np.ones((4, 5), np.float32)
    assert make(3)(x).numpy().tobytes() == make(3)(x).numpy().tobytes()
    assert make()(x).numpy().tobytes() != make()(x).numpy().tobytes()
    rng = np.random.default_rng(0)
    assert make(rng).seed == np.random.default_rng(0).integers(2**62)  # as the recipes draw it


@pytest.mark.parametrize("seed", ["0", 0.5, True, np.random.RandomState(0), [1]])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    for make in (*SEEDED.values(), lambda s: Dropout(0.5, s), manual_seed):
        with pytest.raises(TypeError, match="a seed is a whole number, a generator"):
            make(seed)
    with pytest.raises(ValueError, match="from 0 to 2\\^64 - 1, got -1"):
        seeds.as_generator(-1)


# repr and summary.


def test_a_custom_module_shows_what_is_inside() -> None:
    assert repr(Conditional()) == "Conditional(embedding=Embedding(4, 3), body.0=Dense(5, 6), body.1=BatchNorm(6))"
    assert repr(TwoHeads()) == "TwoHeads()"


def test_a_summary_shows_layers_shapes_and_parameters() -> None:
    network = Sequential(Dense(3, 8, 0), LeakyReLU(), BatchNorm(8), Sequential(Dense(8, 2).frozen(), Tanh()))
    before = network.state()
    assert str(network.summary((3,))) == str(network.summary(3)) == repr(network.summary(3))
    assert str(network.summary(3)).splitlines() == [
        "Sequential",
        "     layer                 output  parameters",
        "---------------------------------------------",
        "0    Dense(3, 8)           (n, 8)          32",
        "1    LeakyReLU(0.2)        (n, 8)           0",
        "2    BatchNorm(8)          (n, 8)          16",
        "3    Sequential            (n, 2)",
        "  0  Dense(8, 2) (frozen)  (n, 2)          18",
        "  1  Tanh()                (n, 2)           0",
        "---------------------------------------------",
        "parameters: 48; frozen: 18; in buffers: 16",
    ]
    assert "forward" not in vars(network[0])
    assert network.training
    for name, value in network.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_summary_of_a_custom_module_with_two_inputs() -> None:
    summary = Conditional().summary(2, ())
    assert [(row.name, row.outputs, row.parameters) for row in summary.rows] == [
        ("", ["(n, 6)"], 5), ("embedding", ["(n, 3)"], 12), ("body.0", ["(n, 6)"], 36), ("body.1", ["(n, 6)"], 12),
    ]  # fmt: skip
    assert summary.parameters == sum(p.size for p in Conditional().parameters().values())


def test_a_summary_names_the_layer_that_cannot_take_its_input() -> None:
    network = Sequential(Flatten(), Dense(5, 4))
    with pytest.raises(ValueError, match=r"Dense\(5, 4\) takes \(batch, 5\), got shape \(2, 6\)") as caught:
        network.summary((2, 3))
    assert caught.value.__notes__ == ["... in layer '1' of the summary"]
    assert "forward" not in vars(network[1])


def test_a_summary_refuses_what_is_no_shape() -> None:
    for shape in ("3", (2.5,), (None, 3)):
        with pytest.raises(ValueError, match="summary takes shapes of one example, such as"):
            Dense(3, 1).summary(shape)  # type: ignore[arg-type]


def test_a_shared_layer_is_counted_once() -> None:
    layer = Dense(3, 3)
    summary = Sequential(layer, Tanh(), layer).summary(3)
    assert summary.parameters == 12
    assert [row.name for row in summary.rows] == ["0", "1"]


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_notebooks_show_a_table() -> None:
    class Odd(Module):
        def __repr__(self) -> str:
            return "<script>"

    network = Sequential(Dense(3, 4), Odd())
    for html in (network._repr_html_(), network.summary()._repr_html_()):
        parser = _Cells()
        parser.feed(html)
        assert not parser.open
        assert {"Dense(3, 4)", "16", "<script>"} <= set(parser.texts)
        assert not re.search("<script", html)
