"""An article's discriminator loss: the cross-entropy of the reals minus that of the fakes.

Where: a tutorial on GANs that this project grew from. Goodfellow et al., 2014: the discriminator minimises

    mean softplus(-real) + mean softplus(fake)      (logits: -log D(x) - log(1 - D(G(z))))

The article subtracts the second mean, so the loss falls when fakes are classified as real.

In training: the loss has no lower bound, and the discriminator learns to classify everything as real.
"""

import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=8), rng.normal(size=8)


def sigmoid(x):
    """The probability of a logit."""
    return 1 / (1 + np.exp(-x))


def loss(real, fake):
    """The discriminator's loss, as published by Goodfellow et al."""
    return np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()


def published(real, fake):
    """The gradient that the article follows."""
    return -sigmoid(-real) / real.size, -sigmoid(fake) / fake.size


def corrected(real, fake):
    """Both cross-entropies are added."""
    return -sigmoid(-real) / real.size, sigmoid(fake) / fake.size


def check(derivative=published):
    """The report of the checker."""
    return mg.check_pair(loss, derivative, LOGITS)


if __name__ == "__main__":
    print(check())
