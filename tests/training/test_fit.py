"""GAN.fit: any data in the loop of the recipes, with exact resume, pictures, and errors before any work."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.small_gan import make_conditional_gan

from minigan import GAN, Tensor, cli, data, losses, recipes
from minigan.core.errors import CheckpointError, MiniganError, NonFiniteError, UsageError
from minigan.data import Dataset, mixtures
from minigan.data.points import Points
from minigan.gan.losses import NonSaturating
from minigan.nn import Dense, Dropout, LeakyReLU, Module, Sequential, Sigmoid, Tanh
from minigan.ops import concatenate, one_hot
from minigan.optim import Adam
from minigan.training import EarlyStopping, RunConfig, RunFolder, Stop, Trainer, checkpoint
from minigan.training.fit_data import conditions_shown
from minigan.training.gan_loop import GANLoop
from minigan.training.statistics import TrainingMonitor

OPTIONS: dict[str, Any] = {
    "steps": 33, "batch_size": 8, "sample_every": 10, "checkpoint_every": 8, "log_every": 4, "progress": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes longer than all else."""
    monkeypatch.setattr(GANLoop, "_save_final_pictures", lambda self, rows, notice: None)


def gan_of(numbers: int = 2, last: Module | None = None, dtype: str = "float32", **options: Any) -> GAN:
    """With dropout, so that its state is part of a checkpoint."""
    rng = np.random.default_rng(3)
    g = Sequential(Dense(3, 8, rng), LeakyReLU(0.2), Dense(8, numbers, rng), *([last] if last else []))
    d = Sequential(Dense(numbers, 8, rng), LeakyReLU(0.2), Dropout(0.2, seed=1), Dense(8, 1, rng))
    g.astype(dtype), d.astype(dtype)
    settings: dict[str, Any] = {"latent_size": 3, "ema_decay": 0.9} | options
    loss = settings.pop("loss", losses.get("non-saturating"))
    return GAN(g, d, loss, Adam(g.parameters(), 1e-3), Adam(d.parameters(), 1e-3), **settings)


class Labelled(Module):
    """A network of its input and the class, one of three."""

    def __init__(self, network: Module) -> None:
        self.network = network

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.network(concatenate([x, one_hot(y, 3)], axis=1))


def labelled_gan(numbers: int = 2) -> GAN:
    rng = np.random.default_rng(3)
    g = Labelled(Sequential(Dense(6, 8, rng), LeakyReLU(0.2), Dense(8, numbers, rng), Tanh()))
    d = Labelled(Sequential(Dense(numbers + 3, 8, rng), LeakyReLU(0.2), Dense(8, 1, rng)))
    return GAN(
        g, d, losses.get("hinge"), Adam(g.parameters(), 1e-3), Adam(d.parameters(), 1e-3), latent_size=3
    )  # fmt: skip


def points(count: int = 100) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, 2))


def pictures(count: int = 40) -> np.ndarray:
    return np.random.default_rng(6).integers(0, 256, (count, 6, 5), dtype=np.uint8)


def classes(count: int = 100) -> np.ndarray:
    return np.arange(count) % 3


def contents(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name not in ("config.json", "metrics.csv")
    }


def assert_same_state(one: GAN, other: GAN) -> None:
    ours, theirs = one.state(), other.state()
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


# The same numbers as elsewhere.


