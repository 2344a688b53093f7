"""Conditional GANs: batches (x, y) through every rule, penalty and loss, and discriminators with several outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from support.differences import derivative
from support.small_gan import (
    CONDITION,
    DATA,
    LATENT,
    ConditionalNetwork,
    TwoHeads,
    conditional_batch,
    make_conditional_gan,
)

import minigan as mg
from minigan import GAN, Rules, Tensor, losses, nn, ops, penalties
from minigan.core import backend
from minigan.gan.inputs import UpdateInputs
from minigan.gan.interface import Pass
from minigan.nn.module import preserve_state


class ClassLoss(losses.Loss):
    """An AC-GAN's loss (Odena et al., 2017): hinge, and the cross-entropy of the class y, here as one-hot rows."""

    name = "class"
    multi_head = uses_condition = True

    def discriminator(self, real: Any, fake: Any, condition: Any = None) -> Tensor:
        return losses.get("hinge").discriminator(real[0], fake[0]) + self._classes(real, condition)

    def generator(self, fake: Any, real: Any = None, condition: Any = None) -> Tensor:
        return losses.get("hinge").generator(fake[0]) + self._classes(fake, condition)

    def _classes(self, outputs: Any, y: Any) -> Tensor:
        """mean (log sum exp(l) - <y, l>)."""
        total = ops.log(ops.sum(ops.exp(outputs[1]), axis=1)) - ops.sum(outputs[1][:, :CONDITION] * y, axis=1)
        return ops.mean(total)


def ac_gan(**options: Any) -> GAN:
    return make_conditional_gan(discriminator=TwoHeads(np.random.default_rng(4)), loss=ClassLoss(), **options)


GANS: dict[str, Callable[..., GAN]] = {
    "plain": make_conditional_gan,
    "wgan-gp": lambda **o: make_conditional_gan(
        loss="wasserstein", penalty=penalties.get("wgan-gp"), rules=Rules(n_critic=2), **o
    ),
    "r1+r2": lambda **o: make_conditional_gan(penalty=penalties.r1_and_r2, **o),
    "dragan, relativistic": lambda **o: make_conditional_gan(
        loss="relativistic-pairing", penalty=penalties.dragan, ema_decay=0.9, **o
    ),
    "packing": lambda **o: make_conditional_gan(packing=2, rules=Rules(packing=2), penalty=penalties.r1_and_r2, **o),
    "unrolled": lambda **o: make_conditional_gan(rules=Rules(unroll_steps=2, simultaneous=True), **o),
    "dropout": lambda **o: make_conditional_gan(dropout=True, penalty=penalties.r1, penalty_every=2, **o),
    "noise": lambda **o: make_conditional_gan(rules=Rules(label_smoothing=0.1, instance_noise=0.3), **o),
    "two heads": ac_gan,
    "term": lambda **o: make_conditional_gan(
        generator_term=lambda fake, real, condition: ops.mean((fake - real) ** 2) * ops.mean(condition**2),
        generator_term_weight=3.0,
        adversarial_weight=0.5,
        **o,
    ),
    "two heads, penalty, unrolled": lambda **o: ac_gan(
        penalty=penalties.get("r1+r2"), rules=Rules(unroll_steps=1, n_critic=2), **o
    ),
}


def batch_for(gan: GAN, step: int, dtype: str = "float64") -> tuple[Any, Any]:
    return conditional_batch(step, 8 * gan.rules.n_critic, dtype, gan.rules.packing)


@pytest.mark.parametrize("kind", GANS)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_gradients_agree_with_finite_differences(kind: str, player: str) -> None:
    gan = GANS[kind]()
    inputs = gan.draw(batch_for(gan, 0)).updates[-1]
    weights = list(getattr(gan, player).parameters().values())
    rng = np.random.default_rng(1)
    before, direction = [w.numpy() for w in weights], [rng.standard_normal(w.shape) for w in weights]

    def objective() -> Tensor:
        with preserve_state(gan.generator, gan.discriminator):  # the same dropout masks each time
            result: Pass = getattr(gan, f"{player}_pass")(inputs)
            return result.objective

    def along(t: float) -> float:
        for w, start, step in zip(weights, before, direction, strict=True):
            w.assign(start + t * step)
        value = objective().item()
        for w, start in zip(weights, before, strict=True):
            w.assign(start)
        return value

    found = sum((g.numpy() * d).sum() for g, d in zip(mg.grad(objective(), weights), direction, strict=True))
    expected, bound = derivative(along, 0.005)
    assert abs(expected) > 1e-4
    assert abs(found - expected) < 1e-7 + 10 * bound


