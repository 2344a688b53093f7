"""PyTorch's fast gradcheck accepts a renorm whose derivative lacks a term.

Where: after pytorch#59615, where the gradient of `renorm` was wrong and the fast mode had accepted it. Fast mode
compares one number, u^T J v for random positive u and v, and multiplies its tolerance by sum(u) sum(v), about 3/4 of
the number of entries. The error here is along x, which has mixed signs, so it is nearly orthogonal to positive
directions, and its effect on the number is smaller than the tolerance. An array of 40 x 40 is large enough.

renorm scales a row x longer than 1 to length 1: y = s x, s = 1 / |x|. The derivative by x of <u, y> is

    s u - s <u, y> y

and without its second term, the length is treated as a constant.

In training: weights that are kept at length 1 this way are moved along themselves, which the next renorm undoes.
"""

import numpy as np

import minigan as mg

X = np.random.default_rng(0).normal(size=(40, 40))


def renorm(x):
    """Each row of x, scaled to a length of at most 1."""
    return x / np.maximum(1, np.sqrt((x * x).sum(axis=1, keepdims=True)))


def published(x, u):
    """The derivative with the lengths as constants."""
    return u / np.maximum(1, np.sqrt((x * x).sum(axis=1, keepdims=True)))


def corrected(x, u):
    """With the derivative of the lengths."""
    y, gu = renorm(x), published(x, u)
    longer = (x * x).sum(axis=1, keepdims=True) > 1
    return gu - longer * (gu * y).sum(axis=1, keepdims=True) * y


def fast_mode(f, vjp, x, seed=0, atol=1e-5, rtol=1e-3, eps=1e-6):
    """Whether a check like PyTorch's fast mode passes."""
    u, v = np.random.default_rng(seed).uniform(size=(2, *x.shape))
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    numeric = (u * (f(x + eps * v) - f(x - eps * v))).sum() / (2 * eps)
    analytic = (v * vjp(x, u)).sum()
    return abs(analytic - numeric) <= atol * u.sum() * v.sum() + rtol * abs(numeric)


def check(derivative=published):
    """The report of the checker."""
    return mg.check_vjp(renorm, derivative, X)


if __name__ == "__main__":
    print("fast mode passes:", fast_mode(renorm, published, X), "\n")
    print(check())
