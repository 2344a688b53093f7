"""Trained classifiers in minigan's cache, one file each, named by all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import files, strict_json
from minigan.metrics.classifier import Classifier
from minigan_kernels.cache import cache_directory

_KEY = "minigan"


def load(classifier: Classifier, made_by: Mapping[str, str]) -> bool:
    """Give `classifier` what it learned before; False, and nothing is changed, if that is not there or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        path = _path(classifier, made_by)
        if not path.is_file():
            return False
        with safe_open(str(path), framework="numpy") as file:
            note = strict_json.parse(file.metadata()[_KEY])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if note != _note(classifier, made_by, state):
            return False
        classifier.network.load_state(state)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return False
    return True


def save(classifier: Classifier, made_by: Mapping[str, str]) -> None:
    """Write what `classifier` has learned, atomically; where that cannot be done it is learned anew next time."""
    from safetensors.numpy import save as serialise

    state = {name: np.asarray(value, order="C") for name, value in classifier.network.state().items()}
    content = serialise(state, metadata={_KEY: json.dumps(_note(classifier, made_by, state), sort_keys=True)})
    with suppress(OSError), files.atomic_path(_path(classifier, made_by)) as temporary:
        temporary.write_bytes(content)


def _path(classifier: Classifier, made_by: Mapping[str, str]) -> Path:
    return cache_directory("classifiers") / f"{classifier.fingerprint(made_by)}.safetensors"


def _note(classifier: Classifier, made_by: Mapping[str, str], state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {state[name].shape}".encode())
        digest.update(state[name].tobytes())
    return {"fingerprint": classifier.fingerprint(made_by), "sha256": digest.hexdigest()}
