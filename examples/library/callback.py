"""Callbacks: an object with some of the methods start, step, look, save and end takes part in the training."""

import sys

import numpy as np

import minigan as mg
from minigan import nn, training

steps = int(sys.argv[1]) if sys.argv[1:] else 3000
rng = np.random.default_rng(0)
data = rng.normal(2.0, 0.5, (5000, 1))


class StopWhenClose:
    """Ends the training when the mean of the samples lies within `tolerance` of that of the data."""

    def __init__(self, tolerance):
        self.tolerance, self.looks = tolerance, []

    def look(self, loop, step, samples):
        """Every `sample_every` steps, with new samples."""
        self.looks.append((step, float(np.asarray(samples).mean())))
        if abs(self.looks[-1][1] - data.mean()) < self.tolerance:
            raise training.Stop(f"close enough after {step} steps")

    def end(self, loop, outcome):
        """When the training has ended, for whatever reason."""
        print("\n".join(f"step {step:5d}  mean of the samples {mean:6.3f}" for step, mean in self.looks))
        print(outcome)


gan = mg.GAN(nn.mlp([4, 64, 64, 1]), nn.mlp([1, 64, 64, 1]), latent_size=4)
gan.fit(data, steps=steps, sample_every=100, callbacks=[StopWhenClose(0.05)])
print(f"trained for {gan.step} steps")
