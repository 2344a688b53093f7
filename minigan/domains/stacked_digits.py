"""Stacked MNIST: how many of the 1,000 modes are generated, and how evenly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core.notice import Notice
from minigan.data import mnist
from minigan.data.stacked import CHANNELS, StackedDigits
from minigan.domains.domain import Domain, Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.images import ImageDomain
from minigan.figures.image_grid import image_grid, to_bytes
from minigan.metrics import Classifier
from minigan.metrics.discrete import mode_divergence

_SAMPLES = 26_000  # PacGAN, section 4.2
_RANGE = (-1.0, 1.0)


@dataclass(frozen=True)
class StackedDigitDomain(Domain[StackedDigits]):
    """Pictures (28, 28, 3) of three digits; for networks numbers in [-1, 1]."""

    shape_key: ClassVar[str] = "image_shape"
    evaluates_at_end: ClassVar[bool] = True

    def in_words(self, settings: Settings) -> str:
        return "stacks of three digits, 28 x 28 x 3"

    def recorded_shape(self, settings: Settings, recorded: Mapping[str, Any]) -> tuple[int, ...]:
        shape = recorded.get("image_shape")
        if not (isinstance(shape, list) and len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape)):
            raise ValueError("which pictures the run was trained on")
        return tuple(shape)

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> StackedDigits:
        grey = ImageDomain(mnist.IMAGE_SHAPE, _RANGE, flat=False)
        return StackedDigits(grey.load(run, progress=progress, notice=notice))

    def batches(self, data: StackedDigits, run: RunOptions) -> Callable[[int], Tensor]:
        count = run.settings["batch_size"] * run.settings.get("n_critic", 1)
        return lambda step: data.batch(count, run.seed, step, run.dtype)

    def noise(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        return rng.uniform(*_RANGE, (count, *self.shape)).astype(dtype)

    def present(self, values: np.ndarray) -> np.ndarray:
        return to_bytes(values.reshape(-1, *self.shape), _RANGE)

    def draw(self, samples: np.ndarray) -> np.ndarray:
        return image_grid(samples)

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        return {"images": samples}

    def can_evaluate(self, data: StackedDigits) -> bool:
        return True

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Facts: modes, of 1,000, and kl, from the modes of the samples to equal shares; real_modes, real_kl: the same
        for as many fresh stacks; kl_floor, what a perfect sampler has on average."""
        data: StackedDigits = request.load()
        classifier, count = request.classifier(data.digits), request.count or _SAMPLES
        modes = len(classifier.classes) ** CHANNELS
        made, kl = mode_divergence(stack_numbers(classifier, request.sample(count, request.seed)), modes)
        real, _ = data.pictures(count, request.seed, 0)
        real_modes, real_kl = mode_divergence(stack_numbers(classifier, real), modes)
        floor = (modes - 1) / (2 * count)
        return Evaluation(
            {"modes": made, "kl": kl, "real_modes": real_modes, "real_kl": real_kl, "kl_floor": floor,
             "pictures": count},
            [
                f"modes with a sample                            {made:6,} of {modes:,}",
                f"the same of as many real stacks                {real_modes:6,}",
                f"KL of the samples' modes from equal shares     {kl:6.3f}",
                f"the same of as many real stacks                {real_kl:6.3f}",
                f"what a perfect sampler has on average          {floor:6.3f}",
            ],
            measured=f"{count:,} samples",
        )  # fmt: skip

    @property
    def pixels_per_sample(self) -> int:
        return self.shape[0] * self.shape[1]


def stack_numbers(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """The mode of each of images (N, H, W, 3): the classes of its channels as digits of one number, (N,)."""
    numbers = np.zeros(len(images), np.int64)
    for channel in range(images.shape[-1]):
        digits = classifier.probabilities(images[..., channel : channel + 1]).argmax(axis=1)
        numbers = numbers * len(classifier.classes) + digits
    return numbers