@pytest.mark.parametrize("penalty", ["wgan-gp", "r1", "r2", "r1+r2", "zero-centred", "dragan"])
def test_a_condition_is_an_input_that_the_penalty_does_not_move(penalty: str) -> None:
    """A second implementation: the critic as a function of x alone, one example after another with its own y."""
    gan = make_conditional_gan(penalty=penalties.get(penalty), penalty_weight=2.0)
    x, y = conditional_batch(0)
    inputs = gan.draw((x, y)).updates[0]
    d_pass = gan.discriminator_pass(inputs)
    real, fake = d_pass.discriminator_inputs
    draws = inputs.penalty_draws
    each = []
    for i in range(len(x)):
        if penalty == "dragan":  # its noise depends on the deviation over the batch
            spread = Tensor(real.numpy() + draws.numpy() * real.numpy().std() * 0.5)
            points = (spread[i : i + 1],)
            goal = 1.0
        else:
            u = 0.0 if draws is None else draws[i : i + 1]
            pair = real[i : i + 1], fake[i : i + 1]
            points, goal = {
                "wgan-gp": ((pair[1] + u * (pair[0] - pair[1]),), 1.0),
                "zero-centred": ((pair[1] + u * (pair[0] - pair[1]),), 0.0),
                "r1": (pair[:1], 0.0), "r2": (pair[1:], 0.0), "r1+r2": (pair, 0.0),
            }[penalty]  # fmt: skip
        for point in points:
            (g,) = mg.grad(ops.sum(gan.discriminator(point, y[i : i + 1])), [point])
            each.append((np.linalg.norm(g.numpy()) - goal) ** 2 * (0.5 if penalty in ("r1", "r2", "r1+r2") else 1.0))
    assert d_pass.penalty is not None
    np.testing.assert_allclose(d_pass.penalty.item(), np.sum(each) / len(x), rtol=1e-10)


def test_networks_get_the_condition_of_their_examples() -> None:
    """The logits are those of the networks called by hand, example by example."""
    gan = make_conditional_gan()
    x, y = conditional_batch(0)
    inputs = gan.draw((x, y)).updates[0]
    d_pass, g_pass = gan.discriminator_pass(inputs), gan.generator_pass(inputs)
    latent = inputs.latent.numpy()
    for i in range(len(x)):
        fake = gan.generator(latent[i : i + 1], y[i : i + 1])
        np.testing.assert_allclose(d_pass.fake.numpy()[i : i + 1], fake.numpy(), rtol=1e-12)
        assert d_pass.real_logits is not None
        for logits, example in ((d_pass.real_logits, x[i : i + 1]), (d_pass.fake_logits, fake)):
            expected = gan.discriminator(example, y[i : i + 1]).item()
            np.testing.assert_allclose(logits.numpy()[i, 0], expected, rtol=1e-12)
        np.testing.assert_allclose(g_pass.fake_logits.numpy()[i], d_pass.fake_logits.numpy()[i], rtol=1e-12)


def test_a_pack_has_one_condition() -> None:
    gan = GANS["packing"]()
    x, y = batch_for(gan, 0)
    d_pass = gan.discriminator_pass(gan.draw((x, y)).updates[0])
    assert d_pass.real_logits is not None
    for i in range(4):
        pack = x[2 * i : 2 * i + 2].reshape(1, -1)
        expected = gan.discriminator(pack, y[2 * i : 2 * i + 1]).item()
        np.testing.assert_allclose(d_pass.real_logits.numpy()[i, 0], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="examples of a pack have different ones; order the batch"):
        gan.train_step(conditional_batch(0))


def train(gan: GAN, replay: bool, dtype: str, steps: int = 10) -> list[Any]:
    mg.use(backend.current(), backend.current().kernels, replay=replay)
    reports = [gan.train_step(batch_for(gan, step, dtype)) for step in range(steps)]
    values: list[Any] = [{name: value.numpy().tobytes() for name, value in report.items()} for report in reports]
    return [*values, {name: value.tobytes() for name, value in gan.state().items()}]


