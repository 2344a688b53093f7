"""Examples in memory or in a mapped file, with or without labels: for training, and to be recorded by a digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import DataError, UsageError
from minigan.data.arrays import as_examples, as_labels, sha256, update
from minigan.data.augmentation import Augmentation, as_window
from minigan.data.batches import Batches
from minigan.data.example_batches import ExampleBatches, Transform, name_of, transformed

ImageShape = tuple[int, int, int]
"""(height, width, channels) of an image; 1 channel is grey, 3 are red, green and blue."""

CHANNELS = (1, 3)


def shape_in_words(shape: ImageShape) -> str:
    """`shape` for people to read, such as "28 x 28 grey" or "64 x 64 colour"."""
    height, width, channels = shape
    return f"{height} x {width} {'grey' if channels == 1 else 'colour'}"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """N examples of one shape, and what is done with them on the way to the networks.

    examples: uint8, float32 or float64, shape (N, ...); kept as a read-only view. float16 becomes float32, other whole
    numbers become float64. Pictures are uint8 of shape (N, H, W) or (N, H, W, C), C 1 (grey) or 3 (red, green, blue).
    labels: None, or numbers of classes (N,), or any array (N, ...) of numbers that belongs to the examples. Words (N,)
    become numbers of classes.
    name: short, for messages and config.json. source: where the examples come from, for people to read.
    classes: the names of the classes, if they have names; `labels` are places in it.
    flip: whether pictures are mirrored at random, left to right. crop: the (height, width), or the side, of a window
    that is cut out of each picture at random. Both are drawn anew in each batch, as a pure function of seed and step.
    transform: a function of a batch, as the networks would get it after all of that, to the batch that they get
    instead: arrays (n, ...) to arrays (n, ...). It should be a pure function; runs record its name.

    Raises DataError if the arrays are not such numbers or if the counts differ, UsageError if flip, crop or transform
    do not fit the examples.
    """

    examples: np.ndarray
    labels: np.ndarray | None = None
    _: KW_ONLY
    name: str = "data"
    source: str = "arrays in memory"
    classes: Sequence[str] | None = None
    flip: bool = False
    crop: int | tuple[int, int] | None = None
    transform: Transform | None = None

    def __post_init__(self) -> None:
        self._set("examples", as_examples(self.name, self.examples))
        if self.labels is not None:
            labels, classes = as_labels(self.name, self.labels, len(self.examples))
            self._set("labels", labels)
            self._set("classes", classes if self.classes is None else _checked(self.classes, labels, self.name))
        if self.crop is not None:
            self._set("crop", as_window(self.crop))
        self._augmentation.require_pictures(self.name, self.examples.shape[1:])
        _ = self.shape  # a transform that fails on one example fails here

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        """One example as it is stored, or (example, label) if there are labels; for a slice or an array of indices, a
        Dataset of those examples."""
        if isinstance(index, int | np.integer):
            return self.examples[index] if self.labels is None else (self.examples[index], self.labels[index])
        return self._chosen(index)

    def __str__(self) -> str:
        if self.is_pictures:
            return f"{len(self):,} pictures {shape_in_words(self.image_shape)} ({self.name})"
        return f"{len(self):,} examples of shape {self.examples.shape[1:]}, {self.examples.dtype} ({self.name})"

    def __repr__(self) -> str:
        parts = [str(self)]
        if self.labels is not None:
            parts.append(_labels_in_words(self.labels, self.classes))
        parts += [f"{name} {value}" for name, value in self._changes().items()]
        return f"Dataset: {', '.join(parts)}"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example as a network gets it; every kind of data has this name for it."""
        return self._shape

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        shape = self._augmentation.size(self.examples.shape[1:])
        if self.transform is None:
            return shape
        kind = np.float32 if self.examples.dtype == np.uint8 else self.examples.dtype
        return transformed(self.transform, np.zeros((1, *shape), kind)).shape[1:]

    @property
    def is_pictures(self) -> bool:
        """Whether the examples are bytes of shape (H, W), (H, W, 1) or (H, W, 3)."""
        shape = self.examples.shape
        return self.examples.dtype == np.uint8 and (len(shape) == 3 or (len(shape) == 4 and shape[-1] in CHANNELS))

    @property
    def images(self) -> np.ndarray:
        """The pictures, uint8, (N, H, W, C) with C 1 or 3; raises DataError if the examples are none."""
        if not self.is_pictures:
            raise DataError(
                f"the examples of '{self.name}' are {self.examples.dtype} of shape {self.examples.shape}, expected "
                "pictures, uint8 of shape (N, H, W, C) with C 1 (grey) or 3 (colour); convert them first"
            )
        return self.examples if self.examples.ndim == 4 else self.examples[..., None]

    @property
    def image_shape(self) -> ImageShape:
        """(H, W, C) of each picture; raises DataError if the examples are none."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    @property
    def sha256(self) -> str:
        """Hex digest (SHA-256) of the bytes of the examples, then those of the labels."""
        return self._digests[0]

    @property
    def pixels_sha256(self) -> str:
        """Hex digest (SHA-256) of the bytes of the examples alone, all that a GAN without labels learns from."""
        return self._digests[1]

    @cached_property
    def _digests(self) -> tuple[str, str]:
        digest = sha256(self.examples)
        of_examples = digest.hexdigest()
        if self.labels is not None:
            update(digest, self.labels)
        return digest.hexdigest(), of_examples

    def describe(self) -> dict[str, Any]:
        """The entry "data" of a run's config.json."""
        contents: dict[str, Any]
        if self.is_pictures:
            contents = {"images": len(self), "image_shape": list(self.image_shape)}
        else:
            shape = list(self.examples.shape[1:])
            contents = {"examples": len(self), "shape": shape, "dtype": str(self.examples.dtype)}
        changes = {"changes": self._changes()} if self._changes() else {}
        digests = {"sha256": self.sha256, "pixels_sha256": self.pixels_sha256}
        return {"name": self.name, "source": self.source, **contents, **digests, **changes}

    def matches(self, recorded: Mapping[str, Any], *, labels: bool = False) -> bool:
        """Whether `recorded`, which `describe` returned, describes these examples, flips, crops and transform.

        labels: whether the labels matter, too.

        Earlier versions recorded "sha256" only, and [height, width] as the shape of grey images.
        """
        if recorded.get("changes", {}) != self._changes():
            return False
        if not self._has_recorded_shape(recorded):
            return False
        if labels and recorded.get("sha256") != self.sha256:
            return False
        if "pixels_sha256" in recorded:
            return bool(recorded["pixels_sha256"] == self.pixels_sha256)
        return recorded.get("sha256") in (self.sha256, self.pixels_sha256)

    def _has_recorded_shape(self, recorded: Mapping[str, Any]) -> bool:
        if not self.is_pictures:
            return (recorded.get("shape"), recorded.get("dtype")) == (
                list(self.examples.shape[1:]), str(self.examples.dtype)
            )  # fmt: skip
        height, width, channels = self.image_shape
        return recorded.get("image_shape") in ([height, width, channels], [height, width] if channels == 1 else None)

    def _changes(self) -> dict[str, Any]:
        """What is done with each batch, as recorded."""
        transform = {} if self.transform is None else {"transform": name_of(self.transform)}
        return self._augmentation.describe() | transform

    @property
    def _augmentation(self) -> Augmentation:
        return Augmentation(self.flip, self.crop)  # type: ignore[arg-type]  # the crop is a pair now

    @overload
    def batches(
        self, batch_size: int, *, labels: Literal[False], seed: int = ..., per_step: int = ..., dtype: str = ...,
        value_range: tuple[float, float] = ..., flat: bool = ...,
    ) -> Callable[[int], Tensor]: ...  # fmt: skip

    @overload
    def batches(
        self, batch_size: int, *, labels: bool | None = ..., seed: int = ..., per_step: int = ..., dtype: str = ...,
        value_range: tuple[float, float] = ..., flat: bool = ...,
    ) -> Callable[[int], Any]: ...  # fmt: skip

    def batches(
        self,
        batch_size: int,
        *,
        labels: bool | None = None,
        seed: int = 0,
        per_step: int = 1,
        dtype: str = "float32",
        value_range: tuple[float, float] = (-1.0, 1.0),
        flat: bool = False,
    ) -> Callable[[int], Any]:
        """A function of the step (0, 1, ...) that returns its `per_step` batches, one after the other.

        It returns a Tensor x (n, ...), or (x, y) with the labels y (n, ...), where n is per_step * batch_size. It is a
        pure function of the data, `seed` and the step. Each epoch is a new permutation of all examples. uint8 is scaled
        to `value_range` (low, high); other numbers are only converted to `dtype`. y are numbers of `dtype`.

        labels: whether to return (x, y); None: if there are labels. flat: x has the shape (n, numbers of an example).

        Raises UsageError if there are fewer examples than in a batch, or no labels though they are asked for.
        """
        if labels and self.labels is None:
            raise UsageError(
                f"'{self.name}' has no labels, and batches with labels were asked for; give it labels, such as "
                "Dataset(examples, labels)"
            )
        with_labels = self.labels is not None and labels is not False
        batches = ExampleBatches(
            self.examples,
            self.labels if with_labels else None,
            Batches(len(self), batch_size, seed, per_step),
            value_range=value_range,
            dtype=dtype,
            flat=flat,
            augmentation=self._augmentation,
            transform=self.transform,
        )
        return batches.pairs if with_labels else batches.examples

    def split(self, fraction: float, seed: int | None = 0) -> tuple[Dataset, Dataset]:
        """Two data sets: about `fraction` of the examples, drawn with `seed`, and the others.

        Each keeps the order of the examples. The arrays are copied; seed None cuts the examples where they are, the
        first ones and the last ones, without a copy.

        Raises UsageError unless both parts have an example.
        """
        is_number = isinstance(fraction, int | float | np.integer | np.floating)
        if not is_number or not 0 < fraction < 1:
            raise UsageError(f"the fraction of a split is {fraction!r}, expected a number between 0 and 1; choose one")
        count = round(fraction * len(self))
        if not 0 < count < len(self):
            raise UsageError(
                f"a split of {len(self):,} examples at {fraction} leaves {max(0, min(count, len(self))):,} in the "
                "first part, expected at least one in each; choose a fraction between 0 and 1"
            )
        if seed is None:
            return self._chosen(slice(count)), self._chosen(slice(count, None))
        order = random.generator(seed, "split of examples").permutation(len(self))
        return self._chosen(np.sort(order[:count])), self._chosen(np.sort(order[count:]))

    def subset(self, count: int | None = None, *, per_class: int | None = None, seed: int = 0) -> Dataset:
        """`count` examples, or `per_class` of each class, drawn with `seed`, in the order in which they are stored.

        Raises UsageError unless one of both is given, if there are fewer examples, or if there are no classes.
        """
        if (count is None) == (per_class is None):
            raise UsageError("a subset takes either count or per_class, expected one of them; name one")
        rng = random.generator(seed, "subset of examples")
        if count is not None:
            return self._chosen(_drawn(np.arange(len(self)), count, self.name, rng))
        assert per_class is not None
        groups = [np.flatnonzero(self._class_numbers() == number) for number in np.unique(self._class_numbers())]
        return self._chosen(np.sort(np.concatenate([_drawn(g, per_class, self.name, rng) for g in groups])))

    def _class_numbers(self) -> np.ndarray:
        if self.labels is None or self.labels.ndim != 1 or self.labels.dtype.kind == "f":
            found = "no labels" if self.labels is None else f"labels {self.labels.dtype} of shape {self.labels.shape}"
            raise UsageError(
                f"'{self.name}' has {found}, expected numbers of classes, whole numbers of shape (N,); give it such "
                "labels, or name a count instead of per_class"
            )
        return self.labels

    def _chosen(self, index: Any) -> Dataset:
        return replace(self, examples=self.examples[index], labels=None if self.labels is None else self.labels[index])


