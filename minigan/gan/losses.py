"""GAN losses: what each player minimises, as a function of the discriminator's logits, with gradients in closed form.

D(x) = sigmoid(logit) is the probability that x is real; in losses without probabilities the logit is only a score.
Means are over the batch, and n is its size. Everything is computed from logits, never from probabilities, so that
values and gradients are exact for logits of any size.
"""

from __future__ import annotations

from typing import Any

from minigan.autodiff import Tensor, constant_like
from minigan.core.errors import UsageError, did_you_mean
from minigan.ops import mean, mean_softplus, relu, sigmoid, slope_gate

__all__ = [
    "LOSSES", "Hinge", "LabelSmoothing", "LeastSquares", "Loss", "Minimax", "NonSaturating", "RelativisticAverage",
    "RelativisticPairing", "Wasserstein", "get",
]  # fmt: skip


class Loss:
    """The losses of both players. A loss of your own is a subclass with `discriminator` and `generator`.

    name: how messages call it; by default that of the class. relativistic: whether the generator's loss also depends on
    the logits of real examples. uses_labels: whether the discriminator's loss has a target for each class, 1 for reals
    and 0 for fakes, which can be smoothed. multi_head: whether its methods take all that the discriminator returned, a
    tuple that begins with the logits, in place of the logits. uses_condition: whether they take the conditions of the
    batch, too, as the keyword argument `condition`.
    """

    name: str
    relativistic = False
    uses_labels = False
    multi_head = False
    uses_condition = False

    def __init_subclass__(cls) -> None:
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """The discriminator's loss, a scalar, from its logits (n, 1) of real examples and of samples."""
        raise NotImplementedError

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        raise NotImplementedError

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The generator's loss, a scalar, from the logits (n, 1) of its samples.

        A relativistic loss needs real_logits, too, and raises ValueError without them.
        """
        raise NotImplementedError

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The gradient of `generator` with respect to the fake logits, in closed form."""
        raise NotImplementedError


class _CrossEntropy(Loss):
    """The discriminator of Goodfellow et al., 2014, equation 1; subclasses define the generator's loss.

    The discriminator maximises V(D, G) = mean log D(x) + mean log(1 - D(G(z))).
    """

    uses_labels = True

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """-V = mean softplus(-real) + mean softplus(fake).

        Gradients: d/d real = -sigmoid(-real) / n = -(1 - D(x)) / n,  d/d fake = sigmoid(fake) / n = D(G(z)) / n.
        """
        return mean_softplus(real_logits, -1) + mean_softplus(fake_logits)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        return sigmoid(-real_logits) * (-1.0 / real_logits.size), sigmoid(fake_logits) * (1.0 / fake_logits.size)


class Minimax(_CrossEntropy):
    """The zero-sum game, min over G, max over D of V(D, G): the generator minimises the term of V that contains G."""

    name = "minimax"

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """mean log(1 - D(G(z))) = -mean softplus(fake).

        Gradient: -sigmoid(fake) / n = -D(G(z)) / n, which vanishes where the discriminator detects the fake.
        """
        return -mean_softplus(fake_logits)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The gradient of `generator` with respect to the fake logits, in closed form."""
        return sigmoid(fake_logits) * (-1.0 / fake_logits.size)


class NonSaturating(_CrossEntropy):
    """The discriminator of `Minimax`; the generator maximises log D(G(z)) (Goodfellow et al., 2014, section 3).

    The fixed point is the same, but the generator's gradient is largest where the discriminator detects the fake.
    """

    name = "non-saturating"

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """-mean log D(G(z)) = mean softplus(-fake). Gradient: -sigmoid(-fake) / n = -(1 - D(G(z))) / n."""
        return mean_softplus(fake_logits, -1)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The gradient of `generator` with respect to the fake logits, in closed form."""
        return sigmoid(-fake_logits) * (-1.0 / fake_logits.size)


