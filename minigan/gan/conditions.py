"""Conditional GANs: both networks also get a condition y of each example (Mirza and Osindero, 2014).

D_y(x) = D(x, y) is a function of x alone, and so is a loss that knows y a function of D's outputs alone: whatever works
for an unconditional GAN (penalties, unrolling, relativistic losses) works for these two as it is.

A discriminator may have several outputs, a tuple whose first entry is the logits, such as (logits, class logits) of an
AC-GAN (Odena et al., 2017). A loss whose `multi_head` is set takes what the discriminator returned.
"""

from __future__ import annotations

from typing import Any

from minigan.autodiff import Tensor
from minigan.gan.losses import Loss
from minigan.nn import Module
from minigan.ops import concatenate

Outputs = Tensor | tuple[Tensor, ...]
"""What a discriminator returns: logits, or a tuple of which the first entry is the logits."""


def as_arguments(condition: Tensor | None) -> tuple[Tensor, ...]:
    """The condition as further arguments of a call: none if it is None."""
    return () if condition is None else (condition,)


def given(discriminator: Module, condition: Tensor | None) -> Module:
    """D_y, the discriminator for a batch of which `condition` (n, ...) is known; itself if this is None."""
    return discriminator if condition is None else _Conditioned(discriminator, condition)


def loss_given(loss: Loss, condition: Tensor | None) -> Loss:
    """`loss` as a function of the discriminator's outputs alone. Raises ValueError if it lacks its condition."""
    if not loss.uses_condition:
        return loss
    if condition is None:
        raise ValueError(f"the loss '{loss.name}' uses the condition y, but the batch has none; train on pairs (x, y)")
    return _ConditionedLoss(loss, condition)


class _Conditioned(Module):
    """D_y: maps x (k n, ...), k batches that all have the condition y (n, ...), to D(x, (y, ..., y))."""

    def __init__(self, discriminator: Module, condition: Tensor) -> None:
        self.discriminator, self.condition = discriminator, condition

    def forward(self, x: Tensor) -> Tensor:
        times, rest = divmod(len(x), len(self.condition))
        if rest:
            raise ValueError(
                f"the discriminator got {len(x)} examples, which is no multiple of the {len(self.condition)} conditions"
            )
        return self.discriminator(x, self.condition if times == 1 else concatenate([self.condition] * times))


class _ConditionedLoss(Loss):
    """A loss with its condition filled in."""

    def __init__(self, loss: Loss, condition: Tensor) -> None:
        self._loss, self._condition, self.name = loss, condition, loss.name
        self.relativistic, self.multi_head = loss.relativistic, loss.multi_head

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        return self._loss.discriminator(real_logits, fake_logits, condition=self._condition)  # type: ignore[call-arg]

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        return self._loss.generator(fake_logits, real_logits, condition=self._condition)  # type: ignore[call-arg]


def logits_of(outputs: Any) -> Any:
    """The logits among the discriminator's outputs; None for None."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def score_of(discriminator: Module, outputs: Outputs) -> Any:
    """The function x -> logits of a discriminator that gives `outputs`, for penalties."""
    return discriminator if isinstance(outputs, Tensor) else lambda x: logits_of(discriminator(x))


def require_outputs(outputs: Any, loss: Loss, count: int) -> None:
    """Raise TypeError or ValueError unless `outputs` are what `loss` takes, for `count` inputs of the discriminator."""
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    if not heads or not all(isinstance(head, Tensor) for head in heads):
        raise TypeError(
            f"the discriminator returned {_kind(outputs)}; expected its logits, a Tensor (n, 1), or a tuple of Tensors "
            "that begins with them"
        )
    if isinstance(outputs, tuple) and not loss.multi_head:
        raise TypeError(
            f"the discriminator returned {len(heads)} outputs, but the loss '{loss.name}' takes logits alone; set "
            "multi_head = True in a Loss of your own whose methods take these tuples, or return the logits alone"
        )
    if any(head.ndim == 0 or len(head) != count for head in heads):
        raise ValueError(
            f"the discriminator turned {count} inputs into outputs of shape {', '.join(str(h.shape) for h in heads)}; "
            f"expected logits (n, 1), one row for each input"
        )


def require_scalar(value: Any, what: str) -> None:
    """Raise TypeError or ValueError unless `value`, a player's loss or penalty, is a scalar Tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"the {what} is a {type(value).__name__}, expected a scalar Tensor, computed from what the discriminator "
            "returns with the operations of minigan.ops"
        )
    if value.data.size != 1:
        raise ValueError(f"the {what} has shape {value.shape}, expected a scalar, such as the mean")


def _kind(outputs: Any) -> str:
    if isinstance(outputs, tuple):
        return "a tuple of " + (", ".join(type(head).__name__ for head in outputs) or "nothing")
    return f"a {type(outputs).__name__}"
