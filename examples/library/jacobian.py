"""How much volume a generator stretches: the Jacobian of its samples with respect to the latent vector."""

import numpy as np

import minigan as mg
from minigan import nn

generator = nn.mlp([2, 32, 32, 2], rng=0).astype("float64")


def sample(z):
    """One latent vector (2,) to one sample (2,)."""
    return generator(z.reshape(1, 2)).reshape(2)


z = np.array([0.5, -1.0])
J = mg.jacobian(sample, z).numpy()  # J[i, j] = d sample[i] / d z[j]
print("J =", J.round(4).tolist())

density = np.exp(-z @ z / 2) / (2 * np.pi) / abs(np.linalg.det(J))
print(f"density of the samples at G(z), if no other z leads there: {density:.4f}")

v = np.array([1.0, 0.0])
product = mg.jvp(sample, z, v).numpy()  # J v, without J
assert np.allclose(product, J @ v)
h = 1e-6
difference = (sample(mg.Tensor(z + h * v)) - sample(mg.Tensor(z - h * v))).numpy() / (2 * h)
assert np.allclose(difference, J @ v)
print("J v agrees with jvp and with finite differences")
