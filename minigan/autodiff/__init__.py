"""Reverse-mode differentiation: Tensors, the operations that link them, and the gradient as a pure function.

`engine` defines them. `parameter` and `flat` hold numbers that change in place; `derivatives` takes and returns
gradients as a Tensor, list, dict or for a Module; `functional` differentiates functions; `graph` walks the graph of
operations; `formula` holds derivatives as text; `host_values` is what the host reads from a Tensor.
"""

from minigan.autodiff.engine import Rule, Tensor, constant_like, copied, grad, no_grad, primitive, recording, vjp
from minigan.autodiff.formula import Formula, formula_of
from minigan.autodiff.graph import ancestors, backward_path

__all__ = [
    "Formula", "Rule", "Tensor", "ancestors", "backward_path", "constant_like", "copied", "formula_of", "grad",
    "no_grad", "primitive", "recording", "vjp",
]  # fmt: skip
