"""A LeakyReLU whose derivative is right everywhere, except at zero.

Where: a common slip, two strict comparisons; checkers let it pass, since they avoid kinks. Chainer's, for one, tells
by five points that a function is not differentiable here, and asks for another point.

At zero the derivative from the left is 0.2 and from the right 1: a claim anywhere between them is fair, and 0 is not.

In training: zeros are not rare: a padded border, a bias at its start, a picture's black background. What should pass
on a fifth of the gradient at least passes on none, and such units stay dead.
"""

import numpy as np

import minigan as mg

X = np.array([-1.5, -0.3, 0.0, 0.4, 2.0])


def leaky_relu(x):
    """x where it is positive, a fifth of it elsewhere."""
    return np.maximum(x, 0.2 * x)


def published(x, u):
    """Strict on both sides: nothing at zero."""
    return u * ((x > 0) + 0.2 * (x < 0))


def mended(x, u):
    """Zero belongs to one of the sides."""
    return u * np.where(x > 0, 1.0, 0.2)


def check(derivative=published):
    """The checker's report."""
    return mg.check_vjp(leaky_relu, derivative, X)


if __name__ == "__main__":
    print(check())
