"""A GAN on your own array: points of two half-moons here, but any array (examples, ...) of numbers will do."""

import sys

import numpy as np

import minigan as mg
from minigan import nn

steps = int(sys.argv[1]) if sys.argv[1:] else 3000

rng = np.random.default_rng(0)
angle = rng.uniform(0, np.pi, 2000)
moon = np.stack([np.cos(angle), np.sin(angle)], axis=1)
points = np.concatenate([moon, [1.0, 0.5] - moon]) + rng.normal(0, 0.05, (4000, 2))

gan = mg.GAN(
    nn.mlp([16, 128, 128, 2]),  # the generator: 16 random numbers to a point
    nn.mlp([2, 128, 128, 1]),  # the discriminator: a point to one logit
    loss="non-saturating",
    penalty="r1",
    penalty_weight=1.0,
    latent_size=16,
)
history = gan.fit(points, steps=steps)

samples = gan.sample(1000).numpy()
print(f"{len(history)} rows of metrics; the last: {history[-1]}")
print(f"mean of the data {points.mean(0).round(2)}, of the samples {samples.mean(0).round(2)}")
