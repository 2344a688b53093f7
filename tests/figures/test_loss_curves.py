"""What the curves of a run show of each loss, and which rows of the metrics are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigan import Tensor
from minigan.core.errors import DrawingError
from minigan.figures import loss_curves
from minigan.gan import losses


def row(step: int, loss: losses.Loss, real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The metrics of a step at which the logits are `real` and `fake`, before and after the discriminator's update."""
    return {
        "step": step,
        "discriminator_loss": loss.discriminator(Tensor(real), Tensor(fake)).item(),
        "generator_loss": loss.generator(Tensor(fake), Tensor(real)).item(),
        "real_score": sigmoid(real).mean(),
        "fake_score": sigmoid(fake).mean(),
    }


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def geometric_mean(*values: np.ndarray) -> float:
    return float(np.exp(np.mean([np.log(some).mean() for some in values])))


REAL, FAKE = (np.random.default_rng(seed).normal(mean, 1.0, (16, 1)) for seed, mean in ((0, 2.0), (1, -1.0)))
FROM_REAL, FROM_FAKE = sigmoid(REAL - FAKE.mean()), sigmoid(REAL.mean() - FAKE)
TO_FAKE, TO_REAL = sigmoid(FAKE - REAL.mean()), sigmoid(FAKE.mean() - REAL)
SHOWN = {
    "minimax": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "non-saturating": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "least-squares": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "hinge": [sigmoid(REAL).mean(), sigmoid(FAKE).mean()],
    "wasserstein": [REAL.mean() - FAKE.mean()],
    "relativistic-pairing": [geometric_mean(sigmoid(REAL - FAKE)), geometric_mean(sigmoid(FAKE - REAL))],
    "relativistic-average": [geometric_mean(FROM_REAL, FROM_FAKE), geometric_mean(TO_FAKE, TO_REAL)],
}


def curves(name: str, rows: list[dict[str, float]]) -> list[np.ndarray]:
    metrics = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return [curve(metrics) for curve in loss_curves.SCORES[name].curves.values()]


@pytest.mark.parametrize("name", losses.LOSSES)
def test_the_curves_suit_the_loss(name: str) -> None:
    loss = losses.get(name)
    found = curves(name, [row(10, loss, REAL, FAKE)])
    assert [curve.item() for curve in found] == pytest.approx(SHOWN[name], rel=1e-9)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_the_line_is_where_a_constant_discriminator_is(name: str) -> None:
    """For the best constant score; for losses of differences, for any."""
    score = 0.5 if name == "least-squares" else 0.0
    anything = 7.0 if name in ("wasserstein", "relativistic-pairing", "relativistic-average") else score
    for same in (score, anything):
        logits = np.full((4, 1), same)
        for curve in curves(name, [row(10, losses.get(name), logits, logits)]):
            assert curve.item() == pytest.approx(loss_curves.SCORES[name].constant_value, rel=1e-9)


@pytest.mark.parametrize("name", [*losses.LOSSES, "somebody's own"])
def test_curves_are_drawn_of_every_loss(tmp_path: Path, name: str) -> None:
    rows = [row(step, losses.get("hinge"), REAL, FAKE) for step in (10, 20, 30)]
    loss_curves.save_curves(tmp_path / "a.png", rows, name)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (990, 660)


@pytest.mark.slow
def test_rows_without_numbers_are_left_out_with_a_notice(tmp_path: Path) -> None:
    whole = [row(step, losses.get("hinge"), REAL, FAKE) for step in range(10, 60, 10)]
    loss_curves.save_curves(tmp_path / "whole.png", whole, "hinge")
    missing = {key: value for key, value in whole[0].items() if key != "real_score"}
    bad = [whole[0] | {"generator_loss": "low"}, whole[0] | {"fake_score": float("nan")}, missing, {"step": 1}]
    notices: list[str] = []
    loss_curves.save_curves(tmp_path / "some.png", [*bad[:2], *whole, *bad[2:]], "hinge", notices.append)
    (sentence,) = notices
    assert "goes without 4 of 9 rows of the metrics" in sentence
    assert (tmp_path / "some.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    with pytest.raises(DrawingError, match="no row of the metrics"):
        loss_curves.save_curves(tmp_path / "none.png", bad, "hinge")
    assert not (tmp_path / "none.png").exists()
