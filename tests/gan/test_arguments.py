"""Arguments of a GAN are checked where they are given: each mistake has one sentence that says what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.small_gan import DATA, LATENT, make_gan, real_batch

import minigan as mg
from minigan import GAN, Rules, losses, nn, ops, penalties
from minigan.optim import SGD, Adam, schedules


def network(inputs: int, outputs: int, seed: int = 0) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Dense(inputs, 6, rng), nn.Tanh(), nn.Dense(6, outputs, rng))


def build(generator: Any = None, discriminator: Any = None, *arguments: Any, **options: Any) -> GAN:
    generator = network(LATENT, DATA) if generator is None else generator
    discriminator = network(DATA, 1, seed=1) if discriminator is None else discriminator
    return GAN(generator, discriminator, *arguments, **{"latent_size": LATENT} | options)


def bits(gan: GAN) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in gan.state().items()}


def trained(gan: GAN, dtype: str = "float32", steps: int = 5) -> dict[str, bytes]:
    for step in range(steps):
        gan.train_step(real_batch(step, dtype))
    return bits(gan)


def test_names_stand_for_losses_and_penalties() -> None:
    by_name = build(None, None, "hinge", penalty="r1+dragan")
    by_value = build(None, None, losses.get("hinge"), penalty=penalties.get("r1+dragan"))
    assert trained(by_name) == trained(by_value)
    assert by_name.loss.name == "hinge"


def test_optimizers_that_are_left_out_are_adam() -> None:
    left_out, given = build(), build()
    g, d = network(LATENT, DATA), network(DATA, 1, seed=1)
    given = build(g, d, "non-saturating", Adam(g, 2e-4, beta1=0.5, beta2=0.999), Adam(d, 2e-4, beta1=0.5, beta2=0.999))
    assert trained(left_out) == trained(given)


class _Subset(nn.Module):
    def __init__(self) -> None:
        self.network, self.fixed = network(DATA, 1, seed=1), nn.Dense(1, 1, np.random.default_rng(0))

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.fixed(self.network(x))


def test_an_optimizer_of_some_of_the_parameters_leaves_the_others() -> None:
    discriminator = _Subset()
    before = discriminator.fixed.parameters()["weight"].numpy()
    gan = build(None, discriminator, "hinge", None, Adam(discriminator.network))
    trained(gan)
    np.testing.assert_array_equal(discriminator.fixed.parameters()["weight"].numpy(), before)


def _shared_layer() -> GAN:
    generator, discriminator = network(LATENT, DATA), network(DATA, 1)
    discriminator.layers[0].bias = generator.layers[0].bias  # type: ignore[attr-defined]
    return build(generator, discriminator)


def _stale_optimizer() -> GAN:
    generator = network(LATENT, DATA)
    first = Adam(generator)
    Adam(generator)
    return build(generator, None, "hinge", first)


def _exchanged_optimizers() -> GAN:
    generator, discriminator = network(LATENT, DATA), network(DATA, 1)
    return build(generator, discriminator, "hinge", Adam(discriminator), Adam(generator))


class _LossOfOneArgument(losses.Hinge):
    def generator(self, fake: Any) -> mg.Tensor:  # type: ignore[override]
        return -ops.mean(fake)


class _LossOfOnePlayer(losses.Loss):
    def discriminator(self, real: Any, fake: Any) -> mg.Tensor:
        return ops.mean(fake) - ops.mean(real)


class _LossWithoutCondition(losses.Hinge):
    uses_condition = True


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "class of a network": (
        lambda: build(nn.Sequential), TypeError,
        r"the generator is the class Sequential; make an instance of it: Sequential\(...\)",
    ),
    "function as a network": (
        lambda: build(None, lambda x: x), TypeError, "the discriminator is a function; expected a Module, such as",
    ),
    "network without parameters": (
        lambda: build(nn.Sequential(nn.Tanh())), ValueError, "the generator has no parameters to train; set them",
    ),
    "one network twice": (
        lambda: build(*[network(LATENT, LATENT)] * 2), ValueError,
        "generator and discriminator share 4 parameters, such as '0.weight', but .*; make two networks",
    ),
    "shared layer": (_shared_layer, ValueError, "share 1 parameters, such as '0.bias'"),
    "two dtypes": (
        lambda: build(network(LATENT, DATA).astype("float64")), TypeError,
        "the generator computes with float64, the discriminator with float32; convert one with astype",
    ),
    "class of a loss": (lambda: build(None, None, losses.Hinge), TypeError, r"the loss is the class Hinge; make"),
    "no loss": (lambda: build(None, None, None), TypeError, "the loss is None; expected a name such as 'hinge', or"),
    "unknown loss": (lambda: build(None, None, "hinges"), mg.errors.UsageError, "there is no loss 'hinges'; did you"),
    "loss without an argument": (
        lambda: build(None, None, _LossOfOneArgument()), TypeError,
        r"has a method generator of fake, which are other arguments .*; define generator\(self, fake, real\)",
    ),
    "loss of one player": (
        lambda: build(None, None, _LossOfOnePlayer()), TypeError,
        r"the loss '_LossOfOnePlayer' lacks a method; define generator\(self, fake, real\)",
    ),
    "loss that misses its condition": (
        lambda: build(None, None, _LossWithoutCondition()), TypeError,
        r"; define generator\(self, fake, real, condition\)",
    ),
    "class of an optimiser": (
        lambda: build(None, None, "hinge", Adam), TypeError, r"the generator's optimiser is the class Adam; make an",
    ),
    "name of an optimiser": (
        lambda: build(None, None, "hinge", None, "adam"), TypeError,
        r"the discriminator's optimiser is 'adam'; expected such as optim.Adam\(network\)",
    ),
    "exchanged optimisers": (
        _exchanged_optimizers, ValueError,
        "the generator's optimiser has the discriminator's parameters; give the optimisers in the order generator,",
    ),
    "optimiser of another network": (
        lambda: build(None, None, "hinge", Adam(network(2, 2))), ValueError,
        "the generator's optimiser has the parameter '0.weight', which is not in the generator; make it with",
    ),
    "optimiser that lost its parameters": (
        _stale_optimizer, ValueError, "the generator's optimiser lost its parameters to another that was made for them",
    ),
    "unknown penalty": (lambda: build(penalty="r3"), mg.errors.UsageError, "there is no penalty 'r3'; did you mean"),
    "number as a penalty": (lambda: build(penalty=10.0), TypeError, "the penalty is 10.0; expected a name such as"),
    "class as a penalty": (lambda: build(penalty=nn.Tanh), TypeError, "the penalty is the class Tanh; expected a name"),
    "penalty of three arguments": (
        lambda: build(penalty=lambda critic, real, fake: ops.mean(real)), TypeError,
        r"the penalty <lambda>\(critic, real, fake\) takes other arguments .* expected a function \(critic, real,",
    ),
    "latent size of 0": (lambda: build(latent_size=0), ValueError, "latent_size is 0, expected the number of inputs"),
    "latent shape": (lambda: build(latent_size=(3, 4)), ValueError, r"latent_size is \(3, 4\), expected"),
    "seed as text": (lambda: build(seed="1"), ValueError, "the seed is '1', expected a whole number from 0 up"),
    "average as text": (lambda: build(ema_decay="0.9"), TypeError, "ema_decay is '0.9', expected a number"),
    "penalty weight as text": (
        lambda: build(penalty_weight="10"), TypeError, "penalty_weight is '10'; expected a number or a schedule",
    ),
    "class of a schedule": (
        lambda: build(penalty_weight=schedules.Linear), TypeError, "penalty_weight is the class Linear; expected a",
    ),
    "negative penalty weight": (lambda: build(penalty_weight=-1.0), ValueError, "penalty_weight is -1.0, expected"),
    "rules as a dict": (lambda: build(rules={"n_critic": 5}), TypeError, r"rules is a dict; expected such as Rules\(n"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_has_its_sentence(mistake: str) -> None:
    make, kind, sentence = MISTAKES[mistake]
    with pytest.raises(kind, match=sentence):
        make()


def test_a_penalty_may_take_its_arguments_in_any_form() -> None:
    def keywords(*given: Any, **others: Any) -> mg.Tensor:
        return ops.mean(given[1])

    for penalty in (keywords, functools.partial(penalties.r1), np.frompyfunc(lambda *x: x, 4, 1)):
        assert build(penalty=penalty).penalty is penalty


# The shapes of networks and data.


def _packed() -> GAN:
    return build(None, network(DATA, 1), rules=Rules(packing=2))


MISFITS: dict[str, tuple[Callable[[], GAN], tuple[int, ...], str]] = {
    "latent size": (
        lambda: build(latent_size=LATENT + 1), (8, DATA),
        r"the generator fails on latent vectors of shape \(8, 4\): Dense\(3, 6\) takes \(batch, 3\), got shape \(8,",
    ),
    "samples of another shape": (
        lambda: build(network(LATENT, 7)), (8, DATA),
        r"the generator makes samples of shape \(7,\), but the data's examples have shape \(4,\); change the",
    ),
    "data of another shape": (
        build, (8, 28, 28, 1),
        r"the generator makes samples of shape \(4,\), but the data's examples have shape \(28, 28, 1\); .* reshape",
    ),
    "discriminator": (
        lambda: build(None, network(5, 1)), (8, DATA),
        r"the discriminator fails on data of shape \(8, 4\): Dense\(5, 6\) takes \(batch, 5\), got shape \(8, 4\)",
    ),
    "packs": (_packed, (8, DATA), r"the discriminator fails on data of shape \(4, 8\): Dense\(4, 6\) takes"),
    "exchanged networks": (
        lambda: build(network(DATA, 1), network(LATENT, DATA)), (8, DATA),
        "the generator fails on latent vectors .*, but not on the data; are generator and discriminator exchanged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISFITS)
def test_networks_that_do_not_fit_are_named_with_both_shapes(kind: str) -> None:
    make, shape, sentence = MISFITS[kind]
    gan = make()
    before = bits(gan)
    with pytest.raises(ValueError, match=sentence):
        gan.train_step(np.zeros(shape, np.float32))
    assert bits(gan) == before


def test_unequal_shapes_that_no_layer_notices() -> None:
    """With batch norm reals and fakes have passes of their own, and Flatten takes both shapes."""
    rng = np.random.default_rng(0)
    discriminator = nn.Sequential(nn.Flatten(), nn.Dense(DATA, 6, rng), nn.BatchNorm(6), nn.Dense(6, 1, rng))
    gan = build(None, discriminator)
    with pytest.raises(ValueError, match=r"samples of shape \(4,\), but the data's examples have shape \(2, 2\)"):
        gan.train_step(np.zeros((8, 2, 2), np.float32))


def test_pairs_for_networks_of_one_input() -> None:
    with pytest.raises(
        ValueError, match=r"the generator fails on .* with conditions of shape \(7,\): .*batches x need"
    ):
        build().train_step((real_batch(0), np.zeros(7)))


def test_errors_of_other_kinds_stay_as_they_are() -> None:
    def broken(critic: Any, real: Any, fake: Any, draws: Any) -> mg.Tensor:
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        build(penalty=broken).train_step(real_batch(0))
    with pytest.raises(ValueError, match="must be a multiple of 2, not 7"):
        build(rules=Rules(n_critic=2)).train_step(real_batch(0))


class _Returns(losses.Loss):
    def __init__(self, value: Callable[[Any], Any]) -> None:
        self._value = value

    def discriminator(self, real: Any, fake: Any) -> Any:
        return self._value(fake)

    def generator(self, fake: Any, real: Any = None) -> Any:
        return self._value(fake)


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (
            lambda fake: float(fake.numpy().mean()),
            TypeError,
            "the discriminator's loss is a float, expected a scalar",
        ),
        (lambda fake: None, TypeError, "the discriminator's loss is a NoneType, expected a scalar Tensor"),
        (
            lambda fake: fake,
            ValueError,
            r"the discriminator's loss has shape \(7, 1\), expected a scalar, such as the mean",
        ),
    ],
)
def test_a_loss_is_a_scalar_tensor(value: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        build(None, None, _Returns(value)).train_step(real_batch(0))


@pytest.mark.parametrize(("value", "error"), [(None, TypeError), (mg.Tensor([1.0, 2.0]), ValueError)])
def test_a_penalty_is_a_scalar_tensor(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"the penalty .*, expected a scalar"):
        build(penalty=lambda critic, real, fake, draws: value).train_step(real_batch(0))


def test_a_generator_loss_is_a_scalar_tensor() -> None:
    class Own(losses.Hinge):
        def generator(self, fake: Any, real: Any = None) -> Any:
            return fake

    with pytest.raises(ValueError, match=r"the generator's loss has shape \(7, 1\), expected a scalar"):
        build(None, None, Own()).train_step(real_batch(0))


@pytest.mark.parametrize("loss", ["non-saturating", "minimax", "hinge"])
def test_probabilities_are_no_logits(loss: str) -> None:
    discriminator = nn.Sequential(*network(DATA, 1).layers, nn.Sigmoid())
    with pytest.warns(UserWarning, match=f"ends in Sigmoid, but the loss '{loss}' takes logits"):
        build(None, discriminator, loss)


@pytest.mark.parametrize("setting", ["label_smoothing", "instance_noise", "unroll_rate"])
def test_rules_are_numbers(setting: str) -> None:
    with pytest.raises(TypeError, match=f"{setting} is '0.1', expected a number"):
        Rules(**{setting: "0.1"})  # type: ignore[arg-type]


def test_a_loss_of_ones_own_trains_as_the_one_of_the_library() -> None:
    class Own(losses.Loss):
        def discriminator(self, real: Any, fake: Any) -> mg.Tensor:
            return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))

        def generator(self, fake: Any, real: Any = None) -> mg.Tensor:
            return -ops.mean(fake)

    assert build(None, None, Own()).loss.name == "Own"
    assert trained(build(None, None, Own())) == trained(build(None, None, "hinge"))


# Numbers of other dtypes.


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool"])
def test_numbers_are_converted_to_the_networks_dtype(dtype: str) -> None:
    data = (np.random.default_rng(0).uniform(-2, 2, (7, DATA)) * 2).astype(dtype)
    converted, direct = build(), build()
    for _ in range(5):
        converted.train_step(data)
        direct.train_step(data.astype("float32"))
    assert bits(converted) == bits(direct)
    assert bits(converted) == _after(data.tolist())
    assert bits(converted) == _after(mg.Tensor(data))


def _after(data: Any) -> dict[str, bytes]:
    gan = build()
    for _ in range(5):
        gan.train_step(data)
    return bits(gan)


def test_networks_of_float64_take_data_of_float32() -> None:
    gan, twin = make_gan(), make_gan()
    gan.train_step(real_batch(0, "float32"))
    twin.train_step(real_batch(0, "float32").astype("float64"))
    assert bits(gan) == bits(twin)


BATCHES: dict[str, tuple[Any, type[Exception], str]] = {
    "8-bit pictures": (
        np.zeros((8, DATA), np.uint8), TypeError,
        r'the data are uint8, from 0 to 255, but the networks compute with float32; scale them, such as',
    ),
    "ragged lists": ([[1.0, 2.0], [3.0]], ValueError, "the data are no array: the lists in them differ in length"),
    "a list for a pair": (
        [np.zeros((8, DATA)), np.zeros(8)], ValueError, r"or hold arrays of several shapes; a pair \(x, y\) is a tuple",
    ),
    "none": (None, TypeError, "the data are a NoneType; expected real numbers"),
    "text": (np.array(["a", "b"]), TypeError, "the data are an array of <U1; expected real numbers"),
    "complex": (np.zeros((8, DATA), complex), TypeError, "the data are an array of complex128; expected real numbers"),
    "one number": (3.0, ValueError, "the data are the single number 3.0; expected an array"),
    "no examples": (np.zeros((0, DATA), np.float32), ValueError, "must be a multiple of 1, not 0"),
    "NaN": (
        np.where(np.eye(8, DATA), np.nan, 0.0), ValueError,
        "the data contain 4 numbers that are NaN or infinite; leave these examples out",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BATCHES)
def test_data_that_no_network_takes(kind: str) -> None:
    batch, error, sentence = BATCHES[kind]
    gan = build()
    before = bits(gan)
    with pytest.raises(error, match=sentence):
        gan.train_step(batch)
    assert bits(gan) == before


# Samples.


def test_a_count_draws_latent_vectors() -> None:
    gan = build()
    np.testing.assert_array_equal(gan.sample(5).numpy(), gan.sample(gan.latent(5, "samples")).numpy())
    np.testing.assert_array_equal(gan.sample(5, seed=gan.seed).numpy(), gan.sample(5).numpy())
    assert (gan.sample(5, seed=9).numpy() != gan.sample(5).numpy()).all()


def test_latent_vectors_of_any_dtype() -> None:
    z = np.random.default_rng(0).standard_normal((4, LATENT))
    gan = build()
    np.testing.assert_array_equal(gan.sample(z).numpy(), gan.sample(z.astype("float32")).numpy())
    np.testing.assert_array_equal(gan.sample(z.tolist()).numpy(), gan.sample(z.astype("float32")).numpy())


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((0,), {}, "cannot draw 0 samples; expected a count of at least 1"),
        ((np.zeros((3, 5)),), {}, r"the latent vectors have shape \(3, 5\), expected \(count, 3\)"),
        ((np.zeros((3, LATENT)),), {"seed": 1}, "a seed draws latent vectors, but they are given"),
        ((3, np.zeros(4)), {}, "3 latent vectors have 4 conditions; expected one condition for each"),
        ((3, np.zeros(3)), {}, r"the generator fails on .*\(3, 3\) with conditions of shape \(3,\): .*, else none"),
    ],
)
def test_samples_of_what_is_no_latent_vector(arguments: Any, options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build().sample(*arguments, **options)


def test_stateless_optimizers_serve_as_well() -> None:
    generator = network(LATENT, DATA)
    assert isinstance(build(generator, None, "hinge", SGD(generator)).generator_optimizer, SGD)
