"""HIPS autograd's checker accepts any derivative below 1e-6.

Where: `autograd/test_util.py`: a derivative passes if its absolute error is below 1e-6 OR its relative error is. For a
derivative that is itself smaller than that, the first condition always holds.

The loss here is that of the minimax generator, mean log(1 - D(G(z))), where the discriminator rejects every fake with a
logit near -17. The derivative is about 1e-8 (the loss saturates), and the wrong one is twice as large.

In training: derivatives are small where a network does not learn, and then a check of them is needed most.
"""

import numpy as np

import minigan as mg

LOGITS = np.random.default_rng(0).normal(-17, 0.5, size=4)


def loss(fake):
    """mean log(1 - sigmoid(fake)) = -mean softplus(fake)."""
    return -np.logaddexp(0, fake).mean()


def published(fake):
    """Twice the derivative."""
    return -2 / (1 + np.exp(-fake)) / fake.size


def corrected(fake):
    """-D(G(z)) / n."""
    return -1 / (1 + np.exp(-fake)) / fake.size


def absolute_or_relative(f, gradient, x, tolerance=1e-6, eps=1e-6):
    """Whether a check like that of HIPS autograd passes."""
    v = np.random.default_rng(0).normal(size=x.shape)
    numeric = (f(x + eps / 2 * v) - f(x - eps / 2 * v)) / eps
    error, size = abs(gradient(x) @ v - numeric), abs(gradient(x) @ v + numeric)
    return bool(error < tolerance or error / size < tolerance)


def check(derivative=published):
    """The report of the checker."""
    return mg.check_pair(loss, derivative, LOGITS)


if __name__ == "__main__":
    print("absolute or relative passes:", absolute_or_relative(loss, published, LOGITS), "\n")
    print(check())
