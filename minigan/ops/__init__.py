"""Every operation on Tensors. Each one is defined beside its derivatives and their formula."""

from __future__ import annotations

from minigan.autodiff import Tensor
from minigan.ops.conv import conv2d, conv2d_input_grad, conv2d_weight_grad, conv_transpose2d

from minigan.ops.elementwise import (  # isort: skip
    absolute, add, cos, divide, exp, leaky_relu, log, maximum, minimum, multiply, negative, power, relu,
    share_of_maximum, sigmoid, sign, sin, slope_gate, softplus, sqrt, subtract, tanh, tanh_grad,
)  # fmt: skip
from minigan.ops.linear import dense, matmul
from minigan.ops.norm import batch_norm, logsumexp, mean_softplus, share_of_largest, softmax
from minigan.ops.pool import average_pool2d, max_pool2d, upsample2d
from minigan.ops.shape import broadcast_to, concatenate, index, mean, pad, reshape, sum, sum_like, transpose

__all__ = [
    "absolute", "add", "average_pool2d", "batch_norm", "broadcast_to", "concatenate", "conv2d", "conv2d_input_grad",
    "conv2d_weight_grad", "conv_transpose2d", "cos", "dense", "divide", "exp", "index", "leaky_relu", "log",
    "logsumexp", "matmul", "max_pool2d", "maximum", "mean", "mean_softplus", "minimum", "multiply", "negative", "pad",
    "power", "relu", "reshape", "share_of_largest", "share_of_maximum", "sigmoid", "sign", "sin", "slope_gate",
    "softmax", "softplus", "sqrt", "subtract", "sum", "sum_like", "tanh", "tanh_grad", "transpose", "upsample2d",
]  # fmt: skip


def _add_operators_to_tensor() -> None:
    operators = {
        "__add__": add,
        "__radd__": lambda a, b: add(b, a),
        "__sub__": subtract,
        "__rsub__": lambda a, b: subtract(b, a),
        "__mul__": multiply,
        "__rmul__": lambda a, b: multiply(b, a),
        "__truediv__": divide,
        "__rtruediv__": lambda a, b: divide(b, a),
        "__pow__": power,
        "__neg__": negative,
        "__abs__": absolute,
        "__matmul__": matmul,
        "__rmatmul__": lambda a, b: matmul(b, a),
        "__getitem__": index,
    }
    for name, operation in operators.items():
        setattr(Tensor, name, operation)


_add_operators_to_tensor()
