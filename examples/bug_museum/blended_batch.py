"""An article's training loop: the batch labelled real is the blend 0.7 real + 0.3 fake.

Where: a tutorial on GANs that this project grew from. For a linear discriminator the logit of a blend is the blend
of the logits, so the training follows the gradient of mean softplus(-(0.7 real + 0.3 fake)): by the logits of the
fakes, it has the wrong sign and 0.3 times the right magnitude.

In training: if the blend is the whole batch nothing is labelled fake, and D = 1 everywhere is optimal.

The check is made at the start of the training, where all logits are zero and D = 1/2. There the derivative is wrong by
a single factor, 1 / -0.3.
"""

import numpy as np

import minigan as mg

LOGITS = np.zeros(8), np.zeros(8)


def sigmoid(x):
    """The probability of a logit."""
    return 1 / (1 + np.exp(-x))


def loss(real, fake):
    """The discriminator's loss, as published by Goodfellow et al."""
    return np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()


def published(real, fake):
    """The gradient that the article follows."""
    by_blend = -sigmoid(-(0.7 * real + 0.3 * fake)) / real.size
    return 0.7 * by_blend, 0.3 * by_blend


def corrected(real, fake):
    """Two batches, each with its label."""
    return -sigmoid(-real) / real.size, sigmoid(fake) / fake.size


def check(derivative=published):
    """The report of the checker."""
    return mg.check_pair(loss, derivative, LOGITS)


if __name__ == "__main__":
    print(check())
