"""Each player's objective, composed of losses and penalties as in the papers, independently of minigan.gan.gan.

Only the values of the objectives are used: the self-test compares the gradients of a training step with finite
differences of these values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minigan.autodiff import Tensor, grad
from minigan.gan import GAN, losses, penalties
from minigan.gan.inputs import UpdateInputs
from minigan.nn import Dropout
from minigan.ops import concatenate, mean
from minigan.recipes.settings import NONE, Settings


def discriminator_objective(gan: GAN, settings: Settings, inputs: UpdateInputs) -> Tensor:
    """The discriminator's loss plus its penalty, weighted as in an update that computes the penalty."""
    real, fake = _discriminator_inputs(gan, settings, inputs)
    loss = _smoothed_loss(settings, *_logits(gan, real, fake))
    if settings["penalty"] == NONE:
        return loss
    penalty = penalties.get(settings["penalty"])(gan.discriminator, real, fake, inputs.penalty_draws)
    return loss + penalty * (settings["penalty_weight"] * settings["penalty_every"])


def generator_objective(gan: GAN, settings: Settings, inputs: UpdateInputs) -> Tensor:
    """The generator's loss against the discriminator after `unroll_steps` gradient steps (Metz et al., 2017)."""
    loss, (real, fake) = losses.get(settings["loss"]), _discriminator_inputs(gan, settings, inputs)
    with _unrolled(gan, settings, real, fake):
        real_logits = gan.discriminator(real) if loss.relativistic or settings["unroll_steps"] else None
        return loss.generator(gan.discriminator(fake), real_logits)


def _discriminator_inputs(gan: GAN, settings: Settings, inputs: UpdateInputs) -> list[Tensor]:
    """Real and fake examples with noise, `packing` of them concatenated along the last axis."""
    pairs = (inputs.real, inputs.real_noise), (gan.generator(inputs.latent), inputs.fake_noise)
    examples = [x + noise if settings["instance_noise"] else x for x, noise in pairs]
    packing = settings["packing"]
    return [concatenate([x[i::packing] for i in range(packing)], axis=-1) for x in examples]


def _logits(gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Real and fake logits; with dropout from one pass, as in training, because two passes would draw other masks."""
    if not any(isinstance(part, Dropout) for part in gan.discriminator.modules()):
        return gan.discriminator(real), gan.discriminator(fake)
    logits = gan.discriminator(concatenate([real, fake]))
    return logits[: len(real)], logits[len(real) :]


def _smoothed_loss(settings: Settings, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's loss; a label of 1 - s for reals adds s * mean real to it (see losses.LabelSmoothing)."""
    loss = losses.get(settings["loss"]).discriminator(real_logits, fake_logits)
    return loss + mean(real_logits) * settings["label_smoothing"]


@contextmanager
def _unrolled(gan: GAN, settings: Settings, real: Tensor, fake: Tensor) -> Iterator[None]:
    """A context in which the discriminator has taken `unroll_steps` plain gradient steps on these examples."""
    discriminator, weights = gan.discriminator, list(gan.discriminator.parameters().values())
    before = [w.numpy() for w in weights]
    try:
        for _ in range(settings["unroll_steps"]):
            gradients = grad(_smoothed_loss(settings, discriminator(real), discriminator(fake)), weights)
            for w, g in zip(weights, gradients, strict=True):
                w.assign(w.numpy() - settings["unroll_rate"] * g.numpy())
        yield
    finally:
        if settings["unroll_steps"]:
            for w, values in zip(weights, before, strict=True):
                w.assign(values)
