"""Spectral normalisation: NumPy's singular values, finite differences, resuming, what it leaves unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import minigan as mg
from minigan import Parameter, Tensor, grad, ops
from minigan.gan import penalties
from minigan.gan.ema import EMA
from minigan.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    Module,
    Sequential,
    SpectralNorm,
    Tanh,
    spectral_norm,
)
from minigan.optim import Adam

# What makes each layer, the shape of its input, and the axis of its weight that holds the outputs.
LAYERS: dict[str, tuple[Callable[[np.random.Generator], Module], tuple[int, ...], int]] = {
    "dense": (lambda rng: Dense(5, 3, rng), (4, 5), 1),
    "dense-wide": (lambda rng: Dense(3, 6, rng, bias=False), (4, 3), 1),
    "conv": (lambda rng: Conv2d(2, 4, 3, rng, stride=2, padding="same"), (2, 5, 4, 2), 3),
    "conv-transpose": (lambda rng: ConvTranspose2d(4, 3, (2, 3), rng, stride=2), (2, 2, 3, 4), 2),
}


@pytest.fixture(params=LAYERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def _spectral(name: str, make_rng: Callable, dtype: str = "float64", **options: int) -> tuple[SpectralNorm, np.ndarray]:
    make, shape, _ = LAYERS[name]
    rng = make_rng(3)
    layer = SpectralNorm(make(rng), rng, **options).astype(dtype)
    return layer, rng.standard_normal(shape).astype(dtype)


def _matrix(name: str, weight: Tensor) -> np.ndarray:
    """The weight as a matrix (outputs, rest)."""
    w = np.moveaxis(weight.numpy(), LAYERS[name][2], 0)
    return w.reshape(len(w), -1)


def _converged(name: str, make_rng: Callable) -> tuple[SpectralNorm, np.ndarray]:
    layer, x = _spectral(name, make_rng, power_iterations=50)
    for _ in range(20):
        layer(x)
    return layer, x


def test_the_largest_singular_value_becomes_1(name: str, kernels: str, make_rng: Callable) -> None:
    layer, _ = _converged(name, make_rng)
    before, after = (_matrix(name, w) for w in (layer.layer.weight, layer.effective_weight()))
    values = np.linalg.svd(before, compute_uv=False)
    np.testing.assert_allclose(np.linalg.svd(after, compute_uv=False), values / values[0], rtol=1e-12)


def test_each_forward_in_training_is_one_step_of_power_iteration(name: str, kernels: str, make_rng: Callable) -> None:
    """Algorithm 1 of Miyato et al., by hand."""
    layer, x = _spectral(name, make_rng)
    w, u = _matrix(name, layer.layer.weight), layer.u.numpy()
    for _ in range(3):
        v = w.T @ u / np.linalg.norm(w.T @ u)
        u = w @ v / np.linalg.norm(w @ v)
        layer(x)
        np.testing.assert_allclose(layer.u.numpy(), u, rtol=1e-12)
        np.testing.assert_allclose(layer.v.numpy(), v, rtol=1e-12)
        sigma = (u.T @ w @ v).item()
        np.testing.assert_allclose(_matrix(name, layer.effective_weight()), w / sigma, rtol=1e-12)


def test_k_iterations_equal_k_forwards(name: str, make_rng: Callable) -> None:
    once, x = _spectral(name, make_rng)
    thrice, _ = _spectral(name, make_rng, power_iterations=3)
    thrice.u.assign(once.u)
    thrice.v.assign(once.v)
    for _ in range(3):
        once(x)
    thrice(x)
    np.testing.assert_allclose(thrice.u.numpy(), once.u.numpy(), rtol=1e-13)


@pytest.mark.parametrize("slope", [None, 0.2])
def test_the_layer_computes_with_the_effective_weight(
    name: str, slope: float | None, kernels: str, make_rng: Callable
) -> None:
    """Alone, and fused with the LeakyReLU after it in a Sequential."""
    layer, x = _spectral(name, make_rng)
    after = [] if slope is None else [LeakyReLU(slope)]
    y = Sequential(layer, *after)(x)
    plain = copy.deepcopy(layer.layer)
    plain.weight.assign(layer.effective_weight())
    np.testing.assert_allclose(y.numpy(), Sequential(plain, *after)(x).numpy(), rtol=1e-12, atol=1e-14)


def test_in_evaluation_nothing_changes(name: str, make_rng: Callable) -> None:
    layer, x = _spectral(name, make_rng)
    weight = layer.layer.weight
    before = layer.eval().state()
    one, two = layer(x), layer(x)
    assert one.numpy().tobytes() == two.numpy().tobytes()
    for key, value in layer.state().items():
        assert value.tobytes() == before[key].tobytes()
    assert layer.layer.weight is weight


def test_derivatives_with_u_and_v_frozen(name: str, kernels: str, make_rng: Callable) -> None:
    """To second order, in the input and every parameter; this includes the derivative of sigma."""
    layer, x = _spectral(name, make_rng)
    report = mg.gradcheck(Sequential(layer, Tanh()).eval(), [x], order=2)
    assert report.verdict == mg.checking.Verdict.PASS, report


def test_the_derivative_of_sigma_is_that_of_the_norm(name: str, make_rng: Callable) -> None:
    """It is u v^T with the true singular vectors, so that of the effective weight is orthogonal to the weight."""
    layer, x = _converged(name, make_rng)
    weights = Tensor(make_rng(9).standard_normal(layer.eval()(x).shape))
    (g,) = grad(ops.sum(layer(x) * weights), [layer.layer.weight])
    assert abs((g.numpy() * layer.layer.weight.numpy()).sum()) < 1e-12 * np.linalg.norm(g.numpy())


def test_a_gradient_penalty_goes_through_it(kernels: str, make_rng: Callable) -> None:
    rng = make_rng(1)
    layers = [Conv2d(2, 3, 3, rng, padding=1), LeakyReLU(0.2), Flatten(), Dense(48, 4, rng), Tanh(), Dense(4, 1, rng)]
    critic = spectral_norm(Sequential(*layers), rng).astype("float64").eval()
    real = rng.standard_normal((3, 4, 4, 2))
    report = mg.gradcheck(
        lambda x: penalties.r1(critic, x), [real], order=1, parameters=critic.parameters(), modules=[critic]
    )
    assert report.verdict == mg.checking.Verdict.PASS, report


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_resumed_run_gives_the_same_bits(name: str, dtype: str, kernels: str, make_rng: Callable) -> None:
    def train(layer: SpectralNorm, optimizer: Adam, x: np.ndarray, steps: int) -> None:
        for _ in range(steps):
            y = layer(x)
            optimizer.step(grad(ops.sum(y * y), optimizer.parameters))

    straight, x = _spectral(name, make_rng, dtype)
    optimizer = Adam(straight.parameters(), 0.01)
    train(straight, optimizer, x, 3)
    state, of_optimizer = straight.state(), optimizer.state()
    assert {"u", "v", "layer.weight"} <= state.keys()
    train(straight, optimizer, x, 3)
    resumed, _ = _spectral(name, lambda seed: make_rng(seed + 1), dtype)
    other = Adam(resumed.parameters(), 0.01)
    resumed.load_state(state)
    other.load_state(of_optimizer)
    train(resumed, other, x, 3)
    for key, value in straight.state().items():
        assert value.dtype == dtype
        assert value.tobytes() == resumed.state()[key].tobytes()


@pytest.mark.slow
def test_the_ema_of_a_network_is_normalised_too(name: str, make_rng: Callable) -> None:
    """The mean of unit vectors is shorter than 1; the effective weight must not grow because of that."""
    layer, x = _converged(name, make_rng)
    average = EMA(layer, 0.9)
    layer.layer.weight.assign(make_rng(8).standard_normal(layer.layer.weight.shape))
    for _ in range(40):
        layer(x)
    weight = average.weight(100)
    assert weight is not None
    average.update(weight)  # between two quite different networks
    mean = average.network
    assert isinstance(mean, SpectralNorm)
    w, u, v = _matrix(name, mean.layer.weight), mean.u.numpy(), mean.v.numpy()
    assert np.linalg.norm(u) < 0.999
    sigma = (u.T @ w @ v).item() / np.linalg.norm(u) / np.linalg.norm(v)
    np.testing.assert_allclose(_matrix(name, mean.effective_weight()), w / sigma, rtol=1e-12)


def test_every_layer_of_a_network_is_wrapped(make_rng: Callable) -> None:
    rng = make_rng(2)
    inner = Sequential(Conv2d(1, 2, 3, rng), LeakyReLU(0.1))
    network = Sequential(inner, ConvTranspose2d(2, 1, 3, rng), Flatten(), Dense(16, 1, rng))
    wrapped = spectral_norm(network, rng)
    kinds = [type(module).__name__ for module in wrapped.modules() if not isinstance(module, Sequential)]
    assert kinds == [
        "SpectralNorm", "Conv2d", "LeakyReLU", "SpectralNorm", "ConvTranspose2d", "Flatten", "SpectralNorm", "Dense",
    ]  # fmt: skip
    assert list(wrapped.parameters().values()) == list(network.parameters().values())
    assert wrapped(np.ones((2, 4, 4, 1), np.float32)).shape == network(np.ones((2, 4, 4, 1), np.float32)).shape


def test_a_network_without_a_layer_to_wrap_is_refused(make_rng: Callable) -> None:
    for module in (Flatten(), Sequential(), BatchNorm(3)):
        with pytest.raises(ValueError, match="finds no Dense, Conv2d or ConvTranspose2d"):
            spectral_norm(module, make_rng())
    with pytest.raises(TypeError, match="takes a Module, got int"):
        spectral_norm(3, make_rng())  # type: ignore[arg-type]


class Branches(Module):
    """Layers as attributes, in a dict and in a list; one in two places; a reference back to the network."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first = Dense(2, 4, rng)
        self.branches = {"a": [Dense(4, 4, rng), Tanh()], "b": (self.first,)}
        self.last = Sequential(LeakyReLU(0.2), Dense(4, 1, rng))
        self.tail = Inner(self)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        dense, activation = self.branches["a"]
        (again,) = self.branches["b"]
        return self.last(activation(dense(self.first(x))) + again(x))