@pytest.mark.parametrize("kind", GANS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_replayed_steps_give_the_bits_of_plain_ones(kind: str, dtype: str, kernels: str) -> None:
    plain, replayed = GANS[kind](dtype=dtype), GANS[kind](dtype=dtype)
    assert train(plain, replay=False, dtype=dtype) == train(replayed, replay=True, dtype=dtype)
    if (backend.current().name, kernels) != ("cupy", "reference"):
        assert replayed.replay.fallback_reason is None
        assert replayed.replay.steps > 0


@pytest.mark.parametrize("kind", ["plain", "packing", "dropout", "two heads, penalty, unrolled"])
def test_steps_on_a_device_give_the_numbers_of_the_host(kind: str, standin: Any) -> None:
    on_host = GANS[kind]()
    train(on_host, replay=False, dtype="float64", steps=5)
    _, y = conditional_batch(0)
    samples = on_host.sample(4, y[:4]).numpy()
    mg.use("cupy", "reference")
    gan = GANS[kind]()
    train(gan, replay=True, dtype="float64", steps=5)
    expected = on_host.state()
    for name, value in gan.state().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(gan.sample(4, y[:4]).numpy(), samples, rtol=1e-6)


def test_conditions_are_inputs_of_a_step() -> None:
    assert "condition" in {field.name for field in fields(UpdateInputs)}
    gan = GANS["wgan-gp"]()
    x, y = batch_for(gan, 0)
    first, second = gan.draw((x, y)).updates
    assert first.condition is not None
    assert second.condition is not None
    np.testing.assert_array_equal(np.concatenate([first.condition.numpy(), second.condition.numpy()]), y)


class _Numbers(nn.Module):
    """Class numbers (n,) as one column beside the input."""

    def __init__(self, network: nn.Module) -> None:
        self.network = ConditionalNetwork(network)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        assert y.shape == (len(x),)
        return self.network(x, ops.reshape(y, (len(x), 1)))


@pytest.mark.parametrize("labels", [np.arange(8) % 3, (np.arange(8) % 3).astype(np.uint8), [0, 1, 2, 0, 1, 2, 0, 1]])
def test_class_numbers_of_any_kind_are_conditions(labels: Any) -> None:
    rng = np.random.default_rng(0)
    networks = _Numbers(nn.Dense(LATENT + 1, DATA, rng)), _Numbers(nn.Dense(DATA + 1, 1, rng))
    optimizers = [mg.optim.Adam(network.astype("float32").parameters()) for network in networks]
    gan = GAN(*networks, losses.get("hinge"), *optimizers, latent_size=LATENT)
    for step in range(5):
        report = gan.train_step((conditional_batch(step)[0], labels))
    assert np.isfinite(report["generator_loss"].item())
    assert gan.sample(np.zeros((8, LATENT)), labels).shape == (8, DATA)
    assert gan.first_nonfinite_gradient() is None


def test_a_sample_is_the_average_generator_at_latent_and_condition() -> None:
    gan = GANS["dragan, relativistic"]()
    for step in range(12):
        gan.train_step(conditional_batch(step))
    latent, (_, y) = gan.latent(8, "samples"), conditional_batch(0)
    assert gan.ema is not None
    np.testing.assert_array_equal(gan.sample(latent, y).numpy(), gan.ema.network(latent, y).numpy())


def test_a_nonfinite_gradient_is_found() -> None:
    gan = make_conditional_gan()
    x, y = conditional_batch(0)
    gan.train_step((x, y))
    y[3, 0] = np.nan
    gan.train_step((x, y))
    step, name = gan.first_nonfinite_gradient() or (0, "")
    assert step == 2
    assert name.startswith("discriminator.")


def test_a_class_loss_by_hand() -> None:
    """The objectives of an AC-GAN are a hinge loss and mean log softmax of the true class, computed with NumPy."""
    gan = ac_gan()
    x, _ = conditional_batch(0)
    y = np.eye(CONDITION)[np.arange(8) % CONDITION]
    inputs = gan.draw((x, y)).updates[0]
    d_pass, g_pass = gan.discriminator_pass(inputs), gan.generator_pass(inputs)

    def outputs(examples: Any) -> list[np.ndarray]:
        return [output.numpy() for output in gan.discriminator(examples, y)]

    def cross_entropy(logits: np.ndarray) -> float:
        return float(-np.log((np.exp(logits)[:, :CONDITION] * y).sum(1) / np.exp(logits).sum(1)).mean())

    (real, real_classes), (fake, fake_classes) = outputs(x), outputs(d_pass.fake)
    hinge = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    np.testing.assert_allclose(d_pass.objective.item(), hinge + cross_entropy(real_classes), rtol=1e-12)
    np.testing.assert_allclose(g_pass.objective.item(), -fake.mean() + cross_entropy(fake_classes), rtol=1e-12)
    np.testing.assert_allclose(d_pass.fake_logits.numpy(), fake, rtol=1e-12)


# What is wrong, what was expected, what to do.


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x, y: (x, y[:5]), "a batch of 8 examples has 5 conditions; expected one for each"),
        (lambda x, y: (x, y, y), "got a tuple of 3"),
        (lambda x, y: (x, 3.0), "the conditions are the single number 3.0; expected an array"),
        (lambda x, y: (x, np.array(["a"] * 8)), "the conditions are an array of <U1; expected real numbers"),
        (lambda x, y: (x, np.zeros((8, 4, 4), np.uint8)), "the conditions are uint8, from 0 to 255"),
    ],
)
def test_a_batch_that_is_no_pair_of_equal_lengths(change: Any, sentence: str) -> None:
    gan = make_conditional_gan()
    with pytest.raises((ValueError, TypeError), match=sentence):
        gan.train_step(change(*conditional_batch(0)))
    assert gan.step == 0


