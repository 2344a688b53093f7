"""One matrix product in float32, from naive to the library's: each version is checked, and timed beside cuBLAS.

    python benchmarks/cuda_matmul/ladder.py            # on a GPU
    python benchmarks/cuda_matmul/ladder.py --on-cpu   # checks alone, on the stand-in for CuPy

Each version is a page, v1_naive.cu to v6_vectorised.cu; read them in order. v7 is the library's own, with its choice of
tiles (kernels/cuda/gemm.cuh). See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHAPES = ((33, 65, 17), (132, 68, 36), (1, 4, 8), (128, 128, 8), (130, 132, 140))  # (m, n, k), checked
SIZE = 4096  # of the square matrices that are timed
# Sums of up to 140 products of numbers of size 1 in float32 differ by about sqrt(140) * 2^-24 * sqrt(140) from exact.
TOLERANCE = 2e-5


class Version(NamedTuple):
    """A version: the extents of a block's tile of C, its threads, and what the extents n and k must be multiples of."""

    name: str
    tile: int
    block: tuple[int, int]
    multiple: int = 1


VERSIONS = (
    Version("v1_naive", 32, (32, 32)),
    Version("v2_coalesced", 32, (32, 32)),
    Version("v3_shared", 32, (32, 32)),
    Version("v4_tile_1d", 64, (512, 1)),
    Version("v5_tile_2d", 128, (256, 1)),
    Version("v6_vectorised", 128, (256, 1), 4),
)
LIBRARY = "v7_library"


def function_of(version: Version) -> Callable[[Any, Any, Any], None]:
    """A function of (a, b, c), arrays on the device, that writes a @ b to c; RuntimeError if NVRTC refuses it."""
    import numpy as np

    from minigan_kernels.cuda import compiler, driver

    cuda = driver.cupy_module().cuda
    text, name = (HERE / f"{version.name}.cu").read_text(), f"{version.name}.cu"
    options = (*compiler.OPTIONS, f"-arch=sm_{driver.architecture()}")
    module = cuda.Module()
    module.load(compiler.compile_source(cuda.nvrtc, name, text, options))
    kernel = module.get_function("matmul")

    def product(a: Any, b: Any, c: Any) -> None:
        (m, k), n = a.shape, b.shape[1]
        grid = -(-n // version.tile), -(-m // version.tile), 1
        kernel(grid, (*version.block, 1), (a, b, c, np.int32(m), np.int32(n), np.int32(k)))

    return product


def library(a: Any, b: Any, c: Any) -> None:
    """The library's product."""
    from minigan_kernels.cuda.matmul import matmul

    matmul(a, b, False, False, c)


def functions() -> dict[str, Callable[[Any, Any, Any], None]]:
    """All versions by name."""
    return {version.name: function_of(version) for version in VERSIONS} | {LIBRARY: library}


def check(name: str, product: Callable[[Any, Any, Any], None], multiple: int = 1) -> float:
    """The largest error at all shapes that the version takes, of sums of products of numbers of size 1."""
    import numpy as np

    from minigan_kernels.cuda import driver

    cupy, rng, worst = driver.cupy_module(), np.random.default_rng(0), 0.0
    for m, n, k in SHAPES:
        if n % multiple == k % multiple == 0:
            a, b = rng.uniform(-1, 1, (m, k)).astype(np.float32), rng.uniform(-1, 1, (k, n)).astype(np.float32)
            c = cupy.empty((m, n), np.float32)
            product(cupy.asarray(a), cupy.asarray(b), c)
            error = float(np.abs(c.get() - a.astype(float) @ b.astype(float)).max())
            worst = max(worst, error if error == error else float("inf"))  # NaN: not all was written
    if worst > TOLERANCE:
        raise ArithmeticError(f"{name} is wrong by {worst:.1e}")
    return worst


def timed(found: dict[str, Callable[[Any, Any, Any], None]]) -> dict[str, Any]:
    """Median milliseconds of each version and of cuBLAS, and the shares of cuBLAS and of the peak on paper."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import numpy as np
    from gpu_clock import Timed, measure

    from minigan_kernels.cuda import driver

    cupy, rng = driver.cupy_module(), np.random.default_rng(0)
    a, b = (cupy.asarray(rng.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32)) for _ in range(2))
    c = cupy.empty((SIZE, SIZE), np.float32)
    calls = {name: Timed("cupy", lambda product=product: product(a, b, c)) for name, product in found.items()}
    calls["cuBLAS"] = Timed("cupy", lambda: cupy.matmul(a, b, out=c))
    rows: dict[str, Any] = measure(calls, seconds=1.0)
    for row in rows.values():
        row["share_of_cublas"] = rows["cuBLAS"]["median_ms"] / row["median_ms"]
        row["tflops"] = 2 * SIZE**3 / row["median_ms"] / 1e9
    return rows


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on-cpu", action="store_true", help="check on the stand-in for CuPy; time nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    options = parser.parse_args(arguments)
    if options.on_cpu:
        sys.path[:0] = [str(ROOT / "tests" / "standin"), str(ROOT / "tests")]
    found, multiples = functions(), {version.name: version.multiple for version in VERSIONS}
    errors: dict[str, float] = {}
    for name, product in list(found.items()):
        try:
            errors[name] = check(name, product, multiples.get(name, 1))
        except Exception as error:  # a wrong product, or whatever CUDA raises: the others are still timed
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            del found[name]
    rows = {} if options.on_cpu else timed(found)
    for name in [*errors, *(["cuBLAS"] if rows else [])]:
        row = rows.get(name)
        text = f"{row['median_ms']:8.3f} ms {row['tflops']:6.1f} TFLOP/s {row['share_of_cublas']:6.1%}" if row else ""
        print(f"{name:14} error {errors.get(name, 0):.1e} {text}")
    if options.json:
        options.json.write_text(json.dumps({"errors": errors, "times": rows}, indent=2) + "\n")
    return 0 if len(errors) == len(VERSIONS) + 1 else 1


if __name__ == "__main__":
    sys.exit(main())
