"""Go on with a run: 200 steps, then to 400, give the bits of 400 steps without a stop."""

import tempfile
from pathlib import Path

import numpy as np

import minigan as mg
from minigan import nn

points = np.random.default_rng(0).standard_normal((1000, 2))
folder = Path(tempfile.mkdtemp())


def make():
    """The same program builds the same networks: without a seed of your own, weights begin at a seed of the library."""
    mg.manual_seed(1)
    return mg.GAN(nn.mlp([4, 32, 2]), nn.mlp([2, 32, 1]), loss="hinge", latent_size=4)


make().fit(points, steps=200, out=folder / "interrupted")  # or until Ctrl-C, or until the machine stops

gan = make()
gan.fit(points, steps=400, out=folder / "interrupted", resume=True)
print(f"resumed at step 200, now at step {gan.step}")

whole = make()
whole.fit(points, steps=400, out=folder / "whole")
assert all(np.array_equal(value, whole.state()[name]) for name, value in gan.state().items())
print("the same bits as without a stop")

found = mg.load_run(folder / "interrupted", make())  # later, in another program
print(f"read back: {found.history[-1]}")
