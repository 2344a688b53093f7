"""Pictures without labels, and what their discriminator learns of the classes (Radford et al., 2016, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data import Dataset
from minigan.data.held_out import HeldOutDataset
from minigan.domains.domain import Evaluation, EvaluationRequest, Settings
from minigan.domains.few_labels import FewLabelsDomain
from minigan.metrics import accuracy
from minigan.metrics.layer_features import convolution_features
from minigan.metrics.linear_probe import fit_linear_probe
from minigan.nn import Module, Sequential


@dataclass(frozen=True)
class LearnedFeaturesDomain(FewLabelsDomain):
    """Batches of pictures alone; the evaluation asks a linear classifier on the discriminator's features.

    The discriminator is a Sequential of convolutions.
    """

    def check_settings(self, settings: Settings) -> None:
        super().check_settings(settings)
        if settings["packing"] != 1 or settings["spectral_norm"]:
            raise UsageError(
                "the evaluation passes single pictures through the discriminator's convolutions; leave packing and "
                "spectral_norm out."
            )

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """The accuracy, on held-out pictures, of linear classifiers that learn from the labelled pictures.

        Their inputs: the features of the trained discriminator, those of an untrained one, and the pixels.
        """
        data: HeldOutDataset = request.load()
        few, test = self.labelled(data, request.settings), data.held_out[: request.count]
        rng = random.generator(request.settings["label_seed"], "untrained weights")
        networks = {
            "": request.gan.discriminator,
            "_untrained": self.untrained(request.settings, self.shape, rng),
            "_pixels": None,
        }
        facts: dict[str, Any] = {"labels": len(few), "test_pictures": len(test)}
        for name, network in networks.items():
            facts[f"accuracy{name}"] = self._accuracy(network, few, test)
        lines = [
            f"accuracy on {len(test):,} held-out pictures of a linear classifier that learned from {len(few):,} labels",
            f"on the features of the discriminator  {facts['accuracy']:8.2%}",
            f"on those of an untrained one          {facts['accuracy_untrained']:8.2%}",
            f"on pixels                             {facts['accuracy_pixels']:8.2%}",
        ]
        return Evaluation(facts, lines, measured=f"{len(test):,} held-out pictures")

    def _accuracy(self, network: Module | None, few: Dataset, test: Dataset) -> float:
        """That of a linear classifier on the features of `network`, None for the pixels themselves."""
        known, asked = (self._features(network, pictures.images) for pictures in (few, test))
        scale = known.std(axis=0) + 1e-3 * known.std()
        assert few.labels is not None
        return accuracy(fit_linear_probe(known / scale, few.labels).predict(asked / scale), test.labels)

    def _features(self, network: Module | None, pictures: np.ndarray) -> np.ndarray:
        x = self.as_input(pictures, "float32")
        if network is None:
            return x.reshape(len(x), -1)
        assert isinstance(network, Sequential)
        return convolution_features(network, x)
