"""Layers with random numbers: GaussianNoise, and numbers that are drawn before a pass and given to the layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from support.environment import needs_compiler

import minigan as mg
from minigan import GAN, Tensor, grad, losses, ops, penalties
from minigan.core import backend
from minigan.nn import (
    BatchNorm,
    Conv2d,
    Dense,
    DiffAugment,
    Dropout,
    Flatten,
    GaussianNoise,
    LayerNorm,
    LeakyReLU,
    MinibatchStandardDeviation,
    RandomLayer,
    Reshape,
    Sequential,
    SpectralNorm,
    Tanh,
    UniformNoise,
    random_layer,
)
from minigan.nn.module import preserve_state
from minigan.optim import Adam


def _x(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def _drawn(layer: Dropout, *numbers: int, shape: tuple[int, ...] = (5, 7)) -> random_layer.DrawnArrays:
    drawn = tuple(random_layer.draw_array(layer, number, shape, np.dtype(np.float32)) for number in numbers)
    return random_layer.DrawnArrays(layer, drawn, len(numbers))


def test_given_masks_are_used_and_no_draw_is_counted() -> None:
    layer, x = Dropout(0.5, seed=4), Tensor(_x(5, 7))
    with random_layer.using_draws([_drawn(layer, 1, 0)]):
        second, first = layer(x).numpy(), layer(x).numpy()
    assert layer.draws.item() == 0
    np.testing.assert_array_equal(first, layer(x).numpy())
    np.testing.assert_array_equal(second, layer(x).numpy())
    assert layer.draws.item() == 2


def test_each_layer_takes_its_own_masks_in_whatever_order_they_ask() -> None:
    one, other, x = Dropout(0.5, seed=4), Dropout(0.2, seed=5), Tensor(_x(5, 7))
    with random_layer.using_draws([_drawn(one, 0, 1), _drawn(other, 0, 1)]):
        found = [layer(x).numpy() for layer in (other, one, one, other)]
    np.testing.assert_array_equal(found, [layer(x).numpy() for layer in (other, one, one, other)])


def test_requested_masks_can_be_drawn_before_the_pass() -> None:
    rng = np.random.default_rng(2)
    network = Sequential(Dense(3, 4, rng), BatchNorm(4), Dropout(0.5, 1), SpectralNorm(Dense(4, 2, rng), rng))
    x = Tensor(_x(6, 3))
    network(x)  # so that the count is not 0
    with preserve_state(network), random_layer.recording_requests() as requests:
        network(x)
        network(x)
    copied = copy.deepcopy(network)
    drawn = [request.draw() for request in requests]
    assert [masks.draw_count for masks in drawn] == [2]
    expected = [copied(x).numpy() for _ in range(2)]
    with random_layer.using_draws(drawn):
        found = [network(x).numpy() for _ in range(2)]
    np.testing.assert_array_equal(found, expected)


def test_masks_are_given_within_the_context_only() -> None:
    layer, x = Dropout(0.5, seed=4), Tensor(np.ones((2, 2)))
    with pytest.raises(ZeroDivisionError), random_layer.using_draws([_drawn(layer, 0)]):
        raise ZeroDivisionError
    assert set(layer(x).numpy().ravel()) <= {0.0, 2.0}


def test_a_mask_of_another_shape_type_or_layer_is_refused() -> None:
    layer, other = Dropout(0.5, seed=4), Dropout(0.25, seed=4)
    sentence = (
        r"Dropout\(0\.5\) needs a random array of float32 and shape \(5, 1\), "
        r"but the next is of float32 and shape \(5, 7\)"
    )
    with pytest.raises(RuntimeError, match=sentence), random_layer.using_draws([_drawn(layer, 0)]):
        layer(_x(5, 1))  # to which a mask of (5, 7) would be broadcast
    with (
        pytest.raises(RuntimeError, match=r"of float64 .* the next is of float32"),
        random_layer.using_draws([_drawn(layer, 0)]),
    ):
        layer(_x(5, 7).astype(np.float64))
    for masks in (_drawn(other, 0), _drawn(layer)):
        with (
            pytest.raises(RuntimeError, match="but none is left; the numbers are drawn before"),
            random_layer.using_draws([masks]),
        ):
            layer(_x(5, 7))


def test_masks_that_no_layer_takes_are_reported() -> None:
    layer = Dropout(0.5, seed=4)
    with (
        pytest.raises(RuntimeError, match=r"Dropout\(0.5\) did not use 2 of the arrays that were drawn for it"),
        random_layer.using_draws([_drawn(layer, 0, 1, 2)]),
    ):
        layer(_x(5, 7))


# Gaussian noise.


@pytest.mark.parametrize("kind", [GaussianNoise, UniformNoise])
def test_noise_has_its_deviation_and_is_added(kind: type[GaussianNoise]) -> None:
    x = np.full((300, 400), 2.0)
    noise = kind(0.5, seed=1)(x).numpy() - x
    assert abs(noise.mean()) < 5 * 0.5 / np.sqrt(x.size)
    assert abs(noise.std() / 0.5 - 1) < 5 / np.sqrt(2 * x.size)
    leaf = Tensor(x)
    (g,) = grad(ops.sum(kind(0.5, seed=1)(leaf)), [leaf])
    np.testing.assert_array_equal(g.numpy(), 1.0)


def test_noise_is_a_function_of_its_seed_and_its_count_of_draws() -> None:
    x = np.zeros((6, 6), np.float32)
    one, two = GaussianNoise(1.0, seed=1), GaussianNoise(1.0, seed=1)
    drawn = [one(x).numpy() for _ in range(3)]
    assert len({noise.tobytes() for noise in drawn}) == 3
    two.load_state({"draws": np.asarray(2)})
    np.testing.assert_array_equal(two(x).numpy(), drawn[2])
    assert (GaussianNoise(1.0, seed=2)(x).numpy() != drawn[0]).all()


def test_without_training_or_deviation_there_is_no_noise() -> None:
    x = Tensor(np.ones((3, 3)))
    for layer in (GaussianNoise(0.5, seed=1).eval(), GaussianNoise(0.0, seed=1)):
        assert layer(x) is x
        assert layer.draws.item() == 0
    for deviation in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="deviation must be a finite number from 0 up"):
            GaussianNoise(deviation)


class Jitter(RandomLayer):
    """A layer of a user's own: each example shifted as a whole."""

    purpose = "jitter"

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], *(1,) * (len(shape) - 1))

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return rng.uniform(-1, 1, self.drawn_shape(shape)).astype(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.next_draw(x) if self.training else x


# In a GAN: the numbers are inputs of the step, so a replayed step equals a plain one.


def _gan() -> GAN:
    generator = Sequential(
        Dense(2, 16, 0),
        GaussianNoise(0.3, 1),
        LeakyReLU(),
        Dense(16, 8 * 8 * 2, 2),
        Reshape(8, 8, 2),
        Jitter(5),
        Tanh(),
    )
    discriminator = Sequential(
        DiffAugment(seed=3), Conv2d(2, 4, 4, 4, stride=2, padding=1), LayerNorm(4), LeakyReLU(),
        MinibatchStandardDeviation(), Flatten(), Dense(4 * 4 * 5, 1, 5),
    )  # fmt: skip
    return GAN(
        generator, discriminator, losses.get("hinge"), Adam(generator.parameters(), 0.01),
        Adam(discriminator.parameters(), 0.01), latent_size=2, penalty=penalties.r1, penalty_every=2,
    )  # fmt: skip


def _train(gan: GAN, steps: range, replay: bool) -> GAN:
    mg.use(backend.current(), backend.current().kernels, replay=replay)
    for step in steps:
        gan.train_step(np.random.default_rng(step).uniform(-1, 1, (4, 8, 8, 2)).astype(np.float32))
    return gan


@pytest.mark.parametrize("kind", ["numpy", pytest.param("cupy", marks=[needs_compiler, pytest.mark.slow])])
def test_a_step_with_random_layers_is_replayed_and_resumed(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "cupy":
        request.getfixturevalue("cupy")
        mg.use("cupy", "cuda")
    plain = _train(_gan(), range(16), replay=False)
    replayed = _train(_gan(), range(16), replay=True)
    assert replayed.replay.fallback_reason is None
    assert replayed.replay.steps > 0
    resumed = _gan()
    resumed.load_state(_train(_gan(), range(9), replay=True).state())
    _train(resumed, range(9, 16), replay=True)
    assert int(plain.state()["discriminator.0.parts.0.draws"]) == 16 * 3 + 8  # passes of each step, and of the penalty
    for gan in (replayed, resumed):
        for name, value in gan.state().items():
            np.testing.assert_array_equal(value, plain.state()[name], err_msg=name)


def test_draws_change_from_pass_to_pass() -> None:
    inputs = _gan().draw(np.ones((4, 8, 8, 2), np.float32))
    (color,) = [drawn for drawn in inputs.masks if drawn.layer.purpose == "augmentation/color"]
    assert len({array.numpy().tobytes() for array in color.arrays}) == len(color.arrays) == 4


def test_a_discriminator_that_mixes_examples_never_sees_reals_and_fakes_in_one_batch() -> None:
    rng = np.random.default_rng(0)
    real, fake = (rng.standard_normal((4, 8, 8, 2)).astype(np.float32) for _ in range(2))
    gan = _gan()
    gan.discriminator.eval()
    both = [logits.numpy() for logits in gan.discriminate(Tensor(real), Tensor(fake))]
    np.testing.assert_array_equal(both, [gan.discriminator(x).numpy() for x in (real, fake)])
