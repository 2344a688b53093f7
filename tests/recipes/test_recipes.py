"""The recipes: what they build, that all weights learn, their sizes and settings, and runs from the command line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.environment import needs_numba
from support.runs import write_photos

import minigan as mg
from minigan import GAN, cli, recipes
from minigan.core.errors import UsageError
from minigan.domains import ImageDomain
from minigan.nn import BatchNorm, Conv2d, ConvTranspose2d, Dense, Dropout, LeakyReLU
from minigan.recipes.settings import INEFFECTIVE_WITH
from minigan.training.trained_run import draw_samples, load_run

TINY: dict[str, dict[str, Any]] = {
    "mnist-mlp": {"generator_widths": [6], "discriminator_widths": [6]},
    "mnist-mlp-sigmoid": {"generator_widths": [6], "discriminator_widths": [6]},
    "mnist-dcgan": {
        "generator_dense": 6, "generator_widths": [4, 3], "discriminator_widths": [3, 4], "discriminator_dense": 5,
    },
    "features": {
        "generator_dense": 6, "generator_widths": [4, 3], "discriminator_widths": [3, 4], "discriminator_dense": 5,
    },
    "mnist-dcgan-upsample": {
        "generator_dense": 6, "generator_widths": [4, 3, 2],
        "discriminator_widths": [2, 3, 4], "discriminator_dense": 5,
    },
    "mnist-relu": {"generator_widths": [6], "discriminator_widths": [6]},
    "mnist-relu-large": {"generator_widths": [6], "discriminator_widths": [6]},
    "colour-mnist": {"generator_widths": [6], "discriminator_widths": [6]},
    "colour-mnist-dcgan": {
        "generator_dense": 6, "generator_widths": [4, 3, 2],
        "discriminator_widths": [2, 3, 4], "discriminator_dense": 5,
    },
    "mnist-wgan": {"generator_widths": [6], "discriminator_widths": [6]},
    "mnist-wgan-gp": {"generator_widths": [6], "discriminator_widths": [6]},
    "faces": {"generator_widths": [4, 3, 2], "discriminator_widths": [2, 3, 4]},
    "faces-article": {"generator_widths": [4, 3, 2], "discriminator_widths": [2, 3, 4]},
    "dcgan": {"generator_widths": [5, 4, 3, 2], "discriminator_widths": [2, 3, 4, 5]},
    "dcgan64": {"generator_widths": [5, 4, 3, 2], "discriminator_widths": [2, 3, 4, 5]},
}  # fmt: skip
PICTURES = {
    name: recipe
    for name, recipe in recipes.RECIPES.items()
    if isinstance(recipe.domain, ImageDomain)
    and recipe.domain.noise_condition(1, recipe.settings, np.random.default_rng(0), "float32") is None
}
CONVOLUTIONAL = [name for name, recipe in PICTURES.items() if not recipe.domain.flat]


def build(name: str, **rest: Any) -> GAN:
    """The GAN of a recipe with few channels."""
    return recipes.get(name).build(**{**TINY[name], **rest})


def pictures(name: str, count: int, dtype: str = "float32") -> np.ndarray:
    """Images of noise, in the form that the networks of a recipe take."""
    recipe = PICTURES[name]
    return recipe.domain.noise(count, recipe.settings, np.random.default_rng(7), dtype)


def settings(name: str, **more: Any) -> list[str]:
    """Few channels and small batches, for the command line."""
    changes = {**TINY[name], "batch_size": 4, **more}
    texts = {key: ",".join(map(str, value)) if isinstance(value, list) else value for key, value in changes.items()}
    return [part for key, text in texts.items() for part in ("--set", f"{key}={text}")]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Networks and a training step.


@pytest.mark.parametrize("name", PICTURES)
def test_a_step_moves_every_parameter(name):
    gan = build(name)
    before = gan.state()
    metrics = {key: value.item() for key, value in gan.train_step(pictures(name, 8 * gan.rules.n_critic)).items()}
    assert all(np.isfinite(value) for value in metrics.values())
    assert gan.first_nonfinite_gradient() is None
    last_bias = list(gan.discriminator.parameters())[-1]  # a Wasserstein loss does not depend on it
    for player, network in (("generator", gan.generator), ("discriminator", gan.discriminator)):
        for key, parameter in network.parameters().items():
            if gan.loss.name == "wasserstein" and player == "discriminator" and key == last_bias:
                continue
            assert not np.array_equal(parameter.numpy(), before[f"{player}.{key}"]), f"{player}.{key}"


@pytest.mark.parametrize("name", PICTURES)
def test_samples_are_images_in_the_value_range_of_the_data(name):
    recipe, gan = PICTURES[name], build(name)
    gan.train_step(pictures(name, 8 * gan.rules.n_critic))
    made = gan.sample(gan.latent(3, "test")).numpy()
    assert made.shape == pictures(name, 3).shape
    assert recipe.domain.value_range[0] <= made.min() < made.max() <= recipe.domain.value_range[1]
    assert gan.discriminator(made).shape == (3, 1)


@needs_numba
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_all_kernels_compute_the_same_steps(name):
    results = []
    for kernels in ("reference", "numba"):
        mg.use("numpy", kernels=kernels)
        gan = build(name, dtype="float64", slope=0.2)
        for _ in range(2):
            metrics = gan.train_step(pictures(name, 4 * gan.rules.n_critic, "float64"))
        results.append({key: value.item() for key, value in metrics.items()})
    assert results[0] == pytest.approx(results[1], rel=1e-7)


def parameters(gan: GAN) -> tuple[int, int]:
    """The number of weights of the generator and of the discriminator."""
    generator, discriminator = (
        sum(parameter.size for parameter in network.parameters().values())
        for network in (gan.generator, gan.discriminator)
    )
    return generator, discriminator


@pytest.mark.slow
def test_dcgan64_has_the_layers_of_the_paper():
    kernel = 4 * 4
    convolutions = kernel * (512 * 256 + 256 * 128 + 128 * 64)
    for channels, known in ((3, (3_576_704, 2_765_568)), (1, (3_574_656, 2_763_520))):
        gan = recipes.get("dcgan64").build(shape=(64, 64, channels))
        made = kernel * (100 * 512 + 64 * channels) + convolutions + 2 * (512 + 256 + 128 + 64)
        judged = kernel * (channels * 64 + 512 * 1) + convolutions + 2 * (128 + 256 + 512)
        assert parameters(gan) == (made, judged) == known
    kinds = [
        [repr(layer).partition("(")[0] for _, layer in net.children()] for net in (gan.generator, gan.discriminator)
    ]
    assert kinds[0] == ["Reshape", *["ConvTranspose2d", "BatchNorm", "ReLU"] * 4, "ConvTranspose2d", "Tanh"]
    assert kinds[1] == ["Conv2d", "LeakyReLU", *["Conv2d", "BatchNorm", "LeakyReLU"] * 3, "Conv2d", "Flatten"]


@pytest.mark.parametrize(("before", "after"), [(0, 0), (512, 256)])
def test_the_networks_for_digits_have_the_number_of_weights_that_their_widths_imply(before, after):
    dense = {"generator_dense": before, "discriminator_dense": after}

    gan = recipes.get("mnist-dcgan").build(**dense)
    made = 7 * 7 * 128 * (before or 100) + 2 * 128 + 16 * 128 * 64 + 2 * 64 + 16 * 64 + 1
    judged = 16 * 64 + 16 * 64 * 128 + 2 * 128 + 7 * 7 * 128 * (after or 1)
    made, judged = made + (100 + 2) * before, judged + 3 * after + 1  # norm, and the logit
    assert parameters(gan) == (made, judged)

    gan = recipes.get("mnist-dcgan-upsample").build(**dense)
    made = 7 * 7 * 128 * (before or 100) + 2 * 128 + 9 * 128 * 64 + 2 * 64 + 9 * 64 * 32 + 2 * 32 + 9 * 32 + 1
    judged = 16 * 32 + 32 + 16 * 32 * 64 + 64 + 16 * 64 * 128 + 128 + 3 * 3 * 128 * (after or 1)
    made, judged = made + (100 + 2) * before, judged + 2 * after + 1  # bias instead of norm
    assert parameters(gan) == (made, judged)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_weights_and_norm_are_those_of_dcgan(name):
    gan = recipes.get(name).build(seed=1)
    for network in (gan.generator, gan.discriminator):
        layers = [layer for _, layer in network.children()]
        for layer, following in itertools.pairwise(layers):
            if isinstance(layer, (Dense, Conv2d, ConvTranspose2d)):
                weight = layer.weight.numpy()
                assert weight.std() == pytest.approx(0.02, abs=5 * 0.02 / np.sqrt(2 * weight.size))
                assert abs(weight.mean()) < 5 * 0.02 / np.sqrt(weight.size)
                assert not (isinstance(following, BatchNorm) and layer.bias is not None)
    assert not isinstance(gan.discriminator[1], BatchNorm)  # neither in the first nor in the last layer
    assert not isinstance(gan.generator[len(gan.generator) - 2], BatchNorm)


# Sizes and settings.


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mnist-dcgan", (12, 8, 3)),
        ("mnist-dcgan", (4, 4, 1)),
        ("mnist-dcgan-upsample", (20, 12, 3)),
        ("mnist-dcgan-upsample", (8, 8, 1)),
        ("dcgan64", (64, 64, 1)),
        ("dcgan", (16, 16, 3)),
        ("dcgan", (48, 64, 1)),
        ("dcgan", (128, 16, 3)),
    ],
)
def test_the_networks_follow_the_shape_of_the_images(name, shape):
    gan = build(name, shape=shape)
    real = np.random.default_rng(0).uniform(-1, 1, (4, *shape)).astype(np.float32)
    assert np.isfinite(gan.train_step(real)["discriminator_loss"].item())
    assert gan.sample(gan.latent(2, "test")).shape == (2, *shape)


@pytest.mark.parametrize(
    ("name", "changes", "part"),
    [
        ("mnist-dcgan", {"shape": (30, 28, 1)}, "must be multiples of 4, not 30 x 28; change image_size"),
        ("mnist-dcgan", {"image_size": 30}, "multiples of 4, not 30 x 30"),
        ("mnist-dcgan", {"generator_widths": [4, 4, 4]}, "multiples of 8, not 28 x 28"),
        (
            "mnist-dcgan",
            {"discriminator_widths": [2] * 5},
            "nothing is left of 28 x 28; give fewer discriminator_widths",
        ),
        ("mnist-dcgan", {"generator_widths": []}, "the generator needs at least one width"),
        ("mnist-dcgan", {"discriminator_widths": []}, "the discriminator needs at least one width"),
        ("mnist-dcgan", {"norm_momentum": 1.0}, "momentum must lie in [0, 1)"),
        ("mnist-dcgan", {"latent_size": 0}, "at least 1"),
        ("mnist-dcgan-upsample", {"shape": (28, 26, 3)}, "multiples of 4, not 28 x 26"),
        ("mnist-dcgan-upsample", {"shape": (4, 4, 1)}, "nothing is left of 4 x 4"),
        ("mnist-dcgan-upsample", {"generator_widths": []}, "the generator needs at least one width"),
        ("mnist-dcgan-upsample", {"dropout": 1.0}, "rate must lie in [0, 1)"),
        ("dcgan64", {"shape": (28, 28, 1)}, "its pictures are 64 x 64, not 28 x 28; name a folder of pictures"),
        ("dcgan64", {"generator_widths": [4, 4, 4]}, "generator_widths takes 4 numbers"),
        ("dcgan64", {"discriminator_widths": [4] * 5}, "discriminator_widths takes 4 numbers"),
        ("dcgan64", {"latent_size": 0}, "at least 1"),
        ("dcgan64", {"channels": 2}, "must be 1 (grey) or 3 (colour)"),
        ("dcgan", {"image_size": "48x60"}, "multiples of 16 up to 128, not 48 x 60; set image_size"),
        ("dcgan", {"image_size": 144}, "multiples of 16 up to 128, not 144 x 144"),
        ("dcgan", {"image_size": "0x16"}, "expected at least 1x1"),
        ("dcgan", {"image_size": "16x9999"}, "take at most 4,096"),
        ("dcgan", {"fit": "contain"}, "there is no fit 'contain'; did you mean 'pad'?"),
    ],
)
def test_shapes_and_settings_that_are_impossible_are_refused_in_a_sentence(name, changes, part):
    with pytest.raises(UsageError) as caught:
        build(name, **changes)
    sentence = str(caught.value)
    assert part in sentence
    assert sentence[-1] in ".?" and "\n" not in sentence


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_settings_reach_the_layers(name):
    changes: dict[str, Any] = {
        "dropout": 0.25, "slope": 0.1, "norm_momentum": 0.5, "rate": 1e-3, "beta1": 0.2, "latent_size": 7,
        "loss": "minimax",
    }  # fmt: skip
    if "channels" in recipes.get(name).settings:
        changes["channels"] = 3
    if recipes.get(name).settings["generator_rate"]:
        changes["generator_rate"] = 2e-3
    gan = build(name, **changes)
    modules = [*gan.generator.modules(), *gan.discriminator.modules()]
    assert [m.rate for m in modules if isinstance(m, Dropout)] == [0.25] * len(TINY[name]["discriminator_widths"])
    assert len({m.seed for m in modules if isinstance(m, Dropout)}) == len(TINY[name]["discriminator_widths"])
    assert {m.momentum for m in modules if isinstance(m, BatchNorm)} == {0.5}
    assert {m.slope for m in gan.discriminator.modules() if isinstance(m, LeakyReLU)} == {0.1}
    assert {m.slope for m in gan.generator.modules() if isinstance(m, LeakyReLU)} == {
        0.0 if name in ("dcgan", "dcgan64") else 0.1
    }
    assert gan.generator_optimizer.learning_rate == changes.get("generator_rate", 1e-3)
    assert gan.discriminator_optimizer.learning_rate == 1e-3
    assert gan.latent(2, "test").shape == (2, 7)
    assert gan.loss.name == "minimax"
    assert gan.sample(gan.latent(2, "test")).shape[-1] == 3


# Runs.


@pytest.mark.parametrize(
    ("name", "side", "channels"), [("mnist-dcgan", 28, 1), ("mnist-dcgan", 12, 3), ("dcgan64", 64, 3)]
)
def test_three_steps_on_a_folder_of_images(name, side, channels, tmp_path):
    write_photos(tmp_path / "photos")
    sizes = {"channels": channels} | ({} if name == "dcgan64" else {"image_size": side})
    arguments = ["train", name, "--data-dir", "photos", "--out", "run", "--steps", "3", "--quiet"]
    assert cli.main([*arguments, *settings(name, **sizes)]) == 0
    assert json.loads(Path("run/config.json").read_text())["data"]["image_shape"] == [side, side, channels]
    assert cli.main(["sample", "run", "--n", "5", "--out", "five.npz"]) == 0
    images = np.load("five.npz")["images"]
    assert images.shape == ((5, side, side) if channels == 1 else (5, side, side, 3))
    assert images.dtype == np.uint8
    fewer = draw_samples(load_run(Path("run")), 3, seed=0).reshape(images[:3].shape)
    # Kernels sum in another order in a smaller batch, and pixels of an untrained generator lie between two bytes.
    np.testing.assert_allclose(fewer.astype(int), images[:3].astype(int), rtol=0, atol=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-dcgan-upsample"])
def test_a_resumed_run_of_convolutions_ends_with_the_same_bits(name):
    more = {"dropout": 0.3}  # in both, beside the batch norm of one
    train = ["train", name, "--quiet", "--log-every", "1", *settings(name, **more)]
    assert cli.main([*train, "--steps", "21", "--out", "straight"]) == 0
    assert cli.main([*train, "--steps", "13", "--out", "halted"]) == 0  # the EMA is updated at steps 10 and 20
    assert cli.main(["train", "--resume", "halted", "--steps", "21", "--quiet"]) == 0
    for file in ("metrics.jsonl", "checkpoint.safetensors", "samples/step_000021.png"):
        assert (Path("halted") / file).read_bytes() == (Path("straight") / file).read_bytes()


def test_dcgan64_asks_for_a_folder_of_images(capsys):
    assert cli.main(["train", "dcgan64", "--out", "run"]) == 2
    assert "needs pictures, 64 x 64 colour" in capsys.readouterr().err
    assert not Path("run").exists()


def test_dcgan64_refuses_digits_in_idx(tmp_path, capsys):
    header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (40, 28, 28))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "digits").write_bytes(header + bytes(40 * 28 * 28))
    assert cli.main(["train", "dcgan64", "--data-dir", "data", "--out", "run", "--quiet", *settings("dcgan64")]) == 2
    assert "64 x 64, not 28 x 28" in capsys.readouterr().err
    assert not Path("run").exists()


def test_dcgan_of_64_pixels_has_the_bits_of_dcgan64():
    widths = TINY["dcgan64"]
    wide = recipes.get("dcgan").build(shape=(64, 64, 3), seed=3, **widths).state()
    assert all(np.array_equal(array, wide[name]) for name, array in build("dcgan64", seed=3).state().items())


def test_pictures_that_are_not_square_and_padded(tmp_path):
    write_photos(tmp_path / "photos")
    shape = ["--set", "image_size=16x32", "--set", "fit=pad"]
    arguments = [
        "train",
        "dcgan",
        "--data-dir",
        "photos",
        "--out",
        "run",
        "--steps",
        "2",
        "--quiet",
        *settings("dcgan"),
    ]
    assert cli.main([*arguments, *shape]) == 0
    recorded = json.loads(Path("run/config.json").read_text())
    assert recorded["data"]["image_shape"] == [16, 32, 3] and recorded["settings"]["image_size"] == "16x32"
    assert cli.main(["sample", "run", "--n", "5", "--real", "--out", "five.npz"]) == 0
    images = np.load("five.npz")
    assert images["images"].shape == images["real_images"].shape == (5, 16, 32, 3)
    assert not images["real_images"][:, :, [0, -1]].any()  # the photos are less wide
    assert cli.main(["train", "--resume", "run", "--steps", "3", "--quiet"]) == 0


# Settings without effect.


@pytest.mark.parametrize(
    ("named", "part"),
    [
        ({"penalty_weight": "3"}, "'penalty_weight' has no effect while penalty is none; leave it out, or change"),
        ({"penalty_end": 1, "penalty": "r1"}, "'penalty_end' has no effect while penalty_anneal is 0"),
        ({"beta1": 0.3, "optimizer": "rmsprop"}, "'beta1' has no effect while optimizer is rmsprop"),
        ({"beta2": 0.3, "optimizer": "sgd"}, "'beta2' has no effect while optimizer is sgd"),
        ({"rate_end": 0.3}, "'rate_end' has no effect while rate_schedule is constant"),
        ({"unroll_rate": 0.3}, "'unroll_rate' has no effect while unroll_steps is 0"),
    ],
)
def test_a_named_setting_without_effect_is_refused(named, part):
    recipe = recipes.get("mnist-mlp")
    with pytest.raises(UsageError) as caught:
        recipe.require_effect(named, recipe.resolve(named))
    assert part in str(caught.value)
    build("mnist-mlp", **named)  # as an earlier configuration may have it


@pytest.mark.parametrize(
    "named", [{"penalty": "none"}, {"frequencies": 0}, {"penalty_anneal": 0}, {"penalty_weight": 2}]
)
def test_default_settings_without_effect_are_accepted(named):
    """The recipe ring has a penalty and Fourier features, with all their settings."""
    recipe = recipes.get("ring")
    recipe.require_effect(named, recipe.resolve(named))


def test_a_setting_without_effect_may_be_named_at_its_default():
    recipe = recipes.get("mnist-mlp")
    recipe.require_effect(["penalty_weight"], recipe.resolve({"penalty_weight": "10"}))


def test_the_table_of_dependencies_names_known_settings():
    known = {key for recipe in recipes.RECIPES.values() for key in recipe.settings}
    assert {key for key, needs in INEFFECTIVE_WITH.items() for key in (key, *(other for other, _ in needs))} <= known


# Batches that are too small for batch norm.


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mnist-dcgan", {"batch_size": 1}),
        ("mnist-dcgan", {"batch_size": 4, "packing": 4}),  # the discriminator sees one pack of four
        ("ring-plain", {"batch_size": 1}),
    ],
)
def test_a_batch_too_small_for_batch_norm_is_refused_at_once(name: str, changes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="has 1; use a larger batch_size"):
        recipes.get(name).build(**changes)


def test_a_batch_of_one_is_accepted_without_batch_norm() -> None:
    before = recipes.get("ring").build().state()
    after = recipes.get("ring").build(batch_size=1).state()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    recipes.get("ring-plain").build(batch_size=2, packing=2)  # batch norm is in the generator only
    with pytest.raises(UsageError, match="the batch size is 0, expected at least 1"):
        recipes.get("ring").build(batch_size=0)
