"""What the two players minimise, as functions of the discriminator's logits, with every gradient in closed form.

D(x) = sigmoid(logit): the probability that x is real; where a loss knows no probability, the logit is only a score.
Means are over the batch, n is its size. Everything is computed from logits, never from probabilities, so the values
and gradients are exact for logits of any size.
"""

from __future__ import annotations

from typing import Any

from minigan.autodiff import Tensor, constant_like
from minigan.core.errors import UsageError, did_you_mean
from minigan.ops import mean, mean_softplus, relu, sigmoid, slope_gate


class Loss:
    """The losses of both players.

    relative: whether the generator's depends on the logits of real examples, too. labelled: whether the discriminator
    is taught the label 1 for reals and 0 for fakes.
    """

    name: str
    relativistic = False
    uses_labels = False

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """What the discriminator minimises, a scalar, from its logits (n, 1) of real examples and of samples."""
        raise NotImplementedError

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        raise NotImplementedError

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """What the generator minimises, a scalar, from the logits (n, 1) of its samples, and of real ones if needed.

        Raises ValueError if the loss is `relative` and there are no real ones.
        """
        raise NotImplementedError

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits of its samples."""
        raise NotImplementedError


class _Game(Loss):
    """The game of Goodfellow et al., 2014, equation 1, as the discriminator sees it; subclasses add the generator.

    V(D, G) = mean log D(x) + mean log(1 - D(G(z)))
    """

    uses_labels = True

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """-V = mean softplus(-real) + mean softplus(fake).

        Gradients: d/d real = -sigmoid(-real) / n = -(1 - D(x)) / n,  d/d fake = sigmoid(fake) / n = D(G(z)) / n.
        """
        return mean_softplus(real_logits, -1) + mean_softplus(fake_logits)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        return sigmoid(-real_logits) * (-1.0 / real_logits.size), sigmoid(fake_logits) * (1.0 / fake_logits.size)


class Minimax(_Game):
    """The zero-sum game: min over G, max over D of V(D, G). The generator minimises its own part of V."""

    name = "minimax"

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """mean log(1 - D(G(z))) = -mean softplus(fake).

        Gradient: -sigmoid(fake) / n = -D(G(z)) / n, which vanishes where the discriminator wins.
        """
        return -mean_softplus(fake_logits)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits of its samples."""
        return sigmoid(fake_logits) * (-1.0 / fake_logits.size)


class NonSaturating(_Game):
    """The same discriminator; the generator maximises log D(G(z)) instead (Goodfellow et al., 2014, section 3).

    Same fixed point, but the generator's gradient is largest, not smallest, where the discriminator wins.
    """

    name = "non-saturating"

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """-mean log D(G(z)) = mean softplus(-fake). Gradient: -sigmoid(-fake) / n = -(1 - D(G(z))) / n."""
        return mean_softplus(fake_logits, -1)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits of its samples."""
        return sigmoid(-fake_logits) * (-1.0 / fake_logits.size)


class LeastSquares(Loss):
    """Scores are pulled to 1 for real and to 0 for fake (Mao et al., 2017, equation 9: a = 0, b = c = 1).

    The best score is p / (p + q), what D is in the game of 2014. A sample that D is sure of is still pulled along.
    """

    name = "least-squares"
    uses_labels = True

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean (real - 1)^2 / 2 + mean fake^2 / 2. Gradients: d/d real = (real - 1) / n,  d/d fake = fake / n."""
        return _half_mean_square(real_logits - 1.0) + _half_mean_square(fake_logits)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        return (real_logits - 1.0) * (1.0 / real_logits.size), fake_logits * (1.0 / fake_logits.size)

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """mean (fake - 1)^2 / 2. Gradient: (fake - 1) / n."""
        return _half_mean_square(fake_logits - 1.0)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits of its samples."""
        return (fake_logits - 1.0) * (1.0 / fake_logits.size)


class _RaiseTheScore(Loss):
    """A generator that only wants its samples' score to be high, whatever the discriminator minimises."""

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """-mean fake. Gradient: -1 / n."""
        return -mean(fake_logits)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits of its samples."""
        return constant_like(fake_logits, -1.0 / fake_logits.size)


class Hinge(_RaiseTheScore):
    """The discriminator cares for what lies within the margin from -1 to 1, or on the wrong side of it.

    Lim and Ye, 2017; Miyato et al., 2018, equations 16 and 17.
    """

    name = "hinge"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean max(0, 1 - real) + mean max(0, 1 + fake).

        Gradients: d/d real = -1 / n where real < 1,  d/d fake = 1 / n where fake > -1,  0 elsewhere.
        """
        return mean(relu(1.0 - real_logits)) + mean(relu(1.0 + fake_logits))

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        of_real, of_fake = (
            constant_like(real_logits, -1.0 / real_logits.size),
            constant_like(fake_logits, 1.0 / fake_logits.size),
        )
        return slope_gate(1.0 - real_logits, of_real, slope=0.0), slope_gate(1.0 + fake_logits, of_fake, slope=0.0)


