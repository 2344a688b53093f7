"""An article's training loop: the discriminator is trained on fakes only, once labelled real and once labelled fake.

Where: a tutorial on GANs that this project grew from. Both of its batches were drawn from the generator, so the
discriminator follows the gradient of

    mean softplus(-fake) + mean softplus(fake)      instead of      mean softplus(-real) + mean softplus(fake)

In training: the data are not used, and D = 1/2 everywhere is optimal for fakes of any distribution. The losses settle
at log 2, as after a successful training.
"""

import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
LOGITS = rng.normal(-1, 0.5, size=8), rng.normal(4, 0.5, size=8)  # a discriminator that takes the fakes for real


def sigmoid(x):
    """The probability of a logit."""
    return 1 / (1 + np.exp(-x))


def loss(real, fake):
    """The discriminator's loss, as published by Goodfellow et al."""
    return np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()


def published(real, fake):
    """The gradient that the article follows, without the real batch."""
    return np.zeros_like(real), (sigmoid(fake) - sigmoid(-fake)) / fake.size


def corrected(real, fake):
    """Each batch with its own label."""
    return -sigmoid(-real) / real.size, sigmoid(fake) / fake.size


def check(derivative=published):
    """The report of the checker."""
    return mg.check_pair(loss, derivative, LOGITS)


if __name__ == "__main__":
    print(check())
