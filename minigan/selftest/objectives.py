"""What each player minimises, composed here of losses and penalties as their papers state it, apart from minigan.gan.

Only the values serve: the gradients that a training step computes are checked against their slopes.
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


def of_discriminator(gan: GAN, settings: Settings, inputs: UpdateInputs) -> Tensor:
    """Its loss, and its penalty with the weight of an update at which that is computed."""
    real, fake = _seen(gan, settings, inputs)
    loss = _with_labels(settings, *_logits(gan, real, fake))
    if settings["penalty"] == NONE:
        return loss
    penalty = penalties.get(settings["penalty"])(gan.discriminator, real, fake, inputs.penalty_draws)
    return loss + penalty * (settings["penalty_weight"] * settings["penalty_every"])


def of_generator(gan: GAN, settings: Settings, inputs: UpdateInputs) -> Tensor:
    """Its loss against the discriminator as that will be `unroll_steps` gradient steps later (Metz et al., 2017)."""
    loss, (real, fake) = losses.get(settings["loss"]), _seen(gan, settings, inputs)
    with _ahead(gan, settings, real, fake):
        real_logits = gan.discriminator(real) if loss.relativistic or settings["unroll_steps"] else None
        return loss.generator(gan.discriminator(fake), real_logits)


def _seen(gan: GAN, settings: Settings, inputs: UpdateInputs) -> list[Tensor]:
    """Real and fake examples with noise, and `packing` of them side by side in the last axis."""
    pairs = (inputs.real, inputs.real_noise), (gan.generator(inputs.latent), inputs.fake_noise)
    examples = [x + noise if settings["instance_noise"] else x for x, noise in pairs]
    packing = settings["packing"]
    return [concatenate([x[i::packing] for i in range(packing)], axis=-1) for x in examples]


def _logits(gan: GAN, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Of both; in one pass where dropout draws, as in training: two would draw other masks."""
    if not any(isinstance(part, Dropout) for part in gan.discriminator.modules()):
        return gan.discriminator(real), gan.discriminator(fake)
    logits = gan.discriminator(concatenate([real, fake]))
    return logits[: len(real)], logits[len(real) :]


def _with_labels(settings: Settings, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The loss of the discriminator; a label 1 - s of reals adds s mean real to it (see losses.LabelSmoothing)."""
    loss = losses.get(settings["loss"]).discriminator(real_logits, fake_logits)
    return loss + mean(real_logits) * settings["label_smoothing"]


@contextmanager
def _ahead(gan: GAN, settings: Settings, real: Tensor, fake: Tensor) -> Iterator[None]:
    """A context in which the discriminator has taken `unroll_steps` plain gradient steps on these examples."""
    discriminator, weights = gan.discriminator, list(gan.discriminator.parameters().values())
    before = [w.numpy() for w in weights]
    try:
        for _ in range(settings["unroll_steps"]):
            gradients = grad(_with_labels(settings, discriminator(real), discriminator(fake)), weights)
            for w, g in zip(weights, gradients, strict=True):
                w.assign(w.numpy() - settings["unroll_rate"] * g.numpy())
        yield
    finally:
        if settings["unroll_steps"]:
            for w, values in zip(weights, before, strict=True):
                w.assign(values)
