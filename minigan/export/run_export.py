"""A run as a folder for other libraries: weights, an ONNX file, and what both are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import files, random
from minigan.core.errors import UsageError
from minigan.export import weights
from minigan.export.card import card
from minigan.export.onnx_model import EXAMPLES, require_onnx, save_onnx
from minigan.nn import Module
from minigan.training.config import read_content
from minigan.training.recorded_scores import read_scores
from minigan.training.run_folder import RunFolder, first_free_path
from minigan.training.trained_run import TrainedRun

_FORMAT = 1  # of model.json


def export_run(run: TrainedRun, folder: RunFolder, target: Path | None = None, *, onnx: bool = True) -> Path:
    """Write the run in `folder`, loaded as `run`, into a new folder, which is returned.

    target: that folder, which must be free; None for RUN/export, numbered if taken. It gets generator.safetensors (the
    average of the weights, if the run keeps one) and discriminator.safetensors, generator.onnx if `onnx`, model.json,
    README.md (the model card) and the run's config.json; it appears with all of them, or not at all.

    Raises UsageError, before any work, if `target` is taken or the package onnx is missing; and for an operation
    without an ONNX form.
    """
    if onnx:
        require_onnx()
    place = first_free_path(folder.path / "export") if target is None else _free(target)
    with files.staging_folder(Path(os.path.abspath(place))) as staging:
        _fill(staging, run, folder, onnx)
        if place.is_dir():
            place.rmdir()  # it is empty
        files.replace(staging, place)
    return place


def _free(target: Path) -> Path:
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} already exists and is not an empty folder; choose another one with --to.")
    files.require_writable(target.parent)
    return target


def _fill(target: Path, run: TrainedRun, folder: RunFolder, onnx: bool) -> None:
    generator = run.gan.ema.network if run.gan.ema else run.gan.generator
    inputs = example_inputs(run)
    networks = {"generator": generator, "discriminator": run.gan.discriminator}
    described = {
        name: {
            "layers": weights.layers(network),
            "arrays": weights.save_weights(target / f"{name}.safetensors", network),
        }
        for name, network in networks.items()
    }
    if onnx:
        save_onnx(target / "generator.onnx", generator, inputs)
    shutil.copyfile(folder.config, target / "config.json")
    model = {
        **_model(run, folder, inputs, generator),
        **described,
        "files": {path.name: _sha256(path) for path in sorted(target.iterdir())},
    }
    files.write_text(target / "model.json", json.dumps(model, indent=2) + "\n")
    files.write_text(target / "README.md", card(model))


def example_inputs(run: TrainedRun) -> dict[str, np.ndarray]:
    """EXAMPLES of what the generator of `run` takes, by the names of the inputs of the ONNX file."""
    rng, dtype = random.generator(0, "inputs of an export"), run.config.dtype
    condition = run.domain.noise_condition(EXAMPLES, run.config.settings, rng, dtype)
    latent = {"latent": run.gan.latent_from(rng, EXAMPLES).numpy()}
    return latent if condition is None else {**latent, "condition": condition}


def _model(run: TrainedRun, folder: RunFolder, inputs: Mapping[str, np.ndarray], generator: Module) -> dict[str, Any]:
    """The content of model.json but for the networks and the files."""
    content = read_content(folder.config)
    condition, output = inputs.get("condition"), generator.predict(*inputs.values())
    value_range = getattr(run.domain, "value_range", None)
    data = content.get("data", {})
    return {
        "format": _FORMAT,
        "recipe": run.config.recipe,
        "step": run.gan.step,
        "steps": run.config.steps,
        "seed": run.config.seed,
        "dtype": run.config.dtype,
        "settings": run.config.settings,
        "versions": content.get("versions", {}),
        "data": data,
        "data_in_words": data.get("source") or run.domain.in_words(run.config.settings),
        "weights": _which_weights(run),
        "latent": {"size": run.gan.latent_size, "distribution": run.gan.latent_distribution},
        "condition": None if condition is None else {"shape": list(condition.shape[1:])},
        "output": {
            "shape": list(output.shape[1:]),
            "example_shape": list(run.domain.shape),
            "value_range": None if value_range is None else list(value_range),
        },
        "layout": weights.LAYOUT,
        "scores": read_scores(folder),
    }


def _which_weights(run: TrainedRun) -> str:
    if run.gan.ema is None:
        return "Its weights are those of that step."
    return f"Its weights are the moving average of those of all steps (decay {run.gan.ema.decay:g})."


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
