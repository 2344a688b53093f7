"""Pictures in two looks without pairs, for translation between the looks (Zhu et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.data import Batches, Dataset, mnist
from minigan.data.held_out import HeldOutDataset
from minigan.domains.domain import Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.picture_pairs import in_rows
from minigan.domains.translating import TranslationDomain
from minigan.figures.image_grid import image_grid, to_bytes
from minigan.gan.batches import Batch
from minigan.metrics.looks import correlation, grey_distance
from minigan.metrics.pictures import psnr_of_each
from minigan.metrics.scores import accuracy

_EVALUATED = 500  # held-out pictures, unless --n says otherwise
_ROWS_SHOWN, _COMPARED = 4, 8
Look = Callable[[np.ndarray], np.ndarray]
"""A pure function of uint8 pictures (N, H, W, C) to the same pictures in another look, of the same shape."""


@dataclass(frozen=True)
class TwoLooksDomain(TranslationDomain):
    """Pictures (H, W, C) in two looks: A, as they are, and B, as `look` shows them.

    Networks see a picture of A and one of B, joined along the channels: examples (H, W, 2 C) in [-1, 1], which are also
    the conditions. generator(z, (a, b)) is (b in look A, a in look B), discriminator(x, y) judges both pictures of x.

    In training no picture is seen in both looks: those at even places of the data appear in A only, the others in B
    only, each half in an order of its own. Held-out pictures have both looks, which only the evaluation compares.
    Samples are shown side by side: (N, H, 2 W, C).
    """

    look: Look = field(kw_only=True)

    directions: ClassVar[tuple[str, ...]] = ("a-to-b", "b-to-a")

    def condition_of(self, pictures: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
        """Both looks of each picture (N, H, W, 2 C)."""
        return np.concatenate([pictures, self.look(pictures)], axis=-1)

    def batches(self, data: Dataset, run: RunOptions) -> Callable[[int], Batch]:
        size, per_step = run.settings["batch_size"], run.settings.get("n_critic", 1)
        seed_of_b = int(random.generator(run.seed, "order of look B").integers(2**62))
        of_a = Batches((len(data) + 1) // 2, size, run.seed, per_step)
        of_b = Batches(len(data) // 2, size, seed_of_b, per_step)

        def unpaired(step: int) -> Batch:
            a, b = data.images[2 * of_a.indices(step)], data.images[2 * of_b.indices(step) + 1]
            return self._batch_of(a, self.look(b), run.dtype)

        return unpaired

    def _batch_of(self, a: np.ndarray, b: np.ndarray, dtype: str) -> Batch:
        both = Tensor(self.as_input(np.concatenate([a, b], axis=-1), dtype))
        return both, both

    def noise(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        return self.noise_condition(count, settings, rng, dtype)

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Batch:
        """Embedded digits if the pictures have their shape, else noise; the pictures of both looks are different."""
        if self.wanted_shape(settings) != mnist.IMAGE_SHAPE:
            return super().example_batch(count, settings, seed=seed, dtype=dtype)
        digits = mnist.embedded().images[Batches(10_000, 2 * count, seed).indices(0)]
        return self._batch_of(digits[:count], self.look(digits[count:]), dtype)

    # What is shown.

    def present(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate(np.split(to_bytes(values, self.value_range), 2, axis=-1), axis=2)

    def draw(self, samples: np.ndarray) -> np.ndarray:
        """Each b and its translation, and each a and its translation, if `samples` are of the shown conditions."""
        if self.shown is None or len(samples) != len(self.shown.conditions):
            return image_grid(samples)
        (a, b), (to_a, to_b) = np.split(self.shown.conditions, 2, axis=-1), np.split(samples, 2, axis=2)
        return in_rows([b, to_a, a, to_b], _ROWS_SHOWN)

    # Translation.

    def translation_input(self, pictures: np.ndarray, direction: str) -> np.ndarray:
        return np.concatenate([pictures, pictures], axis=-1)  # each direction looks at its half only

    def translation_output(self, samples: np.ndarray, direction: str) -> np.ndarray:
        to_a, to_b = np.split(samples, 2, axis=2)
        return to_b if direction == "a-to-b" else to_a

    # Evaluation.

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Compare translations of held-out pictures with their true other look, and the way back with the start.

        Held-out pictures have both looks. For each way: PSNR and correlation with the truth; the distance of the grey
        levels from those of the look; and for pictures in look A, if there are labels, the share in which a classifier,
        trained on those of the training data, sees the label of the start. Untranslated pictures are the baseline.
        """
        data: HeldOutDataset = request.load()
        pairs = self.held_out_pairs(data, request.settings, request.count or _EVALUATED, request.seed)
        a, b = np.split(pairs.conditions, 2, axis=-1)
        to_a, to_b = self._translated(a, b, request)
        back_in_a, back_in_b = self._translated(to_a, to_b, request)
        in_a = {"b_to_a": to_a, "b_untranslated": b, "a_to_b_to_a": back_in_a}
        in_b = {"a_to_b": to_b, "a_untranslated": a, "b_to_a_to_b": back_in_b}
        figures = {name: _figures(pictures, a) for name, pictures in in_a.items()}
        figures |= {name: _figures(pictures, b) for name, pictures in in_b.items()}
        for name, share in _recognised({**in_a, "truth": a}, data, request).items():
            figures.setdefault(name, {})["accuracy"] = share
        facts = {f"{figure}_{name}": value for name, of in figures.items() for figure, value in of.items()}
        compared = [pictures[:_COMPARED] for pictures in (b, to_a, back_in_b, a, to_b, back_in_a)]
        return Evaluation(
            {"pictures": len(a), **facts},
            list(_table(figures)),
            measured=f"{len(a):,} held-out pictures",
            pictures={"comparison": in_rows(compared, 1)},
        )

    def _translated(self, a: np.ndarray, b: np.ndarray, request: EvaluationRequest) -> tuple[np.ndarray, np.ndarray]:
        """(b in look A, a in look B), uint8 (N, H, W, C) as `a` and `b`."""
        dtype = request.gan.generator_optimizer.parameters[0].dtype.name
        both = self.as_input(np.concatenate([a, b], axis=-1), dtype)
        to_a, to_b = np.split(request.sample(len(a), request.seed, both), 2, axis=2)
        return to_a, to_b


