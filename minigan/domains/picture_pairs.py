"""Pictures with conditions that are pictures computed from them: enlargement, repair, translation."""

from __future__ import annotations

import dataclasses
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.notice import Notice
from minigan.data import Batches, Dataset, ImageShape, load, mnist, resized
from minigan.data.held_out import HeldOutDataset, has_test_set, with_held_out
from minigan.domains.domain import Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.images import PAD, ImageDomain
from minigan.figures.image_grid import image_grid
from minigan.gan.batches import Batch
from minigan.metrics import Classifier
from minigan.metrics.pictures import psnr_of_each, sharpness

_EVALUATED = 500  # held-out pictures, unless --n says otherwise
_PAIRS_PER_ROW, _PAIRS_SHOWN, _COMPARED = 4, 16, 8
TRUTH = "truth"


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pictures, truth (N, H, W, C), and their conditions (N, h, w, c), both uint8."""

    truth: np.ndarray
    conditions: np.ndarray


@dataclass(frozen=True)
class PicturePairDomain(ImageDomain):
    """Pictures x (H, W, C), and conditions y (h, w, c), pictures that `condition_of` computes from them.

    Both are uint8; networks see them in `value_range`: generator(z, y), discriminator(x, y). The pictures of progress
    and the evaluation use pictures that are held out of training: the test set of MNIST or of a folder of IDX files,
    else the last tenth of the data, at most 1,000.

    A subclass defines `condition_of`; and, for its evaluation, `baselines`, for its pictures `seen`.
    """

    value_range: tuple[float, float] = (-1.0, 1.0)
    flat: bool = field(default=False, init=False)
    shown: Pairs | None = field(default=None, compare=False, repr=False)

    evaluates_at_end: ClassVar[bool] = True
    compares_pictures: ClassVar[bool] = False

    @abstractmethod
    def condition_of(self, pictures: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
        """The conditions (N, h, w, c) of `pictures` (N, H, W, C), both uint8; a pure function of its arguments."""

    def seen(self, conditions: np.ndarray) -> np.ndarray:
        """How `conditions` (N, h, w, c) are shown beside pictures: uint8 (N, H, W, C).

        Smaller ones are enlarged by repeating pixels; grey ones are shown in the channels of the pictures.
        """
        height, width, channels = self.shape
        rows, columns = -(-height // conditions.shape[1]), -(-width // conditions.shape[2])
        large = conditions.repeat(rows, axis=1).repeat(columns, axis=2)[:, :height, :width]
        return np.broadcast_to(large[..., :channels], (len(large), *self.shape))

    def baselines(self, conditions: np.ndarray, data: HeldOutDataset, settings: Settings) -> dict[str, np.ndarray]:
        """Simple solutions to compare with, by name: pictures (N, H, W, C) from `conditions` (N, h, w, c), uint8."""
        return {}

    def measured_pixels(self, conditions: np.ndarray) -> np.ndarray | None:
        """The pixels that the PSNR is about, bool (N, H, W); None for all."""
        return None

    # Data.

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> HeldOutDataset:
        data = super().load(run, progress=progress, notice=notice)
        return with_held_out(data, read_test_set(run, data.image_shape, progress=progress, notice=notice))

    def batches(self, data: Dataset, run: RunOptions) -> Callable[[int], Batch]:
        order = Batches(len(data), run.settings["batch_size"], run.seed, run.settings.get("n_critic", 1))

        def pairs(step: int) -> Batch:
            return self._as_batch(
                self._pairs(data.images[order.indices(step)], run.settings, run.seed, step), run.dtype
            )

        return pairs

    def noise_condition(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        black = np.zeros((1, *self.wanted_shape(settings)), np.uint8)
        shape = self.condition_of(black, settings, rng).shape[1:]
        return rng.uniform(*self.value_range, (count, *shape)).astype(dtype)

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Batch:
        """Embedded digits if the pictures have their shape, else noise."""
        if self.wanted_shape(settings) == mnist.IMAGE_SHAPE:
            digits = mnist.embedded().images[Batches(10_000, count, seed).indices(0)]
            return self._as_batch(self._pairs(digits, settings, seed), dtype)
        rng = random.generator(seed, "example pictures")
        return Tensor(self.noise(count, settings, rng, dtype)), Tensor(
            self.noise_condition(count, settings, rng, dtype)
        )

    def held_out_pairs(self, data: HeldOutDataset, settings: Settings, count: int, seed: int) -> Pairs:
        """The first `count` held-out pictures, or fewer if there are not so many, and their conditions."""
        return self._pairs(data.held_out.images[:count], settings, seed)

    def _pairs(self, pictures: np.ndarray, settings: Settings, seed: int, step: int = 0) -> Pairs:
        return Pairs(pictures, self.condition_of(pictures, settings, random.generator(seed, "conditions", step)))

    def _as_batch(self, pairs: Pairs, dtype: str) -> tuple[Tensor, Tensor]:
        return Tensor(self.as_input(pairs.truth, dtype)), Tensor(self.as_input(pairs.conditions, dtype))

    # What is shown.

    def showing(self, data: Any, run: RunOptions) -> PicturePairDomain:
        """This domain, with held-out pairs of `data` in its pictures of progress."""
        pairs = self.held_out_pairs(data, run.settings, _PAIRS_SHOWN, run.seed)
        return dataclasses.replace(self, shown=pairs)

    @property
    def shown_condition(self) -> np.ndarray | None:
        return None if self.shown is None else self.as_input(self.shown.conditions, "float32")

    def sample_condition(
        self, count: int, seed: int, settings: Settings, load: Callable[[], Any], label: int | None = None
    ) -> np.ndarray:
        super().sample_condition(count, seed, settings, load, label)  # raises UsageError for a label
        data: HeldOutDataset = load()
        chosen = random.generator(seed, "held-out pictures").integers(len(data.held_out), size=count)
        return self.as_input(self._pairs(data.held_out.images[chosen], settings, seed).conditions, "float32")

    def draw(self, samples: np.ndarray) -> np.ndarray:
        """Condition, output and truth side by side, if `samples` are those of the shown conditions; else a grid."""
        if self.shown is None or len(samples) != len(self.shown.truth):
            return super().draw(samples)
        return in_rows([self.seen(self.shown.conditions), samples, self.shown.truth], _PAIRS_PER_ROW)

    # Evaluation.

    def can_evaluate(self, data: Dataset) -> bool:
        return True

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Compare outputs for held-out conditions with the truth: PSNR, sharpness, and the share that is recognised.

        A picture is recognised if a classifier, trained on the labels of the training data, gives it the label of the
        truth. Each figure stands beside those of the baselines; data without labels have no such share.
        """
        data: HeldOutDataset = request.load()
        pairs = self.held_out_pairs(data, request.settings, request.count or _EVALUATED, request.seed)
        dtype = request.gan.generator_optimizer.parameters[0].dtype.name
        output = request.sample(len(pairs.truth), request.seed, self.as_input(pairs.conditions, dtype))
        pictures = {"": output, **self.baselines(pairs.conditions, data, request.settings), TRUTH: pairs.truth}
        classifier = None if data.labels is None else request.classifier(data)
        figures = {
            name: self._figures(found, pairs, data.held_out.labels, classifier) for name, found in pictures.items()
        }
        facts: dict[str, Any] = {"pictures": len(output)}
        for name, of_pictures in figures.items():
            facts |= {f"{figure}_{name}" if name else figure: value for figure, value in of_pictures.items()}
        del facts[f"psnr_{TRUTH}"], facts[f"sharpness_{TRUTH}"]  # by definition
        compared = [self.seen(pairs.conditions), *pictures.values()]
        return Evaluation(
            facts,
            list(_table(figures)),
            measured=f"{len(output):,} held-out pictures",
            pictures={"comparison": in_rows([of[:_COMPARED] for of in compared], 1)},
        )

    def compare(self, request: EvaluationRequest) -> Evaluation | None:
        """None: each output has one truth to be compared with, which `evaluate` does."""
        return None

    def _figures(
        self, pictures: np.ndarray, pairs: Pairs, labels: np.ndarray | None, classifier: Classifier | None
    ) -> dict[str, float]:
        psnr = psnr_of_each(pictures, pairs.truth, self.measured_pixels(pairs.conditions))
        figures = {"psnr": float(psnr.mean()), "sharpness": sharpness(pictures) / max(sharpness(pairs.truth), 1e-9)}
        if classifier is not None and labels is not None:
            recognised = np.array(classifier.classes)[classifier.probabilities(pictures).argmax(axis=1)]
            figures["accuracy"] = float((recognised == labels[: len(pictures)]).mean())
        return figures


