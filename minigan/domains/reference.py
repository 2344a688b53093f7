"""What samples of pictures are compared with: real pictures, and the features in which both are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError, did_you_mean
from minigan.data import Dataset, ImageShape, as_dataset, is_array_file, load, shape_in_words
from minigan.domains.domain import EvaluationRequest
from minigan.metrics.comparison import LEAST
from minigan.metrics.embeddings import (
    COMPONENTS,
    LEAST_SIDE,
    ClassifierFeatures,
    Embedding,
    PrincipalComponents,
    RandomConvolutions,
)
from minigan.metrics.onnx_features import OnnxFeatures

LEAST_REAL = 2 * LEAST
"""Fewer real pictures cannot be compared: half of them are for the floor."""

_FEATURES = ("classifier", "pca", "random")
_ONNX = ".onnx"
_LEAST_LABELLED = 200  # pictures, half of which the classifier learns from
_MOST_FOR_COMPONENTS = 1_000  # pictures
_MOST_NUMBERS = 1 << 25  # of these pictures, to limit memory


@dataclass(frozen=True, eq=False)
class Reference:
    """images (N, H, W, C) uint8: real pictures in random order, none of which `embeddings` have learned labels of.

    held_out: whether they are other pictures than those of the run.
    """

    images: np.ndarray
    held_out: bool
    embeddings: list[Embedding]


def reference(request: EvaluationRequest, data: Dataset, shape: ImageShape) -> Reference:
    """The pictures that --against names, or else those of `data`, on which the run was trained.

    A classifier is sure of pictures that it has learned from, so they lie closer together in its features than further
    ones. Therefore it learns from a random half of `data`, and only the other half is compared. Raises UsageError
    for features that are not there, pictures of another shape than the run's, or fewer than 40 of them.
    """
    names = _names(request.features, data, shape)
    onnx = [OnnxFeatures(Path(name)) for name in names if name.endswith(_ONNX)]  # fails before any work
    real = data if request.against is None else _other_data(request.against, shape)
    _require_enough(real)
    learned, others = data.split(0.5) if "classifier" in names else (data, data)
    images = others.images if real is data else real.images
    images = images[random.generator(0, "pictures compared").permutation(len(images))]
    make: dict[str, Callable[[], Embedding]] = {
        "classifier": lambda: ClassifierFeatures(request.classifier(learned)),
        "pca": lambda: _components(images),
        "random": lambda: RandomConvolutions(shape),
    }
    return Reference(images, real is not data, [*onnx, *(make[name]() for name in names if name in make)])


def _names(named: str | None, data: Dataset, shape: ImageShape) -> tuple[str, ...]:
    """The features that --features names, or those that suit the data."""
    if named is None:
        if data.labels is not None and len(data) >= _LEAST_LABELLED:
            return ("classifier",)
        return _FEATURES[1:] if min(shape[:2]) >= LEAST_SIDE else ("pca",)
    if named not in _FEATURES and not named.endswith(_ONNX):
        raise UsageError(
            f"there are no features '{named}', and it is no {_ONNX} file; {did_you_mean(named, _FEATURES)}"
        )
    if named == "classifier" and data.labels is None:
        raise UsageError(f"a classifier learns from labels, and {data.source} has none; take --features pca or random.")
    return (named,)


def _components(images: np.ndarray) -> PrincipalComponents:
    """100 components, or fewer of few images, which would be special in components that only they have."""
    images = images[: max(LEAST_REAL, min(_MOST_FOR_COMPONENTS, _MOST_NUMBERS // images[0].size))]
    return PrincipalComponents.of(images, min(COMPONENTS, len(images) // 4))


def _other_data(path: Path, shape: ImageShape) -> Dataset:
    """The pictures in a folder, cropped and resized to `shape`, or in a file of arrays or IDX, which must have it."""
    data = load(path, image_shape=shape) if path.is_dir() or is_array_file(path) else as_dataset(path)
    if data.image_shape != shape:
        raise UsageError(
            f"the pictures of {path} are {shape_in_words(data.image_shape)}, expected {shape_in_words(shape)} as the "
            "samples are; resize them, or name others with --against."
        )
    return data


def _require_enough(data: Dataset) -> None:
    if len(data) < LEAST_REAL:
        raise UsageError(
            f"{data.source} holds {len(data)} pictures, expected at least {LEAST_REAL} to compare samples with, half "
            "of them for the floor; name more pictures with --against."
        )
