"""Data of float64, networks of float32 or float64: data are converted to the networks' type, never silently lost."""

import numpy as np

import minigan as mg
from minigan import nn

points = np.random.default_rng(0).standard_normal((512, 2))
print(f"data: {points.dtype}")

for dtype in ("float32", "float64"):
    generator, discriminator = nn.mlp([4, 32, 2], rng=1), nn.mlp([2, 32, 1], rng=2)
    gan = mg.GAN(generator.astype(dtype), discriminator.astype(dtype), loss="hinge", latent_size=4)
    history = gan.fit(points, steps=100, batch_size=64)
    samples = gan.sample(3)
    print(f"networks of {dtype}: loss of D {history[-1]['discriminator_loss']:.6f}, samples of {samples.dtype}")

x = mg.Tensor(points[:5])  # a Tensor keeps the type of its array
w = nn.Dense(2, 1, 0)
try:
    x @ w.weight
except TypeError as error:  # between Tensors nothing is converted: it would hide a loss of precision
    print(f"by hand: {error}")
