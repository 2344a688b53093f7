"""The networks and objectives of translation: U-Net, patches, the cycle, and short runs from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.runs import train_small, write_idx

import minigan as mg
from minigan import cli, recipes
from minigan.autodiff import Tensor, grad
from minigan.core.errors import UsageError
from minigan.data import Dataset, mnist, resized
from minigan.domains.outlines import OutlineDomain
from minigan.domains.two_looks import TwoLooksDomain
from minigan.figures.image_grid import to_bytes
from minigan.nn import Module, Tanh
from minigan.recipes.cycle import CycleDiscriminator, CycleGenerator
from minigan.recipes.translation import PatchDiscriminator, UNet, l1_distance
from minigan.training.trained_run import load_run

RNG = np.random.default_rng(11)
TINY: dict[str, Any] = {"generator_widths": [3, 4], "discriminator_widths": [3, 4], "batch_size": 4}
NAMES = ("edges-to-digits", "cycle-digits", "style-faces")


def pictures(*shape: int) -> Tensor:
    return Tensor(RNG.uniform(-1, 1, shape))


class Identity(Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Half(Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5


class Negative(Module):
    def forward(self, x: Tensor) -> Tensor:
        return -x


# Networks.


def test_every_size_of_a_u_net_reaches_its_output() -> None:
    network = UNet((8, 12, 2), 3, [3, 4], RNG).astype("float64").eval()
    x = pictures(2, 8, 12, 2)
    y = network(x)
    assert y.shape == (2, 8, 12, 3) and np.abs(y.numpy()).max() < 1
    for part in (*network.down, network.middle, *network.up, network.last):
        for name, parameter in part.parameters().items():
            before = parameter.numpy()
            parameter.assign(before + 0.1)
            moved = not np.allclose(network(x).numpy(), y.numpy())
            parameter.assign(before)
            assert moved, name
    far = x.numpy()
    far[0, 0, 0] += 1.0  # one pixel changes what is far from it through the smallest size
    assert np.abs(network(far).numpy() - y.numpy())[0, 5, 5].max() > 0
    assert not np.any((network(far).numpy() - y.numpy())[1])


def test_skip_connections_pass_by_the_smaller_sizes() -> None:
    network = UNet((16, 16, 1), 1, [3, 4], RNG).astype("float64").eval()
    x = pictures(1, 16, 16, 1).numpy()
    brighter = x.copy()
    brighter[0, 4, 4] += 1.0

    def changed() -> np.ndarray:
        return np.asarray(network(brighter).numpy() != network(x).numpy())[0, ..., 0]

    convolution: Any = network.middle[0]
    convolution.weight.assign(np.zeros(convolution.weight.shape))  # nothing comes from the smallest size
    assert 9 < changed().sum() <= 64  # but from the one above it
    convolution = network.up[1][0]
    convolution.weight.assign(np.zeros(convolution.weight.shape))
    assert changed().sum() == 9  # the picture itself, through the last 3 x 3 convolution


def test_a_logit_is_about_its_patch_alone() -> None:
    network = PatchDiscriminator((28, 28, 1), [3, 4], RNG).astype("float64")
    x = pictures(1, 28, 28, 1).numpy()
    logits = network(x).numpy()
    assert logits.shape == (1, 7, 7, 1)
    seen = np.zeros((28, 28), bool)
    for row in range(28):
        changed = x.copy()
        changed[0, row, :] += 0.5
        seen[row] = network(changed).numpy()[0, 3, 3, 0] != logits[0, 3, 3, 0]
    assert seen[:, 0].sum() == 18


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"generator_widths": []}, "the generator needs at least one width"),
        ({"discriminator_widths": [3] * 3}, "must be multiples of 8, not 28 x 28; change image_size"),
        ({"image_size": 30}, "multiples of 4, not 30 x 30"),
        ({"packing": 2}, "decides 'packing' itself"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(changes: dict[str, Any], part: str) -> None:
    for name in NAMES[:2]:
        with pytest.raises(UsageError) as caught:
            recipes.get(name).build(**changes)
        assert part in str(caught.value) and "\n" not in str(caught.value)


# The objectives.


def test_l1_is_the_mean_absolute_difference() -> None:
    a, b = pictures(2, 3, 3, 1), pictures(2, 3, 3, 1)
    assert l1_distance(a, b, None).item() == pytest.approx(np.abs(a.numpy() - b.numpy()).mean())


def test_identity_translators_have_a_cycle_loss_of_zero() -> None:
    y = pictures(3, 4, 4, 2)
    both = CycleGenerator(Identity(), Identity())
    fake = both(Tensor(np.zeros((3, 1))), y)
    np.testing.assert_array_equal(fake.numpy(), y.numpy()[..., ::-1])  # (F(b), G(a))
    assert both.cycle_loss(fake, y).item() == both.identity_loss(y).item() == 0


def test_the_cycle_loss_is_that_of_zhu_et_al() -> None:
    """Half of equation 2: with G(a) = a / 2 and F(b) = tanh(b), both ways by hand."""
    y = pictures(3, 4, 4, 2)
    a, b = y.numpy()[..., 0], y.numpy()[..., 1]
    both = CycleGenerator(to_a=Tanh(), to_b=Half())
    fake = both(Tensor(np.zeros((3, 1))), y)
    expected = (np.abs(np.tanh(a / 2) - a).mean() + np.abs(np.tanh(b) / 2 - b).mean()) / 2
    assert both.cycle_loss(fake, y).item() == both.term(fake, y, y).item() == pytest.approx(expected)


def test_the_identity_loss_is_that_of_zhu_et_al() -> None:
    """Half of L_identity in section 5.2, which tells negatives from right translators; the cycle does not."""
    y = pictures(3, 4, 4, 2)
    a, b = y.numpy()[..., 0], y.numpy()[..., 1]
    both = CycleGenerator(to_a=Tanh(), to_b=Half(), identity_weight=0.3)
    expected = (np.abs(np.tanh(a) - a).mean() + np.abs(b / 2 - b).mean()) / 2
    assert both.identity_loss(y).item() == pytest.approx(expected)
    fake = both.translate(y)
    assert both.term(fake, y, y).item() == pytest.approx(both.cycle_loss(fake, y).item() + 0.3 * expected)
    negatives = CycleGenerator(Negative(), Negative())
    assert negatives.cycle_loss(negatives.translate(y), y).item() == 0
    assert negatives.identity_loss(y).item() == pytest.approx(2 * np.abs(y.numpy()).mean())


def test_each_discriminator_judges_its_own_look() -> None:
    def patches() -> PatchDiscriminator:
        return PatchDiscriminator((8, 8, 1), [3], RNG).astype("float64")

    of_a, of_b = patches(), patches()
    x = pictures(2, 8, 8, 2)
    logits = CycleDiscriminator(of_a, of_b)(x, x).numpy()
    np.testing.assert_allclose(logits[..., :1], of_a(x.numpy()[..., :1]).numpy())
    np.testing.assert_allclose(logits[..., 1:], of_b(x.numpy()[..., 1:]).numpy())


@pytest.mark.parametrize("name", NAMES[:2])
def test_the_generator_minimises_the_weighted_sum_of_both_terms(name: str) -> None:
    """Isola et al., equation 4, and Zhu et al., equation 3, composed here from the networks, losses and terms."""
    gan = recipes.get(name).build(**TINY, dtype="float64", seed=3)
    recipe = recipes.get(name)
    l1, cycle = recipe.settings.get("l1_weight"), recipe.settings.get("cycle_weight")
    batch = recipe.domain.example_batch(4, recipe.settings, seed=1, dtype="float64")
    inputs = gan.draw_update(batch)
    weights = list(gan.generator.parameters().values())
    fake = gan.generator(inputs.latent, batch[1])
    logits = gan.discriminator(fake, batch[1])
    if name == "edges-to-digits":
        expected = mg.ops.mean(mg.ops.softplus(-logits)) + mg.ops.mean(mg.ops.absolute(fake - batch[0])) * l1
    else:
        there_and_back = gan.generator(inputs.latent, fake)
        error = mg.ops.mean(mg.ops.absolute(there_and_back - batch[1]))
        expected = mg.ops.mean((logits - 1.0) ** 2) * 0.5 + error * cycle
    gradients = grad(expected, weights)
    objective = gan.generator_pass(inputs).objective
    assert objective.item() == pytest.approx(expected.item())
    for found, right in zip(grad(objective, weights), gradients, strict=True):
        np.testing.assert_allclose(found.numpy(), right.numpy(), rtol=1e-7, atol=1e-12)


# Runs.

TRAIN = [
    "--steps", "4", "--sample-every", "2", "--checkpoint-every", "2", "--quiet", "--set", "generator_widths=3,4",
    "--set", "discriminator_widths=3,4", "--set", "batch_size=4",
    "--set", "schedule_steps=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of 200 training digits and 60 test digits as IDX files, of which a classifier learns in no time."""
    folder, data = tmp_path_factory.mktemp("digits"), mnist.embedded()
    for split, part in (("train", data[:200]), ("t10k", data[200:260])):
        write_idx(folder / f"{split}-images-idx3-ubyte", part.images[..., 0])
        write_idx(folder / f"{split}-labels-idx1-ubyte", part.labels.astype(np.uint8))
    return str(folder)


