"""A dense layer's bias that is given a derivative for every example, instead of their sum.

Where: the classic slip of a backward pass written by hand. The bias was broadcast along the batch, so its derivative
is summed along the batch.

In training: `b = b - lr * g` broadcasts without a word: after one step every place in the batch has a bias of its own,
and the first batch of another size fails, far from the cause.
"""

import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
POINT = rng.normal(size=(8, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)


def dense(x, w, b):
    """(batch, inputs) to (batch, units)."""
    return x @ w + b


def published(x, w, b, u):
    """The cotangent itself, for the bias."""
    return u @ w.T, x.T @ u, u


def mended(x, w, b, u):
    """The sum over the batch."""
    return u @ w.T, x.T @ u, u.sum(axis=0)


def check(derivative=published):
    """The checker's report."""
    return mg.check_vjp(dense, derivative, POINT)


if __name__ == "__main__":
    print(check())
