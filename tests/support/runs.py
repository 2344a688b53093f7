"""Small runs for tests: tiny networks on the embedded digits or on pictures, a second or less each."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from minigan import cli
from minigan.data import ImageShape
from minigan.domains import ImageDomain
from minigan.nn import Dense, Flatten, LeakyReLU, Module, Reshape, Sequential, Tanh
from minigan.recipes import Recipe
from minigan.recipes.settings import Settings
from support.idx_files import idx

SMALL = [
    "--steps", "20", "--sample-every", "10", "--checkpoint-every", "5",
    "--set", "generator_widths=16", "--set", "discriminator_widths=16", "--set", "batch_size=16",
]  # fmt: skip


def train_small(out: Path, recipe: str = "mnist-mlp", widths: str | None = None) -> Path:
    """A finished small run in `out`."""
    extra = [widths] if widths else []
    assert cli.main(["train", recipe, "--out", str(out), "--quiet", *SMALL, *extra]) == 0
    return out


def start_minigan(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen:
    """A running `minigan`, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "minigan", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def minigan(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """A finished `minigan`, in a process of its own."""
    process = start_minigan(*arguments, cwd=cwd, **environment)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def _colour_networks(s: Settings, shape: ImageShape, rng: np.random.Generator) -> tuple[Module, Module]:
    if shape[0] != shape[1]:
        raise ValueError(f"its pictures are square, not {shape[0]} x {shape[1]}; name a folder of pictures, not of IDX")
    pixels = math.prod(shape)
    generator = Sequential(Dense(s["latent_size"], pixels, rng), Reshape(*shape), Tanh())
    return generator, Sequential(Flatten(), Dense(pixels, 8, rng), LeakyReLU(0.2), Dense(8, 1, rng))


COLOUR = Recipe(
    name="colour",
    summary="a recipe for tests, whose networks take and make pictures (batch, H, W, C)",
    networks=_colour_networks,
    settings={
        "latent_size": 4, "batch_size": 4, "rate": 1e-3, "beta1": 0.5, "loss": "non-saturating",
        "image_size": 0, "channels": 0,
    },
    steps=20,
    domain=ImageDomain((6, 6, 3), value_range=(-1.0, 1.0), flat=False),
)  # fmt: skip


def write_photos(folder: Path, count: int = 12) -> Path:
    """`folder` with `count` colour pictures of two sizes, half of them in its subfolder `more`."""
    rng = np.random.default_rng(count)
    (folder / "more").mkdir(parents=True)
    for i in range(count):
        pixels = rng.integers(0, 256, (9, 7 + i % 2 * 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("more" if i % 2 else ".") / f"{i:02d}.png")
    return folder


def write_idx(path: Path, array: np.ndarray) -> Path:
    """Write `array`, uint8, as an IDX file; its folder is made if missing."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(idx(array))
    return path
