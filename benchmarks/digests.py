"""Digests of short runs: the exact bits that every recipe and every training rule computes.

    python benchmarks/digests.py > before.txt     # then change the code, run it again, and compare the two

Each run is trained by the command `minigan train`. One line per run shows the first 16 digits of the SHA-256 of the
numbers in its checkpoint, of its metrics and of its sample images. Equal lines mean equal bits. Digests depend on the
CPU and on the versions of NumPy and Numba, so compare only those of one machine. The environment decides how the runs
are computed: `MINIGAN_REPLAY=0` computes without recorded steps, `NUMBA_DISABLE_JIT=1` with the reference kernels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_STEPS = 30
_POINT_RECIPES = ("ring", "grid", "swiss-roll", "two-gaussians", "ring-plain", "grid-plain")
_IMAGE_RECIPES = ("mnist-mlp", "mnist-mlp-sigmoid", "mnist-dcgan", "mnist-dcgan-upsample", "dcgan64")
_SMALL = "generator_widths=32,32 discriminator_widths=32,32"
_RULES = {
    "wgan-gp": f"ring-plain {_SMALL} loss=wasserstein penalty=wgan-gp n_critic=3 norm_momentum=0.9",
    "wgan": f"ring-plain {_SMALL} loss=wasserstein n_critic=5 weight_limit=0.05 optimizer=rmsprop",
    "dragan": f"ring-plain {_SMALL} penalty=dragan+r1 penalty_every=3 penalty_anneal=0.5 penalty_end=0.1",
    "zero-centred": f"ring-plain {_SMALL} penalty=zero-centred packing=2 simultaneous=1",
    "unrolled": f"ring-plain {_SMALL} unroll_steps=3 packing=2",
    "smoothed": f"ring-plain {_SMALL} label_smoothing=0.1 instance_noise=0.2 rate_schedule=cosine optimizer=sgd",
    "clipped": f"ring-plain {_SMALL} loss=least-squares gradient_limit=0.1 average=0.9 n_critic=2 instance_noise=0.1",
    "spectral": "mnist-mlp-sigmoid generator_widths=32,32 discriminator_widths=32,32 spectral_norm=1 loss=hinge",
    "spectral-conv": "mnist-dcgan generator_widths=8,8 discriminator_widths=8,8 spectral_norm=1 "
    "loss=relativistic-average",
    "dropout-r2": "mnist-mlp-sigmoid generator_widths=32,32 discriminator_widths=32,32 penalty=r2 unroll_steps=1",
    "minimax": f"ring-plain {_SMALL} loss=minimax penalty=r1+r2 penalty_every=2 simultaneous=1 rate_schedule=linear",
}


def digest(arguments: list[str], steps: int, dtype: str) -> str:
    """The digests of one run, as text; `arguments` are a recipe and its settings."""
    recipe, *settings = arguments
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        command = [
            sys.executable,
            "-m",
            "minigan",
            "train",
            recipe,
            "--steps",
            str(steps),
            "--out",
            str(out),
            "--quiet",
        ]
        command += ["--log-every", "1", "--sample-every", "10", "--checkpoint-every", "10", "--dtype", dtype]
        if recipe == "dcgan64":
            if "MINIGAN_DATA_DIR" not in os.environ:
                return "left out: it needs images in the folder `faces` of MINIGAN_DATA_DIR"
            command += ["--data-dir", os.path.join(os.environ["MINIGAN_DATA_DIR"], "faces")]
        for setting in settings:
            command += ["--set", setting]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"failed: {done.stderr.strip().splitlines()[-1]}"
        parts = {
            "checkpoint": [_numbers(out / "checkpoint.safetensors")],
            "metrics": [_measured(out / "metrics.jsonl")],
            "samples": [path.read_bytes() for path in sorted((out / "samples").iterdir())],
        }
    return "  ".join(f"{name} {_hashed(contents)}" for name, contents in parts.items())


def _measured(metrics: Path) -> bytes:
    """The rows without learning rates, which are settings and which earlier versions did not record."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    kept = [{name: value for name, value in row.items() if "learning_rate" not in name} for row in rows]
    return "".join(json.dumps(row) + "\n" for row in kept).encode()


def _numbers(checkpoint: Path) -> bytes:
    """The arrays in the file with their names, types and positions, without the metadata of its header."""
    raw = checkpoint.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    return json.dumps(header, sort_keys=True).encode() + raw[8 + length :]


def _hashed(contents: list[bytes]) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="*", help="names of the runs (default: all)")
    chosen = parser.parse_args().runs
    runs = {name: ([name], _STEPS, "float32") for name in (*_POINT_RECIPES, *_IMAGE_RECIPES)}
    runs |= {name: (text.split(), _STEPS, "float32") for name, text in _RULES.items()}
    runs |= {
        f"{name} float64": (runs[name][0], _STEPS, "float64") for name in ("ring", "mnist-mlp", "clipped", "wgan-gp")
    }
    runs |= {
        f"{name} diagnosed": (runs[name][0], 210, "float32") for name in ("ring", "wgan-gp", "spectral", "unrolled")
    }
    for name in chosen or runs:
        print(f"{name:24} {digest(*runs[name])}", flush=True)


if __name__ == "__main__":
    main()
