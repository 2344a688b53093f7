"""Unrolling: against a discriminator that is actually trained, finite differences, a closed form; nothing changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import minigan as mg
from minigan import Parameter, Tensor, grad, ops
from minigan.gan import losses
from minigan.gan.unrolling import substituted, unrolled_logits
from minigan.nn import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Module,
    Reshape,
    Sequential,
    Tanh,
    spectral_norm,
)
from minigan.optim import SGD

LATENT, RATE = 3, 0.3


def _critic(kind: str, rng: np.random.Generator) -> tuple[Module, tuple[int, ...]]:
    """A discriminator, and the shape of an example."""
    if kind == "conv":
        layers = [Conv2d(1, 3, 4, rng, stride=2, padding=1), LeakyReLU(0.2), Flatten(), Dense(12, 1, rng)]
        return Sequential(*layers), (4, 4, 1)
    layers = {
        "plain": [Dense(2, 5, rng), Tanh(), Dense(5, 4, rng), LeakyReLU(0.2), Dense(4, 1, rng)],
        "norm": [Dense(2, 5, rng), BatchNorm(5), LeakyReLU(0.2), Dense(5, 1, rng)],
        "dropout": [Dense(2, 6, rng), LeakyReLU(0.2), Dropout(0.4, seed=2), Dense(6, 1, rng)],
        "spectral": [spectral_norm(Sequential(Dense(2, 5, rng), Tanh(), Dense(5, 1, rng)), rng)],
    }[kind]
    return Sequential(*layers), (2,)


def _players(kind: str, make_rng: Callable) -> tuple[Module, Module, np.ndarray, np.ndarray]:
    """(generator, discriminator, reals, latents), in float64."""
    rng = make_rng(5)
    discriminator, shape = _critic(kind, rng)
    generator = Sequential(Dense(LATENT, 4, rng), Tanh(), Dense(4, int(np.prod(shape)), rng), Reshape(*shape))
    real, latent = rng.standard_normal((6, *shape)), rng.standard_normal((6, LATENT))
    return generator.astype("float64"), discriminator.astype("float64"), real, latent


def _trained_logits(
    discriminator: Module, loss: losses.Loss, real: Tensor, fake: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """The logits of a copy that an optimiser trains, without substitution and without a graph of gradients."""
    twin = copy.deepcopy(discriminator)
    for parameter in twin.parameters().values():
        parameter.owner = None
    optimizer = SGD(twin.parameters(), RATE)
    for _ in range(steps):
        optimizer.step(grad(loss.discriminator(twin(real), twin(fake)), optimizer.parameters))
    return twin(real), twin(fake)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("kind", ["plain", "conv", "norm", "dropout", "spectral"])
def test_the_logits_equal_those_of_a_trained_discriminator(
    kind: str, steps: int, kernels: str, make_rng: Callable
) -> None:
    generator, discriminator, real, latent = _players(kind, make_rng)
    loss = losses.get("non-saturating")
    fake = generator(latent)
    found = unrolled_logits(discriminator, loss, Tensor(real), fake, steps, RATE)
    expected = _trained_logits(discriminator, loss, Tensor(real), Tensor(fake.numpy()), steps)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "loss", "steps"),
    [
        ("plain", "minimax", 1),
        ("plain", "non-saturating", 3),
        ("plain", "relativistic-pairing", 2),
        ("plain", "least-squares", 2),
        ("conv", "non-saturating", 2),
        ("norm", "non-saturating", 2),
        ("dropout", "hinge", 2),
    ],
)
def test_the_gradient_of_the_generator_goes_through_the_unrolled_steps(
    kind: str, loss: str, steps: int, kernels: str, make_rng: Callable
) -> None:
    """Finite differences, in every weight of G, of its loss against a D that is actually trained."""
    generator, discriminator, real, latent = _players(kind, make_rng)
    objective, weights = losses.get(loss), list(generator.parameters().values())

    def fakes(*values: np.ndarray) -> Tensor:
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)
        return generator(latent)

    def generator_loss(*values: np.ndarray) -> float:
        real_logits, fake_logits = _trained_logits(discriminator, objective, Tensor(real), fakes(*values), steps)
        return objective.generator(fake_logits, real_logits).item()

    def gradient(*values: np.ndarray) -> list[np.ndarray]:
        fake = fakes(*values)
        real_logits, fake_logits = unrolled_logits(discriminator, objective, Tensor(real), fake, steps, RATE)
        return [g.numpy() for g in grad(objective.generator(fake_logits, real_logits), weights, keep_graph=False)]

    report = mg.check_pair(generator_loss, gradient, tuple(weight.numpy() for weight in weights))
    assert report.verdict == mg.checking.Verdict.PASS, report


def test_zero_unrolled_steps_give_the_plain_loss(make_rng: Callable) -> None:
    generator, discriminator, real, latent = _players("plain", make_rng)
    weights = list(generator.parameters().values())
    loss = losses.get("relativistic-average")
    real_logits, fake_logits = unrolled_logits(discriminator, loss, Tensor(real), generator(latent), 0, RATE)
    ahead = loss.generator(fake_logits, real_logits)
    ordinary = loss.generator(discriminator(generator(latent)), discriminator(real))
    assert ahead.item() == ordinary.item()
    for one, two in zip(grad(ahead, weights), grad(ordinary, weights), strict=True):
        assert one.numpy().tobytes() == two.numpy().tobytes()


@pytest.mark.parametrize(("theta", "psi"), [(0.7, 1.3), (-1.2, 0.4), (2.0, -0.9)])
def test_one_step_of_the_dirac_gan(theta: float, psi: float, make_rng: Callable) -> None:
    """D(x) = psi x, real data at 0, the fake at theta: psi_1 = psi - rate theta sigmoid(psi theta)."""

    def sigmoid(x: float) -> float:
        return float(1 / (1 + np.exp(-x)))

    critic = Dense(1, 1, make_rng(), bias=False).astype("float64")
    critic.weight.assign([[psi]])
    position = Tensor([[theta]])
    loss = losses.get("minimax")
    _, logit = unrolled_logits(critic, loss, Tensor([[0.0]]), position, 1, RATE)
    psi_1 = psi - RATE * theta * sigmoid(psi * theta)
    assert logit.item() == pytest.approx(psi_1 * theta, rel=1e-14)
    slope = -RATE * sigmoid(psi * theta) * (1 + psi * theta * sigmoid(-psi * theta))  # of psi_1, in theta
    expected = -sigmoid(psi_1 * theta) * (psi_1 + theta * slope)
    assert grad(loss.generator(logit), [position])[0].item() == pytest.approx(expected, rel=1e-13)


class _Listed(Module):
    """A discriminator with parameters in a list, a tuple and a dict: w1 w2 x + b."""

    def __init__(self) -> None:
        self.gains: list = [Parameter(np.array([[2.0]])), (Parameter(np.array([[3.0]])),)]
        self.more = {"bias": Parameter(np.array([0.5]))}

    def forward(self, x: Tensor) -> Tensor:
        return ops.matmul(ops.matmul(x, self.gains[0]), self.gains[1][0]) + self.more["bias"]


def test_parameters_in_containers_are_unrolled_too() -> None:
    """One step on mean fake - mean real from (w1, w2) = (2, 3): w1 - rate w2 d, w2 - rate w1 d with d = fake - real."""
    critic, real, fake = _Listed(), Tensor([[1.0]]), Tensor([[2.0]])
    gains, more = critic.gains, critic.more
    of_real, of_fake = unrolled_logits(critic, losses.get("wasserstein"), real, fake, 1, RATE)
    slope = (2 - RATE * 3) * (3 - RATE * 2)
    assert [of_real.item(), of_fake.item()] == pytest.approx([slope + 0.5, 2 * slope + 0.5], rel=1e-12)
    assert critic.gains is gains
    assert critic.more is more


# No side effects.


class _Fails(Module):
    """The identity for a number of passes; then it raises."""

    def __init__(self, passes: int) -> None:
        self.passes = passes

    def forward(self, x: Tensor) -> Tensor:
        self.passes -= 1
        if self.passes < 0:
            raise ArithmeticError("as it should")
        return x


def _bits(module: Module) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in module.state().items()}


@pytest.mark.parametrize("kind", ["plain", "conv", "norm", "dropout", "spectral"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_discriminator_is_left_unchanged(kind: str, fails: bool, kernels: str, make_rng: Callable) -> None:
    generator, discriminator, real, latent = _players(kind, make_rng)
    optimizer = SGD(discriminator.parameters(), 0.1)
    before, parameters = _bits(discriminator), discriminator.parameters()
    versions = [p.version for p in parameters.values()]
    loss, fake = losses.get("non-saturating"), generator(latent)
    if fails:
        with pytest.raises(ArithmeticError, match="as it should"):
            unrolled_logits(Sequential(discriminator, _Fails(3)), loss, Tensor(real), fake, 2, RATE)
    else:
        unrolled_logits(discriminator, loss, Tensor(real), fake, 2, RATE)
    assert _bits(discriminator) == before
    after = discriminator.parameters()
    assert list(after) == list(parameters)
    assert all(after[name] is parameters[name] for name in parameters)
    assert [p.version for p in after.values()] == versions
    optimizer.step(grad(loss.discriminator(discriminator(real), discriminator(fake)), optimizer.parameters))


@pytest.mark.slow
def test_packed_weights_are_not_mixed_up(kernels: str, make_rng: Callable) -> None:
    """The packed weights that fast kernels keep with a Parameter are those of its own numbers."""
    rng = make_rng(7)
    critic = Sequential(Conv2d(16, 32, 4, rng, stride=2, padding=1), LeakyReLU(0.2), Flatten(), Dense(2048, 1, rng))
    real, fake = (Tensor(rng.standard_normal((4, 16, 16, 16)).astype(np.float32)) for _ in range(2))
    loss = losses.get("non-saturating")
    before = [critic(real).numpy() for _ in range(3)]
    ahead = unrolled_logits(critic, loss, real, fake, 2, RATE)[0].numpy()
    assert critic(real).numpy().tobytes() == before[0].tobytes()
    np.testing.assert_allclose(ahead, _trained_logits(critic, loss, real, fake, 2)[0].numpy(), rtol=1e-3, atol=1e-3)
    assert np.abs(ahead - before[0]).max() > 0.1


def test_a_shared_parameter_is_substituted_everywhere(make_rng: Callable) -> None:
    rng = make_rng()
    one, two = Dense(3, 3, rng), Dense(3, 3, rng)
    two.weight = one.weight
    network = Sequential(one, Tanh(), two).astype("float64")
    (shared,) = {p for name, p in network.parameters().items() if name.endswith("weight")}
    x, other = make_rng(1).standard_normal((2, 3)), Tensor(np.eye(3))
    with substituted(network, {shared: other}):
        found = network(x)
        with substituted(network, {}):
            np.testing.assert_array_equal(network(x).numpy(), found.numpy())
    np.testing.assert_allclose(found.numpy(), np.tanh(x), rtol=1e-14)  # the biases are 0
    assert all(isinstance(p, Parameter) for p in (network[0].weight, network[2].weight))  # type: ignore[attr-defined]
    np.testing.assert_allclose(network(x).numpy(), np.tanh(x @ shared.numpy()) @ shared.numpy(), rtol=1e-12)


@pytest.mark.parametrize("kind", ["conv", "norm", "dropout", "spectral"])
def test_unrolling_never_synchronises_with_the_device(
    kind: str, make_rng: Callable, standin: ModuleType, standin_kernels: str
) -> None:
    def run() -> Tensor:
        generator, discriminator, *data = _players(kind, make_rng)
        real, latent = map(Tensor, data)
        loss, weights = losses.get("non-saturating"), list(generator.parameters().values())
        with standin._standin.count_synchronisations() as synchronisations:
            real_logits, fake_logits = unrolled_logits(discriminator, loss, real, generator(latent), 2, RATE)
            gradient = grad(loss.generator(fake_logits, real_logits), weights)[0]
        assert synchronisations.count == 0
        return gradient

    mg.use("numpy", "reference")
    expected = run().numpy()
    mg.use("cupy", standin_kernels)
    found = run().numpy()
    rounding = 1e-7 if kind == "spectral" else 1e-11  # the first power iteration takes place in float32
    np.testing.assert_allclose(found, expected, rtol=rounding, atol=1e-13)


def test_wrong_settings_raise(make_rng: Callable) -> None:
    generator, discriminator, real, latent = _players("plain", make_rng)
    fake, loss = generator(latent), losses.get("minimax")
    for steps in (-1, 1.5):
        with pytest.raises(ValueError, match="must be a whole number from 0 up"):
            unrolled_logits(discriminator, loss, Tensor(real), fake, steps, RATE)  # type: ignore[arg-type]
    for rate in (0.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="rate of unrolled steps must be above 0"):
            unrolled_logits(discriminator, loss, Tensor(real), fake, 1, rate)
