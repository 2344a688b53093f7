"""What the measures of `minigan evaluate` say of samples of which the truth is known: new digits, copies, and others.

    python benchmarks/known_samples.py

It fetches MNIST once (or names its folder: --mnist), and compares with the 10,000 digits of the package: 20 s of CPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from minigan import data
from minigan.core import backend, random
from minigan.metrics import classifier_cache, compare
from minigan.metrics.memorisation import memorisation
from minigan.training.config import versions

_COUNT = 2_500
_SEED = 0


def samples(training: data.Dataset, folder: Path | None) -> dict[str, np.ndarray]:
    """Digits by what they are, each (2500, 28, 28, 1) or more."""
    mnist = data.load(folder, download=folder is None)
    order = len(training) + random.generator(_SEED, "new digits").permutation(len(mnist) - len(training))
    new, labels = mnist.images[order[:5000]], mnist.labels[order[:5000]]
    copied = random.generator(_SEED, "copies").integers(len(training), size=_COUNT)
    return {
        "new digits": new,
        "new digits without zeros": new[labels != 0],
        "MNIST's test set, by other writers": data.load(folder, folder is None, split="test").images,
        "copies of the data": training.images[copied],
        "new digits, half as bright": new // 2,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="MNIST's IDX files (default: fetch them)")
    folder = parser.parse_args().mnist
    backend.use("auto", "auto")
    training = data.load()
    learned, others = training.split(0.5)
    made_by = {**versions(), "backend": backend.current().name, "kernels": backend.current().kernels}
    classifier = classifier_cache.trained(learned, made_by)
    order = random.generator(0, "pictures compared").permutation(len(others))  # as `minigan evaluate` does
    real = classifier.features(others.images[order])
    for what, images in {"real against real": None, **samples(training, folder)}.items():
        fake = real[_COUNT:] if images is None else classifier.features(images[:_COUNT])
        row = [f"{measure.value:.3g}" for measure in compare(real[:_COUNT], real[_COUNT:], fake).values()]
        copies = "" if images is None else f"{memorisation(images[:_COUNT], training.images).copies.mean():.1%}"
        print("| " + " | ".join([what, *row, copies]) + " |", flush=True)


if __name__ == "__main__":
    main()
