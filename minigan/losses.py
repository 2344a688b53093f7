"""What the two players minimise, as functions of the discriminator's logits, with every gradient in closed form.

D(x) = sigmoid(logit): the probability that x is real. Means are over the batch, n is its size. Everything is
computed from logits, never from probabilities, so the values and gradients are exact for logits of any size.
"""

from __future__ import annotations

from typing import Any

from minigan.autodiff import Tensor
from minigan.errors import UsageError, did_you_mean
from minigan.ops import mean_softplus, sigmoid


class Loss:
    """The game of Goodfellow et al., 2014, equation 1, as the discriminator sees it; subclasses add the generator.

    V(D, G) = mean log D(x) + mean log(1 - D(G(z)))
    """

    name: str

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """-V = mean softplus(-real) + mean softplus(fake).

        Gradients: d/d real = -sigmoid(-real) / n = -(1 - D(x)) / n,  d/d fake = sigmoid(fake) / n = D(G(z)) / n.
        """
        return mean_softplus(real_logits, -1) + mean_softplus(fake_logits)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        return sigmoid(-real_logits) * (-1.0 / real_logits.size), sigmoid(fake_logits) * (1.0 / fake_logits.size)

    def generator(self, fake_logits: Any) -> Tensor:
        """What the generator minimises, a scalar, from the logits (n, 1) of its samples."""
        raise NotImplementedError

    def generator_logit_grads(self, fake_logits: Any) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits."""
        raise NotImplementedError


class Minimax(Loss):
    """The zero-sum game: min over G, max over D of V(D, G). The generator minimises its own part of V."""

    name = "minimax"

    def generator(self, fake_logits: Any) -> Tensor:
        """mean log(1 - D(G(z))) = -mean softplus(fake).

        Gradient: -sigmoid(fake) / n = -D(G(z)) / n, which vanishes where the discriminator wins.
        """
        return -mean_softplus(fake_logits)

    def generator_logit_grads(self, fake_logits: Any) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits."""
        return sigmoid(fake_logits) * (-1.0 / fake_logits.size)


class NonSaturating(Loss):
    """The same discriminator; the generator maximises log D(G(z)) instead (Goodfellow et al., 2014, section 3).

    Same fixed point, but the generator's gradient is largest, not smallest, where the discriminator wins.
    """

    name = "non-saturating"

    def generator(self, fake_logits: Any) -> Tensor:
        """-mean log D(G(z)) = mean softplus(-fake). Gradient: -sigmoid(-fake) / n = -(1 - D(G(z))) / n."""
        return mean_softplus(fake_logits, -1)

    def generator_logit_grads(self, fake_logits: Any) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits."""
        return sigmoid(-fake_logits) * (-1.0 / fake_logits.size)


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Minimax(), NonSaturating())}


def get(name: str) -> Loss:
    """The loss called `name`; raises UsageError, naming the nearest, if there is none."""
    try:
        return LOSSES[name]
    except KeyError:
        raise UsageError(f"there is no loss '{name}'; {did_you_mean(name, LOSSES)}") from None
