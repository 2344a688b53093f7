"""Metrics: samples compared with real examples, mode coverage, divergences, a classifier of images, accuracy."""

from minigan.metrics.classifier import Classifier, ClassifierScores
from minigan.metrics.comparison import Measure, compare
from minigan.metrics.frechet import frechet_distance
from minigan.metrics.manifolds import manifold_scores
from minigan.metrics.scores import accuracy, psnr

__all__ = [
    "Classifier", "ClassifierScores", "Measure", "accuracy", "compare", "frechet_distance", "manifold_scores", "psnr",
]  # fmt: skip