class Wasserstein(_RaiseTheScore):
    """The difference of mean scores: for the best 1-Lipschitz critic, minus the Wasserstein-1 distance.

    Arjovsky et al., 2017, equation 2 and Algorithm 1. It has no lower bound: the critic needs a constraint or penalty.
    """

    name = "wasserstein"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean fake - mean real. Gradients: d/d real = -1 / n,  d/d fake = 1 / n."""
        return mean(fake_logits) - mean(real_logits)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        return constant_like(real_logits, -1.0 / real_logits.size), constant_like(fake_logits, 1.0 / fake_logits.size)


class _Relativistic(Loss):
    """Examples are judged by how much more real they look than those of the other kind; both players play alike."""

    relativistic = True

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The loss of the discriminator, its real and fake exchanged."""
        return self.discriminator(fake_logits, self._given(real_logits))

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits of its samples."""
        return self.discriminator_logit_grads(fake_logits, self._given(real_logits))[0]

    def _given(self, real_logits: Any) -> Any:
        if real_logits is None:
            raise ValueError(
                f"the generator of the loss '{self.name}' compares with real examples; give their logits as well"
            )
        return real_logits


class RelativisticPairing(_Relativistic):
    """Each real example against one fake: RpGAN (Jolicoeur-Martineau, 2019, where it is RSGAN)."""

    name = "relativistic-pairing"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean softplus(fake - real), in pairs; the generator's is mean softplus(real - fake).

        Gradients: d/d real = -sigmoid(fake - real) / n,  d/d fake = sigmoid(fake - real) / n; those of the generator
        are -sigmoid(real - fake) / n for fake. Raises ValueError unless there are as many of each.
        """
        return mean_softplus(_paired(real_logits, fake_logits))

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        share = sigmoid(_paired(real_logits, fake_logits)) * (1.0 / real_logits.size)
        return -share, share


class RelativisticAverage(_Relativistic):
    """Each example against the average of the other kind: RaGAN (Jolicoeur-Martineau, 2019, where it is RaSGAN)."""

    name = "relativistic-average"

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """mean softplus(mean fake - real) + mean softplus(fake - mean real).

        Gradients, with a = sigmoid(mean fake - real), b = sigmoid(fake - mean real), and n of the kind in question:
        d/d real = -(a + mean b) / n,  d/d fake = (b + mean a) / n.
        """
        below, above = _against_the_average(real_logits, fake_logits)
        return mean_softplus(below) + mean_softplus(above)

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        a, b = map(sigmoid, _against_the_average(real_logits, fake_logits))
        return (a + mean(b)) * (-1.0 / real_logits.size), (b + mean(a)) * (1.0 / fake_logits.size)


class LabelSmoothing(Loss):
    """Another loss, its label of reals lowered to 1 - smoothing (one-sided: Salimans et al., 2016, section 3.4).

    In the games of log D a label 1 - s costs (1 - s) softplus(-real) + s softplus(real) = softplus(-real) + s real; in
    least squares it costs (real - 1)^2 / 2 + s real but for a constant. So both gain s mean real, and s / n in
    d/d real. The best D becomes (1 - s) p / (p + q). Raises ValueError if the loss teaches no labels.
    """

    def __init__(self, loss: Loss, smoothing: float) -> None:
        if not loss.uses_labels:
            raise ValueError(
                f"the loss '{loss.name}' teaches the discriminator no labels that could be smoothed; leave "
                "label_smoothing at 0, or take 'non-saturating', 'minimax' or 'least-squares'"
            )
        self.loss, self.smoothing, self.name, self.uses_labels = loss, smoothing, loss.name, True

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        """The loss beneath + smoothing * mean real."""
        return self.loss.discriminator(real_logits, fake_logits) + mean(real_logits) * self.smoothing

    def discriminator_logit_grads(self, real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
        """The closed form of the gradients of `discriminator` with respect to both logits."""
        of_real, of_fake = self.loss.discriminator_logit_grads(real_logits, fake_logits)
        return of_real + self.smoothing / real_logits.size, of_fake

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """That of the loss beneath."""
        return self.loss.generator(fake_logits, real_logits)

    def generator_logit_grads(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        """The closed form of the gradient of `generator` with respect to the logits of its samples."""
        return self.loss.generator_logit_grads(fake_logits, real_logits)


def _half_mean_square(x: Tensor) -> Tensor:
    return mean(x * x) * 0.5


def _paired(real_logits: Any, fake_logits: Any) -> Tensor:
    if real_logits.shape != fake_logits.shape:
        raise ValueError(
            f"pairs need as many real logits as fake ones, got shapes {real_logits.shape} and {fake_logits.shape}; "
            "use the loss 'relativistic-average' for other numbers"
        )
    return fake_logits - real_logits


def _against_the_average(real_logits: Any, fake_logits: Any) -> tuple[Tensor, Tensor]:
    """By how much each real logit lies below the mean fake one, and each fake one above the mean real one."""
    return mean(fake_logits) - real_logits, fake_logits - mean(real_logits)


_ALL = (Minimax, NonSaturating, LeastSquares, Hinge, Wasserstein, RelativisticPairing, RelativisticAverage)
LOSSES: dict[str, Loss] = {kind.name: kind() for kind in _ALL}


def get(name: str) -> Loss:
    """The loss called `name`; raises UsageError, naming the nearest, if there is none."""
    try:
        return LOSSES[name]
    except KeyError:
        raise UsageError(f"there is no loss '{name}'; {did_you_mean(name, LOSSES)}") from None
