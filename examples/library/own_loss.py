"""A loss of your own: least squares with the targets -1, 1 and 0 (Mao et al., 2017, equation 8)."""

import sys

import numpy as np

import minigan as mg
from minigan import nn, ops

steps = int(sys.argv[1]) if sys.argv[1:] else 1000


class PearsonLeastSquares(mg.losses.Loss):
    """At the best discriminator the generator minimises the Pearson chi-squared divergence of p + q from 2 q."""

    name = "pearson-least-squares"

    def discriminator(self, real_logits, fake_logits):
        """mean (real - 1)^2 / 2 + mean (fake + 1)^2 / 2."""
        return 0.5 * ops.mean((real_logits - 1.0) ** 2) + 0.5 * ops.mean((fake_logits + 1.0) ** 2)

    def generator(self, fake_logits, real_logits=None):
        """mean fake^2 / 2."""
        return 0.5 * ops.mean(fake_logits**2)


loss = PearsonLeastSquares()
logits = np.random.default_rng(0).standard_normal((2, 8, 1))
report = mg.gradcheck(loss.discriminator, list(logits))  # finite differences, to the second order
print(report)

gan = mg.GAN(nn.mlp([4, 64, 64, 1]), nn.mlp([1, 64, 64, 1]), loss=loss, penalty="r1", ema_decay=0.99, latent_size=4)
gan.fit(np.random.default_rng(1).normal(3.0, 0.5, (5000, 1)), steps=steps)
samples = gan.sample(5000).numpy()
print(f"data: mean 3.00, deviation 0.50; samples: mean {samples.mean():.2f}, deviation {samples.std():.2f}")
