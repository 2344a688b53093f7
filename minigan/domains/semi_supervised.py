"""Pictures of which the discriminator, a classifier, is told few labels (semi-supervised learning)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data import Dataset
from minigan.domains.domain import Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.few_labels import FewLabelsDomain
from minigan.gan.batches import Batch
from minigan.gan.semi_supervised import UNLABELLED
from minigan.metrics import accuracy
from minigan.metrics.supervised import predicted_classes, train_classifier
from minigan.nn import Module
from minigan.ops import concatenate

_SUPERVISED_STEPS, _SUPERVISED_RATE = 1000, 1e-3


@dataclass(frozen=True)
class SemiSupervisedDomain(FewLabelsDomain):
    """Batches (x, y): labelled pictures with their class numbers, then unlabelled ones, y = -1.

    All training pictures are among the unlabelled ones. The discriminator returns its class logits as its second
    output.
    """

    setting_meanings: ClassVar[Mapping[str, str]] = {
        **FewLabelsDomain.setting_meanings,
        "labelled_share": "share of the batch_size real pictures that have a label",
    }

    def check_settings(self, settings: Settings) -> None:
        super().check_settings(settings)
        if not 0 < settings["labelled_share"] < 1:
            raise UsageError(
                f"the setting 'labelled_share' is {settings['labelled_share']}, expected between 0 and 1, since a "
                "batch has labelled and unlabelled pictures."
            )
        if settings["batch_size"] < 2:
            raise UsageError(
                f"the setting 'batch_size' is {settings['batch_size']}, expected at least 2, a labelled picture and an "
                "unlabelled one."
            )

    def batches(self, data: Dataset, run: RunOptions) -> Callable[[int], Batch]:
        few, s = self.labelled(data, run.settings), run.settings
        count = _labelled_count(s)
        options: dict[str, Any] = {
            "seed": run.seed, "dtype": run.dtype, "value_range": self.value_range, "flat": self.flat
        }  # fmt: skip
        labelled = few.batches(count, labels=True, **options)
        unlabelled = data.batches(s["batch_size"] - count, labels=False, **options)
        unknown = Tensor(np.full(s["batch_size"] - count, UNLABELLED, run.dtype))

        def batch(step: int) -> Batch:
            x, y = labelled(step)
            return concatenate([x, unlabelled(step)]), concatenate([y, unknown])

        return batch

    def noise_condition(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        """Random class numbers for the first half, the label of unlabelled pictures for the others."""
        labels = rng.integers(settings["classes"], size=count)
        labels[(count + 1) // 2 :] = UNLABELLED
        return labels.astype(dtype)

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Batch:
        x = super().example_batch(count, settings, seed=seed, dtype=dtype)
        assert isinstance(x, Tensor)
        return x, Tensor(self.noise_condition(count, settings, random.generator(seed, "example labels"), dtype))

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """The errors on held-out pictures, beside those of the same network trained on the labelled ones alone."""
        data, settings = request.load(), request.settings
        test = data.held_out[: request.count]
        pictures = self.as_input(test.images, "float32")

        def correct(network: Module) -> float:
            return accuracy(predicted_classes(network, pictures, logits_of=_class_logits), test.labels)

        with request.progress("training on the labels alone") as progress:
            supervised = self._supervised(data, settings, progress)
        shares = {"": correct(request.gan.discriminator), "_supervised": correct(supervised)}
        facts: dict[str, Any] = {"labels": settings["labels"], "test_pictures": len(test)}
        for name, share in shares.items():
            facts |= {f"accuracy{name}": share, f"errors{name}": round((1 - share) * len(test))}
        lines = [
            f"accuracy on {len(test):,} held-out pictures with {settings['labels']:,} labels  {shares['']:8.2%}  "
            f"({facts['errors']:,} errors)",
            f"the same network, trained on the labelled pictures alone  {shares['_supervised']:8.2%}  "
            f"({facts['errors_supervised']:,} errors)",
        ]
        return Evaluation(facts, lines, measured=f"{len(test):,} held-out pictures")

    def _supervised(self, data: Dataset, settings: Settings, progress: Callable[[int, int], None]) -> Module:
        """The discriminator's network, trained on the labelled pictures alone."""
        few, seed = self.labelled(data, settings), settings["label_seed"]
        network = self.untrained(settings, self.shape, random.generator(seed, "supervised weights"))
        batch = few.batches(_labelled_count(settings), seed=seed, value_range=self.value_range, flat=self.flat)
        train_classifier(
            network, batch, _SUPERVISED_STEPS, rate=_SUPERVISED_RATE, logits_of=_class_logits, progress=progress
        )
        return network


def _labelled_count(settings: Settings) -> int:
    """How many pictures of a batch have a label: at least one, and not more than there are or than leaves others."""
    count = round(settings["labelled_share"] * settings["batch_size"])
    return max(1, min(count, settings["labels"], settings["batch_size"] - 1))


def _class_logits(outputs: tuple[Tensor, ...]) -> Tensor:
    return outputs[1]
