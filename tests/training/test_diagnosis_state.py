"""The state of a diagnosis goes into a checkpoint and back; a resumed run has the findings of an unbroken one."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigan import cli
from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import CheckpointError
from minigan.data import mixtures
from minigan.data.points import Points
from minigan.gan import GAN, Pass, losses, penalties
from minigan.gan.inputs import UpdateInputs
from minigan.nn import BatchNorm, Dense, LeakyReLU, Module, Sequential
from minigan.optim import Adam
from minigan.training import RunConfig, RunFolder, Trainer, checkpoint, load_config
from minigan.training.diagnosis import Diagnosis
from minigan.training.gradient_agreement import GradientAgreement
from minigan.training.statistics import ROW_LENGTH, TrainingStatistics

EVERY, STEPS, BATCH = 4, 22, 16


class Climbing(GAN):
    """The generator climbs its loss, which only the gradients observed between checks show."""

    def generator_pass(self, inputs: UpdateInputs, judged: Pass | None = None) -> Pass:
        made = super().generator_pass(inputs, judged)
        return replace(made, objective=-made.objective)


def make() -> GAN:
    rng = random.generator(0, "weights")
    generator = Sequential(Dense(3, 8, rng), BatchNorm(8), LeakyReLU(0.2), Dense(8, 2, rng))
    discriminator = Sequential(Dense(2, 8, rng), LeakyReLU(0.2), Dense(8, 1, rng))
    rates = Adam(generator.parameters(), 1e-3), Adam(discriminator.parameters(), 1e-2)
    return Climbing(
        generator, discriminator, losses.get("non-saturating"), *rates, latent_size=3, seed=1, penalty=penalties.r1
    )


def real(step: int) -> np.ndarray:
    return random.generator(3, "real", step).standard_normal((BATCH, 2)).astype("f") + 5


def follow(gan: GAN, diagnosis: Diagnosis, until: int) -> list[Any]:
    found = []
    while gan.step < until:
        gan.train_step(real(gan.step), diagnosis.gradient_observer())
        if gan.step % EVERY == 0:
            found += diagnosis.check(real(gan.step))
    return found


def same(some: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> None:
    assert some.keys() == others.keys()
    for name, value in some.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)
        assert value.dtype == others[name].dtype


@pytest.mark.slow
def test_resumed_at_any_step_it_finds_the_same() -> None:
    gan = make()
    diagnosis = Diagnosis(gan)
    states, found = [], []
    for step in range(1, STEPS + 1):
        states.append((gan.state(), diagnosis.state(), len(found)))
        found += follow(gan, diagnosis, step)
    assert "generator-sign" in [finding.name for finding in found]
    for of_gan, of_diagnosis, before in states:
        resumed = make()
        resumed.load_state(of_gan)
        other = Diagnosis(resumed)
        other.load_state(of_diagnosis, real)
        same(other.state(), of_diagnosis)
        assert follow(resumed, other, STEPS) == found[before:]
        same(other.state(), diagnosis.state())


def test_before_the_first_check_the_state_is_empty() -> None:
    gan = make()
    diagnosis = Diagnosis(gan)
    assert diagnosis.state() == {}
    follow(gan, diagnosis, EVERY)
    diagnosis.load_state({}, real)  # as from a checkpoint of earlier versions
    assert diagnosis.state() == {}
    assert diagnosis.check(real(EVERY)) == [] and diagnosis.state()


def test_statistics_go_into_a_row_and_back() -> None:
    statistics = TrainingStatistics(
        7, False, 1.5, math.inf, -0.1, 0.2, 3.0, -1.0, 0.5, 0.25, 2.0, 1.0, 1.25, 1.5, 1.75, math.nan,
        GradientAgreement(0.5, math.nan, True), GradientAgreement(-0.25, 0.125),
    )  # fmt: skip
    row = statistics.to_row()
    assert len(row) == ROW_LENGTH == 22 and all(isinstance(number, float) for number in row)
    assert repr(TrainingStatistics.from_row(row)) == repr(statistics)  # NaN is not equal to itself


def remembered() -> tuple[GAN, dict[str, np.ndarray]]:
    gan = make()
    diagnosis = Diagnosis(gan)
    follow(gan, diagnosis, 3 * EVERY + 1)
    state = diagnosis.state()
    assert state["looks"].shape == (3, ROW_LENGTH) and state["heard.discriminator"].shape == (2, 3)
    return gan, state


def steps_of(state: dict[str, np.ndarray], *steps: float) -> np.ndarray:
    looks = state["looks"].copy()
    looks[:, 0] = steps
    return looks


WRONG = {
    "looks is missing": lambda s: s.pop("looks"),
    "heard.generator is missing": lambda s: s.pop("heard.generator"),
    "looks has shape (3, 21)": lambda s: s.update(looks=s["looks"][:, 1:]),
    "looks has shape (4, 22)": lambda s: s.update(looks=np.concatenate([s["looks"], s["looks"][:1]])),
    "looks has shape (0, 22)": lambda s: s.update(looks=s["looks"][:0]),
    "looks has shape ()": lambda s: s.update(looks=np.array(0.0)),
    "type float32, expected (3, 22) and float64": lambda s: s.update(looks=s["looks"].astype("f")),
    "updates has shape (3,)": lambda s: s.update(updates=np.array([1, 2, 3])),
    "heard.discriminator has shape (3, 3)": lambda s: s.update({"heard.discriminator": np.ones((3, 3))}),
    "told.mode-colapse is not known": lambda s: s.update({"told.mode-colapse": np.array(0)}),
    "told.mode-collapse has shape (1,)": lambda s: s.update({"told.mode-collapse": np.array([0])}),
    "looks is of the steps [4.0, 8.0, 16.0]": lambda s: s.update(looks=steps_of(s, 4, 8, 16)),
    "looks is of the steps [8.0, 4.0, 12.0]": lambda s: s.update(looks=steps_of(s, 8, 4, 12)),
    "looks is of the steps [4.0, 8.5, 12.0]": lambda s: s.update(looks=steps_of(s, 4, 8.5, 12)),
    "looks is of the steps [nan, nan, nan]": lambda s: s.update(looks=steps_of(s, math.nan, math.nan, math.nan)),
    "looks is of the steps [4.0, inf, inf]": lambda s: s.update(looks=steps_of(s, 4, math.inf, math.inf)),
    "expected no number below 0": lambda s: s.update({"told.mode-collapse": np.array(-1)}),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_an_invalid_state_is_refused_and_changes_nothing(sentence: str) -> None:
    gan, state = remembered()
    diagnosis = Diagnosis(gan)
    diagnosis.load_state(state, real)
    wrong = dict(state)
    WRONG[sentence](wrong)
    with pytest.raises(ValueError, match=f"^[^\n]*{re.escape(sentence)}[^\n]*$"):
        diagnosis.load_state(wrong, real)
    same(diagnosis.state(), state)


# Runs.

FAILING = {  # a Wasserstein critic without a constraint
    "loss": "wasserstein", "penalty": "none", "rate": 0.05, "generator_rate": 1e-5,
    "generator_widths": [8], "discriminator_widths": [8], "batch_size": 16,
}  # fmt: skip


def run(trainer: Trainer, stop: int | None = None) -> list[str]:
    reported: list[str] = []
    trainer.run(lambda step, metrics: None, lambda: trainer.gan.step == stop, reported.append)
    return reported


def ring() -> Points:
    return Points(mixtures.get("ring"))


@pytest.mark.slow
def test_a_stopped_and_resumed_run_reports_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at the step of a check, one later, between checks, before and after a finding has been reported."""
    monkeypatch.setattr(Trainer, "_save_final_pictures", lambda self, rows, notice: None)
    config = RunConfig(recipe="ring", steps=420, settings=FAILING)
    straight, broken = RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "broken")
    reported = run(Trainer.begin(config, ring(), straight))
    assert any("exploding-gradient" in sentence for sentence in reported)
    reported_again = run(Trainer.begin(config, ring(), broken), 60)
    for stop in (100, 101, 200, 250, 300, 301, 350, 400, None):
        config = load_config(broken.config)
        reported_again += run(Trainer.resume(config, ring(), broken), stop)
    assert reported_again == reported
    for file in ("metrics.jsonl", "checkpoint.safetensors"):
        assert (broken.path / file).read_bytes() == (straight.path / file).read_bytes()


