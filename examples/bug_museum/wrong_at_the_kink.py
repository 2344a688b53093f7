"""A LeakyReLU whose derivative is right everywhere, except at zero.

Where: a common mistake, two strict comparisons; checkers accept it, because they avoid kinks. Chainer's, for example,
recognises from five points that a function is not differentiable at a point, and asks for another one.

At zero the derivative from the left is 0.2 and from the right 1: any value between them is a subgradient, and 0 is not.

In training: zeros are common: a padded border, an initial bias, the black background of an image. A unit that should
pass on at least a fifth of the gradient passes on none, and never changes.
"""

import numpy as np

import minigan as mg

X = np.array([-1.5, -0.3, 0.0, 0.4, 2.0])


def leaky_relu(x):
    """x where it is positive, 0.2 x elsewhere."""
    return np.maximum(x, 0.2 * x)


def published(x, u):
    """Strict comparisons on both sides, so the derivative is 0 at zero."""
    return u * ((x > 0) + 0.2 * (x < 0))


def corrected(x, u):
    """Zero belongs to the left side."""
    return u * np.where(x > 0, 1.0, 0.2)


def check(derivative=published):
    """The report of the checker."""
    return mg.check_vjp(leaky_relu, derivative, X)


if __name__ == "__main__":
    print(check())
