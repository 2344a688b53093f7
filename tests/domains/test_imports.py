"""What building and training a GAN loads, seen from a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["matplotlib", "PIL", "tqdm", "urllib.request", "http.client"]
PROGRAM = f"""
import json, sys
import numpy as np

def heavy():
    return [name for name in {HEAVY} if name in sys.modules]

import minigan.recipes
found = {{"import": heavy()}}
for name in ("mnist-mlp", "mnist-dcgan", "ring"):
    recipe = minigan.recipes.get(name)
    changes = {{"generator_widths": [4, 4], "discriminator_widths": [4, 4], "batch_size": 8}}
    gan = recipe.build(**changes)
    gan.train_step(recipe.domain.example_batch(8, recipe.resolve(changes), seed=0, dtype="float32"))
    found[name] = heavy()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_building_and_training_a_gan_loads_no_plots_no_bars_and_no_network() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"import": [], "mnist-mlp": [], "mnist-dcgan": [], "ring": []}
