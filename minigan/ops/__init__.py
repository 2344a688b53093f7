"""Every operation on Tensors. Each one is defined beside its derivatives and their formula.

Operations on single elements take Tensors of any shape, and several of shapes that broadcast as in NumPy. Every
operation raises TypeError for inputs of both types, float32 and float64.
"""

from __future__ import annotations

from minigan.ops.classes import cross_entropy, one_hot
from minigan.ops.conv import conv2d, conv2d_input_grad, conv2d_weight_grad, conv_transpose2d

from minigan.ops.elementwise import (  # isort: skip
    absolute, add, clip, cos, divide, exp, leaky_relu, log, maximum, minimum, multiply, negative, power, relu,
    share_of_maximum, sigmoid, sign, sin, slope_gate, softplus, sqrt, subtract, tanh, tanh_grad,
    where,
)  # fmt: skip
from minigan.ops.linear import dense, matmul
from minigan.ops.methods import add_methods_to_tensor
from minigan.ops.norm import batch_norm, mean_softplus
from minigan.ops.pool import average_pool2d, max_pool2d, upsample2d
from minigan.ops.reductions import logsumexp, max, min, share_of_largest, softmax, var
from minigan.ops.shape import broadcast_to, concatenate, index, mean, pad, reshape, stack, sum, sum_like, transpose

__all__ = [
    "absolute", "add", "average_pool2d", "batch_norm", "broadcast_to", "clip", "concatenate", "conv2d",
    "conv2d_input_grad", "conv2d_weight_grad", "conv_transpose2d", "cos", "cross_entropy", "dense", "divide", "exp",
    "index", "leaky_relu", "log", "logsumexp", "matmul", "max", "max_pool2d", "maximum", "mean", "mean_softplus",
    "min", "minimum", "multiply", "negative", "one_hot", "pad", "power", "relu", "reshape", "share_of_largest",
    "share_of_maximum", "sigmoid", "sign", "sin", "slope_gate", "softmax", "softplus", "sqrt", "stack", "subtract",
    "sum", "sum_like", "tanh", "tanh_grad", "transpose", "upsample2d", "var", "where",
]  # fmt: skip

add_methods_to_tensor()
