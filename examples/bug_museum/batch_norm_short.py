"""A batch norm whose backward pass treats the mean and the variance as constants.

Where: a common mistake in a batch norm written by hand (Ioffe and Szegedy, 2015, give the three terms). With
y = (x - mean) / sigma, the derivative by x of <u, y> is

    (u - mean(u) - y mean(u y)) / sigma        and not        u / sigma

In training: part of every step shifts and scales the layer's input, which the next forward pass undoes, or moves the
weights of earlier layers in directions that do not lower the loss.
"""

import numpy as np

import minigan as mg

X = np.random.default_rng(0).normal(size=(8, 3))


def batch_norm(x):
    """Each column with mean 0 and variance 1."""
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def published(x, u):
    """The derivative with mean and variance as constants."""
    return u / np.sqrt(x.var(axis=0) + 1e-5)


def corrected(x, u):
    """All three terms."""
    y = batch_norm(x)
    return (u - u.mean(axis=0) - y * (u * y).mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def check(derivative=published):
    """The report of the checker."""
    return mg.check_vjp(batch_norm, derivative, X)


if __name__ == "__main__":
    print(check())
