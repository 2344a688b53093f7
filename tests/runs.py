"""Small runs for tests: tiny networks on the embedded digits, a second or less each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from minigan import cli

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
