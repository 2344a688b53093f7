"""A layer of your own: pixel-wise normalisation with a learned gain (Karras et al., 2018, section 4.2)."""

import numpy as np

import minigan as mg
from minigan import nn, ops


class PixelNorm(nn.Module):
    """gain * x / sqrt(mean of x**2 over the channels + 1e-8): (batch, ..., channels) to the same shape."""

    def __init__(self, channels):
        self.gain = mg.Parameter(np.ones(channels, np.float32))  # found by optimisers, checkpoints, summaries

    def forward(self, x):
        return self.gain * x / ops.sqrt(ops.mean(x * x, axis=-1, keepdims=True) + 1e-8)


rng = np.random.default_rng(0)
layer = PixelNorm(3).astype("float64")
report = mg.gradcheck(layer, [rng.standard_normal((2, 4, 4, 3))], parameters=layer.parameters())
print(report)
assert report.ok

generator = nn.Sequential(
    nn.Dense(8, 4 * 4 * 16), nn.Reshape(4, 4, 16), nn.LeakyReLU(0.2), PixelNorm(16), nn.Upsample2d(2),
    nn.Conv2d(16, 1, 3, padding=1), nn.Tanh(),
)  # fmt: skip
print(generator.summary((8,)))
print("its parameters:", ", ".join(generator.parameters()))
print("pictures:", generator.predict(rng.standard_normal((5, 8))).shape)
