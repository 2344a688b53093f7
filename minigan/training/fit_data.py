"""The data of a fit, whatever they are given as: the batches of each step, and how samples like them are shown."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core.errors import UsageError, clause
from minigan.data import as_dataset
from minigan.domains import ArrayView, view_of
from minigan.gan import GAN
from minigan.gan.batches import Batch, as_batch, parts, require_finite
from minigan.nn import Module
from minigan.training.findings import output_range
from minigan.training.read_ahead import ReadAhead

_EXAMPLES_FOR_VIEW, _NUMBERS_FOR_VIEW = 10_000, 1 << 20
_MOST_LEFT_OUT = 100  # batches in a row of another size than the first
_MOST_CLASSES = 64  # one sample each in a picture
_ROW_OF_CLASS, _SHOWN = 8, 32  # samples of a class in its row, and in all at least

Range = tuple[float, float]
GetBatch = Callable[[int], Batch]


@dataclass(frozen=True)
class FitData:
    """batch(step): the batches of a step, one after the other, in the shape of the generator's samples.

    view: how samples are shown. condition: that of the samples in a picture, or None. facts: the entry "data" of
    config.json. matches(recorded): whether this is what `facts` described. is_pure: whether `batch` is a pure function
    of the step, so that a resumed run has the same bits. has_ended(): whether there are no further batches.
    """

    batch: GetBatch
    view: ArrayView
    condition: Tensor | None
    facts: Mapping[str, Any]
    matches: Callable[[Mapping[str, Any]], bool]
    is_pure: bool
    has_ended: Callable[[], bool] = lambda: False


def fit_data(data: Any, gan: GAN, batch_size: int, value_range: Range | None) -> FitData:
    """`data` as `gan` takes them. Raises UsageError or DataError if it cannot take them."""
    network_range = value_range or _network_range(gan.generator)
    if all(callable(getattr(data, name, None)) for name in ("batch", "describe", "matches")):
        return _distribution(data, gan, batch_size)
    if callable(data) or (isinstance(data, Iterable) and not _is_stored(data)):
        return _batches(data, gan, network_range, value_range)
    return _stored(data, gan, batch_size, network_range, value_range)


def _is_stored(data: Any) -> bool:
    """Whether `data` are what `as_dataset` takes."""
    kinds = list | tuple | str | os.PathLike
    return isinstance(data, kinds) or hasattr(data, "__array__") or callable(getattr(data, "batches", None))


def _network_range(generator: Module) -> Range:
    """The numbers to which bytes are scaled: (0, 1) for a generator that gives no others, else (-1, 1)."""
    return (0.0, 1.0) if output_range(generator) == (0.0, 1.0) else (-1.0, 1.0)


def _stored(data: Any, gan: GAN, batch_size: int, network_range: Range, value_range: Range | None) -> FitData:
    """Arrays, a Dataset or a path."""
    dataset = as_dataset(data)
    labelled = dataset.labels is not None and takes_condition(gan, dataset.labels)
    if isinstance(data, tuple) and not labelled:
        raise UsageError(
            "the data are pairs of examples and labels, but the generator takes latent vectors alone; give the "
            "examples alone, or networks that take two inputs, forward(self, z, y) and forward(self, x, y)."
        )
    _require_labels_if_needed(gan.generator, labelled)
    batch = dataset.batches(
        batch_size,
        labels=labelled,
        seed=gan.seed,
        per_step=gan.rules.n_critic,
        dtype=str(dtype_of(gan)),
        value_range=network_range,
    )
    condition, columns = conditions_shown(dataset.labels) if labelled and dataset.labels is not None else (None, None)
    examples = dataset.examples
    if dataset.transform is not None:
        examples = parts(batch(0))[0].numpy()  # what the networks get, in their numbers
    elif dataset.crop is not None:
        examples = examples[:, : dataset.shape[0], : dataset.shape[1]]
    shown_range = network_range if examples.dtype == np.uint8 else value_range
    return FitData(
        batch=ReadAhead(_in_shape_of_samples(batch, gan)),
        view=view_of(examples[: _count_for_view(examples)], shown_range, columns),
        condition=_as_tensor(condition, gan),
        facts=dataset.describe() | {"labels": labelled},
        matches=lambda recorded: dataset.matches(recorded, labels=labelled),
        is_pure=True,
    )


def _distribution(data: Any, gan: GAN, batch_size: int) -> FitData:
    """A distribution from which batches are drawn."""
    _require_labels_if_needed(gan.generator, False)
    count, dtype = batch_size * gan.rules.n_critic, str(dtype_of(gan))

    def batch(step: int) -> Tensor:
        drawn: Tensor = data.batch(count, gan.seed, step, dtype)
        return drawn

    examples = data.batch(_EXAMPLES_FOR_VIEW, gan.seed, 0, dtype).numpy()
    shaped = _in_shape_of_samples(batch, gan)
    return FitData(ReadAhead(shaped), view_of(examples), None, data.describe(), data.matches, True)


def _batches(data: Any, gan: GAN, network_range: Range, value_range: Range | None) -> FitData:
    """A function of the step that returns its batch, or an iterable of batches."""
    if callable(data):
        _require_function_of_step(data)
    source = data if callable(data) else _Iterated(data, gan.rules.n_critic)

    def converted(given: Any) -> Batch:
        try:
            return as_batch(_scaled(given, network_range), dtype_of(gan))
        except (TypeError, ValueError) as error:
            raise UsageError(f"a batch cannot be trained on: {clause(error)}.") from None

    def batch(step: int) -> Batch:
        return converted(source(step))

    first = source(gan.step)
    _require_finite_numbers(converted(first))
    examples, labels = first if isinstance(first, tuple) else (first, None)
    examples = np.asarray(examples.numpy() if hasattr(examples, "numpy") else examples)
    _require_labels_if_needed(gan.generator, labels is not None)
    condition, columns = (None, None) if labels is None else conditions_shown(np.asarray(labels))
    facts = {"name": f"{type(data).__module__}.{type(data).__qualname__}", "shape": list(examples.shape[1:])}
    return FitData(
        batch=_in_shape_of_samples(batch, gan),
        view=view_of(examples, network_range if examples.dtype == np.uint8 else value_range, columns),
        condition=_as_tensor(condition, gan),
        facts=facts,
        matches=lambda recorded: dict(recorded) == facts,
        is_pure=callable(data),
        has_ended=lambda: isinstance(source, _Iterated) and source.has_ended,
    )


def _require_finite_numbers(batch: Batch) -> None:
    """Raise UsageError unless there are numbers to be shown, and all of them are finite."""
    if not parts(batch)[0].size:
        raise UsageError(f"a batch has no numbers, its shape is {parts(batch)[0].shape}; give at least one example.")
    try:
        require_finite(batch)
    except ValueError as error:
        raise UsageError(f"a batch cannot be trained on: {clause(error)}.") from None


def _require_function_of_step(function: Any) -> None:
    """Raise UsageError unless `function` can be called with the number of a step."""
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        name = getattr(function, "__qualname__", type(function).__name__)
        raise UsageError(
            f"the data are {name}, which cannot be called with the number of a step; give a function of "
            "one argument, or, if it is a generator function, what it returns."
        ) from None
    except ValueError:  # a function of C, whose arguments are not known
        return


def _count_for_view(examples: np.ndarray) -> int:
    return max(100, min(_EXAMPLES_FOR_VIEW, _NUMBERS_FOR_VIEW * len(examples) // examples.size))


class _Iterated:
    """The batches of an iterable as a function of a step that never falls: `per_step` of them, concatenated.

    An iterable that ends is begun again; if it cannot be, it has ended, and its last batch stands for all further
    ones. Batches of another size than the first, as the last one often is, are left out.
    """

    def __init__(self, iterable: Iterable[Any], per_step: int) -> None:
        self._iterable, self._per_step = iterable, per_step
        self._batches = self._endless()
        self._size: int | None = None
        self._at, self._batch, self.has_ended = -1, None, False

    def __call__(self, step: int) -> Any:
        if step > self._at and not self.has_ended:
            batches = list(itertools.islice(self._batches, self._per_step))
            self.has_ended = len(batches) < self._per_step
            if self.has_ended and self._batch is None:
                raise UsageError("the data are an iterable with too few batches for a step; give one with more.")
            if not self.has_ended:
                self._at, self._batch = step, _concatenated(batches)
        return self._batch

    def _endless(self) -> Iterator[Any]:
        left_out = 0  # in a row
        while True:
            none = True
            for batch in self._iterable:
                pair_or_examples = tuple(batch) if isinstance(batch, list) else batch
                size = _size_of(pair_or_examples)
                self._size = self._size or size
                left_out = 0 if size == self._size else left_out + 1
                if left_out == _MOST_LEFT_OUT:  # the iterable may be endless
                    raise UsageError(
                        f"{left_out} batches in a row have another number of examples than the first, {self._size}; "
                        "give batches of one size."
                    )
                if not left_out:
                    none = False
                    yield pair_or_examples
            if none:
                return


def _size_of(batch: Any) -> int:
    """The number of examples in a batch; raises UsageError if it has none."""
    examples = batch[0] if isinstance(batch, tuple) and batch else batch
    try:
        size = len(examples)
    except TypeError:
        size = 0
    if not size:
        raise UsageError(
            f"a batch of the data is a {type(examples).__name__} without examples, expected an array (n, ...), or a "
            "pair (x, y) of them."
        )
    return size


def _concatenated(batches: list[Any]) -> Any:
    if len(batches) == 1:
        return batches[0]
    if isinstance(batches[0], tuple):
        return tuple(np.concatenate([np.asarray(part) for part in each]) for each in zip(*batches, strict=True))
    return np.concatenate([np.asarray(batch) for batch in batches])


def _scaled(batch: Any, value_range: Range) -> Any:
    """`batch` with its examples, if they are bytes, scaled to `value_range`, as `Dataset.batches` scales them."""
    examples, *rest = batch if isinstance(batch, tuple) else (batch,)
    values = examples.data if isinstance(examples, Tensor) else examples
    if getattr(values, "dtype", None) != np.uint8:
        return batch
    low, high = value_range
    scaled = values * np.float64((high - low) / 255) + low
    return (scaled, *rest) if rest else scaled


def _in_shape_of_samples(batch: GetBatch, gan: GAN) -> GetBatch:
    """`batch` with examples in the shape of the generator's samples, if only flattening or axes of 1 make a difference.

    Raises UsageError for other shapes.
    """
    x, y = parts(batch(gan.step))
    latent = gan.latent(min(2, len(x)), "samples")
    sample = gan.sample(latent, *(() if y is None else (y[: len(latent)],)))
    wanted, have = tuple(sample.shape[1:]), tuple(x.shape[1:])
    if wanted == have:
        return batch
    is_flat = min(len(wanted), len(have)) <= 1
    same_but_for_ones = [n for n in wanted if n != 1] == [n for n in have if n != 1]
    if sample.size != len(latent) * (x.size // len(x)) or not (is_flat or same_but_for_ones):
        raise UsageError(
            f"the generator makes samples of shape {wanted}, and an example of the data has the shape {have}; change "
            "its last layers, or reshape the data."
        )

    def reshaped(step: int) -> Batch:
        x, y = parts(batch(step))
        examples = Tensor(x.data.reshape(len(x), *wanted))
        return examples if y is None else (examples, y)

    return reshaped


def conditions_shown(labels: np.ndarray) -> tuple[np.ndarray, int | None]:
    """The conditions (n, ...) of the samples in a picture, and the columns of their grid.

    Numbers of classes (N,): each class in a row of its own, in order. Other conditions: the first ones of the data.
    """
    classes = np.unique(labels) if labels.ndim == 1 else np.empty(0)
    if not 0 < len(classes) <= _MOST_CLASSES or (classes != np.rint(classes)).any():
        return labels[:_MOST_CLASSES], None
    columns = max(_ROW_OF_CLASS, _SHOWN // len(classes)) if len(classes) <= _SHOWN else 1
    return classes.repeat(columns), columns if columns > 1 else None


def takes_condition(gan: GAN, labels: np.ndarray) -> bool:
    """Whether the generator can be called as generator(z, y), with conditions y such as `labels`."""
    kinds = {parameter.kind for parameter in inspect.signature(gan.generator.forward).parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL not in kinds or not _can_take(gan.generator, 2):
        return _can_take(gan.generator, 2)
    try:  # as Sequential does, it passes on whatever it gets: to a layer that takes two inputs, or one
        gan.sample(gan.latent(2, "samples"), labels[:1].repeat(2, axis=0))
    except Exception:
        return False
    return True


def _require_labels_if_needed(generator: Module, labelled: bool) -> None:
    if not labelled and not _can_take(generator, 1):
        raise UsageError(
            "the generator takes a condition besides the latent vectors, and the data have none; give "
            "(examples, labels)."
        )


def _can_take(network: Module, count: int) -> bool:
    try:
        inspect.signature(network.forward).bind(*[None] * count)
    except TypeError:
        return False
    return True


def _as_tensor(condition: np.ndarray | None, gan: GAN) -> Tensor | None:
    return None if condition is None else Tensor(np.asarray(condition).astype(dtype_of(gan)))


def dtype_of(gan: GAN) -> np.dtype:
    """The dtype that the networks compute with."""
    dtype: np.dtype = gan.generator_optimizer.parameters[0].dtype
    return dtype
