"""Adam, SGD, RMSprop over one flat buffer on the GPU; see optimizers.cu.

`bounds`, `first_nonfinite` (int64) and `scalars` (float64) are arrays on the device: nothing is read or uploaded.
"""

from __future__ import annotations

from minigan_kernels.cuda.elements import THREADS, element_blocks
from minigan_kernels.cuda.launch import Kernel, row_major

ADAM = Kernel("optimizers.cu", "adam")
SGD = Kernel("optimizers.cu", "sgd")
RMSPROP = Kernel("optimizers.cu", "rmsprop")
RECORD_NONFINITE = Kernel("optimizers.cu", "record_nonfinite")


def adam(p, g, bounds, m, v, first_nonfinite, scalars, beta1, beta2, eps):
    """One step, in place; see `reference.adam`."""
    # 1 - beta is computed in double precision: float32(0.999) is off by 100 times as much as float32(0.001).
    settings = beta1, 1 - beta1, beta2, 1 - beta2, eps
    _launch(ADAM, p, g, bounds, (m, v), first_nonfinite, scalars, settings)


def sgd(p, g, bounds, velocity, first_nonfinite, scalars, momentum):
    """One step, in place; see `reference.sgd`."""
    _launch(SGD, p, g, bounds, (velocity,), first_nonfinite, scalars, (momentum,))


def rmsprop(p, g, bounds, v, first_nonfinite, scalars, decay, eps):
    """One step, in place; see `reference.rmsprop`."""
    _launch(RMSPROP, p, g, bounds, (v,), first_nonfinite, scalars, (decay, 1 - decay, eps))


def _launch(kernel, p, g, bounds, slots, first_nonfinite, scalars, settings):
    cast = p.dtype.type
    kernel.launch(
        p.dtype, element_blocks(p.size), THREADS, p, row_major(g), bounds, *slots, first_nonfinite, scalars,
        *map(cast, settings), p.size, len(bounds),
    )  # fmt: skip


def record_nonfinite(g, bounds, first_nonfinite, scalars):
    """Record which gradients are not finite; see `reference.record_nonfinite`."""
    RECORD_NONFINITE.launch(
        g.dtype, element_blocks(g.size), THREADS, row_major(g), bounds, first_nonfinite, scalars, g.size, len(bounds)
    )