def test_a_loss_without_its_condition() -> None:
    rng = np.random.default_rng(0)
    generator, discriminator = nn.Dense(LATENT, DATA, rng), TwoHeads(rng)
    optimizers = [mg.optim.Adam(network.parameters()) for network in (generator, discriminator)]
    gan = GAN(generator, discriminator, ClassLoss(), *optimizers, latent_size=LATENT)
    with pytest.raises(ValueError, match="the loss 'class' uses the condition y, but the batch has none"):
        gan.train_step(conditional_batch(0, dtype="float32")[0])


def test_several_outputs_for_a_loss_of_logits() -> None:
    gan = make_conditional_gan(discriminator=TwoHeads(np.random.default_rng(4)))
    with pytest.raises(TypeError, match="returned 2 outputs, but the loss 'non-saturating' takes logits alone"):
        gan.train_step(conditional_batch(0))


class _Returns(nn.Module):
    """A discriminator whose output is `function(logits)`."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.network, self._function = nn.Dense(DATA + CONDITION, 1, np.random.default_rng(0)), function

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self._function(self.network(ops.concatenate([x, y], axis=1)))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: [x], "returned a list; expected its logits"),
        (lambda x: (x, None), "returned a tuple of Tensor, NoneType; expected its logits"),
        (lambda x: (), "returned a tuple of nothing"),
        (lambda x: ops.mean(x), r"turned 16 inputs into outputs of shape \(\); expected logits \(n, 1\)"),
        (lambda x: x[:3], r"turned 16 inputs into outputs of shape \(3, 1\)"),
    ],
)
def test_outputs_that_are_no_logits(function: Any, sentence: str) -> None:
    gan = make_conditional_gan(discriminator=_Returns(function))
    with pytest.raises((ValueError, TypeError), match=sentence):
        gan.train_step(conditional_batch(0))


def test_a_conditioned_critic_gets_a_whole_number_of_batches() -> None:
    gan = make_conditional_gan(penalty=lambda critic, real, fake, draws: ops.mean(critic(real[:5])))
    with pytest.raises(ValueError, match="got 5 examples, which is no multiple of the 8 conditions"):
        gan.train_step(conditional_batch(0))


def test_labels_of_a_loss_with_conditions_are_not_smoothed() -> None:
    with pytest.raises(ValueError, match="the loss 'class' uses no labels that could be smoothed"):
        ac_gan(rules=Rules(label_smoothing=0.1))
