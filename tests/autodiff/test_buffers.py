"""Buffers, which forward passes change in place, and `preserve_state`, which restores them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import minigan as mg
from minigan import Buffer, Parameter, Tensor, grad, ops
from minigan.gan.ema import EMA
from minigan.gan.unrolling import unrolled_logits
from minigan.nn import BatchNorm, Dense, Dropout, FourierFeatures, Module, Sequential, SpectralNorm
from minigan.nn.module import preserve_state


class _Tally(Module):
    """Adds the running sum of x to x. Its buffers are in an attribute, a list and a dict."""

    def __init__(self) -> None:
        self.total = Buffer(np.zeros(3, np.float32))
        self.gain = Parameter(np.ones(3, np.float32))
        self.more: list = [Buffer(0), {"scale": Buffer([2.0])}]

    def forward(self, x: Tensor) -> Tensor:
        self.total.assign(self.total.data + x.data.sum(axis=0))
        self.more[0].assign(self.more[0].item() + 1)
        return x * self.gain + self.total


def _with_buffers(rng: np.random.Generator) -> Sequential:
    """All layers whose passes in training change a Buffer."""
    return Sequential(Dense(3, 4, rng), BatchNorm(4), Dropout(0.5, 1), SpectralNorm(Dense(4, 2, rng), rng))


def _x(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def _bits(module: Module) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in module.state().items()}


def test_buffers_are_found_and_named_like_parameters_but_are_none() -> None:
    tally = _Tally()
    assert list(tally.buffers()) == ["total", "more.0", "more.1.scale"]
    assert list(tally.buffers("d.")) == ["d.total", "d.more.0", "d.more.1.scale"]
    assert list(tally.parameters()) == ["gain"]
    assert list(tally.state()) == ["gain", "total", "more.0", "more.1.scale"]


def test_a_shared_buffer_is_found_once() -> None:
    one, two = BatchNorm(2), BatchNorm(2)
    two.running_mean = one.running_mean
    assert list(Sequential(one, two).buffers()) == ["0.running_mean", "0.running_variance", "1.running_variance"]


def test_a_count_is_a_whole_number_on_the_host_whatever_the_type_and_backend(standin: ModuleType) -> None:
    mg.use("cupy", "reference")
    tally = _Tally().astype("float64")
    count = tally.more[0]
    with standin._standin.count_synchronisations() as waits:
        count.assign(count.item() + 2)
    assert waits.count == waits.uploads == 0
    assert type(count.data) is np.ndarray
    assert (count.dtype, count.shape, count.item()) == (np.int64, (), 2)
    assert type(tally.total.data) is standin.ndarray
    assert tally.total.dtype == np.float64
    state = tally.state()
    tally.load_state(state)
    assert _bits(tally) == {name: value.tobytes() for name, value in state.items()}


def test_passes_change_buffers_in_place_and_increment_their_versions(kernels: str, make_rng: Callable) -> None:
    """The arrays stay the same objects, so that a recorded step, which holds them, sees the changes."""
    network = _with_buffers(make_rng())
    arrays = {name: buffer.data for name, buffer in network.buffers().items()}
    before, versions = _bits(network), {name: buffer.version for name, buffer in network.buffers().items()}
    network(_x(6, 3))
    for name, buffer in network.buffers().items():
        assert buffer.data is arrays[name]
        assert buffer.version > versions[name]
        assert buffer.numpy().tobytes() != before[name]
    network.load_state(
        {name: np.frombuffer(before[name], x.dtype).reshape(x.shape) for name, x in network.state().items()}
    )
    assert all(buffer.data is arrays[name] for name, buffer in network.buffers().items())
    assert _bits(network) == before


def test_a_copy_has_buffers_of_its_own(make_rng: Callable) -> None:
    network = _with_buffers(make_rng())
    copied, ema = copy.deepcopy(network), EMA(network, 0.9).network
    before = _bits(network)
    network(_x(6, 3))
    assert _bits(copied) == _bits(ema) == before


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot assign shape \(2,\) to a buffer of shape \(3,\)"):
        _Tally().total.assign(np.zeros(2))


def test_two_buffers_of_one_name_are_refused() -> None:
    clash = _Tally()
    vars(clash)["more.0"] = Buffer(1.0)
    with pytest.raises(ValueError, match=r"two parameters or buffers are called 'more\.0'"):
        clash.buffers()


def test_a_graph_that_uses_a_buffer_is_refused_once_the_buffer_has_changed() -> None:
    tally = _Tally()
    x = Tensor(_x(2, 3))
    y = ops.sum(x * tally.total)
    tally.total.assign(np.ones(3))
    with pytest.raises(RuntimeError, match="has changed since"):
        grad(y, x)


@pytest.mark.parametrize("training", [True, False])
def test_graphs_of_layers_hold_no_buffer_that_changes(training: bool, kernels: str, make_rng: Callable) -> None:
    """A gradient is the same whether or not the buffers change between the forward and the backward pass."""
    rng = make_rng()
    network = Sequential(FourierFeatures(3, 2, rng), Dense(7, 3, rng), *_with_buffers(rng)).train(training)
    x = Tensor(_x(6, 3))
    with preserve_state(network):
        at_once = grad(ops.sum(network(x)), x).numpy()
    y = ops.sum(network(x))
    for buffer in network.buffers().values():
        buffer.assign(buffer.numpy() * 3 + 1)
    np.testing.assert_array_equal(grad(y, x).numpy(), at_once)


# preserve_state


@pytest.mark.parametrize("fails", [False, True])
def test_preserve_state_restores_buffers_and_modes(fails: bool, kernels: str, make_rng: Callable) -> None:
    network, other = _with_buffers(make_rng()), _Tally()
    network.layers[1].eval()
    before, modes = (_bits(network), _bits(other)), [part.training for part in network.modules()]
    arrays = [buffer.data for buffer in network.buffers().values()]
    try:
        with preserve_state(network, other, network.layers[1]):
            other(_x(4, 3))
            network.eval()(_x(6, 3))
            network.train()(_x(6, 3))
            if fails:
                raise ArithmeticError
    except ArithmeticError:
        assert fails
    assert (_bits(network), _bits(other)) == before
    assert [part.training for part in network.modules()] == modes
    assert all(a is b.data for a, b in zip(arrays, network.buffers().values(), strict=True))


def test_preserve_state_keeps_the_version_of_an_unchanged_buffer() -> None:
    """So a graph made inside the context, by a Module that computes with its Buffer, can be differentiated after it."""
    tally = _Tally()
    x = Tensor(_x(2, 3))
    with preserve_state(tally):
        y = ops.sum(x * tally.total * 2.0)
    np.testing.assert_array_equal(grad(y, x).numpy(), np.zeros((2, 3)))


def test_a_graph_made_under_preserve_state_can_be_differentiated_after_it(kernels: str, make_rng: Callable) -> None:
    discriminator = _with_buffers(make_rng())
    real, fake = Tensor(_x(6, 3)), Tensor(_x(6, 3) + 1)
    before = _bits(discriminator)
    _, logits = unrolled_logits(discriminator, mg.losses.get("minimax"), real, fake, 2, 0.1)
    assert _bits(discriminator) == before
    assert np.isfinite(grad(ops.sum(logits), fake).numpy()).all()


def test_a_list_of_names_of_buffers_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Old lists its buffers in buffer_names; set each as an attribute"):
        type("Old", (Module,), {"buffer_names": ("running",)})