@pytest.mark.parametrize("n_critic", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_it_takes_the_steps_that_one_would_take_by_hand(n_critic: int) -> None:
    from minigan import Rules

    fitted, by_hand = (gan_of(seed=4, rules=Rules(n_critic=n_critic)) for _ in range(2))
    history = fitted.fit(points(), **OPTIONS)
    batch = Dataset(points()).batches(8, seed=4, per_step=n_critic)
    for step in range(33):
        report = by_hand.train_step(batch(step))
    assert_same_state(fitted, by_hand)
    assert {name: history[-1][name] for name in report} == {name: value.item() for name, value in report.items()}


def test_it_trains_a_recipe_as_the_command_does(tmp_path: Path) -> None:
    small = {"generator_widths": [8], "discriminator_widths": [8], "batch_size": 8}
    config = RunConfig("mnist-mlp", small, steps=12, sample_every=10, checkpoint_every=8, log_every=4)
    trainer = Trainer.begin(config, data.load(), RunFolder(tmp_path / "run"))
    trainer.run(lambda step, metrics: None, lambda: False)
    gan = recipes.get("mnist-mlp").build(steps=12, **small)
    gan.fit(data.load(), out=tmp_path / "fit", **OPTIONS | {"steps": 12})
    assert_same_state(gan, trainer.gan)
    for name in ("metrics.jsonl", "samples/step_000010.png"):
        assert (tmp_path / "fit" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_a_trained_gan_takes_so_many_steps_more(tmp_path: Path) -> None:
    twice, once = gan_of(), gan_of()
    assert twice.fit(points(), **OPTIONS | {"steps": 10}).outcome.step == 10
    history = twice.fit(points(), out=tmp_path / "run", **OPTIONS | {"steps": 11})
    assert history["step"].tolist() == [12, 16, 20, 21]
    once.fit(points(), **OPTIONS | {"steps": 21})
    assert_same_state(twice, once)
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == [
        "step_000010.png", "step_000020.png", "step_000021.png",
    ]  # fmt: skip
    assert gan_of().fit(points(), out=tmp_path / "run", resume=True, **OPTIONS | {"steps": 14}).outcome.step == 24


# Resume.


def _data_sets() -> dict[str, tuple[Any, Any]]:
    """By name: a function that makes the GAN, and the data."""
    flipped = Dataset(pictures(), name="flipped", flip=True, crop=(6, 4))
    return {
        "array": (gan_of, points()),
        "float64": (lambda: gan_of(dtype="float64"), points()),
        "pictures": (lambda: gan_of(30, Tanh()), pictures()),
        "flips and crops": (lambda: gan_of(24, Tanh()), flipped),
        "labels": (labelled_gan, (points(), classes())),
        "points": (gan_of, Points(mixtures.get("ring"))),
        "function": (gan_of, lambda step: points(100)[step : step + 8]),
    }


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("array", "labels", "flips and crops") else pytest.param(name, marks=pytest.mark.slow)
        for name in _data_sets()
    ],
)
def test_a_resumed_run_has_the_same_bits(name: str, tmp_path: Path) -> None:
    make, own = _data_sets()[name]
    whole = make()
    whole.fit(own, out=tmp_path / "straight", **OPTIONS)
    for start, stop in ((0, 4), (4, 8), (8, 20), (20, None)):
        gan = make()

        class Interruption:
            def step(self, loop: Any, step: int, metrics: dict[str, float]) -> None:
                if step == stop:  # noqa: B023 - it runs in this turn
                    raise Stop

        history = gan.fit(own, out=tmp_path / "halted", resume=True, callbacks=[Interruption()], **OPTIONS)
        assert (history.outcome.first_step, history.outcome.step) == (start, stop or 33)
    assert_same_state(gan, whole)
    assert contents(tmp_path / "halted") == contents(tmp_path / "straight")
    assert history["step"].tolist() == [4, 8, 10, 12, 16, 20, 24, 28, 30, 32, 33]


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from training.test_fit import OPTIONS, gan_of, points
class Kill:
    def step(self, loop, step, metrics):
        if step == 20:
            os.kill(os.getpid(), signal.SIGKILL)
gan_of().fit(points(), out="run", callbacks=[Kill()], **OPTIONS)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_killed_run_is_resumed_with_the_same_bits(tmp_path: Path) -> None:
    program = KILLED.format(path=[str(Path(__file__).resolve().parents[1])])
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    gan_of().fit(points(), out=tmp_path / "run", resume=True, **OPTIONS)
    gan_of().fit(points(), out=tmp_path / "straight", **OPTIONS)
    assert contents(tmp_path / "run") == contents(tmp_path / "straight")


