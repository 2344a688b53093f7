"""Modules that know no Tensor: array backends, errors, files, random numbers, JSON."""
