"""The moving average of a generator: its closed form, sampling from it, resuming."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import GAN, Parameter
from minigan.gan import losses
from minigan.gan.ema import EMA
from minigan.nn import BatchNorm, Dense, Module, Sequential
from minigan.optim import Adam

DECAY = 0.97


def _network(seed: int = 0) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(Dense(2, 3, rng), BatchNorm(3, momentum=0.5), Dense(3, 2, rng)).astype("float64")


def _gan(average: float) -> GAN:
    generator, discriminator = _network(), Sequential(Dense(2, 1, np.random.default_rng(1))).astype("float64")
    optimizers = Adam(generator.parameters(), 0.01), Adam(discriminator.parameters(), 0.01)
    return GAN(generator, discriminator, losses.get("non-saturating"), *optimizers, latent_size=2, ema_decay=average)


def _train(gan: GAN, steps: int) -> None:
    for _ in range(steps):
        gan.train_step(np.random.default_rng([5, gan.step]).standard_normal((8, 2)))


def _update(average: EMA, step: int) -> None:
    """The part of a training step that updates the average, after `step` steps."""
    if (weight := average.weight(step)) is not None:
        average.update(weight)


def test_a_parameter_in_two_containers_is_averaged_once():
    class Shared(Module):
        def __init__(self):
            self.gains = [Parameter(np.ones(1))]
            self.same = {"gain": self.gains[0]}

    source = Shared()
    average = EMA(source, DECAY)
    source.gains[0].assign([3.0])
    _update(average, 10)
    assert average.network.same["gain"].item() == pytest.approx(3 - 2 * min(DECAY**10, 10 / 110), rel=1e-12)


def test_the_average_is_the_weighted_sum_of_the_source():
    source, rng = _network(), np.random.default_rng(7)
    average = EMA(source, DECAY)
    expected = source.state()
    for step in range(1, 2001):
        if step % 10 == 0:
            source.load_state({name: rng.standard_normal(value.shape) for name, value in expected.items()})
            keep = min(DECAY**10, step / (step + 100))
            expected = {name: keep * mean + (1 - keep) * source.state()[name] for name, mean in expected.items()}
        _update(average, step)
    for name, value in average.state().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=1e-13)


def test_the_average_of_a_constant_is_the_constant():
    source = _network()
    average = EMA(source, DECAY)
    for step in range(1, 31):
        _update(average, step)
    for name, value in average.state().items():
        np.testing.assert_allclose(value, source.state()[name], rtol=1e-14)


def test_samples_come_from_the_average_and_training_does_not():
    plain, averaged = _gan(0.0), _gan(DECAY)
    _train(plain, 25)
    _train(averaged, 25)
    z = plain.latent(4, "test")
    for name, value in plain.state().items():
        np.testing.assert_array_equal(averaged.state()[name], value)  # training itself is the same
    assert averaged.ema is not None
    averaged.ema.network.eval()
    np.testing.assert_array_equal(averaged.sample(z).numpy(), averaged.ema.network(z).numpy())
    assert np.abs(averaged.sample(z).numpy() - plain.sample(z).numpy()).max() > 1e-3


def test_resuming_gives_the_same_bits():
    straight, stopped = _gan(DECAY), _gan(DECAY)
    _train(straight, 45)
    _train(stopped, 17)
    resumed = _gan(DECAY)
    resumed.load_state(stopped.state())
    _train(resumed, 28)
    for name, value in straight.state().items():
        np.testing.assert_array_equal(resumed.state()[name], value)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_raises(decay):
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\)"):
        _gan(decay)
