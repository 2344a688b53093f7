"""Trained classifiers in minigan's cache, one file each, named by a fingerprint of all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import files, safetensors_file
from minigan.core.errors import FileError
from minigan.data import Dataset
from minigan.metrics.classifier import Classifier
from minigan_kernels.cache import cache_directory

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""A function of a title to a context with a bar of progress; its value is called with (steps done, steps in all)."""


def trained(data: Dataset, computed_by: Mapping[str, str], progress: Progress | None = None) -> Classifier:
    """A classifier trained on `data` and their labels, from the cache if there is one.

    computed_by: see Classifier.fingerprint. progress: shows the training, if there is any. Raises UsageError for data
    without labels, or too few (see Classifier).
    """
    classifier = Classifier(data)
    if load(classifier, computed_by):
        return classifier
    with progress("training a classifier") if progress else nullcontext() as update:
        classifier.train(*([update] if update else []))
    save(classifier, computed_by)
    return classifier


def load(classifier: Classifier, computed_by: Mapping[str, str]) -> bool:
    """Load the cached weights of `classifier`; returns False, and changes nothing, if they are missing or damaged.

    computed_by: see Classifier.fingerprint.
    """
    try:
        with files.open_regular(_path(classifier, computed_by)) as file:
            note, stored = safetensors_file.read_header(file)
            state = {name: array.read(file) for name, array in stored.items()}
        if note != _note(classifier, computed_by, state):
            return False
        classifier.network.load_state(state)
    except (OSError, ValueError, FileError):
        return False
    return True


def save(classifier: Classifier, computed_by: Mapping[str, str]) -> None:
    """Write the weights of `classifier`, atomically; if that fails, the classifier is trained again next time."""
    state = classifier.network.state()
    with suppress(OSError):
        safetensors_file.save(_path(classifier, computed_by), state, _note(classifier, computed_by, state))


def _path(classifier: Classifier, computed_by: Mapping[str, str]) -> Path:
    return cache_directory("classifiers") / f"{classifier.fingerprint(computed_by)}.safetensors"


def _note(classifier: Classifier, computed_by: Mapping[str, str], state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {state[name].shape}".encode())
        digest.update(state[name].tobytes())
    return {"fingerprint": classifier.fingerprint(computed_by), "sha256": digest.hexdigest()}
