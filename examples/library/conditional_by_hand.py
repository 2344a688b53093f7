"""A conditional GAN without the class GAN: labels join the inputs as one-hot vectors (Mirza and Osindero, 2014)."""

import sys

import numpy as np

import minigan as mg
from minigan import nn, ops

steps = int(sys.argv[1]) if sys.argv[1:] else 1500
rng = np.random.default_rng(0)
centres = np.array([[2, 0], [0, 2], [-2, 0], [0, -2]], np.float32)  # one for each class

G, D = nn.mlp([8 + 4, 64, 64, 2]), nn.mlp([2 + 4, 64, 64, 1])
g_adam, d_adam = mg.optim.Adam(G, 1e-3, beta1=0.5), mg.optim.Adam(D, 1e-3, beta1=0.5)
loss = mg.losses.get("non-saturating")


def draw(count):
    """Classes as one-hot vectors (count, 4), and latent vectors beside them (count, 8 + 4)."""
    y = np.eye(4, dtype=np.float32)[rng.integers(4, size=count)]
    return y, mg.Tensor(np.concatenate([rng.standard_normal((count, 8), dtype=np.float32), y], axis=1))


for _ in range(steps):
    y, z = draw(128)
    x = mg.Tensor(y @ centres + rng.normal(0, 0.2, (128, 2)).astype(np.float32))
    condition = mg.Tensor(y)
    fake = G(z)
    real_logits = D(ops.concatenate([x, condition], axis=1))
    d_loss = loss.discriminator(real_logits, D(ops.concatenate([fake, condition], axis=1)))
    d_adam.step(mg.grad(d_loss, d_adam.parameters))
    g_loss = loss.generator(D(ops.concatenate([fake, condition], axis=1)))
    g_adam.step(mg.grad(g_loss, g_adam.parameters))

y, z = draw(1000)
distance = np.linalg.norm(G.predict(z) - y @ centres, axis=1)
print(f"{np.mean(distance < 1):.0%} of the samples lie near the centre of the class that was asked for")