def _drawn(places: np.ndarray, count: int, name: str, rng: np.random.Generator) -> np.ndarray:
    """`count` of `places`, sorted; raises UsageError if there are fewer."""
    if not isinstance(count, int | np.integer):
        raise UsageError(f"a subset of {count!r} examples was asked for, expected a whole number; name one")
    if not 1 <= count <= len(places):
        raise UsageError(
            f"a subset of {count:,} examples was asked for, and '{name}' or one of its classes has {len(places):,}, "
            "expected between 1 and as many as there are; choose another number"
        )
    return np.sort(rng.choice(places, count, replace=False))


def _checked(names: Iterable[str], labels: np.ndarray, name: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"the classes of '{name}' are {names!r}, expected a list of their names; give one")
    classes = tuple(names)
    if labels.dtype.kind == "f" or not (labels.min() >= 0 and labels.max() < len(classes)):
        raise DataError(
            f"the labels of '{name}' go from {labels.min()} to {labels.max()} and {len(classes)} classes have names, "
            f"expected whole numbers from 0 to {len(classes) - 1}; name every class or leave the names out"
        )
    return classes


def _labels_in_words(labels: np.ndarray, classes: Sequence[str] | None) -> str:
    if classes is not None:
        return f"{len(classes)} classes"
    if labels.ndim == 1 and labels.dtype.kind != "f":
        return f"classes {labels.min()} to {labels.max()}"
    return f"labels {labels.dtype} of shape {labels.shape[1:]}"