def _figures(pictures: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {
        "psnr": float(psnr_of_each(pictures, truth).mean()),
        "correlation": correlation(pictures, truth),
        "grey_distance": grey_distance(pictures, truth),
    }


def _recognised(in_a: Mapping[str, np.ndarray], data: HeldOutDataset, request: EvaluationRequest) -> dict[str, float]:
    """The share of pictures in which a classifier sees the label of the original; {} for data without labels."""
    if data.labels is None or data.held_out.labels is None:
        return {}
    classifier = request.classifier(data)
    classes = np.array(classifier.classes)
    seen = {name: classes[classifier.probabilities(pictures).argmax(axis=1)] for name, pictures in in_a.items()}
    return {name: accuracy(labels, data.held_out.labels[: len(labels)]) for name, labels in seen.items()}


def _table(figures: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    has_accuracy = "truth" in figures
    yield f"{'':<16}{'PSNR (dB)':>10}{'correlation':>13}{'grey levels':>13}{'recognised':>12}"[
        : 64 if has_accuracy else 52
    ]
    for name, of in figures.items():
        numbers = f"{of['psnr']:>10.2f}{of['correlation']:>13.3f}{of['grey_distance']:>13.2f}" if "psnr" in of else ""
        recognised = f"{of['accuracy']:>12.1%}" if "accuracy" in of else ""
        yield f"{name.replace('_', ' '):<16}{numbers:<36}{recognised}".rstrip()
    yield "(PSNR, correlation: with the truth, means over pictures; grey levels: distance from those of the look)"
