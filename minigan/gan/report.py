"""The scalars that a training step returns."""

from __future__ import annotations

from typing import Any

from minigan.autodiff import Tensor, no_grad
from minigan.gan.interface import Pass
from minigan.ops import mean, tanh


def report(d_pass: Pass, g_pass: Pass) -> dict[str, Tensor]:
    """The scalars of a step (see `GAN.train_step`), as new Tensors: those of the passes would keep the graph alive."""
    scalars = {"discriminator_loss": d_pass.loss}
    with no_grad():
        scalars |= {"real_score": _score(d_pass.real_logits), "fake_score": _score(d_pass.fake_logits)}
    if d_pass.penalty is not None:
        scalars["penalty"] = d_pass.penalty
    scalars["generator_loss"] = g_pass.loss
    if g_pass.term is not None:
        scalars["generator_term"] = g_pass.term
    return {name: Tensor(value) for name, value in scalars.items()}


def _score(logits: Any) -> Tensor:
    """mean sigmoid(logits), by tanh: rounding near 0 does not matter in a report."""
    return mean(tanh(logits * 0.5)) * 0.5 + 0.5
