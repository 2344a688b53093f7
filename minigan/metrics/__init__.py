"""Metrics of generated samples: mode coverage, divergences, two-sample tests, a classifier of images."""

from minigan.metrics.classifier import Classifier, ClassifierScores

__all__ = ["Classifier", "ClassifierScores"]
