"""Backward rules written by hand in NumPy, right and wrong, to try gradient checkers on."""