def test_a_run_is_resumed_with_its_own_data_and_settings_only(tmp_path: Path) -> None:
    run = tmp_path / "run"
    labelled_gan().fit((points(), classes()), out=run, **OPTIONS)
    before = contents(run)

    def refused(kind: type[MiniganError], part: str, own: Any, gan: GAN | None = None, **changes: Any) -> None:
        with pytest.raises(kind) as error:
            (gan or labelled_gan()).fit(own, out=run, **OPTIONS | {"resume": True, "steps": 40} | changes)
        assert part in str(error.value) and contents(run) == before

    right = (points(), classes())
    refused(UsageError, "already holds a run", right, resume=False)
    refused(UsageError, "is at step 33 already", right, steps=30)
    refused(UsageError, "batch_size is 16, and the run in", right, batch_size=16)
    refused(CheckpointError, "these data are not what the run", (points() + 1, classes()))
    refused(CheckpointError, "these data are not what the run", (points(), classes()[::-1]))
    refused(CheckpointError, "does not fit what it is loaded into", points(), gan_of())
    Stopped = type("Stopped", (), {"start": lambda self, loop: None})  # noqa: N806 - a class
    assert labelled_gan().fit(right, out=run, callbacks=[Stopped()], resume=True, **OPTIONS).outcome.step == 33
    assert contents(run) == before


# Data of each kind.


def test_bytes_are_scaled_to_what_the_generator_gives_and_pictures_are_shown(tmp_path: Path) -> None:
    for last, low in ((Tanh(), -1.0), (Sigmoid(), 0.0)):
        gan, seen = gan_of(30, last), []
        train = gan.train_step
        gan.train_step = lambda real, observe=None: seen.append(real) or train(real, observe)  # type: ignore[method-assign]  # noqa: B023
        run = tmp_path / type(last).__name__
        gan.fit(pictures(), out=run, **OPTIONS | {"steps": 1})
        expected = Dataset(pictures()).batches(8, value_range=(low, 1.0))(0).numpy().reshape(8, 30)
        np.testing.assert_array_equal(seen[0].numpy(), expected)
        with Image.open(run / "samples" / "step_000001.png") as picture:
            assert picture.mode == "L"


def test_samples_have_the_form_of_the_data() -> None:
    shown: list[np.ndarray] = []
    look = type("Look", (), {"look": lambda self, loop, step, samples: shown.append(samples)})()
    for own in (pictures(), Dataset(pictures(), crop=(4, 5)), Dataset(pictures(), transform=lambda x: x / 2)):
        numbers = 20 if isinstance(own, Dataset) and own.crop else 30
        gan_of(numbers, Tanh()).fit(own, callbacks=[look], **OPTIONS | {"steps": 1})
    assert [samples.dtype.name for samples in shown[::2]] == ["uint8", "uint8", "float32"]
    assert [samples.shape[1:] for samples in shown[::2]] == [(6, 5), (4, 5), (6, 5)]


def test_numbers_of_another_type_are_converted() -> None:
    ints, floats = gan_of(), gan_of()
    ints.fit(np.rint(points()).astype(np.int32), **OPTIONS)
    floats.fit(np.rint(points()).astype(np.float32), **OPTIONS)
    assert_same_state(ints, floats)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1,), (5,), (4, 2), (2,), (8, 8, 1)])
def test_every_shape_has_a_picture(shape: tuple[int, ...], tmp_path: Path) -> None:
    own = np.random.default_rng(1).standard_normal((50, *shape))
    gan_of(math.prod(shape)).fit(own, out=tmp_path / "run", **OPTIONS | {"steps": 1})
    for step in (0, 1):
        with Image.open(tmp_path / "run" / "samples" / f"step_{step:06d}.png") as picture:
            assert min(picture.size) >= 480 and len(picture.convert("RGB").getcolors(1 << 20) or []) > 1


def test_an_iterable_is_taken_in_order_begun_again_and_left_when_it_ends() -> None:
    own = [points()[i : i + 8] for i in range(0, 100, 8)]  # the last batch has 4 examples, and is left out

    class Again:
        def __iter__(self) -> Iterator[np.ndarray]:
            return iter(own)

    fitted, by_hand = gan_of(), gan_of()
    fitted.fit(Again(), **OPTIONS)
    for step in range(33):
        by_hand.train_step(own[step % 12])
    assert_same_state(fitted, by_hand)
    once = gan_of().fit(iter(own), **OPTIONS)
    assert (once.outcome.ended, once.outcome.step) == ("stopped", 12)
    assert "come to their end" in once.outcome.reason
    with pytest.raises(UsageError, match="too few batches for a step"):
        gan_of().fit(iter([]), **OPTIONS)


