"""The systems that applications.py trains: recipe, figures, what these are to reach and what they stand beside.

An entry is a System. Its figures are keys of the run's scores.json, which `minigan evaluate` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure of a system.

    key: in scores.json, with dots into what is nested; of a list, its least number counts. name: in tables. target:
    what the mean is to reach, None for figures that are only told. least: whether less is better. beside: names of
    baselines, by their keys.
    """

    key: str
    name: str
    target: float | None = None
    least: bool = False
    decimals: int = 2
    percent: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)

    def value(self, scores: Scores, key: str | None = None) -> float | None:
        """The figure in `scores`, or that of the baseline `key`; None if it is not there."""
        found: Any = scores
        for part in (key or self.key).split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        found = min(found, default=None) if isinstance(found, list) else found
        return float(found) if isinstance(found, int | float) else None

    def in_words(self, value: float | None) -> str:
        """`value` as tables show it."""
        if value is None:
            return "-"
        return f"{value:.{self.decimals - 1}%}" if self.percent else f"{value:,.{self.decimals}f}"

    def worst(self, values: list[float]) -> float:
        """The worst of `values`."""
        return max(values) if self.least else min(values)

    def reached(self, mean: float) -> bool:
        """Whether `mean` reaches the target; True if there is none."""
        return self.target is None or (mean <= self.target if self.least else mean >= self.target)


def _share(key: str, name: str, target: float | None = None, **further: Any) -> Figure:
    return Figure(key, name, target, percent=True, **further)


@dataclass(frozen=True)
class System:
    """One row: what the articles wanted, and the command that makes it.

    name: of its rows and run folders. title: in words. recipe, settings, steps: what `minigan train` gets; "{seed}" in
    a setting is the seed of the run. data: the folder below MINIGAN_DATA_DIR, "" for the embedded digits. picture: the
    file of the gallery, the NAME.png that the evaluation writes; "" for the last samples. caption: what it shows.
    """

    name: str
    title: str
    recipe: str
    figures: tuple[Figure, ...]
    settings: tuple[str, ...] = ()
    steps: int | None = None
    data: str = ""
    picture: str = ""
    caption: str = "The last samples of the run."


def _pairs(*baselines: str, psnr: float | None, recognised: float | None) -> tuple[Figure, Figure]:
    """Outputs for held-out conditions beside the truth: PSNR, and the share that a classifier recognises."""
    names = {name: name.replace("_", " ") for name in baselines}
    return (
        Figure("psnr", "PSNR (dB)", psnr, beside={f"psnr_{key}": name for key, name in names.items()}),
        _share("accuracy", "recognised", recognised, beside={f"accuracy_{key}": name for key, name in names.items()}),
    )


def _sharpness(target: float | None = None) -> Figure:
    return Figure("sharpness", "sharpness", target, beside={"sharpness_bicubic": "bicubic"})


# The pilot's spread, 0.28 of 0.312 on real pictures, was another measure: 0.207 is the same share of 0.231.
_AS_ASKED = (
    _share("as_asked", "as asked", 0.995, decimals=3, beside={"accuracy_real": "real pictures"}),
    Figure("spread", "spread within a class", 0.207, decimals=3, beside={"spread_real": "real pictures"}),
)
_DIGITS = (
    _share("shares", "rarest digit", 0.03),
    _share("mean_confidence", "confidence", 0.85, beside={"real_confidence": "real digits"}),
)
_COLOURED = (
    _share("one_colour", "in one colour", beside={"one_colour_real": "real pictures"}),
    _share("mean_confidence", "confidence", 0.95, beside={"real_confidence": "real digits"}),
    _share("shares", "rarest digit"),
)
_CRITIC = (
    Figure("critic_correlation", "rank correlation of the critic's distance with the MMD", 0.5),
    Figure("critic_last", "critic's distance at the end", least=True, beside={"critic_first": "at first"}),
    *_DIGITS,
)
_FACES = (Figure("pca_frechet", "PCA-Frechet", 3.5, least=True, beside={"pca_frechet_floor": "halves of the data"}),)
_TO_ORIGINAL = (
    _share("accuracy_b_to_a", "recognised", 0.969,
           beside={"accuracy_b_untranslated": "untranslated", "accuracy_truth": "truth"}),
    Figure("psnr_b_to_a", "PSNR (dB)", beside={"psnr_b_untranslated": "untranslated"}),
)  # fmt: skip

_ALONG = "The critic's distance and the discrepancy of the samples along the run."
_ENLARGED = "From left: what is enlarged, the generator's picture, bicubic and nearest enlargement, the truth."
_TRANSLATED = "From left: the outline, the generator's picture, the least-squares one, the truth."
_BOTH_WAYS = "From left: a picture in look B, in look A, and back; another one in look A, in look B, and back."
_FILLED = "From left: what is known, the generator's picture, the mean of all, the nearest of all, the truth."

