"""How good is what a generator makes?"""

from minigan.metrics.classifier import Classifier, ClassifierScores

__all__ = ["Classifier", "ClassifierScores"]
