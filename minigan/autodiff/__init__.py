"""Reverse-mode differentiation: Tensors, the operations that link them, and the gradient as a pure function.

`engine` is the heart; `parameter` and `flat` hold the numbers that change; `derivatives` gives gradients in the form of
the variables.
"""

from minigan.autodiff.engine import Rule, Tensor, constant_like, copied, grad, no_grad, primitive, recording, vjp

__all__ = ["Rule", "Tensor", "constant_like", "copied", "grad", "no_grad", "primitive", "recording", "vjp"]
