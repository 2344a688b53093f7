"""The rules of training: the order of the updates, and the discriminator's inputs, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan import GAN, Parameter, Rules, Tensor, grad, nn, optim
from minigan.core import random
from minigan.gan import latents, losses, penalties
from minigan.gan.rules import pack
from minigan.ops import reshape
from minigan.optim import schedules

RATE = 0.1
THETA, PSI = 0.7, -0.4


class Theta(nn.Module):
    """The generator of the Dirac-GAN: theta, whatever the latent."""

    def __init__(self, value: float) -> None:
        self.theta = Parameter(np.array([[value]]))

    def forward(self, z: Tensor) -> Tensor:
        return reshape(z[:, 0] * 0.0, (-1, 1)) + self.theta


class Psi(nn.Module):
    """Its discriminator: psi * x."""

    def __init__(self, value: float) -> None:
        self.psi = Parameter(np.array([[value]]))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.psi


def dirac(**options: Any) -> GAN:
    """The Dirac-GAN of Mescheder et al., 2018, with plain gradient steps; all reals are 0."""
    generator, discriminator = Theta(THETA), Psi(PSI)
    optimizers = (optim.SGD(network.parameters(), RATE) for network in (generator, discriminator))
    return GAN(generator, discriminator, losses.get("minimax"), *optimizers, latent_size=1, **options)


def theta_and_psi(gan: GAN) -> tuple[float, float]:
    return gan.generator.theta.numpy().item(), gan.discriminator.psi.numpy().item()


def sigmoid(t: float) -> float:
    return 1 / (1 + np.exp(-t))


def psi_after(theta: float, psi: float, rate: float = RATE) -> float:
    """The discriminator minimises softplus(0) + softplus(psi theta)."""
    return psi - rate * sigmoid(psi * theta) * theta


def theta_after(theta: float, psi: float) -> float:
    """The generator minimises -softplus(psi theta)."""
    return theta + RATE * sigmoid(psi * theta) * psi


ZEROS = np.zeros((4, 1))


# The order of the updates


def test_alternating_updates_the_generator_uses_the_updated_discriminator() -> None:
    gan = dirac()
    gan.train_step(ZEROS)
    psi = psi_after(THETA, PSI)
    assert theta_and_psi(gan) == pytest.approx((theta_after(THETA, psi), psi), abs=1e-14)


def test_simultaneous_updates_use_the_same_weights() -> None:
    gan = dirac(rules=Rules(simultaneous=True))
    gan.train_step(ZEROS)
    assert theta_and_psi(gan) == pytest.approx((theta_after(THETA, PSI), psi_after(THETA, PSI)), abs=1e-14)
    assert abs(theta_after(THETA, PSI) - theta_after(THETA, psi_after(THETA, PSI))) > 1e-3  # the two rules differ


@pytest.mark.parametrize("simultaneous", [False, True])
def test_n_critic_updates_of_the_discriminator_for_one_of_the_generator(simultaneous: bool) -> None:
    gan = dirac(rules=Rules(n_critic=3, simultaneous=simultaneous))
    gan.train_step(np.zeros((12, 1)))
    psis = [PSI]
    for _ in range(3):
        psis.append(psi_after(THETA, psis[-1]))
    assert theta_and_psi(gan) == pytest.approx((theta_after(THETA, psis[2 if simultaneous else 3]), psis[3]), abs=1e-14)
    assert (gan.discriminator_optimizer.steps, gan.generator_optimizer.steps, gan.step) == (3, 1, 1)


def test_each_update_of_the_critic_has_new_reals_and_new_fakes() -> None:
    gan = dense_gan(rules=Rules(n_critic=3))
    seen: list[np.ndarray] = []
    forward = gan.discriminator.forward
    gan.discriminator.forward = lambda x: seen.append(x.numpy()) or forward(x)  # type: ignore[method-assign]
    real = np.arange(24.0, dtype=np.float32).reshape(12, 2)
    gan.train_step(real)
    np.testing.assert_array_equal(np.concatenate([x[:4] for x in seen[:3]]), real)
    fakes = [x[4:] for x in seen[:3]]
    assert not any(np.array_equal(fakes[i], fakes[j]) for i in range(3) for j in range(i))
    np.testing.assert_array_equal(seen[3], fakes[2])  # the generator's update uses the last fakes


def test_a_generator_with_one_unrolled_step() -> None:
    """psi_1 = psi - eta s(psi theta) theta; the generator descends -softplus(psi_1 theta), through psi_1 as well."""
    eta = 0.8
    gan = dirac(rules=Rules(unroll_steps=1, unroll_rate=eta))
    gan.train_step(ZEROS)
    psi = psi_after(THETA, PSI)
    s = sigmoid(psi * THETA)
    ahead = psi - eta * s * THETA
    through = -eta * (s * (1 - s) * psi * THETA + s)  # d psi_1 / d theta
    slope = -sigmoid(ahead * THETA) * (ahead + THETA * through)
    assert theta_and_psi(gan) == pytest.approx((THETA - RATE * slope, psi), abs=1e-14)


# The inputs of the discriminator


def dense_gan(*, packing: int = 1, seed: int = 0, **options: Any) -> GAN:
    rng = np.random.default_rng(3)
    generator = nn.Sequential(nn.Dense(3, 8, rng), nn.LeakyReLU(0.2), nn.Dense(8, 2, rng))
    discriminator = nn.Sequential(nn.Dense(2 * packing, 8, rng), nn.LeakyReLU(0.2), nn.Dense(8, 1, rng))
    optimizers = (optim.Adam(player.parameters(), 0.01) for player in (generator, discriminator))
    loss = losses.get(options.pop("loss", "non-saturating"))
    return GAN(generator, discriminator, loss, *optimizers, latent_size=3, seed=seed, **options)


@pytest.mark.parametrize("shape", [(6, 2), (6, 5, 4, 3)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_pack_concatenates_its_examples(shape: tuple[int, ...], count: int) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    expected = [np.concatenate(list(x[i : i + count]), axis=-1) for i in range(0, len(x), count)]
    np.testing.assert_array_equal(pack(Tensor(x), count).numpy(), np.stack(expected))


def test_the_loss_is_that_of_packs() -> None:
    gan = dense_gan(packing=2, rules=Rules(packing=2))
    real = np.random.default_rng(1).standard_normal((8, 2)).astype(np.float32)
    fake = gan.generator(gan.latent(8, "train", 0)).numpy()
    logits = [gan.discriminator(x.reshape(4, 4)) for x in (real, fake)]
    expected = gan.loss.discriminator(*logits).item()
    assert gan.train_step(real)["discriminator_loss"].item() == pytest.approx(expected, rel=1e-6)


def test_noise_has_the_scheduled_deviation() -> None:
    rules = Rules(instance_noise=schedules.Linear(0.5, 0.0, 10))
    x = Tensor(np.ones((20_000, 2)))
    for step, deviation in ((0, 0.5), (4, 0.3), (10, 0.0), (11, 0.0)):
        noise = rules.discriminator_input(x, rules.draw_noise(x, 0, "real", step)).numpy() - 1
        assert noise.mean() == pytest.approx(0, abs=4 * deviation / 200 + 1e-15)
        assert noise.std() == pytest.approx(deviation, rel=0.02)


def test_noise_depends_on_seed_kind_and_step_only() -> None:
    rules, x = Rules(instance_noise=0.1), Tensor(np.zeros((5, 2)))
    noises: list[Any] = [
        rules.draw_noise(x, *of) for of in ((0, "real", 0), (0, "fake", 0), (0, "real", 1), (1, "real", 0))
    ]
    assert not any(np.array_equal(noises[i].numpy(), noises[j].numpy()) for i in range(4) for j in range(i))
    again: Any = rules.draw_noise(x, 0, "real", 0)
    np.testing.assert_array_equal(again.numpy(), noises[0].numpy())
    np.testing.assert_array_equal(rules.discriminator_input(x, again).numpy(), noises[0].numpy())


# Labels


@pytest.mark.parametrize("name", ["minimax", "non-saturating", "least-squares"])
def test_a_smoothed_label_is_a_mixture_of_both_labels(name: str) -> None:
    """A label 1 - s is the label 1 with weight 1 - s and the label 0 with weight s, for reals only."""
    rng, s = np.random.default_rng(2), 0.3
    real, fake = (Parameter(rng.standard_normal((5, 1)) * 3) for _ in range(2))
    loss = losses.get(name)
    free_fake = Tensor(np.full((1, 1), -800.0 if name != "least-squares" else 0.0))  # a fake that costs nothing

    def costs_as_fake(logits: Tensor) -> Tensor:
        free_real = Tensor(np.full((1, 1), 800.0 if name != "least-squares" else 1.0))  # a real that costs nothing
        return loss.discriminator(free_real, logits)

    mixture = loss.discriminator(real, free_fake) * (1 - s) + costs_as_fake(real) * s + costs_as_fake(fake)
    smoothed = losses.LabelSmoothing(loss, s)
    found = grad(smoothed.discriminator(real, fake), [real, fake])
    closed = smoothed.discriminator_logit_grads(real, fake)
    for a, b, c in zip(found, closed, grad(mixture, [real, fake]), strict=True):
        np.testing.assert_allclose(a.numpy(), c.numpy(), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(b.numpy(), c.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["non-saturating", "least-squares"])
def test_the_optimal_discriminator_of_smoothed_labels(name: str) -> None:
    """(1 - s) p / (p + q) with p : q = 3 : 1: there the gradients of three reals and one fake cancel."""
    s, smoothed = 0.2, losses.LabelSmoothing(losses.get(name), 0.2)
    best = (1 - s) * 3 / 4
    logit = np.log(best / (1 - best)) if name == "non-saturating" else best
    of_real, of_fake = smoothed.discriminator_logit_grads(*(Tensor(np.array([[logit]])) for _ in range(2)))
    assert 3 * of_real.item() + of_fake.item() == pytest.approx(0, abs=1e-12)


def test_the_gan_smooths_its_loss() -> None:
    plain, smooth = dense_gan(), dense_gan(rules=Rules(label_smoothing=0.1))
    real = np.random.default_rng(1).standard_normal((8, 2)).astype(np.float32)
    logits = plain.discriminator(real).numpy()
    with_smoothing, without = (gan.train_step(real)["discriminator_loss"].item() for gan in (smooth, plain))
    assert with_smoothing - without == pytest.approx(0.1 * logits.mean(), rel=1e-4)


# Penalties


def test_a_lazy_penalty_has_k_times_the_weight_at_every_kth_update() -> None:
    """R1 here is psi^2 / 2: its gradient is psi."""
    gan = dirac(penalty=penalties.get("r1"), penalty_weight=0.3, penalty_every=4)
    for step in range(8):
        theta, psi = theta_and_psi(gan)
        report = gan.train_step(ZEROS)
        slope = 0.3 * 4 * psi if step % 4 == 0 else 0.0
        assert theta_and_psi(gan)[1] == pytest.approx(psi_after(theta, psi) - RATE * slope, abs=1e-14)
        assert ("penalty" in report) == (step % 4 == 0)


def test_a_scheduled_penalty_weight_follows_the_step() -> None:
    gan = dirac(penalty=penalties.get("r1"), penalty_weight=schedules.Exponential(1.0, 0.01, 2))
    for weight in (1.0, 0.1, 0.01, 0.01):
        theta, psi = theta_and_psi(gan)
        gan.train_step(ZEROS)
        assert theta_and_psi(gan)[1] == pytest.approx(psi_after(theta, psi) - RATE * weight * psi, abs=1e-14)


# Resuming, latent vectors, wrong settings


EVERYTHING = {
    "packing": 2,
    "rules": Rules(n_critic=2, packing=2, unroll_steps=1, instance_noise=schedules.Linear(0.3, 0.0, 5)),
    "penalty": penalties.get("wgan-gp"),
    "penalty_every": 3,
    "ema_decay": 0.9,
    "latent_distribution": "uniform",
}


def test_resuming_gives_the_same_bits() -> None:
    def real(step: int) -> np.ndarray:
        return random.generator(0, "reals", step).standard_normal((16, 2)).astype(np.float32)

    whole = dense_gan(**EVERYTHING)
    for step in range(6):
        whole.train_step(real(step))
    first, second = dense_gan(**EVERYTHING), dense_gan(**EVERYTHING)
    for step in range(3):
        first.train_step(real(step))
    second.load_state(first.state())
    for step in range(3, 6):
        second.train_step(real(step))
    for name, value in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], value, err_msg=name)


def test_uniform_latents_have_mean_0_and_variance_1() -> None:
    z = dense_gan(latent_distribution="uniform").latent(40_000, "test").numpy()
    assert np.abs(z).max() <= np.sqrt(3) and np.abs(z).max() > 1.73
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(z.var(axis=0), 1, atol=0.02)


def cdf(z: np.ndarray) -> np.ndarray:
    """The logistic distribution function of variance 1, 1 / (1 + exp(-pi z / sqrt 3)), at each number."""
    return 1 / (1 + np.exp(-np.pi * z / np.sqrt(3)))


@pytest.mark.parametrize("size", [1, 2])
def test_stratified_latents_fill_each_cell_once_and_are_logistic(size: int) -> None:
    count, side = 4**size, 4
    batches = [
        latents.draw_batch("logistic", random.generator(0, "test", step), (count, size), np.float64)
        for step in range(2000)
    ]
    for z in batches[:50]:
        cells = np.floor(cdf(z) * side).astype(int)
        assert len({tuple(cell) for cell in cells}) == count and cells.min() >= 0 and cells.max() < side
    uniform = (2 * cdf(np.stack(batches)) - 1) * np.sqrt(3)  # of variance 1
    first = uniform[:, 0]  # the order is random, so the first may lie anywhere
    np.testing.assert_allclose([first.mean(), first.var()], [0, 1], atol=0.06)
    assert uniform.mean(axis=1).var() == pytest.approx(
        1 / side**2 / count, rel=0.1
    )  # independent vectors would have 1 / count


def counts_in_cells(z: np.ndarray) -> np.ndarray:
    """The number of vectors in each of 9 equally likely cells."""
    return np.histogramdd(cdf(z[:, :2]), bins=3, range=[(0, 1)] * 2)[0]


def test_latents_of_samples_are_independent() -> None:
    gan = dense_gan(latent_distribution="logistic")
    assert counts_in_cells(gan.latent(9, "samples").numpy()).max() > 1
    assert counts_in_cells(gan.latent(9, "train").numpy()).max() == 1


def test_a_batch_between_two_grids_fills_the_smaller_one() -> None:
    counts = counts_in_cells(latents.draw_batch("logistic", random.generator(0, "test"), (12, 2), np.float64))
    assert counts.min() == 1 and counts.sum() == 12


@pytest.mark.parametrize("draw", [latents.draw, latents.draw_batch])
def test_logistic_latents_are_independent_with_variance_1(draw: latents.DrawFunction) -> None:
    z = draw("logistic", random.generator(0, "test"), (40_000, 4), np.float64)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(z.var(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(np.quantile(cdf(z), [0.1, 0.5, 0.9], axis=0).T, [[0.1, 0.5, 0.9]] * 4, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(z.T), np.eye(4), atol=0.02)


def test_a_logistic_latent_is_finite_at_probability_0() -> None:
    class Zeros:
        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.zeros(shape)

    z = latents.draw("logistic", Zeros(), (1, 1), np.float32)  # type: ignore[arg-type]
    assert z.item() == pytest.approx(np.sqrt(3) / np.pi * np.log(1e-16), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_critic": 0}, "n_critic is 0, expected a whole number of at least 1"),
        ({"packing": 1.5}, "packing is 1.5, expected a whole number"),
        ({"unroll_steps": -1}, "unroll_steps is -1, expected a whole number of at least 0"),
        ({"unroll_steps": 1, "unroll_rate": 0}, "unroll_rate is 0, expected a number above 0"),
        ({"simultaneous": 2}, "simultaneous is 2, expected 0"),
        ({"label_smoothing": 0.5}, "label_smoothing is 0.5, expected 0 up to but not including 0.5"),
        ({"instance_noise": -1.0}, "instance_noise is -1.0, expected a number of at least 0"),
    ],
)
def test_rules_out_of_range_raise(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Rules(**options)


def test_reals_that_cannot_be_divided_evenly() -> None:
    gan = dense_gan(packing=2, rules=Rules(n_critic=3, packing=2))
    for count in (0, 8):
        with pytest.raises(ValueError, match=f"must be a multiple of 6, not {count}"):
            gan.train_step(np.zeros((count, 2), np.float32))


def test_a_loss_without_labels_cannot_be_smoothed() -> None:
    with pytest.raises(ValueError, match="'hinge' uses no labels that could be smoothed"):
        dense_gan(loss="hinge", rules=Rules(label_smoothing=0.1))


def test_an_unknown_distribution_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match="no latent distribution 'unifrom'; did you mean 'uniform'"):
        dense_gan(latent_distribution="unifrom")
