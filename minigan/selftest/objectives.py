"""Each player's objective, composed of losses and penalties as in the papers, independently of minigan.gan.gan.

Only the values of the objectives are used: the self-test compares the gradients of a training step with finite
differences of these values. Settings are those of the recipe; one that it decides itself, such as the loss of an
AC-GAN, is None, and read from the GAN.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minigan.autodiff import Tensor, grad
from minigan.gan import GAN, losses, penalties
from minigan.gan.conditions import logits_of
from minigan.gan.inputs import UpdateInputs, tree_map
from minigan.nn import Module, RandomLayer
from minigan.ops import concatenate, mean
from minigan.optim.schedules import value_at
from minigan.recipes.settings import NONE, Settings


def discriminator_objective(gan: GAN, settings: Settings, inputs: UpdateInputs) -> Tensor:
    """The discriminator's loss plus its penalty, weighted as in an update that computes the penalty."""
    real, fake = _discriminator_inputs(gan, settings, inputs)
    condition = _condition(settings, inputs)
    loss = _smoothed_loss(gan, settings, *_outputs(gan, real, fake, condition), condition)
    if settings["penalty"] == NONE:
        return loss

    def critic(x: Tensor) -> Tensor:
        logits: Tensor = logits_of(_discriminate(gan, x, condition))
        return logits

    penalty = penalties.get(settings["penalty"])(critic, real, fake, inputs.penalty_draws)
    return loss + penalty * (settings["penalty_weight"] * settings["penalty_every"])


def generator_objective(gan: GAN, settings: Settings, inputs: UpdateInputs) -> Tensor:
    """The generator's loss against the discriminator after `unroll_steps` gradient steps (Metz et al., 2017), and its
    further term, both weighted (Isola et al., 2017, equation 4)."""
    real, fake = _discriminator_inputs(gan, settings, inputs)
    condition = _condition(settings, inputs)
    loss = losses.get(settings["loss"]) if settings["loss"] else gan.loss
    with _unrolled(gan, settings, real, fake, condition):
        needs_real = loss.relativistic or settings["unroll_steps"]
        real_outputs = _discriminate(gan, real, condition) if needs_real else None
        value = loss.generator(_discriminate(gan, fake, condition), real_outputs, **_keywords(loss, condition))
    value = value * value_at(gan.adversarial_weight, gan.step)
    if gan.generator_term is None:
        return value
    term = gan.generator_term.forward if isinstance(gan.generator_term, Module) else gan.generator_term
    weight = value_at(gan.generator_term_weight, gan.step)
    return value + term(_generate(gan, inputs), inputs.real, inputs.condition) * weight


def _generate(gan: GAN, inputs: UpdateInputs) -> Tensor:
    return gan.generator(inputs.latent) if inputs.condition is None else gan.generator(inputs.latent, inputs.condition)


def _discriminate(gan: GAN, x: Tensor, condition: Tensor | None) -> Any:
    """The outputs of the discriminator for x (k n, ...), k times as many examples as conditions (n, ...)."""
    if condition is None:
        return gan.discriminator(x)
    return gan.discriminator(x, concatenate([condition] * (len(x) // len(condition))))


def _condition(settings: Settings, inputs: UpdateInputs) -> Tensor | None:
    """The condition of each pack of examples, which share it."""
    return None if inputs.condition is None else inputs.condition[:: settings["packing"]]


def _keywords(loss: losses.Loss, condition: Tensor | None) -> dict[str, Any]:
    return {"condition": condition} if loss.uses_condition else {}


def _discriminator_inputs(gan: GAN, settings: Settings, inputs: UpdateInputs) -> list[Tensor]:
    """Real and fake examples with noise, `packing` of them concatenated along the last axis."""
    pairs = (inputs.real, inputs.real_noise), (_generate(gan, inputs), inputs.fake_noise)
    examples = [x + noise if settings["instance_noise"] else x for x, noise in pairs]
    packing = settings["packing"]
    return [concatenate([x[i::packing] for i in range(packing)], axis=-1) for x in examples]


def _outputs(gan: GAN, real: Tensor, fake: Tensor, condition: Tensor | None) -> tuple[Any, Any]:
    """The discriminator's outputs for reals and fakes; with layers such as dropout from one pass, as in training,
    because two passes would draw other masks."""
    if not any(isinstance(part, RandomLayer) for part in gan.discriminator.modules()):
        return _discriminate(gan, real, condition), _discriminate(gan, fake, condition)
    both, count = _discriminate(gan, concatenate([real, fake]), condition), len(real)
    return tree_map(both, lambda x: x[:count]), tree_map(both, lambda x: x[count:])


def _smoothed_loss(gan: GAN, settings: Settings, real: Any, fake: Any, condition: Tensor | None) -> Tensor:
    """The discriminator's loss; a label of 1 - s for reals adds s * mean real to it (see losses.LabelSmoothing)."""
    loss = losses.get(settings["loss"]) if settings["loss"] else gan.loss
    value = loss.discriminator(real, fake, **_keywords(loss, condition))
    return value + mean(logits_of(real)) * settings["label_smoothing"]


@contextmanager
def _unrolled(gan: GAN, settings: Settings, real: Tensor, fake: Tensor, condition: Tensor | None) -> Iterator[None]:
    """A context in which the discriminator has taken `unroll_steps` plain gradient steps on these examples."""
    discriminate = functools.partial(_discriminate, gan, condition=condition)
    weights = list(gan.discriminator.parameters().values())
    before = [w.numpy() for w in weights]
    try:
        for _ in range(settings["unroll_steps"]):
            loss = _smoothed_loss(gan, settings, discriminate(real), discriminate(fake), condition)
            for w, g in zip(weights, grad(loss, weights), strict=True):
                w.assign(w.numpy() - settings["unroll_rate"] * g.numpy())
        yield
    finally:
        if settings["unroll_steps"]:
            for w, values in zip(weights, before, strict=True):
                w.assign(values)
