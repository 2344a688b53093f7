"""How good is what a generator makes?"""

from minigan.metrics.digits import DigitClassifier, Scores

__all__ = ["DigitClassifier", "Scores"]
