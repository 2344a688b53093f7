"""Spectral normalisation of a module of your own: a residual block (Miyato et al., 2018)."""

import numpy as np

import minigan as mg
from minigan import nn, ops


class Block(nn.Module):
    """x + conv(relu(conv(relu(x)))): (batch, height, width, channels) to the same shape."""

    def __init__(self, channels):
        self.first = nn.Conv2d(channels, channels, 3, padding="same")
        self.second = nn.Conv2d(channels, channels, 3, padding="same")

    def forward(self, x):
        return x + self.second(ops.relu(self.first(ops.relu(x))))


critic = nn.Sequential(nn.Conv2d(1, 8, 3, padding="same"), Block(8), nn.Flatten(), nn.Dense(8 * 8 * 8, 1))
critic = nn.spectral_norm(critic, 0)  # every dense and convolutional layer in it, to any depth; 0 is a seed
print(critic)

generator = nn.Sequential(nn.mlp([8, 64, 8 * 8]), nn.Tanh(), nn.Reshape(8, 8, 1))
gan = mg.GAN(generator, critic, loss="hinge", latent_size=8)
gan.fit(np.random.default_rng(0).uniform(-1, 1, (256, 8, 8, 1)), steps=50)

for name, layer in critic.children():
    if isinstance(layer, nn.SpectralNorm):
        weight = layer.layer.weight.numpy()
        largest = np.linalg.svd(weight.reshape(-1, weight.shape[-1]))[1][0]
        print(f"{name}: the largest singular value of the weight is {largest:.2f}; the layer divides by it")