class _OwnNumPy(Module):
    """Numbers that no operation of minigan has made."""

    def forward(self, x: Tensor) -> Tensor:
        return x + Tensor(np.ones(x.shape, x.dtype))


def test_a_run_without_replay_says_why_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "_save_final_pictures", lambda self, rows, notice: None)
    config = RunConfig(recipe="ring", steps=8, settings=FAILING)

    def notices(name: str, *more: Module) -> list[str]:
        trainer = Trainer.begin(config, ring(), RunFolder(tmp_path / name))
        judge = trainer.gan.discriminator
        trainer.gan.discriminator = Sequential(judge, *more) if more else judge
        return run(trainer)

    assert notices("replayed") == []
    (sentence,) = notices("not replayed", _OwnNumPy())
    assert sentence.startswith("training steps run without replay: it computes with an array of shape (")


@pytest.mark.slow
def test_a_checkpoint_without_a_diagnosis_goes_on_and_a_wrong_one_is_refused(tmp_path: Path, capsys: Any) -> None:
    small = [f"--set={key}={','.join(map(str, v)) if isinstance(v, list) else v}" for key, v in FAILING.items()]
    assert cli.main(["train", "ring", "--steps", "120", "--out", str(tmp_path / "run"), "--quiet", *small]) == 0
    folder = RunFolder(tmp_path / "run")
    state = Trainer.resume(load_config(folder.config), ring(), folder).state()
    own = {name: value for name, value in state.items() if name.startswith("diagnosis.")}
    assert own.keys() == {
        f"diagnosis.{name}" for name in ("looks", "updates", "heard.generator", "heard.discriminator")
    }
    checkpoint.save(folder.checkpoint, {k: v for k, v in state.items() if k not in own}, "ring")
    assert cli.main(["train", "--resume", str(folder.path), "--quiet"]) == 0
    checkpoint.save(folder.checkpoint, state | {"diagnosis.looks": own["diagnosis.looks"][:, 1:]}, "ring")
    with pytest.raises(CheckpointError, match=r"does not fit its configuration: diagnosis\.looks has shape"):
        Trainer.resume(load_config(folder.config), ring(), folder)
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(folder.path)]) == 1
    assert cli.main(["sample", str(folder.path), "--n", "3"]) == 0  # which needs no diagnosis
