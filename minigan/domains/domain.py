"""A kind of data as one object: how it is loaded, batched, drawn, measured and evaluated.

A recipe holds a `Domain`. The trainer, the command line, the self-test and `minigan explain` call its methods and never
ask which kind it is, so a further kind of data needs one subclass and a recipe that holds an instance of it.
"""

from __future__ import annotations

import dataclasses
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.data import Dataset
from minigan.domains.view import Shape, View
from minigan.gan import GAN
from minigan.gan.batches import Batch, parts
from minigan.metrics import Classifier, classifier_cache

Settings = Mapping[str, Any]


class Data(Protocol):
    """The data of a run: a data set in memory, or a distribution to draw from."""

    @property
    def shape(self) -> Shape:
        """The shape of one example."""

    @property
    def source(self) -> str:
        """Where the data come from, in words."""

    def describe(self) -> dict[str, Any]:
        """The entry "data" of a run's config.json; it must have "sha256"."""

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Whether `recorded`, which `describe` returned, describes these data."""

    def __str__(self) -> str:
        """The data in a few words."""


class RunOptions(Protocol):
    """The part of a run's configuration that a domain reads; `minigan.training.RunConfig` is one."""

    @property
    def recipe(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    @property
    def seed(self) -> int: ...

    @property
    def dtype(self) -> str: ...

    @property
    def data_dir(self) -> str | None: ...

    @property
    def download(self) -> bool: ...

    @property
    def strict(self) -> bool: ...


class ProgressMeasure(Protocol):
    """A function of samples, as `Domain.present` returns them, to what is measured of them, by name.

    samples: how many it takes.
    """

    @property
    def samples(self) -> int: ...

    def __call__(self, samples: np.ndarray) -> dict[str, float]: ...


class SampleFunction(Protocol):
    """Draws samples of a run: a pure function of its arguments."""

    def __call__(self, count: int, seed: int, condition: np.ndarray | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class EvaluationRequest:
    """What `Domain.evaluate` can use.

    sample(count, seed, condition): `count` samples of the run, as `Domain.present` returns them; condition: theirs,
    (count, ...), None for a GAN without conditions.
    gan: the trained GAN. settings: those of the run.
    load(): the data that the run was trained on.
    count: how many samples to measure (None: the domain's default). seed: of these samples.
    data_dir: the folder of the data, or None.
    run: the folder of the run, for messages.
    computed_by: the versions and the device on which a cached result depends.
    progress(title): a context manager of a progress bar; its value is called with (steps done, steps in all).
    rows(): the metrics of each recorded step, as metrics.jsonl has them.
    against: other real pictures to compare samples with, None for the run's. features: in what they are compared, None
    for the default of the data (see minigan.domains.reference).
    """

    sample: SampleFunction
    gan: GAN
    settings: Settings
    load: Callable[[], Any]
    count: int | None
    seed: int
    data_dir: str | None
    run: str
    computed_by: Mapping[str, str]
    progress: classifier_cache.Progress
    rows: Callable[[], Sequence[Mapping[str, Any]]] = list
    against: Path | None = None
    features: str | None = None

    def classifier(self, data: Dataset) -> Classifier:
        """A classifier trained on `data` and their labels, from the cache if there is one; see `Classifier`."""
        return classifier_cache.trained(data, self.computed_by, self.progress)


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    facts: for JSON output. lines: the same as text. measured: what was evaluated, such as "10,000 samples".
    pictures: by name, images (height, width, channels) uint8 that show it, which are written into the run folder.
    """

    facts: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    measured: str = "samples"
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


D = TypeVar("D", bound=Data)


@dataclass(frozen=True)
class Domain(View, Generic[D]):
    """A kind of data. Subclasses are frozen dataclasses.

    Networks may use another form of the examples, such as flat or scaled; see View.
    """

    shape_key: ClassVar[str] = "shape"
    """The name of the shape in the JSON output of `minigan recipes`."""

    setting_meanings: ClassVar[Mapping[str, str]] = {}
    """The meaning of each setting that belongs to this kind of data."""

    evaluates_at_end: ClassVar[bool] = False
    """Whether `minigan train` evaluates a run at its end, since what was trained is known by this figure."""

    compares_pictures: ClassVar[bool] = False
    """Whether the samples are pictures that `compare` compares with real ones."""

    samples_per_evaluated: ClassVar[int] = 1
    """How many samples `evaluate` draws at once for each of the `EvaluationRequest.count` samples."""

    # Settings and shapes.

    @abstractmethod
    def in_words(self, settings: Settings) -> str:
        """The kind of data under `settings` in a few words, such as "pictures 28 x 28 grey"."""

    def check_settings(self, settings: Settings) -> None:
        """Raise UsageError if a setting that belongs to this kind of data has an impossible value."""

    def wanted_shape(self, settings: Settings) -> Shape:
        """The shape of an example under `settings`, unless the data have a shape of their own."""
        return self.shape

    def recorded_shape(self, settings: Settings, recorded: Mapping[str, Any]) -> Shape:
        """The shape of an example of a run with `settings` and with `recorded` as the entry "data" of its config.json.

        `recorded` is {} if it has none. Raises ValueError that names what config.json does not say, such as "which
        pictures the run was trained on".
        """
        return self.wanted_shape(settings)

    def recorded_settings(self, settings: dict[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run as this version understands them.

        `settings`, and `recorded`, the entry "data" of its config.json, may have been written by an earlier version.
        """
        return settings

    def with_shape(self, shape: Shape) -> Domain[D]:
        """The same domain for examples of `shape`."""
        return self if shape == self.shape else dataclasses.replace(self, shape=shape)

    def with_settings(self, settings: Settings) -> Domain[D]:
        """The same domain under the settings of a run, for a kind of data whose samples are shown accordingly."""
        return self

    # Real data.

    def check_strict(self, data_dir: str | None) -> None:
        """Raise UsageError if the option --strict can have no effect on the data in `data_dir`."""
        if not data_dir:
            raise UsageError(
                "--strict is about a folder of pictures, some of which cannot be read, and no folder is named; leave "
                "it out, or name such a folder with --data-dir."
            )

    @abstractmethod
    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> D:
        """The data that the options of `run` name.

        progress: whether to show a bar on standard error. notice: called with a sentence if data were left out. Raises
        UsageError for options that this kind of data cannot have, DataError if the data cannot be read.
        """

    def mismatch_hint(self, recorded: Mapping[str, Any]) -> str:
        """Why data may not match `recorded` (see `Data.matches`), in brackets after a space; "" if unknown."""
        return ""

    def is_same(self, data: D, recorded: Mapping[str, Any]) -> bool:
        """Whether `data` are those that `recorded`, the entry "data" of a run's config.json, describes."""
        return data.matches(recorded)

    @abstractmethod
    def batches(self, data: D, run: RunOptions) -> Callable[[int], Batch]:
        """A pure function from a step to its real examples: n_critic batches, concatenated, in the form that networks
        take; in a conditional GAN, pairs (x, y) of examples and their conditions."""

    @abstractmethod
    def noise(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        """`count` examples of random numbers, in the form that networks take."""

    def noise_condition(
        self, count: int, settings: Settings, rng: np.random.Generator, dtype: str
    ) -> np.ndarray | None:
        """Random conditions (count, ...) beside `noise`; None for a GAN without conditions."""
        return None

    def real_examples(self, data: D, run: RunOptions, count: int, condition: np.ndarray | None) -> np.ndarray:
        """`count` examples in the form of the data, (count, *shape): the first that the networks see.

        condition: that of as many samples, beside which they are shown; None for a GAN without conditions.
        """
        batch, found, step = self.batches(data, run), list[np.ndarray](), 0
        while sum(map(len, found)) < count:
            found.append(self.present(parts(batch(step))[0].numpy()))
            step += 1
        return np.concatenate(found)[:count]

    # Conditions of samples.

    def showing(self, data: D, run: RunOptions) -> Domain[D]:
        """This domain with the conditions of the samples that it shows, such as pictures of `data` to be enlarged."""
        return self

    @property
    def shown_condition(self) -> np.ndarray | None:
        """The conditions (n, ...) of the n samples in a picture of progress; None for a GAN without."""
        return None

    @property
    def samples_drawn(self) -> int:
        """How many samples `minigan sample` draws unless its user names a number; a multiple of 8."""
        return 64

    def condition_arrays(self, condition: np.ndarray) -> dict[str, Any]:
        """The arrays of an .npz file of samples that say their conditions (count, ...), by name."""
        return {"conditions": condition}

    def sample_condition(
        self, count: int, seed: int, settings: Settings, load: Callable[[], D], label: int | None = None
    ) -> np.ndarray | None:
        """The conditions (count, ...) of `count` samples for `minigan sample`; None for a GAN without conditions.

        load(): the data of the run, for conditions that are examples. label: the class that all samples are to have,
        None for all classes in turn. Raises UsageError for a class that there is not, or if there are no classes.
        """
        if label is not None:
            raise UsageError(
                f"--class {label} asks for samples of one class, and this run's generator knows no classes; leave it "
                "out, or train mnist-cgan."
            )
        return None

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Batch:
        """`count` examples for `minigan explain`, in the form that networks take.

        No data are loaded; this method returns noise. Raises UsageError if there are fewer than `count` examples.
        """
        rng = random.generator(seed, "example batch")
        x, y = self.noise(count, settings, rng, dtype), self.noise_condition(count, settings, rng, dtype)
        return Tensor(x) if y is None else (Tensor(x), Tensor(y))

    # Evaluation during the run and after it.

    def progress_measure(self, data: D) -> ProgressMeasure | None:
        """What `minigan train --evaluate-every` measures, from which `score` chooses the best checkpoint.

        None if nothing needs more samples than `measure` gets with every picture of progress.
        """
        return None

    def can_evaluate(self, data: D) -> bool:
        """Whether `evaluate` can evaluate a run that was trained on `data`."""
        return True

    def check_evaluation(self, run: str, data_dir: Path | None) -> None:
        """Raise UsageError if the run in the folder `run` cannot be evaluated with the option --data-dir `data_dir`."""

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Evaluate samples of a run; by default with `measure`."""
        count = request.count or self.samples_shown
        measured = self.measure(request.sample(count, request.seed))
        lines = [f"{name.replace('_', ' ')}  {value:.6g}" for name, value in measured.items()]
        return Evaluation({"samples": count, **measured}, lines, measured=f"{count:,} samples")

    def compare(self, request: EvaluationRequest) -> Evaluation | None:
        """Further facts and lines of an evaluation, which compare samples with real data; None if there are none."""
        return None