@pytest.fixture(scope="module")
def run(digits: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function of a recipe to its finished short run, made once."""
    folder = tmp_path_factory.mktemp("runs")

    def made(name: str) -> Path:
        out = folder / name
        if not out.exists():
            assert cli.main(["train", name, "--data-dir", digits, "--out", str(out), *TRAIN]) == 0
        return out

    return made


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_resumed_run_has_the_same_bits(
    name: str, digits: str, run: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_run(run(name)).gan.state()
    monkeypatch.setattr(TwoLooksDomain, "evaluates_at_end", False)
    monkeypatch.setattr(OutlineDomain, "evaluates_at_end", False)
    halves = tmp_path / "halves"
    assert cli.main(["train", name, "--data-dir", digits, "--out", str(halves), *TRAIN, "--steps", "2"]) == 0
    assert cli.main(["train", "--resume", str(halves), "--steps", "4", "--quiet"]) == 0
    resumed = load_run(halves).gan.state()
    for key, value in whole.items():
        np.testing.assert_array_equal(value, resumed[key], err_msg=key)
    assert "generator_term" in (halves / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("edges-to-digits", "psnr psnr_least_squares accuracy accuracy_least_squares accuracy_truth"),
        (
            "cycle-digits",
            "psnr_b_to_a psnr_b_untranslated accuracy_b_to_a accuracy_b_untranslated accuracy_truth "
            "accuracy_a_to_b_to_a psnr_a_to_b_to_a grey_distance_a_to_b correlation_b_to_a",
        ),
    ],
)
def test_a_run_is_evaluated_beside_its_baselines(name: str, figures: str, run: Callable[[str], Path]) -> None:
    scores = json.loads((run(name) / "scores.json").read_text())
    assert scores["step"] == 4 and scores["pictures"] == 60
    assert {*figures.split()} <= scores.keys()
    assert (run(name) / "comparison.png").is_file()


# minigan translate.


def test_a_picture_and_a_folder_are_translated(run: Callable[[str], Path], tmp_path: Path) -> None:
    """Both ways, as the generator's two networks do it; a folder as its pictures one by one."""
    path = run("cycle-digits")
    pixels = mnist.embedded().images[:2]
    (tmp_path / "in" / "more").mkdir(parents=True)
    sources = [tmp_path / "in" / "one.png", tmp_path / "in" / "more" / "two.png"]
    for source, picture in zip(sources, pixels, strict=True):
        Image.fromarray(picture[..., 0]).save(source)
    gan = load_run(path).gan
    assert gan.ema is not None
    networks: Any = gan.ema.network.eval()
    for direction, network in (("a-to-b", networks.to_b), ("b-to-a", networks.to_a)):
        one, folder = tmp_path / f"{direction}.png", tmp_path / direction
        for source, out in ((sources[0], one), (tmp_path / "in", folder)):
            assert cli.main(["translate", str(path), str(source), str(out), "--direction", direction]) == 0
        expected = to_bytes(network(pixels.astype(np.float32) / 127.5 - 1).numpy(), (-1.0, 1.0))[..., 0]
        written = [np.asarray(Image.open(out)) for out in (one, folder / "one.png", folder / "more" / "two.png")]
        for found, right in zip(written, expected[[0, 0, 1]], strict=True):
            assert np.abs(found.astype(int) - right).max() <= 1  # rounding, in another order of the sums


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("cycle-digits", ["--direction", "a-to-c"], "has no direction 'a-to-c'; did you mean 'a-to-b'?"),
        ("edges-to-digits", ["--direction", "b-to-a"], "translates one way only, outline-to-picture; leave --direc"),
        (
            "edges-to-digits",
            [],
            "is 30 x 20 pixels, and the run translates pictures 28 x 28 grey; crop and resize it, or",
        ),
    ],
)
def test_what_cannot_be_translated_is_refused_in_a_sentence(
    name: str, options: list[str], part: str, run: Callable[[str], Path], tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    Image.new("L", (20, 30)).save(source)
    assert cli.main(["translate", str(run(name)), str(source), str(out), *options]) == 2
    told = capsys.readouterr().err.strip()
    assert part in told and "\n" not in told
    assert not out.exists()


def test_a_picture_of_another_size_is_cropped_and_resized_as_in_training(
    run: Callable[[str], Path], tmp_path: Path
) -> None:
    big, small = mnist.embedded().images[0].repeat(2, axis=0).repeat(3, axis=1), tmp_path / "small.png"
    Image.fromarray(big[..., 0]).save(tmp_path / "big.png")
    fitted = resized(Dataset(big[None]), (28, 28, 1)).images[0]
    Image.fromarray(fitted[..., 0]).save(small)
    outs = tmp_path / "from_big.png", tmp_path / "from_small.png"
    command = ["translate", str(run("edges-to-digits"))]
    assert cli.main([*command, str(tmp_path / "big.png"), str(outs[0]), "--resize"]) == 0
    assert cli.main([*command, str(small), str(outs[1])]) == 0
    np.testing.assert_array_equal(*(np.asarray(Image.open(out)) for out in outs))


def test_samples_of_a_cycle_have_no_nearest_example(run: Callable[[str], Path], capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["sample", str(run("cycle-digits")), "--nearest", "2"]) == 2
    assert "translations side by side" in capsys.readouterr().err


def test_a_run_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = train_small(tmp_path / "run")
    capsys.readouterr()
    assert cli.main(["translate", str(path), "in.png", "out.png"]) == 2
    assert "is a run of mnist-mlp, which does not translate pictures" in capsys.readouterr().err
