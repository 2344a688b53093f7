"""A loss that is a mean over the batch, with the gradient of the sum.

Where: a common mistake in a loss written by hand: softplus'(x) = sigmoid(x), and the 1/n is forgotten.

In training: the effective learning rate is n times the one that is set, and changes with the batch size. Adam divides
by the size of the gradient and hides this; the relative weight of a second term (a penalty) is wrong by a factor of n.
"""

import numpy as np

import minigan as mg

LOGITS = np.random.default_rng(0).normal(size=(16, 1))


def loss(fake):
    """The non-saturating loss of the generator: mean softplus(-fake)."""
    return np.logaddexp(0, -fake).mean()


def published(fake):
    """The gradient of the sum."""
    return -1 / (1 + np.exp(fake))


def corrected(fake):
    """The gradient of the mean."""
    return -1 / (1 + np.exp(fake)) / fake.size


def check(derivative=published):
    """The report of the checker."""
    return mg.check_pair(loss, derivative, LOGITS)


if __name__ == "__main__":
    print(check())
