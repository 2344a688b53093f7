"""The training step: against a hand-written Algorithm 1; what each update computes; resuming; sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.small_gan import BATCH, D_HIDDEN, DATA, G_HIDDEN, LATENT, make_gan, real_batch

import minigan as mg
from minigan import GAN, Tensor, grad
from minigan.core import backend, random
from minigan.gan import draws, losses, penalties
from minigan.nn import BatchNorm, Dense, Dropout, LeakyReLU, Sequential
from minigan.nn.module import preserve_state
from minigan.optim import SGD, Adam

# Algorithm 1 of Goodfellow et al., 2014, by hand.


class ByHand:
    """The plain networks of `make_gan` in NumPy, every gradient written out."""

    def __init__(self, gan: GAN, loss: str) -> None:
        self.loss = loss
        self.g = {name: p.numpy() for name, p in gan.generator.parameters().items()}
        self.d = {name: p.numpy() for name, p in gan.discriminator.parameters().items()}
        self.moments: dict[str, tuple] = {}
        self.steps = 0

    def step(self, z: np.ndarray, real: np.ndarray) -> dict[str, float]:
        self.steps += 1
        g_sum, g_hidden, fake = self.generate(z)
        real_pass, fake_pass = self.discriminate(real), self.discriminate(fake)
        d_real, d_fake = (1 / (1 + np.exp(-p[-1])) for p in (real_pass, fake_pass))
        report = {
            "discriminator_loss": -np.log(d_real).mean() - np.log(1 - d_fake).mean(),
            "real_score": d_real.mean(),
            "fake_score": d_fake.mean(),
        }
        from_real, _ = self.discriminate_backward(real, real_pass, -(1 - d_real) / BATCH)
        from_fake, _ = self.discriminate_backward(fake, fake_pass, d_fake / BATCH)
        self.adam("d", self.d, {name: from_real[name] + from_fake[name] for name in from_real}, 0.02)

        updated_pass = self.discriminate(fake)
        d_fake = 1 / (1 + np.exp(-updated_pass[-1]))
        if self.loss == "minimax":
            report["generator_loss"] = np.log(1 - d_fake).mean()
            d_logit = -d_fake / BATCH
        else:
            report["generator_loss"] = -np.log(d_fake).mean()
            d_logit = -(1 - d_fake) / BATCH
        _, d_data = self.discriminate_backward(fake, updated_pass, d_logit)
        d_out = d_data * (1 - fake**2)
        d_hidden = d_out @ self.g["2.weight"].T * np.where(g_sum > 0, 1, 0.2)
        gradients = {
            "0.weight": z.T @ d_hidden, "0.bias": d_hidden.sum(axis=0),
            "2.weight": g_hidden.T @ d_out, "2.bias": d_out.sum(axis=0),
        }  # fmt: skip
        self.adam("g", self.g, gradients, 0.01)
        return report

    def generate(self, z: np.ndarray) -> tuple[np.ndarray, ...]:
        total = z @ self.g["0.weight"] + self.g["0.bias"]
        hidden = np.where(total > 0, total, 0.2 * total)
        return total, hidden, np.tanh(hidden @ self.g["2.weight"] + self.g["2.bias"])

    def discriminate(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        total = x @ self.d["0.weight"] + self.d["0.bias"]
        hidden = np.where(total > 0, total, 0.2 * total)
        return total, hidden, hidden @ self.d["2.weight"] + self.d["2.bias"]

    def discriminate_backward(
        self, x: np.ndarray, passed: tuple, d_logit: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        total, hidden, _ = passed
        d_hidden = d_logit @ self.d["2.weight"].T * np.where(total > 0, 1, 0.2)
        gradients = {
            "0.weight": x.T @ d_hidden, "0.bias": d_hidden.sum(axis=0),
            "2.weight": hidden.T @ d_logit, "2.bias": d_logit.sum(axis=0),
        }  # fmt: skip
        return gradients, d_hidden @ self.d["0.weight"].T

    def adam(self, player: str, p: dict, gradients: dict, rate: float) -> None:
        for name, g in gradients.items():
            m, v = self.moments.get(f"{player}.{name}", (0.0, 0.0))
            m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
            self.moments[f"{player}.{name}"] = m, v
            p[name] = p[name] - rate * (m / (1 - 0.5**self.steps)) / (np.sqrt(v / (1 - 0.999**self.steps)) + 1e-8)


@pytest.mark.parametrize("loss", ["minimax", "non-saturating"])
def test_train_steps_equal_algorithm_1_by_hand(loss: str, kernels: str) -> None:
    gan = make_gan(loss)
    by_hand = ByHand(gan, loss)
    for step in range(3):
        real, z = real_batch(step), gan.latent(BATCH, "train", step).numpy()
        expected = by_hand.step(z, real)
        report = gan.train_step(real)
        assert report.keys() == expected.keys()
        for name, value in expected.items():
            assert report[name].item() == pytest.approx(value, rel=1e-12, abs=1e-13)
        for mine, theirs in ((gan.generator, by_hand.g), (gan.discriminator, by_hand.d)):
            for name, p in mine.parameters().items():
                np.testing.assert_allclose(p.numpy(), theirs[name], rtol=0, atol=1e-12)
    assert gan.step == 3


# What is computed, and what is not.


def _kernel_calls(gan: GAN, real: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[list[tuple]]:
    """The kernel calls of one training step, by name and shapes, cut at each optimiser's step."""
    phases: list[list[tuple]] = [[]]
    library = backend.current()
    kernel = library.kernel

    def spy(name: str) -> Callable:
        def run(*args: Any) -> Any:
            if name == "adam":
                phases.append([])
            elif name == "matmul":
                phases[-1].append((name, args[0].shape, args[1].shape, *args[2:]))
            elif name not in ("assign", "sum"):  # the first copies each gradient to flat memory; sums are not listed
                phases[-1].append((name, *(a.shape for a in args if hasattr(a, "shape"))))
            return kernel(name)(*args)

        return run

    with monkeypatch.context() as patched:
        patched.setattr(library, "kernel", spy)
        gan.train_step(real)
    return phases


