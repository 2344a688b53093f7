"""JAX's check_grads multiplies its tolerance by the number of outputs: with 500, twice the derivative passes.

Where: jax#3130. In forward mode the analytic and the numeric tangents are compared entry by entry, with the relative
tolerance (for float32: 0.002) times the number of entries. With 500 outputs that is 1, or 100%.

In training: a factor of 2 is a wrong learning rate, or a wrong relative weight of two terms, and the loss still falls.
The larger the arrays are, the less such a check finds.
"""

import numpy as np

import minigan as mg

X = np.linspace(-1, 1, 500, dtype=np.float32)


def tanh(x):
    """tanh of each of the 500 entries."""
    return np.tanh(x)


def published(x, u):
    """Twice the derivative: an error of 100%."""
    return 2 * u * (1 - np.tanh(x) ** 2)


def corrected(x, u):
    """tanh' = 1 - tanh^2."""
    return u * (1 - np.tanh(x) ** 2)


def scaled_tolerance(f, vjp, x, atol=2e-3, rtol=2e-3, eps=1e-4):
    """Whether a forward-mode check like that of JAX passes; the Jacobian is diagonal, so v^T J is J v."""
    v = np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)
    numeric = (f(x + eps / 2 * v) - f(x - eps / 2 * v)) / eps
    return bool(np.allclose(vjp(x, v), numeric, atol=atol * x.size, rtol=rtol * x.size))


def check(derivative=published):
    """The report of the checker."""
    return mg.check_vjp(tanh, derivative, X)


if __name__ == "__main__":
    print("a tolerance times the size passes:", scaled_tolerance(tanh, published, X), "\n")
    print(check())
