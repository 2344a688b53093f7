"""DeZero's convolution: differentiating the weight gradient raises TypeError.

Where: `dezero/functions_conv.py`, class Conv2DGradW. The derivatives of the weight gradient should use the cotangent u
that backward receives. The code uses the operation's own result instead, to which it holds a weak reference:

    by x:  spread(g, u)  is written  spread(g, result)          by g:  conv(x, u)  is written  conv(x, result)

The weak reference is no array, hence the TypeError; with the array that it refers to, there would be no exception, and
the second derivative would be wrong.

In training: gradients are right and a GAN trains, until a gradient penalty (WGAN-GP, R1) is added. A check of order 1
passes; order 2 finds the mistake. This example has one dimension, and its convolution is an operation of minigan.
"""

import weakref

import numpy as np

import minigan as mg
from minigan.autodiff import primitive

rng = np.random.default_rng(0)
X, W = rng.normal(size=8), rng.normal(size=3)


def published(u, result):
    """The value that the derivatives of the weight gradient use."""
    return weakref.ref(result)


def corrected(u, result):
    """The value that they should use."""
    return u


def convolution(chosen):
    """conv(x, w)[i] = sum_k x[i + k] w[k]; its derivatives are two more operations with derivatives of their own."""

    @primitive(lambda g, y, x, w: spread(g, w), lambda g, y, x, w: weight_grad(x, g))
    def conv(B, x, w):
        return np.correlate(x, w, "valid")

    @primitive(lambda u, y, g, w: conv(u, w), lambda u, y, g, w: weight_grad(u, g))
    def spread(B, g, w):
        return np.convolve(g, w)

    @primitive(lambda u, y, x, g: spread(g, chosen(u, y)), lambda u, y, x, g: conv(x, chosen(u, y)))
    def weight_grad(B, x, g):
        return np.correlate(x, g, "valid")

    return conv


def check(derivative=published, order=2):
    """The report of the checker."""
    return mg.gradcheck(convolution(derivative), [X, W], order=order, names=["x", "w"])


if __name__ == "__main__":
    print(check(order=1), "\n")
    print(check())