def test_each_step_computes_its_own_players_gradients_only(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    d_phase, g_phase, rest = _kernel_calls(make_gan(), real_batch(0), monkeypatch)
    n, m = BATCH, 2 * BATCH
    assert d_phase == [
        ("dense", (n, LATENT), (LATENT, G_HIDDEN), (G_HIDDEN,)),  # G forward, once
        ("dense", (n, G_HIDDEN), (G_HIDDEN, DATA), (DATA,)),
        ("dense", (m, DATA), (DATA, D_HIDDEN), (D_HIDDEN,)),  # D forward, reals and fakes together
        ("dense", (m, D_HIDDEN), (D_HIDDEN, 1), (1,)),
        ("bias_grad", (m, 1)),  # D backward: of its last bias,
        ("matmul", (m, 1), (D_HIDDEN, 1), False, True),  # to its hidden layer
        ("matmul", (m, D_HIDDEN), (m, 1), True, False),  # and its weights; no gradient of the data, none in G
        ("bias_act_grad", (m, D_HIDDEN), (m, D_HIDDEN)),
        ("matmul", (m, DATA), (m, D_HIDDEN), True, False),
    ]
    assert g_phase == [
        ("dense", (n, DATA), (DATA, D_HIDDEN), (D_HIDDEN,)),  # D forward on the same fakes
        ("dense", (n, D_HIDDEN), (D_HIDDEN, 1), (1,)),
        ("matmul", (n, 1), (D_HIDDEN, 1), False, True),  # D backward to the data: no gradient of D's weights
        ("slope_gate", (n, D_HIDDEN), (n, D_HIDDEN)),
        ("matmul", (n, D_HIDDEN), (DATA, D_HIDDEN), False, True),
        ("tanh_grad", (n, DATA), (n, DATA)),  # G backward
        ("bias_grad", (n, DATA)),
        ("matmul", (n, DATA), (G_HIDDEN, DATA), False, True),
        ("matmul", (n, G_HIDDEN), (n, DATA), True, False),
        ("bias_act_grad", (n, G_HIDDEN), (n, G_HIDDEN)),
        ("matmul", (n, LATENT), (n, G_HIDDEN), True, False),  # no gradient of the latent vectors
    ]
    assert rest == []


def test_batch_norm_in_the_discriminator_takes_two_passes(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = make_gan(discriminator_norm=True)
    real = real_batch(0)
    (norm,) = (m for m in gan.discriminator.modules() if isinstance(m, BatchNorm))
    first = gan.discriminator[0]
    fake = gan.generator(gan.latent(BATCH, "train", 0))
    hidden_real, hidden_fake = first(Tensor(real)).numpy(), first(fake).numpy()
    d_phase, _, _ = _kernel_calls(gan, real, monkeypatch)
    assert [call[1] for call in d_phase if call[0] == "batch_norm"] == [(BATCH, D_HIDDEN)] * 2
    assert not {"slope_gate", "bias_act_grad"} & {call[0] for call in d_phase}  # LeakyReLU is part of them
    # momentum 0.5, three passes: reals, fakes, and the generator's step through the updated weights
    third = gan.discriminator[0](fake).numpy().mean(axis=0)
    expected = 0.5 * (0.5 * (0.5 * hidden_real.mean(axis=0)) + 0.5 * hidden_fake.mean(axis=0)) + 0.5 * third
    np.testing.assert_allclose(norm.running_mean.numpy(), expected, rtol=1e-12, atol=1e-14)


def test_one_pass_of_the_discriminator_equals_two_without_batch_norm() -> None:
    together, apart = make_gan(), make_gan()
    assert together._single_pass
    apart._single_pass = False
    for step in range(2):
        one, two = together.train_step(real_batch(step)), apart.train_step(real_batch(step))
        for name in one:
            assert one[name].item() == pytest.approx(two[name].item(), rel=1e-12)


def test_a_report_holds_no_graph_of_the_scores() -> None:
    report = make_gan().train_step(real_batch(0))
    assert report["real_score"].parents == ()
    assert report["fake_score"].parents == ()
    assert 0 < report["real_score"].item() < 1


# Relativistic losses.


@pytest.mark.parametrize("discriminator_norm", [False, True])
@pytest.mark.parametrize("loss", [name for name, loss in losses.LOSSES.items() if loss.relativistic])
def test_a_relativistic_generator_uses_the_real_logits_of_the_updated_discriminator(
    loss: str, discriminator_norm: bool
) -> None:
    gan = make_gan(loss, discriminator_norm=discriminator_norm)
    real, fake = Tensor(real_batch(0)), gan.generator(gan.latent(BATCH, "train", 0))
    before = gan.loss.generator(gan.discriminator(fake), gan.discriminator(real)).item()
    found = gan.train_step(real)["generator_loss"].item()
    after = gan.loss.generator(gan.discriminator(fake), gan.discriminator(real)).item()
    assert found == pytest.approx(after, rel=1e-12)
    assert found != pytest.approx(before, rel=1e-3)


def test_a_relativistic_step_gives_d_no_gradient_from_g(monkeypatch: pytest.MonkeyPatch) -> None:
    d_phase, g_phase, _ = _kernel_calls(make_gan("relativistic-pairing"), real_batch(0), monkeypatch)
    n, m = BATCH, 2 * BATCH  # D takes both in one pass; for G it takes the reals without a graph, then the fakes
    of_weights = [("matmul", (m, D_HIDDEN), (m, 1), True, False), ("matmul", (m, DATA), (m, D_HIDDEN), True, False)]
    assert all(call in d_phase and call not in g_phase for call in of_weights)
    d_forward = [("dense", (n, DATA), (DATA, D_HIDDEN), (D_HIDDEN,)), ("dense", (n, D_HIDDEN), (D_HIDDEN, 1), (1,))]
    assert g_phase[:4] == [*d_forward, *d_forward]
    assert ("matmul", (n, G_HIDDEN), (n, DATA), True, False) in g_phase  # G's own


# Penalties.


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_the_discriminator_minimises_its_loss_plus_the_penalty(name: str, kernels: str) -> None:
    """Against their sum by hand: k times the penalty at every k-th step, and no penalty at the others."""
    penalty, rate, weight, every = penalties.get(name), 0.02, 3.0, 2
    gan = make_gan("least-squares", penalty=penalty, penalty_weight=weight, penalty_every=every)
    gan.discriminator_optimizer = SGD(gan.discriminator.parameters(), rate)
    for step in range(3):
        real, fake = Tensor(real_batch(step)), gan.generator(gan.latent(BATCH, "train", step))
        value = penalty(gan.discriminator, real, fake, random.generator(gan.seed, "penalty", step))
        loss = gan.loss.discriminator(gan.discriminator(real), gan.discriminator(fake))
        total = loss + value * (weight * every) if step % every == 0 else loss
        parameters = gan.discriminator.parameters()
        gradients = grad(total, list(parameters.values()))
        expected = {
            name: p.numpy() - rate * g.numpy() for (name, p), g in zip(parameters.items(), gradients, strict=True)
        }
        report = gan.train_step(real)
        assert report["discriminator_loss"].item() == pytest.approx(loss.item(), rel=1e-12)
        assert ("penalty" in report) == (step % every == 0)
        if "penalty" in report:
            assert report["penalty"].item() == pytest.approx(value.item(), rel=1e-12)
            assert report["penalty"].parents == ()
        for name, p in gan.discriminator.parameters().items():
            np.testing.assert_allclose(p.numpy(), expected[name], rtol=0, atol=1e-13)


def test_a_penalty_without_draw_gets_the_same_random_numbers_at_each_pass() -> None:
    """Each pass copies the random generator; the result equals that of wgan_gp, whose numbers are drawn before."""

    def own(*arguments: Any) -> Tensor:
        return penalties.wgan_gp(*arguments)

    gans = [make_gan(rich=True, penalty=penalty) for penalty in (own, penalties.wgan_gp)]
    inputs = gans[0].draw(real_batch(0)).updates[0]
    values = []
    for _ in range(2):
        with preserve_state(gans[0].discriminator):
            values.append(gans[0].discriminator_pass(inputs).objective.item())
    assert values[0] == values[1]
    for step in range(3):
        reports = [gan.train_step(real_batch(step)) for gan in gans]
        for name, value in reports[0].items():
            assert value.item() == reports[1][name].item()


def test_steps_that_skip_the_penalty_equal_steps_of_a_gan_without_one() -> None:
    lazy, plain = make_gan(penalty=penalties.r1, penalty_every=4), make_gan()
    lazy.train_step(real_batch(0))
    plain.load_state(lazy.state())
    for step in (1, 2, 3):
        lazy.train_step(real_batch(step))
        plain.train_step(real_batch(step))
    for name, value in plain.state().items():
        assert lazy.state()[name].tobytes() == value.tobytes(), name
    lazy.train_step(real_batch(4))
    plain.train_step(real_batch(4))
    assert any((lazy.state()[name] != value).any() for name, value in plain.state().items())


def test_batch_norm_in_a_discriminator_with_penalty_warns_once() -> None:
    with pytest.warns(UserWarning, match="the discriminator has batch norm.*leave batch norm out") as caught:
        gan = make_gan(discriminator_norm=True, penalty=penalties.wgan_gp)
    gan.train_step(real_batch(0))  # a second warning would be an error
    assert len(caught) == 1
    make_gan(discriminator_norm=True)
    make_gan(rich=True, penalty=penalties.wgan_gp)  # batch norm in the generator is no problem
    GAN(Dense(2, 3), Sequential(BatchNorm(3).frozen(), Dense(3, 1)), penalty="r1", latent_size=2)  # nor if it is frozen


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_penalty_every_must_be_a_positive_whole_number(every: float) -> None:
    with pytest.raises(ValueError, match=rf"penalty_every is {every}, expected 1"):
        make_gan(penalty=penalties.r1, penalty_every=every)


# Resuming.


@pytest.mark.parametrize("name", penalties.PENALTIES)
@pytest.mark.parametrize("loss", ["wasserstein", "relativistic-average"])
def test_resuming_with_a_penalty_gives_the_same_bits(loss: str, name: str) -> None:
    def make() -> GAN:
        return make_gan(loss, "float32", rich=True, penalty=penalties.get(name), penalty_every=2)

    straight, resumed = make(), make()
    for step in range(3):
        straight.train_step(real_batch(step, "float32"))
    resumed.load_state(straight.state())
    for step in range(3, 6):
        one, two = (gan.train_step(real_batch(step, "float32")) for gan in (straight, resumed))
        assert {key: value.item() for key, value in one.items()} == {key: value.item() for key, value in two.items()}
    for key, value in straight.state().items():
        assert resumed.state()[key].tobytes() == value.tobytes(), key


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resuming_gives_the_same_bits(kernels: str, dtype: str) -> None:
    straight = make_gan(dtype=dtype, rich=True)
    for step in range(3):
        straight.train_step(real_batch(step, dtype))
    state = straight.state()
    assert all(type(value) is np.ndarray for value in state.values())
    resumed = make_gan(dtype=dtype, rich=True)
    resumed.load_state(state)
    for step in range(3, 6):
        straight.train_step(real_batch(step, dtype))
        resumed.train_step(real_batch(step, dtype))
    assert resumed.step == 6
    again = resumed.state()
    for name, value in straight.state().items():
        assert again[name].tobytes() == value.tobytes(), name
        assert again[name].dtype == value.dtype


@pytest.mark.parametrize("kind", ["missing", "unknown", "shape", "dtype"])
def test_a_state_that_does_not_fit_changes_nothing(kind: str) -> None:
    gan = make_gan()
    before = gan.state()
    other = make_gan(dtype="float64")
    other.train_step(real_batch(0))
    state = other.state()
    name = "discriminator_optimizer.v"
    if kind == "missing":
        del state[name]
    elif kind == "unknown":
        state["discriminator.9.weight"] = np.zeros(3)
    elif kind == "shape":
        state[name] = state[name][:-1]
    else:
        state[name] = state[name].astype(np.float32)
    with pytest.raises(ValueError, match=r"discriminator_optimizer\.v|discriminator\.9\.weight"):
        gan.load_state(state)
    for key, value in gan.state().items():
        np.testing.assert_array_equal(value, before[key])


# Sampling.


@pytest.mark.parametrize("training", [True, False])
def test_sampling_changes_nothing(training: bool) -> None:
    gan = make_gan(rich=True)
    gan.train_step(real_batch(0))
    gan.generator.train(training)
    modes = [m.training for m in gan.generator.modules()]
    before = gan.state()
    samples = gan.sample(gan.latent(4, "look"))
    assert [m.training for m in gan.generator.modules()] == modes
    assert samples.parents == ()
    for name, value in gan.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_samples_use_the_running_statistics() -> None:
    gan = make_gan(rich=True)
    for step in range(3):
        gan.train_step(real_batch(step))
    z = gan.latent(6, "look")
    np.testing.assert_allclose(gan.sample(z).numpy()[:1], gan.sample(z[:1]).numpy(), rtol=1e-12)
    np.testing.assert_array_equal(gan.sample(z).numpy(), gan.generator.eval()(z).numpy())


def test_sampling_restores_the_mode_after_an_error() -> None:
    gan = make_gan(rich=True)
    gan.generator.layers[-1].forward = lambda x: x.fails  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="fails"):
        gan.sample(np.ones((2, LATENT)))
    assert all(m.training for m in gan.generator.modules())


def test_latents_are_a_pure_function_of_seed_purpose_and_step() -> None:
    gan = make_gan()
    expected = gan.latent(5, "train", 2).numpy()
    np.random.seed(1)  # must not matter
    gan.train_step(real_batch(0))
    np.testing.assert_array_equal(gan.latent(5, "train", 2).numpy(), expected)
    others = [gan.latent(5, "train", 3), gan.latent(5, "look", 2)]
    gan.seed += 1
    others.append(gan.latent(5, "train", 2))
    assert all((other.numpy() != expected).all() for other in others)


def test_latents_are_standard_normal() -> None:
    gan = make_gan(dtype="float32")
    drawn = np.concatenate([gan.latent(2000, "train", step).numpy() for step in range(5)])
    assert drawn.dtype == np.float32
    assert drawn.shape == (10_000, LATENT)
    assert np.abs(drawn.mean(axis=0)).max() < 5 / 100
    assert np.abs(np.cov(drawn.T) - np.eye(LATENT)).max() < 5 * np.sqrt(2) / 100


def test_a_one_dimensional_gan_learns() -> None:
    """The mean of the fakes moves to that of the data."""
    rng = np.random.default_rng(0)
    generator, discriminator = Sequential(Dense(1, 1, rng)), Sequential(Dense(1, 8, rng), LeakyReLU(), Dense(8, 1, rng))
    gan = GAN(
        generator, discriminator, losses.get("non-saturating"),
        Adam(generator.parameters(), 0.01), Adam(discriminator.parameters(), 0.02), latent_size=1,
    )  # fmt: skip
    z = gan.latent(500, "look")
    start = gan.sample(z).numpy().mean()
    for _ in range(300):
        gan.train_step(rng.normal(3.0, 1.0, (64, 1)).astype(np.float32))
    assert abs(start) < 0.5
    assert abs(gan.sample(z).numpy().mean() - 3.0) < 1.0
    assert mg.GAN is GAN


# Dropout masks, which are drawn before the step.


def _gan_with_dropout(widths: tuple[int, int] = (6, 6)) -> GAN:
    """Dropout in both networks; the masks of the discriminator's two layers have `widths`."""
    rng = np.random.default_rng(0)
    generator = Sequential(Dense(2, 6, rng), LeakyReLU(0.2), Dropout(0.3, seed=1), Dense(6, 2, rng))
    discriminator = Sequential(
        Dense(2, widths[0], rng), LeakyReLU(0.2), Dropout(0.5, seed=2),
        Dense(widths[0], widths[1], rng), LeakyReLU(0.2), Dropout(0.4, seed=3), Dense(widths[1], 1, rng),
    )  # fmt: skip
    optimizers = [Adam(network.parameters(), 0.01) for network in (generator, discriminator)]
    return GAN(generator, discriminator, losses.get("minimax"), *optimizers, latent_size=2)


DROPOUT_CHANGES: dict[str, Callable[[GAN], object]] = {
    "the first layer's rate to 0": lambda gan: setattr(gan.discriminator[2], "rate", 0.0),
    "the second layer's rate to 0": lambda gan: setattr(gan.discriminator[5], "rate", 0.0),
    "another rate": lambda gan: setattr(gan.discriminator[2], "rate", 0.9),
    "a layer in eval mode": lambda gan: gan.discriminator[2].eval(),
    "a network in eval mode": lambda gan: gan.generator.eval(),
    "another loss": lambda gan: setattr(gan, "loss", losses.get("relativistic-average")),
}


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(6, 6), (6, 5)])
@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize("change", DROPOUT_CHANGES)
def test_masks_drawn_before_a_step_equal_those_drawn_by_its_passes(
    change: str, replay: bool, widths: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a setting of a layer has changed between two steps, and changed back."""

    def trained_state() -> dict[str, bytes]:
        gan = _gan_with_dropout(widths)
        rates = [gan.discriminator[2].rate, gan.discriminator[5].rate]
        for step in range(12):
            if step == 5:
                DROPOUT_CHANGES[change](gan)
            if step == 9:
                gan.discriminator[2].rate, gan.discriminator[5].rate = rates
                gan.generator.train()
            gan.train_step(np.random.default_rng(step).standard_normal((4, 2)).astype(np.float32))
        return {name: value.tobytes() for name, value in gan.state().items()}

    mg.use("numpy", "auto", replay=replay)
    before = trained_state()
    mg.use("numpy", "auto", replay=False)
    monkeypatch.setattr(draws.LayerDraws, "add", lambda self, gan, inputs: inputs)  # the passes draw their masks
    assert trained_state() == before


def test_a_dropout_layer_in_both_networks_counts_each_draw_once() -> None:
    rng, shared = np.random.default_rng(0), Dropout(0.5, seed=2)
    networks = [Sequential(Dense(2, 6, rng), shared, Dense(6, outputs, rng)) for outputs in (2, 1)]
    optimizers = [Adam(network.parameters(), 0.01) for network in networks]
    gan = GAN(*networks, losses.get("minimax"), *optimizers, latent_size=2)
    gan.train_step(np.ones((4, 2), np.float32))
    assert shared.draws.item() == 3  # one pass of the generator, and two of the discriminator


def test_mask_requests_are_kept_for_a_limited_number_of_signatures() -> None:
    gan = _gan_with_dropout()
    for count in range(1, 20):
        gan.draw(np.ones((count, 2), np.float32))
    assert len(gan._masks._cache) == 8


def test_a_dropout_rate_that_changes_after_the_draw_raises() -> None:
    gan = _gan_with_dropout()
    inputs = gan.draw(np.ones((4, 2), np.float32))
    gan.discriminator[2].rate = 0.0
    with pytest.raises(RuntimeError, match="did not use 2 of the arrays that were drawn for it; the numbers are drawn"):
        gan.run_step(inputs)