def test_endless_batches_of_another_size_than_the_first_are_refused() -> None:
    batches = itertools.chain([np.zeros((8, 2))], itertools.repeat(np.zeros((16, 2))))
    with pytest.raises(UsageError, match="another number of examples than the first, 8"):
        gan_of().fit(batches, **OPTIONS)


def test_pairs_of_an_iterable_and_of_arrays_are_the_same() -> None:
    arrays, pairs = labelled_gan(), labelled_gan()
    arrays.fit((points(), classes()), **OPTIONS)
    batch = Dataset(points(), classes()).batches(8)
    pairs.fit((tuple(part.numpy() for part in batch(step)) for step in range(40)), **OPTIONS)
    assert_same_state(arrays, pairs)


def test_labels_of_a_data_set_are_left_out_if_the_generator_takes_none() -> None:
    with_labels, without = gan_of(), gan_of()
    with_labels.fit(Dataset(points(), classes()), **OPTIONS)
    without.fit(points(), **OPTIONS)
    assert_same_state(with_labels, without)


@pytest.mark.parametrize(("count", "columns"), [(2, 16), (10, 8), (32, 8), (40, None), (100, None)])
def test_samples_of_classes_are_shown_in_order(count: int, columns: int | None) -> None:
    shown, found = conditions_shown(np.random.default_rng(0).permutation(np.arange(count).repeat(5)))
    assert found == columns and (len(shown) <= 64 or columns)
    if count <= 64:
        assert (np.diff(shown) >= 0).all() and set(shown) == set(range(count))
        assert columns is None or all(len(set(row)) == 1 for row in shown.reshape(-1, columns))


def test_conditions_that_are_no_classes_are_those_of_the_data() -> None:
    angles = np.random.default_rng(0).uniform(size=(90, 2))
    shown, columns = conditions_shown(angles)
    np.testing.assert_array_equal(shown, angles[:64])
    assert columns is None


