"""WGAN-GP written out (Gulrajani et al., 2017, Algorithm 1): the penalty is a derivative of a derivative."""

import sys

import numpy as np

import minigan as mg
from minigan import nn, ops

steps = int(sys.argv[1]) if sys.argv[1:] else 600
rng = np.random.default_rng(0)
G, D = nn.mlp([8, 64, 64, 2]), nn.mlp([2, 64, 64, 1])
g_adam, d_adam = mg.optim.Adam(G, 3e-3, beta1=0.0, beta2=0.9), mg.optim.Adam(D, 3e-3, beta1=0.0, beta2=0.9)


def circle(count):
    """Points of the unit circle, (count, 2)."""
    angle = rng.uniform(0, 2 * np.pi, (count, 1)).astype(np.float32)
    return mg.Tensor(np.concatenate([np.cos(angle), np.sin(angle)], axis=1))


def noise(count):
    """Latent vectors, (count, 8)."""
    return mg.Tensor(rng.standard_normal((count, 8), dtype=np.float32))


for _ in range(steps):
    for _ in range(5):
        real, fake = circle(64), G(noise(64))
        between = fake + rng.random((64, 1), dtype=np.float32) * (real - fake)
        slope = mg.grad(ops.sum(D(between)), between, create_graph=True)  # of each example: (64, 2)
        norm = ops.sqrt(ops.sum(slope * slope, axis=1) + 1e-12)
        d_loss = ops.mean(D(fake)) - ops.mean(D(real)) + 1.0 * ops.mean((norm - 1.0) ** 2)
        d_adam.step(mg.grad(d_loss, d_adam.parameters))
    g_loss = -ops.mean(D(G(noise(64))))
    g_adam.step(mg.grad(g_loss, g_adam.parameters))

radius = np.linalg.norm(G.predict(noise(1000)), axis=1)
print(f"radius of the samples: {radius.mean():.2f} +- {radius.std():.2f} (the data: 1.00 +- 0.00)")