SYSTEMS = (
    # Conditional generation.
    System("mnist-cgan", "Digits of a class", "mnist-cgan", _AS_ASKED, data="mnist", picture="classes",
           caption="A column for each digit."),
    System("mnist-acgan", "Digits of a class, AC-GAN", "mnist-acgan", _AS_ASKED, data="mnist", picture="classes",
           caption="A column for each digit."),
    # Super-resolution.
    System(
        "mnist-sr", "Digits enlarged 4 times", "mnist-sr",
        (*_pairs("bicubic", psnr=17.75, recognised=0.924), _sharpness(0.98)),
        data="mnist", picture="comparison", caption=_ENLARGED,
    ),
    System(
        "mnist-sr-x2", "Digits enlarged twice", "mnist-sr",
        (*_pairs("bicubic", psnr=26.58, recognised=0.983), _sharpness()), ("scale=2",), data="mnist",
        picture="comparison", caption=_ENLARGED,
    ),
    System(
        "faces-sr", "Faces enlarged 4 times", "faces-sr",
        (Figure("psnr", "PSNR (dB)", beside={"psnr_bicubic": "bicubic"}), _sharpness()), data="faces",
        picture="comparison", caption=_ENLARGED,
    ),
    # Translation.
    System(
        "edges-to-digits", "Outlines to digits", "edges-to-digits",
        _pairs("least_squares", psnr=19.96, recognised=0.941), data="mnist", picture="comparison", caption=_TRANSLATED,
    ),
    System(
        "cycle-digits", "Bold negatives to digits and back, without pairs", "cycle-digits", _TO_ORIGINAL, data="mnist",
        picture="comparison", caption=_BOTH_WAYS,
    ),
    System(
        "style-faces", "Photographs and pencil drawings of faces, without pairs", "style-faces",
        (
            Figure("correlation_a_to_b", "correlation with the drawing",
                   beside={"correlation_a_untranslated": "untranslated"}),
            Figure("grey_distance_a_to_b", "distance of grey levels", least=True,
                   beside={"grey_distance_a_untranslated": "untranslated"}),
            Figure("correlation_b_to_a", "correlation with the photograph",
                   beside={"correlation_b_untranslated": "untranslated"}),
        ),
        data="faces", picture="comparison", caption=_BOTH_WAYS,
    ),
    # Inpainting. The baselines know all training pictures.
    System(
        "mnist-inpaint", "Digits with a hole", "mnist-inpaint",
        (
            Figure("psnr", "PSNR in the hole (dB)", 9.53, beside={"psnr_nearest": "nearest", "psnr_mean": "mean"}),
            _share("accuracy", "recognised", 0.797, beside={"accuracy_nearest": "nearest", "accuracy_mean": "mean"}),
        ),
        data="mnist", picture="comparison", caption=_FILLED,
    ),
    System(
        "faces-inpaint", "Faces with a hole", "faces-inpaint",
        (Figure("psnr", "PSNR in the hole (dB)", beside={"psnr_nearest": "nearest", "psnr_mean": "mean"}),),
        data="faces", picture="comparison", caption=_FILLED,
    ),
    # From noise.
    System("faces", "Faces", "faces", _FACES, data="faces"),
    System("faces-article", "Faces, with the article's network", "faces-article", _FACES, data="faces"),
    System("mnist-relu", "ReLU GAN from noise, 100-128-128-784", "mnist-relu", _DIGITS),
    System("mnist-relu-large", "ReLU GAN from noise, 256-512-1024-784", "mnist-relu-large", _DIGITS),
    System("colour-mnist", "Digits in colour, dense layers", "colour-mnist", _COLOURED),
    System("colour-mnist-dcgan", "Digits in colour, upsampling", "colour-mnist-dcgan", _COLOURED),
    System("mnist-wgan", "Wasserstein GAN, weights clipped", "mnist-wgan", _CRITIC, picture="critic",
           caption=_ALONG),
    System("mnist-wgan-gp", "Wasserstein GAN, gradient penalty", "mnist-wgan-gp", _CRITIC, picture="critic",
           caption=_ALONG),
    System(
        "stacked-mnist", "1,000 modes: three digits in a picture", "stacked-mnist",
        (
            Figure("modes", "modes of 1,000", 1000, decimals=0, beside={"real_modes": "real pictures"}),
            Figure("kl", "KL", 0.06, least=True, decimals=3, beside={"real_kl": "real", "kl_floor": "floor"}),
        ),
        data="mnist",
    ),
    # Few labels, none. Seeds are also those of the draw of labels.
    System(
        "features", "What a discriminator knows: a linear classifier on it", "features",
        (
            _share("accuracy", "accuracy", 0.94, decimals=3,
                   beside={"accuracy_pixels": "pixels", "accuracy_untrained": "untrained"}),
        ),
        data="mnist",
    ),
    System(
        "mnist-sgan", "Digits from 100 labels", "mnist-sgan",
        (
            Figure("errors", "errors of 10,000", 200, least=True, decimals=0,
                   beside={"errors_supervised": "without unlabelled pictures"}),
        ),
        ("label_seed={seed}",), data="mnist",
    ),
)  # fmt: skip
