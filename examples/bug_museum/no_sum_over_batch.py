"""A dense layer's bias with a derivative for every example of the batch, instead of their sum.

Where: a common mistake in a backward pass written by hand. The bias was broadcast along the batch, so its derivative
is summed along the batch.

In training: `b = b - lr * g` broadcasts without an error: after one step every example has a bias of its own, and the
first batch of another size fails, far from the cause.
"""

import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
POINT = rng.normal(size=(8, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)


def dense(x, w, b):
    """(batch, inputs) to (batch, units)."""
    return x @ w + b


def published(x, w, b, u):
    """The cotangent itself as the derivative of the bias."""
    return u @ w.T, x.T @ u, u


def corrected(x, w, b, u):
    """The sum over the batch as the derivative of the bias."""
    return u @ w.T, x.T @ u, u.sum(axis=0)


def check(derivative=published):
    """The report of the checker."""
    return mg.check_vjp(dense, derivative, POINT)


if __name__ == "__main__":
    print(check())
