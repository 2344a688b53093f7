"""JAX's check_grads multiplies its tolerance by the number of outputs: at 500, twice the derivative passes.

Where: jax#3130. In forward mode the claimed and the measured tangents are compared entry by entry, with the relative
tolerance (for float32: 0.002) times the number of entries. At 500 outputs that is 1, or 100%.

In training: a factor 2 is a wrong learning rate, or a wrong weight of one term beside another, and the loss falls all
the same. The larger the arrays, as those of real models are, the less is checked.
"""

import numpy as np

import minigan as mg

X = np.linspace(-1, 1, 500, dtype=np.float32)


def tanh(x):
    """500 numbers from 500 numbers."""
    return np.tanh(x)


def published(x, u):
    """Twice the derivative: an error of 100%."""
    return 2 * u * (1 - np.tanh(x) ** 2)


def mended(x, u):
    """tanh' = 1 - tanh^2."""
    return u * (1 - np.tanh(x) ** 2)


def scaled_tolerance(f, vjp, x, atol=2e-3, rtol=2e-3, eps=1e-4):
    """Whether a forward-mode check in the manner of JAX passes; the derivative is diagonal, so v^T J is J v."""
    v = np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)
    numeric = (f(x + eps / 2 * v) - f(x - eps / 2 * v)) / eps
    return bool(np.allclose(vjp(x, v), numeric, atol=atol * x.size, rtol=rtol * x.size))


def check(derivative=published):
    """The checker's report."""
    return mg.check_vjp(tanh, derivative, X)


if __name__ == "__main__":
    print("a tolerance times the size passes:", scaled_tolerance(tanh, published, X), "\n")
    print(check())