class LeastSquares(Loss):
    """Squared errors to the targets 1 for real and 0 for fake (Mao et al., 2017, equation 9: a = 0, b = c = 1).

    The optimal score is p / (p + q), as for D in Goodfellow et al., 2014, with p the density of the data and q that of
    the samples. The generator's gradient does not vanish for samples that the discriminator confidently calls fake.
    """

    name = "least-squares"
    uses_labels = True

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean (real - 1)^2 / 2 + mean fake^2 / 2. Gradients: d/d real = (real - 1) / n,  d/d fake = fake / n."""
        return _half_mean_square(real_logits - 1.0) + _half_mean_square(fake_logits)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        return (real_logits - 1.0) * (1.0 / real_logits.size), fake_logits * (1.0 / fake_logits.size)

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """mean (fake - 1)^2 / 2. Gradient: (fake - 1) / n."""
        return _half_mean_square(fake_logits - 1.0)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The gradient of `generator` with respect to the fake logits, in closed form."""
        return (fake_logits - 1.0) * (1.0 / fake_logits.size)


class _LinearGenerator(Loss):
    """A generator that maximises the mean score of its samples; subclasses define the discriminator's loss."""

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """-mean fake. Gradient: -1 / n."""
        return -mean(fake_logits)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The gradient of `generator` with respect to the fake logits, in closed form."""
        return constant_like(fake_logits, -1.0 / fake_logits.size)


class Hinge(_LinearGenerator):
    """Hinge losses at the margins +1 for real and -1 for fake: scores beyond their margin have no gradient.

    Lim and Ye, 2017; Miyato et al., 2018, equations 16 and 17.
    """

    name = "hinge"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean max(0, 1 - real) + mean max(0, 1 + fake).

        Gradients: d/d real = -1 / n where real < 1,  d/d fake = 1 / n where fake > -1,  0 elsewhere.
        """
        return mean(relu(1.0 - real_logits)) + mean(relu(1.0 + fake_logits))

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        d_real = constant_like(real_logits, -1.0 / real_logits.size)
        d_fake = constant_like(fake_logits, 1.0 / fake_logits.size)
        return slope_gate(1.0 - real_logits, d_real, slope=0.0), slope_gate(1.0 + fake_logits, d_fake, slope=0.0)


class Wasserstein(_LinearGenerator):
    """The difference of mean scores; for the optimal 1-Lipschitz critic it is minus the Wasserstein-1 distance.

    Arjovsky et al., 2017, equation 2 and Algorithm 1. It has no lower bound: the critic needs a constraint or penalty.
    """

    name = "wasserstein"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean fake - mean real. Gradients: d/d real = -1 / n,  d/d fake = 1 / n."""
        return mean(fake_logits) - mean(real_logits)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        return constant_like(real_logits, -1.0 / real_logits.size), constant_like(fake_logits, 1.0 / fake_logits.size)


class _Relativistic(Loss):
    """Losses of the difference between real and fake logits; the generator's is the discriminator's, with them swapped.

    Jolicoeur-Martineau, 2019.
    """

    relativistic = True

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The discriminator's loss with real and fake logits swapped."""
        return self.discriminator(fake_logits, self._require(real_logits))

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The gradient of `generator` with respect to the fake logits, in closed form."""
        return self.discriminator_logit_grads(fake_logits, self._require(real_logits))[0]

    def _require(self, real_logits: Any) -> Any:
        if real_logits is None:
            raise ValueError(
                f"the generator of the loss '{self.name}' compares with real examples; give their logits as well"
            )
        return real_logits


class RelativisticPairing(_Relativistic):
    """Each real example is paired with one fake: RpGAN, which Jolicoeur-Martineau, 2019, calls RSGAN."""

    name = "relativistic-pairing"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean softplus(fake - real) over pairs; the generator's loss is mean softplus(real - fake).

        Gradients: d/d real = -sigmoid(fake - real) / n,  d/d fake = sigmoid(fake - real) / n; of the generator's loss,
        d/d fake = -sigmoid(real - fake) / n. Raises ValueError unless there are as many real logits as fake ones.
        """
        return mean_softplus(_paired_difference(real_logits, fake_logits))

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        d_fake = sigmoid(_paired_difference(real_logits, fake_logits)) * (1.0 / real_logits.size)
        return -d_fake, d_fake