class Inner(Module):
    def __init__(self, whole: Module) -> None:
        self.whole = whole


def test_every_layer_of_a_custom_module_is_wrapped(make_rng: Callable) -> None:
    network = Branches(make_rng())
    before = network.parameters()
    wrapped = spectral_norm(network, make_rng(1))
    assert isinstance(wrapped, Branches)
    assert network.parameters() == before
    assert list(wrapped.parameters().values()) == list(before.values())
    layers = [part for part in wrapped.modules() if isinstance(part, SpectralNorm)]
    assert [part.layer for part in layers] == [part for part in network.modules() if isinstance(part, Dense)]
    assert wrapped.branches["b"][0] is wrapped.first
    assert wrapped.tail.whole is wrapped
    assert network.tail.whole is network
    for _ in range(100):
        wrapped(np.ones((1, 2)).astype(np.float32))
    for part in layers:
        norm = np.linalg.norm(part.effective_weight().numpy(), 2)
        assert norm == pytest.approx(1, abs=1e-5)
    assert spectral_norm(layers[0], make_rng(2)) is layers[0]
    expected = wrapped.eval()(np.ones((3, 2), np.float32)).numpy()
    again = Branches(make_rng(3))
    again = spectral_norm(again, make_rng(4)).eval()
    again.load_state(wrapped.state())
    np.testing.assert_array_equal(again(np.ones((3, 2), np.float32)).numpy(), expected)


