"""Images: digits, or pictures from files."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import UsageError, did_you_mean
from minigan.core.notice import Notice
from minigan.data import Dataset, ImageShape, is_array_file, load, mnist, resized, shape_in_words
from minigan.data.dataset import CHANNELS
from minigan.data.folder import idx_names_in
from minigan.data.idx_folder import abbreviated
from minigan.domains.domain import Domain, Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.picture_comparison import compare_pictures, default_count
from minigan.domains.progress_measure import FRECHET_DISTANCE, FeatureDistance
from minigan.domains.reference import LEAST_REAL, reference
from minigan.figures.image_grid import image_grid, to_bytes
from minigan.gan.batches import Batch
from minigan.metrics import ClassifierScores

_MOST_PIXELS_OF_A_SIDE = 4096
PAD = "pad"
FITS = ("crop", PAD)
_COPIES = 2  # copies of each sample in memory: in the batch in which it was generated, and in one array of all
_SAMPLES_EVALUATED = 10_000
_CLASSES_PER_LINE = 10
_UNCHANGED = "; 0: as in the recipe's first line, and digits and IDX files keep their own"


@dataclass(frozen=True)
class ImageDomain(Domain[Dataset]):
    """Images (H, W, C), uint8; for networks numbers in `value_range`, of shape (H * W * C,) if `flat`.

    Images in a folder are cropped and resized to `shape`; digits and IDX files keep their own shape. If a recipe has
    the settings "image_size" (pixels of a side) and "channels" (1 or 3), they override both shapes, unless they are 0.
    """

    shape: ImageShape
    value_range: tuple[float, float]
    flat: bool

    shape_key: ClassVar[str] = "image_shape"
    compares_pictures: ClassVar[bool] = True
    setting_meanings: ClassVar[Mapping[str, str]] = {
        "image_size": f"pixels of a side, or height and width like 48x64{_UNCHANGED}",
        "channels": f"1 (grey) or 3 (colour){_UNCHANGED}",
        "fit": "how a picture gets its shape: crop (its centre) or pad (all of it, on black)",
        "flip": "1: pictures are mirrored at random, left to right",
    }

    def in_words(self, settings: Settings) -> str:
        return f"pictures {shape_in_words(self.wanted_shape(settings))}"

    def check_settings(self, settings: Settings) -> None:
        if settings.get("fit", "crop") not in FITS:
            raise UsageError(f"there is no fit '{settings['fit']}'; {did_you_mean(settings['fit'], FITS)}")
        if settings.get("flip", 0) not in (0, 1):
            raise UsageError(f"the setting 'flip' is {settings['flip']}, expected 0 (off) or 1 (on).")
        sides = _sides(settings)
        if 0 in sides and any(sides):
            raise UsageError(f"the setting 'image_size' is {settings['image_size']}, expected at least 1x1.")
        if (size := max(sides)) > _MOST_PIXELS_OF_A_SIDE:
            raise UsageError(
                f"the setting 'image_size' is {size:,}, and one picture of so many rows and columns has more than "
                f"16 million pixels; take at most {_MOST_PIXELS_OF_A_SIDE:,}."
            )
        if settings.get("channels", 0) not in (0, *CHANNELS):
            raise UsageError(
                f"the setting 'channels' must be 1 (grey) or 3 (colour), or 0 (as the data are), not "
                f"{settings['channels']}."
            )

    def wanted_shape(self, settings: Settings) -> ImageShape:
        return fitted_shape(settings, self.shape)

    def recorded_shape(self, settings: Settings, recorded: Mapping[str, Any]) -> ImageShape:
        if "sha256" not in recorded:
            raise ValueError("what the run was trained on")
        shape = _recorded_image_shape(recorded)
        if shape is None:
            raise ValueError("which pictures the run was trained on")
        return shape

    def recorded_settings(self, settings: dict[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Earlier versions ignored image_size and channels for IDX files; if they did, both are set to 0."""
        shape = _recorded_image_shape(recorded)
        if "pixels_sha256" in recorded or shape is None or fitted_shape(settings, shape) == shape:
            return settings
        return settings | {name: 0 for name in ("image_size", "channels") if name in settings}

    def check_strict(self, data_dir: str | None) -> None:
        if data_dir and is_array_file(Path(data_dir)):
            raise UsageError(
                f"--strict is about a folder of pictures, some of which cannot be read, and {data_dir} is a file of "
                "arrays; leave it out, or name such a folder with --data-dir."
            )
        if data_dir and (idx := idx_names_in(Path(data_dir))):
            raise UsageError(
                f"--strict is about a folder of pictures, some of which cannot be read, and {data_dir} holds IDX files "
                f"({abbreviated(idx)}); leave it out, or name such a folder with --data-dir."
            )
        super().check_strict(data_dir)

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> Dataset:
        # Digits are an option for a recipe of their shape only; the settings may then resize them.
        takes_digits = run.data_dir is None and self.shape == mnist.IMAGE_SHAPE
        dataset = load(
            Path(run.data_dir) if run.data_dir else None,
            run.download,
            image_shape=mnist.IMAGE_SHAPE if takes_digits else self.wanted_shape(run.settings),
            strict=run.strict,
            progress=progress,
            notice=notice,
            pad=run.settings.get("fit") == PAD,
        )
        shape = fitted_shape(run.settings, dataset.image_shape)
        dataset = resized(dataset, shape, pad=run.settings.get("fit") == PAD)
        return dataclasses.replace(dataset, flip=True) if run.settings.get("flip") else dataset

    def mismatch_hint(self, recorded: Mapping[str, Any]) -> str:
        return "" if "pixels_sha256" in recorded else " (an earlier version of minigan read fewer kinds of pictures)"

    def batches(self, data: Dataset, run: RunOptions) -> Callable[[int], Batch]:
        batch_size, per_step = run.settings["batch_size"], run.settings.get("n_critic", 1)
        return data.batches(
            batch_size, labels=False, seed=run.seed, per_step=per_step, dtype=run.dtype, value_range=self.value_range,
            flat=self.flat,
        )  # fmt: skip

    def noise(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        pixels = rng.uniform(*self.value_range, (count, *self.wanted_shape(settings))).astype(dtype)
        return pixels.reshape(count, -1) if self.flat else pixels

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Batch:
        """Embedded digits if the images have their shape, else noise."""
        if self.wanted_shape(settings) == mnist.IMAGE_SHAPE:
            digits = mnist.embedded().batches(
                count, labels=False, seed=seed, dtype=dtype, value_range=self.value_range, flat=self.flat
            )
            return digits(0)
        return Tensor(self.noise(count, settings, random.generator(seed, "example pictures"), dtype))

    def as_input(self, pictures: np.ndarray, dtype: str) -> np.ndarray:
        """uint8 pictures (N, H, W, C) as networks see them: numbers in `value_range`, flat if they are."""
        low, high = self.value_range
        numbers = pictures.astype(dtype) * np.dtype(dtype).type((high - low) / 255) + np.dtype(dtype).type(low)
        return np.asarray(numbers.reshape(len(numbers), -1) if self.flat else numbers)

    def present(self, values: np.ndarray) -> np.ndarray:
        return to_bytes(values.reshape(-1, *self.shape), self.value_range)

    def draw(self, samples: np.ndarray) -> np.ndarray:
        return image_grid(samples)

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        return {"images": samples[..., 0] if samples.shape[-1] == 1 else samples}

    def can_evaluate(self, data: Dataset) -> bool:
        return data.labels is not None or len(data) >= LEAST_REAL

    def progress_measure(self, data: Dataset) -> FeatureDistance:
        return FeatureDistance.to(data)

    def score(self, measured: Mapping[str, float]) -> float | None:
        return -measured[FRECHET_DISTANCE] if FRECHET_DISTANCE in measured else None

    def measured_in_words(self, measured: Mapping[str, float]) -> str:
        if FRECHET_DISTANCE not in measured:
            return ""
        return f"Frechet distance {measured[FRECHET_DISTANCE]:.4g}, in fixed features"

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Evaluate samples with a classifier that is trained on the labels of the run's data, if they have any."""
        data: Dataset = request.load()
        count = self._count(request, data)
        if data.labels is None:
            return Evaluation({"pictures": count}, measured=f"{count:,} samples")
        scores = request.classifier(data).score(self._evaluated(request, data))
        return Evaluation(
            {**dataclasses.asdict(scores), "missing": scores.missing}, list(_lines(scores)), f"{count:,} samples"
        )

    def compare(self, request: EvaluationRequest) -> Evaluation | None:
        """Compare samples with real pictures (see minigan.domains.picture_comparison), and their classes, if known."""
        data: Dataset = request.load()
        real, samples = reference(request, data, self.shape), self._evaluated(request, data)
        return compare_pictures(real, samples, data, request.classifier(data) if data.labels is not None else None)

    def _evaluated(self, request: EvaluationRequest, data: Dataset) -> np.ndarray:
        """The samples that are evaluated; those of a conditional GAN have the conditions of `minigan sample`."""
        count = self._count(request, data)
        condition = self.sample_condition(count, request.seed, request.settings, lambda: data)
        return request.sample(count, request.seed, condition)

    def _count(self, request: EvaluationRequest, data: Dataset) -> int:
        return request.count or (_SAMPLES_EVALUATED if data.labels is not None else default_count(data))

    @property
    def bytes_per_sample(self) -> int:
        return _COPIES * math.prod(self.shape)

    @property
    def pixels_per_sample(self) -> int:
        height, width, _ = self.shape
        return height * width


def fitted_shape(settings: Settings, shape: ImageShape) -> ImageShape:
    """(H, W, C) to which images of `shape` are cropped and resized: `settings` where they name it, else `shape`."""
    rows, columns = _sides(settings)
    height, width, channels = shape
    return rows or height, columns or width, settings.get("channels") or channels


def _sides(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that the setting image_size, a number or text like "48x64", names; (0, 0) for none."""
    height, _, width = str(settings.get("image_size", 0)).partition("x")
    return int(height), int(width or height)


def _recorded_image_shape(recorded: Mapping[str, Any]) -> ImageShape | None:
    """(H, W, C) in `recorded`, the entry "data" of a config.json, or None; earlier versions, for grey images only,
    recorded [height, width]."""
    shape = recorded.get("image_shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape):
        return None
    if len(shape) == 2:
        return shape[0], shape[1], 1
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[2] in CHANNELS else None


def _lines(scores: ClassifierScores) -> Iterator[str]:
    yield f"classifier's accuracy on held-out real pictures  {scores.held_out_accuracy:7.1%}"
    yield f"its mean confidence on the samples               {scores.mean_confidence:7.1%}"
    yield f"its mean confidence on held-out real pictures    {scores.real_confidence:7.1%}"
    for start in range(0, len(scores.classes), _CLASSES_PER_LINE):
        columns = slice(start, start + _CLASSES_PER_LINE)
        yield "class  " + "".join(f"{label:>7}" for label in scores.classes[columns])
        yield "share  " + "".join(f"{share:7.1%}" for share in scores.shares[columns])
    least = f"{100 * scores.smallest_share:.2g}%"
    if scores.missing:
        yield f"rare or missing (below {least}): {', '.join(map(str, scores.missing))}"
    else:
        yield f"all {len(scores.classes)} classes are present (each at least {least})"