def test_pictures_of_a_conditional_gan_have_a_row_for_each_class(tmp_path: Path) -> None:
    """The network's answer is the class alone, and so is each row of the picture."""

    class Shade(Module):
        def __init__(self) -> None:
            self.dense = Dense(3, 16, np.random.default_rng(0))

        def forward(self, z: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
            return self.dense(one_hot(y, 3))

    gan = labelled_gan(16)
    gan = GAN(
        shade := Shade(), gan.discriminator, gan.loss, Adam(shade.parameters(), 1e-3), gan.discriminator_optimizer,
        latent_size=3,
    )  # fmt: skip
    shown: list[np.ndarray] = []

    class Look:
        def look(self, loop: Any, step: int, samples: np.ndarray) -> None:
            shown.append(samples)

    gan.fit((pictures(30)[:, :4, :4], classes(30)), callbacks=[Look()], **OPTIONS | {"steps": 1})
    assert shown[0].shape == (30, 4, 4) and shown[0].dtype == np.uint8
    rows = shown[0].reshape(3, 10, 4, 4)
    assert (rows == rows[:, :1]).all() and len(np.unique(rows[:, 0], axis=0)) == 3


# Measurements, early stopping, diagnosis.


def test_what_callbacks_measure_of_samples_is_recorded_and_can_stop_the_run() -> None:
    class Measure:
        def look(self, loop: Any, step: int, samples: np.ndarray) -> dict[str, float]:
            assert samples.shape == (1000, 2)
            return {"distance": float(step < 15)}

    history = gan_of().fit(points(), callbacks=[Measure(), EarlyStopping("distance", 1)], **OPTIONS | {"steps": 100})
    assert history["distance"][~np.isnan(history["distance"])].tolist() == [1.0, 0.0, 0.0]
    assert history.outcome.ended == "stopped" and history.outcome.step == 30

    Bad = type("Bad", (), {"look": lambda self, loop, step, samples: {"distance": math.nan}})  # noqa: N806
    with pytest.raises(NonFiniteError, match="step 0: the distance of the samples is nan"):
        gan_of().fit(points(), callbacks=[Bad()], **OPTIONS)
    Worse = type("Worse", (), {"look": lambda self, loop, step, samples: 3})  # noqa: N806
    Step = type("Step", (), {"look": lambda self, loop, step, samples: {"step": 3}})  # noqa: N806
    with pytest.raises(UsageError, match="the method look of a callback returned a number called 'step'"):
        gan_of().fit(points(), callbacks=[Step()], **OPTIONS)
    with pytest.raises(UsageError, match="the method look of a callback returned a int"):
        gan_of().fit(points(), callbacks=[Worse()], **OPTIONS)


def test_the_training_is_diagnosed(capsys: pytest.CaptureFixture[str]) -> None:
    """Data beyond the range of tanh."""
    history = gan_of(2, Tanh()).fit(5 + points(), **OPTIONS | {"steps": 100})
    (sentence,) = history[-1]["diagnosis"]
    assert sentence.startswith("data-range: 100% of the data's numbers are not between -1 and 1")
    assert f"minigan: step 100: {sentence}" in capsys.readouterr().err


class Ignores(Module):
    """A network that makes no use of the condition."""

    def __init__(self, network: Module) -> None:
        self.network = network

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.network(x)


@pytest.mark.parametrize("penalty", [None, "r1"])
def test_the_statistics_of_a_condition_that_is_ignored_are_those_without(penalty: str | None) -> None:
    plain = gan_of(penalty=penalty, ema_decay=0.0)
    other = gan_of(penalty=penalty, ema_decay=0.0)
    g, d = Ignores(other.generator), Ignores(other.discriminator)
    told = GAN(
        g, d, other.loss, Adam(g.parameters(), 1e-3), Adam(d.parameters(), 1e-3), latent_size=3, penalty=penalty
    )  # fmt: skip
    x = Tensor(points(300).astype(np.float32))
    expected = TrainingMonitor(plain).measure(x).to_row()
    np.testing.assert_array_equal(TrainingMonitor(told).measure((x, x[:, 0])).to_row(), expected)


def test_a_gan_that_cannot_be_diagnosed_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    class Two(NonSaturating):
        """Takes logits of a batch of 8 only."""

        name = "two"

        def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
            if len(real_logits) != 8:
                raise ValueError("no batch of 8")
            return super().discriminator(real_logits, fake_logits)

    history = gan_of(loss=Two()).fit(points(), **OPTIONS | {"steps": 100})
    assert history.outcome.ended == "finished" and "diagnosis" not in history[-1]
    assert "this training is not diagnosed, since its statistics cannot be measured (no batch of 8)" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_the_conditional_gan_of_the_other_tests_is_diagnosed_with_and_without_a_penalty() -> None:
    from minigan import penalties

    for options in ({}, {"penalty": penalties.r1, "penalty_weight": 1.0}):
        gan = make_conditional_gan(**options)
        rng = np.random.default_rng(2)
        own = rng.uniform(-1, 1, (60, 4)), rng.standard_normal((60, 2))
        history = gan.fit(own, **OPTIONS | {"steps": 100})
        assert history.outcome.ended == "finished"


def test_numbers_that_are_not_finite_end_the_run_with_a_finite_checkpoint(tmp_path: Path) -> None:
    gan = gan_of()
    gan.generator_optimizer.learning_rate = lambda step: 1e-3 if step < 20 else 1e30
    with pytest.raises(NonFiniteError, match=r"step \d+: .*; take a lower learning rate \(the generator's is 1e\+30"):
        gan.fit(points(), out=tmp_path / "run", **OPTIONS)
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step == 16


# What is refused, before any work.


@pytest.mark.parametrize(
    ("own", "changes", "part"),
    [
        (points(), {"steps": 0}, "steps must be a whole number from 1 up"),
        (points(), {"batch_size": 101}, "the batch size is 101 and the data set has 100 examples"),
        (points(), {"batch_size": 0}, "batch_size must be a whole number from 1 up"),
        (points(), {"value_range": (1, 1)}, "value_range is (1, 1), expected (low, high)"),
        (points(), {"value_range": 3}, "value_range is 3, expected (low, high)"),
        (points(), {"callbacks": [3]}, "callbacks[0] is a int"),
        (points(), {"out": "taken"}, "taken already exists and is not an empty folder"),
        (points(), {"out": None, "resume": True}, "resume=True needs a folder"),
        (
            points()[:, :1],
            {},
            "the generator makes samples of shape (2,), and an example of the data has the shape (1,)",
        ),
        ((points(), classes()), {}, "the generator takes latent vectors alone"),
        (np.full((20, 2), np.nan), {}, "nan"),
        ("missing", {}, "missing does not exist"),
        (lambda step: "words", {}, "a batch cannot be trained on: the data are a str"),
        (lambda step: np.full((8, 2), np.nan), {}, "the data contain 16 numbers that are NaN or infinite"),
        (lambda step: [np.zeros((8, 2)), np.zeros(8)], {}, "a pair (x, y) is a tuple"),
        (lambda: None, {}, "which cannot be called with the number of a step"),
        (iter([1.0]), {}, "a batch of the data is a float without examples"),
        (iter([np.zeros((0, 2))]), {}, "a batch of the data is a ndarray without examples"),
        (points(), {"value_range": ("black", "white")}, "expected (low, high)"),
        (points(), {"value_range": (None, 1)}, "expected (low, high)"),
    ],
)
def test_it_refuses_what_cannot_be_trained(
    own: Any, changes: dict[str, Any], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    Path("taken/file").write_text("mine")
    gan = gan_of()
    before = gan.state()
    with pytest.raises(MiniganError) as error:
        gan.fit(own, **OPTIONS | {"out": "run"} | changes)
    assert part in str(error.value) and "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "taken"]
    assert all(np.array_equal(before[name], array) for name, array in gan.state().items())


def test_a_generator_that_needs_a_condition_is_not_trained_without() -> None:
    with pytest.raises(UsageError, match="takes a condition besides the latent vectors, and the data have none"):
        labelled_gan().fit(points(), **OPTIONS)


def test_an_error_in_a_network_keeps_its_place() -> None:
    class Broken(Module):
        def __init__(self) -> None:
            self.dense = Dense(3, 2, np.random.default_rng(0))

        def forward(self, z: Tensor) -> Tensor:
            return self.dense(z).no_such_method()

    broken = Broken()
    gan = gan_of()
    with pytest.raises(AttributeError, match="no_such_method"):
        GAN(
            broken, gan.discriminator, gan.loss, Adam(broken.parameters()), gan.discriminator_optimizer, latent_size=3
        ).fit(points(), **OPTIONS)


# The folder of a run.


def test_the_folder_says_what_was_trained_and_commands_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    gan_of().fit(points(), out=run, **OPTIONS)
    config = json.loads((run / "config.json").read_text())
    assert config["made_by"] == "gan.fit" and config["batch_size"] == 8 and config["steps"] == 33
    assert config["data"]["sha256"] == Dataset(points()).sha256
    assert "Dense(3, 8" in config["gan"]["generator"] and config["gan"]["loss"] == "non-saturating"
    assert " at 0x" not in (run / "config.json").read_text()
    for arguments in (["sample", str(run)], ["evaluate", str(run)], ["train", "--resume", str(run)]):
        assert cli.main(arguments) == 1
        err = capsys.readouterr().err
        assert "is a run of gan.fit, whose networks are code of your own" in err and err.count("\n") == 1
        assert "minigan.load_run(folder, gan)" in err


@pytest.mark.slow
def test_the_pictures_of_the_whole_run_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    gan_of().fit(points(), out=tmp_path / "run", **OPTIONS)
    with Image.open(tmp_path / "run" / "samples.gif") as film:
        assert film.n_frames == 5
    assert (tmp_path / "run" / "losses.png").read_bytes().startswith(b"\x89PNG")
