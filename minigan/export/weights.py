"""A network's numbers as a plain safetensors file, which other libraries read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import safetensors_file
from minigan.nn import Module

LAYOUT = {
    "images": "(batch, height, width, channels)",
    "Dense": "weight (in, out), bias (out,): x @ weight + bias",
    "Conv2d": "weight (kernel height, kernel width, in, out), bias (out,): cross-correlation",
    "ConvTranspose2d": "weight (kernel height, kernel width, out, in), bias (out,): the adjoint of a cross-correlation",
    "BatchNorm": "(x - running_mean) / sqrt(running_variance + eps) * scale + shift, each (channels,)",
    "SpectralNorm": "layer.weight / (v . W^T u), with W the weight as a matrix (out, rest), u and v of length 1",
    "Embedding": "weight (classes, size)",
}
"""How the numbers of each kind of layer lie in memory, and what they are for."""


_OF_TRAINING = ("training", "momentum")  # attributes of Modules


def save_weights(path: Path, network: Module) -> dict[str, list[int]]:
    """Write the parameters and buffers of `network` by their names, atomically; returns their shapes by name.

    The names are those of `Module.state`, such as "3.weight": in a Sequential the place of the layer. The file's note
    holds `LAYOUT`.
    """
    state = network.state()
    safetensors_file.save(path, state, {"layout": LAYOUT})
    return {name: list(np.shape(array)) for name, array in state.items()}


def layers(network: Module) -> list[dict[str, Any]]:
    """Every Module in `network`: its name, what it is, and its settings, such as the eps of a batch norm."""
    return [
        {"name": name, "layer": repr(module) if not any(module.children()) else type(module).__name__}
        | {key: value for key, value in vars(module).items() if key not in _OF_TRAINING and _is_setting(key, value)}
        for name, module in _named("", network)
    ]


def _named(name: str, module: Module) -> Iterator[tuple[str, Module]]:
    """(name, Module) of `module` and every one inside it."""
    yield name, module
    for part, child in module.children():
        yield from _named(f"{name}.{part}" if name else part, child)


def _is_setting(name: str, value: Any) -> bool:
    """Whether an attribute of a Module is a number, a word, or a tuple of them."""
    if isinstance(value, tuple):
        return all(_is_setting(name, part) for part in value)
    return not name.startswith("_") and isinstance(value, int | float | str)
