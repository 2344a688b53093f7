"""What a kind of data is: how it is loaded, batched, shown to people and measured.

A recipe holds a `Domain`. Everything else (the trainer, the command line, the self-test, `minigan explain`) asks that
object and never which kind it is, so a further kind of data is one subclass and a recipe that holds it.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from abc import ABC, abstractmethod
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

Shape = tuple[int, ...]
Settings = Mapping[str, Any]
_NUMBERS_PER_PASS = 1 << 20  # so that memory stays small: 1,000 digits and some

Artefact = Callable[[Path, np.ndarray], None]
"""Writes a file, given its path and samples as `Domain.present` gives them."""


class Data(Protocol):
    """The data at hand: a data set in memory, or a distribution to draw from."""

    @property
    def shape(self) -> Shape:
        """The shape of one example, as people know it."""

    @property
    def source(self) -> str:
        """Where the data come from, for people to read."""

    def describe(self) -> dict[str, Any]:
        """The entry "data" of a run's config.json; it has "sha256"."""

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Whether `recorded`, as `describe` gave it, describes these data."""

    def __str__(self) -> str:
        """The data in a few words, for people to read."""


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
    """What `Domain.evaluate` may use.

    sample(count, seed): `count` samples of the run, as `Domain.present` gives them.
    load(): the data that the run was trained on, read again.
    count, seed: of the samples to measure; None: as many as the domain finds right.
    data_dir: the folder of the data, where the run has one.
    run: the name of the run, for sentences.
    computed_by: the versions and the device that a result which is kept depends on.
    progress(title): a context whose value is called with (steps done, steps in all) of a long computation.
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
    """What an evaluation found: `facts` for a program (JSON), `lines` for people; `measured` names what was measured,
    such as "10,000 samples"."""

    facts: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    measured: str = "samples"


D = TypeVar("D", bound=Data)


@dataclass(frozen=True)
class Domain(ABC, Generic[D]):
    """A kind of data. Subclasses are frozen dataclasses.

    An example has `shape` as people know it; networks may take and make it in another form, such as flat. What
    `present` gives, (N, *shape), is what `draw`, `measure`, `arrays` and the artefacts take.
    """

    shape: Shape

    shape_key: ClassVar[str] = "shape"
    """The name of the shape in the JSON output of `minigan recipes`."""

    setting_meanings: ClassVar[Mapping[str, str]] = {}
    """The settings that only this kind of data has, each with its meaning."""

    samples_shown: ClassVar[int] = 64
    """How many samples a picture of progress shows."""

    samples_per_evaluated: ClassVar[int] = 1
    """How many samples `evaluate` draws at once for each one that it is asked for."""

    # Settings and shapes.

    @abstractmethod
    def in_words(self, settings: Settings) -> str:
        """The kind of data under these `settings`, such as "pictures 28 x 28 grey"."""

    def check_settings(self, settings: Settings) -> None:
        """Raise UsageError if a setting of this domain's own makes no sense."""

    def wanted_shape(self, settings: Settings) -> Shape:
        """The shape of an example under `settings`, where the data do not decide it."""
        return self.shape

    def recorded_shape(self, settings: Settings, recorded: Mapping[str, Any]) -> Shape:
        """The shape of the examples of a run, of whose data config.json says `recorded` ({} if nothing).

        Raises ValueError if it does not say enough, with what is missing, such as "what the run was trained on".
        """
        return self.wanted_shape(settings)

    def recorded_settings(self, settings: dict[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
        """`settings` of a run, of whose data config.json says `recorded`, as the version that wrote them meant them."""
        return settings

    def with_shape(self, shape: Shape) -> Domain[D]:
        """This domain for examples of `shape`."""
        return self if shape == self.shape else dataclasses.replace(self, shape=shape)

    # Real data.

    def check_strict(self, data_dir: str | None) -> None:
        """Raise UsageError if the option --strict can have no effect on the data in `data_dir`."""
        if data_dir is None:
            raise UsageError(
                "--strict is about a folder of pictures, some of which cannot be read, and there is none; leave it "
                "out, or name such a folder with --data-dir."
            )

    @abstractmethod
    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> D:
        """The data that the options of `run` name; `progress` shows a bar on standard error, `notice` is told what was
        left out.

        Raises UsageError for options that make no sense for this kind of data, DataError for data that cannot be read.
        """

    def mismatch_hint(self, recorded: Mapping[str, Any]) -> str:
        """Why data may not match what config.json says of them, `recorded`: " (reason)", or "" if nothing is known."""
        return ""

    @abstractmethod
    def batches(self, data: D, run: RunOptions) -> Callable[[int], Tensor]:
        """A pure function of the step that gives its real examples as the discriminator takes them: n_critic batches
        one after the other."""

    @abstractmethod
    def noise(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        """`count` random examples, without any structure, as the discriminator takes them."""

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Tensor:
        """`count` real examples that need no data at hand, as like real ones as can be, as the discriminator takes
        them; here noise. Raises UsageError for more than there are."""
        return Tensor(self.noise(count, settings, random.generator(seed, "example batch"), dtype))

    # Samples.

    @abstractmethod
    def present(self, values: np.ndarray) -> np.ndarray:
        """What a network made, (N, ...), as people know it, (N, *shape)."""

    @abstractmethod
    def draw(self, samples: np.ndarray) -> np.ndarray:
        """The samples in one picture (height, width, channels) of uint8, grey or RGB."""

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        """The arrays of an .npz file, by name."""
        return {"samples": samples}

    def artefacts(self) -> dict[str, Artefact]:
        """Further pictures at the end of a run: what writes each, by the name of its file in the run folder."""
        return {}

    def measure(self, samples: np.ndarray) -> dict[str, float]:
        """Numbers that say how good the samples are, as far as that is cheap to tell during a run."""
        return {}

    def score(self, measured: Mapping[str, float]) -> float | None:
        """One number made of what `measure` found, the larger the better, to choose a checkpoint by; None for none."""
        return None

    def measured_in_words(self, measured: Mapping[str, float]) -> str:
        """What `measure` found, for a line of progress; "" if nothing. `measured` may hold further numbers."""
        return ""

    # Evaluation after the run.

    def can_evaluate(self, data: D) -> bool:
        """Whether `evaluate` can measure a run that was trained on `data`."""
        return True

    def check_evaluation(self, run: str, data_dir: Path | None) -> None:
        """Raise UsageError if the options of `minigan evaluate` make no sense for the run called `run`; `data_dir` is
        its --data-dir."""

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Measure samples of a run; here by what `measure` finds."""
        count = request.count or self.samples_shown
        measured = self.measure(request.sample(count, request.seed))
        lines = [f"{name.replace('_', ' ')}  {value:.6g}" for name, value in measured.items()]
        return Evaluation({"samples": count, **measured}, lines, measured=f"{count:,} samples")

    # Memory.

    @property
    def samples_per_pass(self) -> int:
        """How many samples the generator makes at once, so that a pass takes little memory."""
        return max(1, _NUMBERS_PER_PASS // math.prod(self.shape))

    @property
    def bytes_per_sample(self) -> int:
        """The memory that a sample takes until it is written or measured."""
        return 2 * 8 * math.prod(self.shape)

    @property
    def pixels_per_sample(self) -> int:
        """How many pixels a sample adds to what `draw` gives; 0 if its size does not depend on the count."""
        return 0
