"""Unrolled GANs: the discriminator after some further gradient steps, for the generator's loss (Metz et al., 2017)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from minigan.autodiff import Tensor, grad
from minigan.autodiff.parameter import Parameter, Variable
from minigan.gan.losses import Loss
from minigan.nn import Module
from minigan.nn.module import map_container, preserve_state


def unrolled_logits(
    discriminator: Module, loss: Loss, real: Tensor, fake: Tensor, steps: int, rate: float
) -> tuple[Tensor, Tensor]:
    """The logits of `real` and of `fake` under the discriminator after `steps` plain gradient steps on its loss.

    theta_0 are its parameters, and theta_{k+1} = theta_k - rate d loss(theta_k) / d theta_k on these same batches. All
    of it is differentiable in whatever the fakes were computed from: a generator that minimises its loss at these
    logits takes the discriminator's reaction into account (Metz et al., 2017, section 2). The discriminator itself is
    left unchanged: its parameters, running statistics, and counts of dropout draws. Each step draws new dropout masks.

    Raises ValueError unless `steps` is a whole number from 0 up and `rate` is above 0.
    """
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"the steps to unroll must be a whole number from 0 up, got {steps!r}")
    if not rate > 0:
        raise ValueError(f"the rate of unrolled steps must be above 0, got {rate}")
    parameters = list(discriminator.trainable_parameters().values())
    theta: list[Tensor] = [*parameters]
    with preserve_state(discriminator):
        for _ in range(steps):
            with substituted(discriminator, dict(zip(parameters, theta, strict=True))):
                value = loss.discriminator(discriminator(real), discriminator(fake))
            gradients = grad(value, theta, create_graph=True)
            theta = [t - g * rate for t, g in zip(theta, gradients, strict=True)]
        with substituted(discriminator, dict(zip(parameters, theta, strict=True))):
            return discriminator(real), discriminator(fake)


@contextlib.contextmanager
def substituted(module: Module, tensors: Mapping[Parameter, Tensor]) -> Iterator[None]:
    """A context in which `module` and every module inside it compute with `tensors` in place of their Parameters."""

    def exchange(item: Variable | Module) -> Tensor | Module:
        return tensors.get(item, item) if isinstance(item, Parameter) else item

    changes = [
        (part, name, value, new)
        for part in module.modules()
        for name, value in vars(part).items()
        if (new := map_container(value, exchange)) is not value
    ]
    try:
        for part, name, _, new in changes:
            setattr(part, name, new)
        yield
    finally:
        for part, name, value, _ in changes:
            setattr(part, name, value)
