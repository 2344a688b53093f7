"""Metrics: mode coverage, divergences, two-sample tests, a classifier of images, accuracy, signal-to-noise ratio."""

from minigan.metrics.classifier import Classifier, ClassifierScores
from minigan.metrics.scores import accuracy, psnr

__all__ = ["Classifier", "ClassifierScores", "accuracy", "psnr"]
