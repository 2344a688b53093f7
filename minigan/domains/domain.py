"""A kind of data as one object: how it is loaded, batched, drawn, measured and evaluated.

A recipe holds a `Domain`. The trainer, the command line, the self-test and `minigan explain` call its methods and never
ask which kind it is, so a further kind of data needs one subclass and a recipe that holds an instance of it.
"""

from __future__ import annotations

import dataclasses
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.domains.view import Shape, View

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


@dataclass(frozen=True)
class EvaluationRequest:
    """What `Domain.evaluate` can use.

    sample(count, seed): `count` samples of the run, as `Domain.present` returns them.
    load(): the data that the run was trained on.
    count: how many samples to measure (None: the domain's default). seed: of these samples.
    data_dir: the folder of the data, or None.
    run: the folder of the run, for messages.
    computed_by: the versions and the device on which a cached result depends.
    progress(title): a context manager of a progress bar; its value is called with (steps done, steps in all).
    """

    sample: Callable[[int, int], np.ndarray]
    load: Callable[[], Any]
    count: int | None
    seed: int
    data_dir: str | None
    run: str
    computed_by: Mapping[str, str]
    progress: Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    facts: for JSON output. lines: the same as text. measured: what was evaluated, such as "10,000 samples".
    """

    facts: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    measured: str = "samples"


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

    @abstractmethod
    def batches(self, data: D, run: RunOptions) -> Callable[[int], Tensor]:
        """A pure function from a step to its real examples: n_critic batches, concatenated, in the form that networks
        take."""

    @abstractmethod
    def noise(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        """`count` examples of random numbers, in the form that networks take."""

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Tensor:
        """`count` examples for `minigan explain`, in the form that networks take.

        No data are loaded; this method returns noise. Raises UsageError if there are fewer than `count` examples.
        """
        return Tensor(self.noise(count, settings, random.generator(seed, "example batch"), dtype))

    # Evaluation after the run.

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
