"""How good is what a generator makes?"""

from minigan.metrics.classifier import Classifier, Scores

__all__ = ["Classifier", "Scores"]
