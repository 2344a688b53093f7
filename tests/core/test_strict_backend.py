"""On a strict stand-in for CuPy the library gives NumPy's results, and its steps never wait for the device."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from support import primitive_cases
from support.small_gan import make_gan, real_batch

import minigan as mg
from minigan import Parameter, Tensor, ops, vjp
from minigan.gan import losses, penalties
from minigan.nn import (
    AveragePool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    MaxPool2d,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample2d,
)
from minigan.optim import SGD, Adam, RMSprop, clip_by_global_norm


@pytest.fixture
def on_both(standin_kernels: str, standin: ModuleType) -> Callable:
    """A function that runs its argument on NumPy and on the stand-in for CuPy and compares the arrays it returns.

    They differ by rounding, as sums are taken in another order. Adam may enlarge this: the gradient of a bias before
    batch normalisation is 0 but for the rounding of its sum, up to 1e-15. Adam divides it by its eps of 1e-8 and takes
    a step of up to 0.02 times that, four times.
    """

    def run(function: Callable[[], list], by_adam: bool = False) -> None:
        mg.use("numpy", "reference")
        expected = [_host(x) for x in function()]
        mg.use("cupy", standin_kernels)
        on_device = function()
        for x in on_device:
            assert not isinstance(x, Tensor) or type(x.data) is standin.ndarray
        for one, two in zip(map(_host, on_device), expected, strict=True):
            assert one.dtype == two.dtype
            tolerance = 1e-5 if one.dtype == np.float32 else 1e-8 if by_adam else 1e-12
            scale = max(1, np.abs(two).max(initial=0))
            np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance * scale)

    return run


def _host(x: Tensor | np.ndarray) -> np.ndarray:
    return x.numpy() if isinstance(x, Tensor) else x


@pytest.mark.parametrize("case", [*primitive_cases.CASES, *primitive_cases.COMPOSED_CASES], ids=str)
def test_primitives(case: primitive_cases.Case, on_both: Callable, standin: ModuleType) -> None:
    def run() -> list[Tensor]:
        tensors = [Tensor(x) for x in case.inputs]
        with standin._standin.count_synchronisations() as waits:
            y = case.function(*tensors)
            u = Tensor(np.linspace(-1.0, 2.0, y.size).reshape(y.shape))
            first, again = vjp(y, tensors, u), vjp(y, tensors, u, create_graph=True)
        assert waits.count == 0
        return [y, *first, *again]

    on_both(run)


def _layers() -> dict[str, tuple[Module, tuple[int, ...]]]:
    rng = np.random.default_rng(5)
    return {
        "Dense": (Dense(4, 3, rng), (5, 4)),
        "Dense-no-bias": (Dense(4, 3, rng, bias=False), (5, 4)),
        "fused": (Sequential(Dense(4, 3, rng), LeakyReLU()), (5, 4)),
        "BatchNorm": (BatchNorm(3), (6, 3)),
        "BatchNorm-image": (BatchNorm(2), (2, 3, 3, 2)),
        "BatchNorm-eval": (BatchNorm(3).eval(), (6, 3)),
        "BatchNorm-fused": (Sequential(BatchNorm(3), LeakyReLU()), (6, 3)),
        "BatchNorm-fused-image": (Sequential(BatchNorm(2), ReLU()), (2, 3, 3, 2)),
        "BatchNorm-fused-eval": (Sequential(BatchNorm(3), LeakyReLU()).eval(), (6, 3)),
        "Dropout": (Dropout(0.5, seed=3), (6, 3)),
        "Reshape": (Sequential(Flatten(), Reshape(3, 2)), (4, 2, 3)),
        "Sigmoid": (Sequential(Sigmoid(), Tanh()), (3, 4)),
        "Conv2d": (Conv2d(3, 4, 4, rng, stride=2, padding=1), (2, 6, 5, 3)),
        "Conv2d-fused": (Sequential(Conv2d(3, 4, (3, 2), rng, padding="same"), LeakyReLU()), (2, 4, 5, 3)),
        "Conv2d-fused-no-bias": (Sequential(Conv2d(3, 4, 3, rng, bias=False), LeakyReLU()), (2, 4, 5, 3)),
        "ConvTranspose2d-fused-no-bias": (Sequential(ConvTranspose2d(3, 2, 4, rng, bias=False), ReLU()), (1, 2, 3, 3)),
        "ConvTranspose2d": (ConvTranspose2d(3, 4, 4, rng, stride=2, padding=1, bias=False), (2, 3, 2, 3)),
        "ConvTranspose2d-fused": (Sequential(ConvTranspose2d(3, 2, 3, rng, stride=2), LeakyReLU()), (2, 2, 3, 3)),
        "Upsample2d": (Upsample2d(), (2, 2, 3, 2)),
        "AveragePool2d": (AveragePool2d(3, stride=2, padding=1), (2, 4, 5, 2)),
        "MaxPool2d": (MaxPool2d(3, stride=2, padding="same"), (2, 4, 5, 2)),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(_layers()))
def test_layers(name: str, dtype: str, on_both: Callable, standin: ModuleType) -> None:
    def run() -> list:
        layer, shape = _layers()[name]
        layer.astype(dtype)
        x = Tensor(np.random.default_rng(1).standard_normal(shape).astype(dtype))
        with standin._standin.count_synchronisations() as waits:
            y = layer(x)
            gradients = vjp(y, [x, *layer.parameters().values()], y)
        assert waits.count == 0
        state = layer.state()
        layer.load_state(state)
        assert layer.state().keys() == state.keys()
        return [y, *gradients, *state.values(), layer(x)]

    on_both(run)


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_losses(name: str, on_both: Callable) -> None:
    def run() -> list[Tensor]:
        rng = np.random.default_rng(2)
        real, fake = Tensor(rng.standard_normal((5, 1)) * 9), Tensor(rng.standard_normal((5, 1)) * 9)
        loss = losses.get(name)
        of_discriminator, of_generator = loss.discriminator(real, fake), loss.generator(fake, real)
        gradients = [*mg.grad(of_discriminator, [real, fake]), *mg.grad(of_generator, [fake])]
        closed = [*loss.discriminator_logit_grads(real, fake), loss.generator_logit_grads(fake, real)]
        return [of_discriminator, of_generator, *gradients, *closed]

    on_both(run)


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop, lambda p: SGD(p, momentum=0.9)])
def test_optimisers_with_clipping(make: Callable, on_both: Callable, standin: ModuleType) -> None:
    def run() -> list:
        rng = np.random.default_rng(3)
        parameters = {
            name: Parameter(Tensor(rng.standard_normal(s)).data) for name, s in (("w", (3, 5)), ("b", (5,)), ("s", ()))
        }
        gradients = [[Tensor(rng.standard_normal(p.shape) * 3) for p in parameters.values()] for _ in range(4)]
        optimizer = make(parameters)
        norms = []
        with standin._standin.count_synchronisations() as waits:
            for some in gradients:
                clipped, norm = clip_by_global_norm(some, 2.5)
                norms.append(norm)
                optimizer.step(clipped)
        assert waits.count == 0
        assert optimizer.first_nonfinite_gradient() is None
        state = optimizer.state()
        optimizer.load_state(state)
        optimizer.step(gradients[0])
        return [*parameters.values(), *norms, *state.values()]

    on_both(run)


def test_a_nonfinite_gradient_is_recorded_on_the_device(on_both: Callable) -> None:
    def run() -> list:
        p = {"a": Parameter(Tensor([1.0, 2.0]).data), "b": Parameter(Tensor([3.0]).data)}
        optimizer = Adam(p)
        with np.errstate(all="ignore"):
            for value in (1.0, np.inf, np.nan):
                optimizer.step([Tensor([1.0, 1.0]), Tensor([value])])
        assert optimizer.first_nonfinite_gradient() == (2, "b")
        return []

    on_both(run)


@pytest.mark.parametrize("discriminator_norm", [False, True])
@pytest.mark.parametrize("loss", sorted(losses.LOSSES))
def test_whole_training_steps(loss: str, discriminator_norm: bool, on_both: Callable, standin: ModuleType) -> None:
    def run() -> list:
        gan = make_gan(loss, rich=True, discriminator_norm=discriminator_norm)
        batches = [Tensor(real_batch(step)) for step in range(3)]
        reports = []
        with standin._standin.count_synchronisations() as waits:
            for real in batches:
                reports += list(gan.train_step(real).values())
            drawn = gan.sample(gan.latent(4, "look"))
        assert waits.count == 0
        state = gan.state()
        gan.load_state(state)
        return [*reports, drawn, *state.values(), *gan.train_step(batches[0]).values()]

    on_both(run, by_adam=True)


@pytest.mark.parametrize("name", sorted(penalties.PENALTIES))
def test_training_steps_with_a_penalty(name: str, on_both: Callable, standin: ModuleType) -> None:
    def run() -> list:
        gan = make_gan("hinge", rich=True, penalty=penalties.get(name), penalty_every=2)
        reports = []
        with standin._standin.count_synchronisations() as waits:
            for step in range(3):
                reports += list(gan.train_step(Tensor(real_batch(step))).values())
        assert waits.count == 0
        return [*reports, *gan.state().values()]

    on_both(run, by_adam=True)


def test_the_stand_in_counts_synchronisations(standin: ModuleType) -> None:
    mg.use("cupy", "reference")
    with standin._standin.count_synchronisations() as waits:
        ops.sum(Tensor([1.0, 2.0])).item()
    assert waits.count == 1
    assert type(Tensor([1.0]).data) is standin.ndarray


def test_arrays_of_two_libraries_do_not_mix(cupy: ModuleType) -> None:
    on_host = Tensor(np.ones(2))
    mg.use("cupy", "reference")
    with pytest.raises(TypeError):
        on_host + Tensor([1.0, 2.0])
