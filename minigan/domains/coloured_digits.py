"""Digits, each in one colour out of a few: is every sample one digit, in one colour?"""

from __future__ import annotations

import cmath
import dataclasses
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan.core.notice import Notice
from minigan.data import Dataset, mnist
from minigan.data.coloured import COLOURS, coloured
from minigan.domains.domain import Evaluation, EvaluationRequest, RunOptions
from minigan.domains.images import ImageDomain

_SAMPLES = 10_000
_BRIGHT = 128  # of 255; darker pixels are not judged
_TOLERANCE = 0.35  # chroma: hues 20 degrees apart, or a third paler
_SHARE = 0.95  # of the bright pixels of a picture
_SIXTH = cmath.exp(1j * math.pi / 3)


@dataclass(frozen=True)
class ColouredDigitDomain(ImageDomain):
    """Grey pictures that are coloured as they are loaded, always in the same way."""

    evaluates_at_end: ClassVar[bool] = True

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> Dataset:
        grey = ImageDomain(mnist.IMAGE_SHAPE, self.value_range, self.flat)
        return coloured(grey.load(run, progress=progress, notice=notice))

    def recorded_settings(self, settings: dict[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
        return settings

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Facts: those of the classifier, which sees the largest channel; one_colour, the share of samples in one
        colour; colour_shares, in the order of COLOURS."""
        data: Dataset = request.load()
        classifier = request.classifier(dataclasses.replace(data, examples=_brightness(data.images)))
        samples = request.sample(request.count or _SAMPLES, request.seed)
        scores = classifier.score(_brightness(samples))
        one, real = in_one_colour(samples), in_one_colour(data.images)
        shares = np.bincount(nearest_colours(samples), minlength=len(COLOURS)) / len(samples)
        facts = {
            **dataclasses.asdict(scores),
            "missing": scores.missing,
            "one_colour": float(one.mean()),
            "one_colour_real": float(real.mean()),
            "colour_shares": [float(share) for share in shares],
        }
        digits = "".join(f"{share:7.1%}" for share in scores.shares)
        lines = [
            f"mean confidence of a classifier of the digits      {scores.mean_confidence:7.1%}",
            f"the same for held-out real digits                  {scores.real_confidence:7.1%}",
            f"samples in one colour                              {one.mean():7.1%}",
            f"real pictures in one colour                        {real.mean():7.1%}",
            f"shares of the digits  {digits}",
            "shares of the colours " + ", ".join(f"{n} {s:.1%}" for n, s in zip(COLOURS, shares, strict=True)),
        ]
        return Evaluation(facts, lines, measured=f"{len(samples):,} samples")


def in_one_colour(images: np.ndarray) -> np.ndarray:
    """Whether each of images (N, H, W, 3) uint8 is in one colour, (N,).

    The chroma of a pixel is a complex number, (R + G w^2 + B w^4) / max(R, G, B) with w = exp(i pi / 3): its angle is
    the hue, and its size 1 for the hues of COLOURS and 0 for grey. A picture is in one colour if it has a pixel of at
    least half the full brightness, and if of these 95% lie within 0.35 of their mean chroma, which is itself at least
    0.65 in size.
    """
    chroma, bright = _chroma(images)
    mean = _mean(chroma, bright)
    near = (np.abs(chroma - mean[:, None]) <= _TOLERANCE) & bright
    counts = bright.sum(axis=1)
    result: np.ndarray = (counts > 0) & (near.sum(axis=1) >= _SHARE * counts) & (np.abs(mean) >= 1 - _TOLERANCE)
    return result


def nearest_colours(images: np.ndarray) -> np.ndarray:
    """The place in COLOURS of the hue nearest to the mean chroma of each picture, (N,)."""
    hues = np.array([_SIXTH**place for place in range(len(COLOURS))])
    nearest: np.ndarray = (_mean(*_chroma(images))[:, None] * hues.conj()).real.argmax(axis=1)
    return nearest


def _chroma(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chroma of each pixel, and whether it is bright enough to be judged, both (N, pixels)."""
    pixels = images.reshape(len(images), -1, 3).astype(np.float32)
    brightness = pixels.max(axis=2)
    weights = np.array([1, _SIXTH**2, _SIXTH**4], np.complex64)
    return pixels @ weights / np.maximum(brightness, 1), brightness >= _BRIGHT


def _mean(chroma: np.ndarray, bright: np.ndarray) -> np.ndarray:
    mean: np.ndarray = (chroma * bright).sum(axis=1) / np.maximum(1, bright.sum(axis=1))
    return mean


def _brightness(images: np.ndarray) -> np.ndarray:
    """The largest channel of each pixel, (N, H, W, 1)."""
    brightness: np.ndarray = images.max(axis=3, keepdims=True)
    return brightness
