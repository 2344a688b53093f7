"""Moving averages on the GPU; see moving_average.cu."""

from __future__ import annotations

from minigan_kernels.cuda.elements import THREADS, element_blocks
from minigan_kernels.cuda.launch import Kernel, row_major

UPDATE_RUNNING_STATISTICS = Kernel("moving_average.cu", "update_running_statistics")
LERP = Kernel("moving_average.cu", "lerp")


def update_running_statistics(running, value, momentum):
    """running = momentum * running + (1 - momentum) * value, in place; see the reference."""
    cast = running.dtype.type
    UPDATE_RUNNING_STATISTICS.launch(
        running.dtype, element_blocks(running.size), THREADS, running, row_major(value), cast(momentum),
        cast(1 - momentum), running.size,
    )  # fmt: skip


def lerp(mean, value, weight):
    """mean = mean + (value - mean) * weight[0], in place; see `reference.lerp`."""
    LERP.launch(mean.dtype, element_blocks(mean.size), THREADS, mean, row_major(value), weight, mean.size)
