"""Matrix products in NumPy, which calls its BLAS (OpenBLAS in the wheels of PyPI); nothing else is compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from kernel_cases import Case

OPERATIONS = ("dense", "matmul")


def call(case: Case) -> Callable[[], Any]:
    """The product of `case` into an array that is there. A dense layer's bias is not added: no BLAS does that."""
    if case.operation == "dense":
        x, w, bias = case.arrays()
    else:
        x, w = (a.T if transposed else a for a, transposed in zip(case.arrays(), case.settings, strict=True))
        bias = np.float32(0)
    out = np.empty((x.shape[0], w.shape[1]), x.dtype)
    result = out, bias

    def product() -> Any:
        np.matmul(x, w, out=out)
        return result

    return product


def on_host(result: Any) -> list[np.ndarray]:
    """The product with the bias, for the comparison."""
    out, bias = result
    return [out + bias]
