"""A conditional GAN: a digit of the class you ask for. Networks take (z, y) and (x, y); batches are pairs."""

import sys

import numpy as np

import minigan as mg
from minigan import data, figures, nn, ops

steps = int(sys.argv[1]) if sys.argv[1:] else 4000


class Generator(nn.Module):
    """(z (n, 32), class numbers (n,)) to pictures (n, 28, 28, 1) with pixels in [-1, 1]."""

    def __init__(self):
        self.classes = nn.Embedding(10, 32)
        self.body = nn.Sequential(nn.mlp([64, 256, 28 * 28]), nn.Tanh(), nn.Reshape(28, 28, 1))

    def forward(self, z, y):
        return self.body(ops.concatenate([z, self.classes(y)], axis=1))


class Discriminator(nn.Module):
    """(pictures, class numbers) to logits (n, 1), by projection (Miyato and Koyama, 2018)."""

    def __init__(self):
        self.features = nn.Sequential(nn.Flatten(), nn.mlp([28 * 28, 256, 128]), nn.LeakyReLU(0.2))
        self.score, self.classes = nn.Dense(128, 1), nn.Embedding(10, 128)

    def forward(self, x, y):
        h = self.features(x)
        return self.score(h) + ops.sum(self.classes(y) * h, axis=1, keepdims=True)


gan = mg.GAN(Generator(), Discriminator(), loss="hinge", penalty="r1", penalty_weight=0.1, latent_size=32)
gan.fit(data.load(), steps=steps)  # a Dataset with labels gives pairs (pictures, classes)
wanted = np.repeat(np.arange(10), 8)  # a row for each digit
figures.save_grid("classes.png", gan.sample(80, wanted), value_range=(-1, 1), columns=8)
