"""Reverse-mode differentiation: Tensors, the operations that link them, and the gradient as a pure function.

`engine` defines them. `parameter` and `flat` hold numbers that change in place; `derivatives` takes and returns
gradients as a Tensor, list, dict or for a Module; `graph` walks the graph of operations; `formula` holds derivatives as
text.
"""

from minigan.autodiff.engine import Rule, Tensor, constant_like, copied, grad, no_grad, primitive, recording, vjp

__all__ = ["Rule", "Tensor", "constant_like", "copied", "grad", "no_grad", "primitive", "recording", "vjp"]
