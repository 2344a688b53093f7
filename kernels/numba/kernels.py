"""The table of the kernels for CPUs. Importing it configures Numba's threads and the C library's memory allocation."""

from __future__ import annotations

from minigan_kernels.numba.adam import adam
from minigan_kernels.numba.batch_norm import batch_norm, batch_norm_grad
from minigan_kernels.numba.conv import conv2d, conv2d_input_grad, conv2d_weight_grad
from minigan_kernels.numba.gemm import dense, matmul
from minigan_kernels.numba.jit import compiled_kernels, prefer_fast_threading_layer, set_threads
from minigan_kernels.numba.leaky_relu import bias_act_grad, bias_grad, slope_gate
from minigan_kernels.numba.memory import keep_freed_memory
from minigan_kernels.numba.moving_average import lerp, update_running_statistics
from minigan_kernels.numba.sgd_rmsprop import rmsprop, sgd
from minigan_kernels.numba.tanh import tanh_grad

prefer_fast_threading_layer()
set_threads(None)
keep_freed_memory()

KERNELS = (
    matmul, dense, conv2d, conv2d_input_grad, conv2d_weight_grad, slope_gate, bias_act_grad, bias_grad,
    tanh_grad, batch_norm, batch_norm_grad, adam, sgd, rmsprop, update_running_statistics, lerp,
)  # fmt: skip

__all__ = ["KERNELS", "compiled_kernels", "set_threads"]
