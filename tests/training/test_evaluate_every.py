"""`minigan train --evaluate-every` measures many samples on the way, and keeps the checkpoint that is nearest to the
data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.runs import SMALL

from minigan import cli, data
from minigan.core.errors import UsageError
from minigan.data import Dataset
from minigan.domains.progress_measure import FeatureDistance
from minigan.metrics.embeddings import RandomConvolutions
from minigan.metrics.frechet import frechet_distance
from minigan.training import RunConfig, Trainer, kept_checkpoints
from minigan.training.run_data import load_data
from minigan.training.run_folder import RunFolder
from minigan.training.trained_run import generate, load_run

OPTIONS = ["--evaluate-every", "3", "--log-every", "5", "--sample-every", "20", "--keep-checkpoints", "1"]
DISTANCE = "frechet_distance"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(out: str, *options: str) -> RunFolder:
    assert cli.main(["train", "mnist-mlp", "--out", out, "--quiet", *SMALL, *OPTIONS, *options]) == 0
    return RunFolder(Path(out))


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_and_a_resumed_run_has_the_same_bits(capsys: pytest.CaptureFixture[str]) -> None:
    straight = train("straight")
    measured = {row["step"]: row[DISTANCE] for row in straight.rows() if DISTANCE in row}
    assert list(measured) == [3, 5, 6, 9, 10, 12, 15, 18, 20]  # and at checkpoints, so that each has a score
    best = min((5, 10, 15, 20), key=lambda step: measured[step])
    assert set(straight.earlier_paths()) == {best} - {20}
    chosen = kept_checkpoints.choose(straight, "best")
    assert chosen == (straight.checkpoint if best == 20 else straight.earlier_path(best))
    run = load_run(straight.path, "best")
    samples = generate(run.gan, run.domain, run.gan.latent(1_000, "evaluated samples"))
    assert run.gan.step == best
    assert FeatureDistance.to(data.load())(samples)[DISTANCE] == pytest.approx(measured[best], rel=1e-6)

    halted = train("halted", "--steps", "12")
    assert cli.main(["train", "--resume", "halted", "--steps", "20", "--quiet"]) == 0
    assert halted.rows()[-1] == straight.rows()[-1]
    assert halted.checkpoint.read_bytes() == straight.checkpoint.read_bytes()
    capsys.readouterr()
    assert cli.main(["train", "--resume", "halted", "--evaluate-every", "4"]) == 2
    assert "--evaluate-every cannot change in a resumed run" in capsys.readouterr().err


def test_the_distance_is_that_of_its_features() -> None:
    digits = data.load().images[:400]
    measure = FeatureDistance.to(Dataset(digits[:200]))
    embedding = RandomConvolutions((28, 28, 1))
    expected = frechet_distance(embedding(digits[:200]), embedding(digits[200:]))
    assert measure.samples == 200
    assert measure(digits[200:]) == {DISTANCE: pytest.approx(expected, rel=1e-6)}
    assert measure(digits[:200])[DISTANCE] == pytest.approx(0, abs=1e-6)


def test_pictures_too_small_for_convolutions_are_measured_by_their_components() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 5, 6, 3), dtype=np.uint8)
    measure = FeatureDistance.to(Dataset(images))
    assert measure(images)[DISTANCE] < measure(images // 2)[DISTANCE]


def test_points_have_a_score_without_it() -> None:
    config = RunConfig("ring", steps=10, evaluate_every=5)
    with pytest.raises(UsageError, match="--evaluate-every adds nothing"):
        Trainer.prepare(config, load_data(config), RunFolder(Path("run")))


def test_a_number_of_steps() -> None:
    for wrong in (0, 2.5, True):
        with pytest.raises(UsageError, match="--evaluate-every must be a whole number of at least 1"):
            RunConfig("mnist-mlp", evaluate_every=wrong)
    assert RunConfig("mnist-mlp").evaluate_every is None