def read_test_set(
    run: RunOptions, shape: ImageShape, *, progress: bool = True, notice: Notice = warnings.warn
) -> Dataset | None:
    """The test set of MNIST, or of the folder of IDX files, that `run` names, in `shape`; None if it has none."""
    if not has_test_set(run.data_dir, run.download):
        return None
    test = load(run.data_dir, run.download, split="test", progress=progress, notice=notice)
    return resized(test, shape, pad=run.settings.get("fit") == PAD)


def in_rows(columns: list[np.ndarray], per_row: int) -> np.ndarray:
    """Arrays of pictures (N, H, W, C), side by side: their first ones, then their second ones; `per_row` of these."""
    together = np.stack(columns, axis=1)
    return image_grid(together.reshape(-1, *together.shape[2:]), per_row * len(columns))


def _table(figures: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    has_accuracy = "accuracy" in figures[""]
    yield f"{'':<12}{'PSNR (dB)':>10}{'sharpness':>11}" + (f"{'recognised':>12}" if has_accuracy else "")
    for name, of in figures.items():
        psnr = "" if name == TRUTH else f"{of['psnr']:.2f}"
        line = f"{name or 'generator':<12}{psnr:>10}{of['sharpness']:>11.2f}"
        yield line + (f"{of['accuracy']:>12.1%}" if has_accuracy else "")
    yield "(PSNR: mean over pictures; sharpness: mean magnitude of the gradient, as a share of the truth's)"
