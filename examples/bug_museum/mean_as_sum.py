"""A loss that is a mean over the batch, with the gradient of the sum.

Where: the classic slip of a loss written by hand: softplus'(x) = sigmoid(x), and the 1/n is forgotten.

In training: the learning rate is in truth n times what the settings say, and changes with the batch size. Adam
divides by the gradient's size and hides it; a weight in front of a second term (a penalty's) is off by n.
"""

import numpy as np

import minigan as mg

LOGITS = np.random.default_rng(0).normal(size=(16, 1))


def loss(fake):
    """The non-saturating generator's: mean softplus(-fake)."""
    return np.logaddexp(0, -fake).mean()


def published(fake):
    """The gradient of the sum."""
    return -1 / (1 + np.exp(fake))


def mended(fake):
    """The gradient of the mean."""
    return -1 / (1 + np.exp(fake)) / fake.size


def check(derivative=published):
    """The checker's report."""
    return mg.check_pair(loss, derivative, LOGITS)


if __name__ == "__main__":
    print(check())
