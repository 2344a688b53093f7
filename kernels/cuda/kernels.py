"""The table of the CUDA kernels."""

from __future__ import annotations

from minigan_kernels.cuda.batch_norm import batch_norm, batch_norm_grad
from minigan_kernels.cuda.clip import clip
from minigan_kernels.cuda.conv2d import conv2d
from minigan_kernels.cuda.conv2d_input_grad import conv2d_input_grad
from minigan_kernels.cuda.conv2d_weight_grad import conv2d_weight_grad
from minigan_kernels.cuda.copy import assign, contiguous
from minigan_kernels.cuda.leaky_relu import bias_act_grad, bias_grad, slope_gate
from minigan_kernels.cuda.matmul import dense, matmul
from minigan_kernels.cuda.moving_average import lerp, update_running_statistics
from minigan_kernels.cuda.optimizers import adam, record_nonfinite, rmsprop, sgd
from minigan_kernels.cuda.sums import sum

KERNELS = (
    matmul, dense, conv2d, conv2d_input_grad, conv2d_weight_grad, slope_gate, bias_act_grad, bias_grad,
    batch_norm, batch_norm_grad, adam, sgd, rmsprop, record_nonfinite, clip, update_running_statistics, lerp,
    contiguous, assign, sum,
)  # fmt: skip