class RelativisticAverage(_Relativistic):
    """Each logit minus the mean logit of the other class: RaGAN, which Jolicoeur-Martineau, 2019, calls RaSGAN."""

    name = "relativistic-average"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean softplus(mean fake - real) + mean softplus(fake - mean real).

        Gradients, with a = sigmoid(mean fake - real), b = sigmoid(fake - mean real), and n the number of logits of the
        class in question: d/d real = -(a + mean b) / n,  d/d fake = (b + mean a) / n.
        """
        real_difference, fake_difference = _differences_from_mean(real_logits, fake_logits)
        return mean_softplus(real_difference) + mean_softplus(fake_difference)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        a, b = map(sigmoid, _differences_from_mean(real_logits, fake_logits))
        return (a + mean(b)) * (-1.0 / real_logits.size), (b + mean(a)) * (1.0 / fake_logits.size)


class LabelSmoothing(Loss):
    """Another loss with the target of reals lowered to 1 - smoothing (one-sided: Salimans et al., 2016, section 3.4).

    In cross-entropy a target 1 - s costs (1 - s) softplus(-real) + s softplus(real) = softplus(-real) + s real; in
    least squares it costs (real - 1)^2 / 2 + s real, up to a constant. So both losses gain s mean real, and d/d real
    gains s / n. The optimal D becomes (1 - s) p / (p + q). Raises ValueError if the loss uses no labels.
    """

    def __init__(self, loss: Loss, smoothing: float) -> None:
        if not loss.uses_labels or loss.multi_head or loss.uses_condition:
            raise ValueError(
                f"the loss '{loss.name}' uses no labels that could be smoothed; leave label_smoothing at 0, or take "
                "'non-saturating', 'minimax' or 'least-squares'"
            )
        self.loss, self.smoothing, self.name, self.uses_labels = loss, smoothing, loss.name, True

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """The unsmoothed loss + smoothing * mean real."""
        return self.loss.discriminator(real_logits, fake_logits) + mean(real_logits) * self.smoothing

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The gradients of `discriminator` with respect to both logits, in closed form."""
        d_real, d_fake = self.loss.discriminator_logit_grads(real_logits, fake_logits)
        return d_real + self.smoothing / real_logits.size, d_fake

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The unsmoothed loss, which contains no label of reals."""
        return self.loss.generator(fake_logits, real_logits)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The gradient of `generator` with respect to the fake logits, in closed form."""
        return self.loss.generator_logit_grads(fake_logits, real_logits)


def _half_mean_square(x: Tensor) -> Tensor:
    return mean(x * x) * 0.5


def _paired_difference(real_logits: Any, fake_logits: Any) -> Tensor:
    if real_logits.shape != fake_logits.shape:
        raise ValueError(
            f"pairs need as many real logits as fake logits, got shapes {real_logits.shape} and {fake_logits.shape}; "
            "use the loss 'relativistic-average' for unequal numbers"
        )
    return fake_logits - real_logits


def _differences_from_mean(real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
    """(mean fake - real, fake - mean real)."""
    return mean(fake_logits) - real_logits, fake_logits - mean(real_logits)


_ALL = (Minimax, NonSaturating, LeastSquares, Hinge, Wasserstein, RelativisticPairing, RelativisticAverage)
LOSSES: dict[str, Loss] = {kind.name: kind() for kind in _ALL}
"""Every loss that has a name, by its name."""


def get(name: str) -> Loss:
    """The loss called `name`; raises UsageError, naming the nearest, if there is none."""
    try:
        return LOSSES[name]
    except KeyError:
        raise UsageError(f"there is no loss '{name}'; {did_you_mean(name, LOSSES)}") from None
