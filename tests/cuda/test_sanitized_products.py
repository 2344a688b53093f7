"""Matrix products and convolutions under ThreadSanitizer and AddressSanitizer: no race, no access outside of an array.

Each launch that the launch code makes on the stand-in for CuPy runs a second time in a program of its own, with a
thread of the operating system for each CUDA thread. The bits must be those of the stand-in. The shapes are small, not
multiples of a tile's extents, and large enough for several blocks. The other kernels: test_sanitized_kernels.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.convolutions import ONE
from support.cuda_cpu import sanitized
from support.device_kernels import on_host
from support.environment import thinned

import minigan_kernels
from minigan_kernels.cuda import compiler, launch
from minigan_kernels.geometry import Geometry

Table = dict[str, Callable[..., Any]]
RNG = np.random.default_rng(13)


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def matmul(cuda: Table) -> None:
    for m, k, n in ((34, 35, 33), (36, 36, 36)):
        a, b = draw(m, k), draw(k, n)
        for transpose_a in (False, True):
            for transpose_b in (False, True):
                operands = (
                    np.ascontiguousarray(a.T if transpose_a else a),
                    np.ascontiguousarray(b.T if transpose_b else b),
                )
                cuda["matmul"](*operands, transpose_a, transpose_b)
        cuda["dense"](a, b, draw(n), 0.2)


def split_matmul(cuda: Table) -> None:
    cuda["matmul"](draw(9, 515), draw(515, 7), False, False)


def convolutions(cuda: Table, batch: int, inputs: int, outputs: int) -> None:
    geometry = Geometry((6, 5), (4, 3), (2, 1), ONE)
    x, w = draw(batch, *geometry.size, inputs), draw(*geometry.kernel, inputs, outputs)
    g = draw(batch, *geometry.out, outputs)
    cuda["conv2d"](x, w, draw(outputs), 0.2, geometry)
    cuda["conv2d_input_grad"](g, w, draw(inputs), 0.2, geometry)
    cuda["conv2d_weight_grad"](x, g, geometry)


def convolutions_in_parts(cuda: Table) -> None:
    geometry = Geometry((3, 5), (4, 3), (2, 1), ONE)
    x, w, g = draw(1, 3, 5, 64), draw(4, 3, 64, 5), draw(1, *geometry.out, 64)
    cuda["conv2d"](x, w, draw(5), 0.2, geometry)
    cuda["conv2d_input_grad"](g, draw(4, 3, 5, 64), draw(5), 0.2, geometry)
    cuda["conv2d_weight_grad"](draw(40, 3, 5, 2), draw(40, *geometry.out, 3), geometry)


CONVOLUTIONS = {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"}
# the table, what is called, which kernels it launches
CASES: dict[str, tuple[str, Callable[[Table], None], set[str]]] = {
    "matmul": ("cuda", matmul, {"matmul_nn", "matmul_nt", "matmul_tn", "matmul_tt"}),
    "matmul in parts": ("cuda", split_matmul, {"matmul_nn", "matmul_add_parts"}),
    "matmul on tensor cores": ("cuda-tf32", matmul, {"matmul_nn", "matmul_nt", "matmul_tn", "matmul_tt"}),
    "convolutions": ("cuda", lambda cuda: convolutions(cuda, 2, 5, 6), CONVOLUTIONS),
    "convolutions of whole words": ("cuda", lambda cuda: convolutions(cuda, 1, 8, 12), CONVOLUTIONS),
    "convolutions from few channels": (
        "cuda", lambda cuda: convolutions(cuda, 2, 3, 5), {"conv2d", "conv2d_input_grad_few", "conv2d_weight_grad"},
    ),
    "convolutions to few channels": (
        "cuda", lambda cuda: convolutions(cuda, 2, 8, 1), {"conv2d_few", "conv2d_input_grad", "conv2d_weight_grad"},
    ),
    "convolutions in parts": (
        "cuda", convolutions_in_parts,
        {"conv2d", "conv2d_add_parts", "conv2d_input_grad_parts", "conv2d_input_grad_add_parts", "conv2d_weight_grad",
         "conv2d_weight_grad_add_parts"},
    ),
    "convolutions on tensor cores": ("cuda-tf32", lambda cuda: convolutions(cuda, 2, 5, 6), CONVOLUTIONS),
}  # fmt: skip
SOURCES = ("matmul", "conv2d", "conv2d_input_grad", "conv2d_weight_grad", "few_channels")


class Checker:
    """Runs launches under `sanitizer`, too, and requires that nothing is found and that the bits are the same."""

    def __init__(self, sanitizer: str) -> None:
        self.sanitizer, self.kernels = sanitizer, set[str]()
        self._launch = launch.Kernel.launch

    def launch(
        self,
        kernel: launch.Kernel,
        dtype: Any,
        grid: Any,
        block: Any,
        *arguments: Any,
        shared_bytes: int = 0,
        **constants: int,
    ) -> None:
        grid = grid if isinstance(grid, tuple) else (grid,)
        report = None
        if 0 not in grid:
            text = compiler.full_source(kernel.source, dtype, tuple(constants.items()))
            report = sanitized.run_sanitized(
                text, kernel.name, grid, block, [_host(a) for a in arguments],
                name=kernel.source, sanitizer=self.sanitizer, shared_bytes=shared_bytes,
            )  # fmt: skip
            assert report.findings == [], report.text
        self._launch(kernel, dtype, grid, block, *arguments, shared_bytes=shared_bytes, **constants)
        if report is not None:
            arrays = [host for a in arguments if isinstance(host := _host(a), np.ndarray)]
            for found, expected in zip(report.arrays, arrays, strict=True):
                assert found.tobytes() == expected.tobytes(), kernel.name
            self.kernels.add(kernel.name)


def _host(argument: Any) -> Any:
    """An argument of `Kernel.launch` as the shim takes it: the memory of a device array."""
    array = argument.array if isinstance(argument, launch.Strided) else argument
    return getattr(array, "_data", array)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("case", thinned(list(CASES), 1))
@pytest.mark.parametrize("sanitizer", ["thread", "address"])
def test_no_finding(standin: ModuleType, monkeypatch: pytest.MonkeyPatch, sanitizer: str, case: str) -> None:
    if problem := sanitized.problem(sanitizer):
        pytest.skip(problem)
    implementation, calls, kernels = CASES[case]
    checker = Checker(sanitizer)
    monkeypatch.setattr(launch.Kernel, "launch", lambda *a, **k: checker.launch(*a, **k))
    calls(on_host(standin, minigan_kernels.table(implementation, standin)))
    assert checker.kernels == kernels


def test_no_kernel_is_left_out() -> None:
    texts = [Path(compiler.__file__).with_name(f"{source}.cu").read_text(encoding="utf-8") for source in SOURCES]
    declared = {name for text in texts for name in re.findall(r'extern "C" __global__[^{;]*?void\s+(\w+)\(', text)}
    assert declared == set().union(*(kernels for _, _, kernels in CASES.values()))
