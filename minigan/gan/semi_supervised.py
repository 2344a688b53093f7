"""Learning from few labels: a discriminator that is a classifier of K classes, and feature matching.

Salimans et al., 2016, sections 3.1 and 5. A classifier of K + 1 classes, the last one for samples, has one logit more
than it needs, since softmax does not change if a number is added to all logits. With the last logit fixed at 0, the K
class logits l(x) say it all: with Z = sum of exp l_k, the probability that x is real is D(x) = Z / (Z + 1), so that
logsumexp l(x) is the discriminator's logit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.gan.losses import Loss
from minigan.ops import clip, logsumexp, maximum, mean, one_hot, reshape, softplus
from minigan.ops import sum as sum_

UNLABELLED = -1
"""The label of an example whose class the discriminator is not told."""


class SemiSupervised(Loss):
    """The classifier's loss on labelled, unlabelled and generated examples; feature matching for the generator.

    The discriminator returns (logits, class logits, features): logsumexp l(x), (n, 1); l(x), (n, K); and the
    activations of a hidden layer, (n, F), whose means the generator matches. The condition is the label of each real
    example, a class number from 0 to K - 1, or UNLABELLED, (n,).

    unlabelled_weight: what the terms of unlabelled examples and of samples are multiplied by; 1 in the paper, 1/2 in
    its authors' code.
    """

    name = "semi-supervised"
    multi_head = uses_condition = True
    relativistic = True  # the generator needs the features of real examples

    def __init__(self, unlabelled_weight: float = 0.5) -> None:
        self.unlabelled_weight = unlabelled_weight

    def discriminator(self, real_logits: Any, fake_logits: Any, condition: Any = None) -> Tensor:
        """L_supervised + unlabelled_weight * L_unsupervised.

        L_supervised = mean over labelled examples of logsumexp l(x) - l_y(x) = -log p(y | x, y < K + 1).
        L_unsupervised = mean over unlabelled ones of softplus(-logit) + mean over samples of softplus(logit)
                       = -mean log D(x) - mean log(1 - D(G(z))).
        A mean over no example is 0.
        """
        logits, class_logits, _ = real_logits
        labelled, unlabelled = _indicators(condition, class_logits.dtype)
        own_class = one_hot(maximum(condition, 0.0), class_logits.shape[1], class_logits.dtype)
        supervised = _mean_over(labelled, logsumexp(class_logits) - sum_(class_logits * own_class, axis=1))
        real = _mean_over(unlabelled, softplus(-reshape(logits, labelled.shape)))
        return supervised + (real + mean(softplus(fake_logits[0]))) * self.unlabelled_weight

    def generator(self, fake_logits: Any, real_logits: Any = None, condition: Any = None) -> Tensor:
        """|mean f(x) - mean f(G(z))|^2 / F, with the mean over unlabelled examples x (section 3.1)."""
        real, fake = real_logits[2], fake_logits[2]
        _, unlabelled = _indicators(condition, real.dtype)
        difference = mean(fake, axis=0) - _mean_over(reshape(unlabelled, (-1, 1)), real)
        return mean(difference * difference)


def _indicators(labels: Tensor, dtype: np.dtype) -> tuple[Tensor, Tensor]:
    """(labelled, unlabelled), (n,) each: 1 where a label is a class number, or where it is UNLABELLED; 0 elsewhere."""
    either = one_hot(clip(labels - UNLABELLED, 0.0, 1.0), 2, dtype)
    return either[:, 1], either[:, 0]


def _mean_over(chosen: Tensor, values: Tensor) -> Tensor:
    """The mean over the rows of `values` for which `chosen` is 1, not 0; 0 if there is none."""
    return sum_(values * chosen, axis=0) / maximum(sum_(chosen), 1.0)