def test_a_weight_that_cannot_be_normalised_is_refused(make_rng: Callable) -> None:
    class Bilinear(Module):
        def __init__(self) -> None:
            self.weights = [Parameter(np.eye(3))]

    for module in (Bilinear(), Sequential(Dense(3, 3, make_rng()), Bilinear())):
        with pytest.raises(TypeError, match=r"a weight 'weights\.0' of shape \(3, 3\) in Bilinear, which is no Dense"):
            spectral_norm(module, make_rng())


def test_the_weight_is_restored_after_an_error(name: str, make_rng: Callable) -> None:
    layer, _ = _spectral(name, make_rng)
    weight = layer.layer.weight
    with pytest.raises(ValueError, match="got shape"):
        layer(np.ones((2, 9)))
    assert layer.layer.weight is weight
    assert isinstance(weight, Parameter)


def test_wrong_use_is_refused(make_rng: Callable) -> None:
    rng = make_rng()
    with pytest.raises(TypeError, match="SpectralNorm takes a Dense, Conv2d or ConvTranspose2d, got Flatten"):
        SpectralNorm(Flatten(), rng)
    for count in (0, -1, 1.5):
        with pytest.raises(ValueError, match="power_iterations must be a whole number of at least 1"):
            SpectralNorm(Dense(2, 2, rng), rng, power_iterations=count)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"weight of Dense\(2, 3\) is zero"):
        SpectralNorm(Dense(2, 3, rng, initializer=lambda rng, shape: np.zeros(shape)), rng)


def test_it_never_waits_for_the_device(
    name: str, make_rng: Callable, standin: ModuleType, standin_kernels: str
) -> None:
    def run() -> list[Tensor]:
        layer, x = _spectral(name, make_rng, "float32")
        x = Tensor(x)
        with standin._standin.count_synchronisations() as waits:
            y = layer(x)
            gradients = grad(ops.sum(y * y), [x, *layer.parameters().values()])
        assert waits.count == 0
        return [y, *gradients]

    mg.use("numpy", "reference")
    expected = run()
    mg.use("cupy", standin_kernels)
    found = [value.numpy() for value in run()]
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two.numpy(), rtol=1e-5, atol=1e-6 * np.abs(one).max())
