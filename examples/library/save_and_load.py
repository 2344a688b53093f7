"""Save a network, an optimiser or a whole GAN, and load it into a new one: safetensors, nothing that could run."""

import tempfile
from pathlib import Path

import numpy as np

import minigan as mg
from minigan import nn


def make():
    """An untrained GAN for points of the plane."""
    return mg.GAN(nn.mlp([4, 32, 2]), nn.mlp([2, 32, 1]), loss="hinge", latent_size=4)


points = np.random.default_rng(0).standard_normal((64, 2), dtype=np.float32)
gan = make()
gan.train_step(points)

folder = Path(tempfile.mkdtemp())
mg.save(folder / "generator.safetensors", gan.generator)
mg.save(folder / "gan.safetensors", gan)  # both networks, both optimisers, the step

z = gan.latent(5, "look")
generator = mg.load(folder / "generator.safetensors", nn.mlp([4, 32, 2]))  # another program builds the same layers
assert np.array_equal(generator.predict(z), gan.generator.predict(z))

copy = mg.load(folder / "gan.safetensors", make())
ours, theirs = gan.train_step(points), copy.train_step(points)  # both go on with the same bits
assert all(ours[name].item() == theirs[name].item() for name in ours)
print(f"both are at step {copy.step}, with the same numbers")

try:
    mg.load(folder / "generator.safetensors", nn.mlp([4, 16, 2]))
except mg.MiniganError as error:  # nothing is changed unless all of it fits
    print(f"another network: {error}")
