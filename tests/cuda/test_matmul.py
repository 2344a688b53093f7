"""Matrix products in CUDA (kernels/cuda/gemm.cuh), on a GPU or on the stand-in for CuPy."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.cuda_cpu import build, run
from support.environment import needs_compiler

import minigan_kernels
from minigan_kernels import reference
from minigan_kernels.cuda import compiler, driver, gemm, tf32
from minigan_kernels.cuda.gemm import Tile, plan

pytestmark = needs_compiler

FLIPS = list(itertools.product([False, True], repeat=2))
LARGE, MEDIUM, SMALL = gemm._FLOAT32
KINDS = {"float32": gemm._FLOAT32, "float64": gemm._FLOAT64, "tf32": gemm._TF32}
TILES = [pytest.param(kind, tile, id=f"{kind}-{tile.m}") for kind, tiles in KINDS.items() for tile in tiles]


def _bound(depth: int, dtype: str, roundings: int = 0) -> float:
    """gamma_n = n u / (1 - n u): the bound of the relative error of n roundings, here of a sum of `depth` products in
    any order and of `roundings` more operations (Higham, 2002, section 3.1)."""
    unit = float(np.finfo(dtype).eps) / 2
    n = depth + roundings
    return n * unit / (1 - n * unit)


def _operands(shape: tuple[int, int, int], flips: tuple[bool, bool], dtype: str, draw: Callable) -> list[np.ndarray]:
    m, n, k = shape
    return [draw((k, m) if flips[0] else (m, k)).astype(dtype), draw((n, k) if flips[1] else (k, n)).astype(dtype)]


def _untransposed(operands: list[np.ndarray], flips: tuple[bool, bool]) -> list[np.ndarray]:
    return [(x.T if flip else x).astype(np.float64) for x, flip in zip(operands, flips, strict=True)]


def _normal(seed: int) -> Callable:
    return np.random.default_rng(seed).standard_normal


def _small_integers(seed: int) -> Callable:
    """Sums of products of these are exact in any order, in TF32 too: any difference is a wrong index."""
    return lambda shape: np.random.default_rng(seed).integers(-4, 5, shape)


def _use(monkeypatch: pytest.MonkeyPatch, tile: Tile, parts: int) -> None:
    monkeypatch.setattr(gemm, "plan", lambda *arguments: (tile, parts))


def _product(cupy: ModuleType, kind: str) -> Callable:
    """`product` of matmul.py from and to NumPy arrays, for the kind "float32", "float64" or "tf32"."""
    from minigan_kernels.cuda.matmul import product

    def compute(a: Any, b: Any, flips: tuple[bool, bool] = (False, False), bias: Any = None, slope: float = 1) -> Any:
        device = [None if x is None else cupy.asarray(x) for x in (a, b, bias)]
        return product(*device[:2], *flips, device[2], slope, None, tf32=kind == "tf32").get()

    return compute


def _dtype(kind: str) -> str:
    return "float32" if kind == "tf32" else kind


def _shapes(kind: str, tile: Tile) -> list[tuple[int, int, int]]:
    """(M, N, K) that cross the tile in each extent: for words of 16 bytes, and odd ones, for single numbers."""
    aligned = (tile.m + 4, tile.n + 12, 2 * tile.k + 4)
    odd = (tile.m + 1, 2 * tile.n + 1, tile.k + 1)  # with more tiles along n: the blocks walk along m
    return [aligned] if tile is LARGE or tile.m == LARGE.m else [aligned, odd, (1, 1, 1)]


# The tile loop.


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize(("kind", "tile"), TILES)
def test_products_of_integers_are_exact(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str, tile: Tile, flips: tuple[bool, bool]
) -> None:
    for shape, parts in itertools.product(_shapes(kind, tile), (1, 2, 3)):
        _use(monkeypatch, tile, parts)
        operands = _operands(shape, flips, _dtype(kind), _small_integers(seed=sum(shape)))
        left, right = _untransposed(operands, flips)
        np.testing.assert_array_equal(_product(cupy, kind)(*operands, flips), left @ right, err_msg=f"{shape}, {parts}")


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize(("kind", "tile"), [parameter for parameter in TILES if parameter.values[0] != "tf32"])
def test_the_error_is_within_the_bound_for_any_order_of_summation(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str, tile: Tile, flips: tuple[bool, bool]
) -> None:
    for shape, parts in itertools.product(_shapes(kind, tile), (1, 3)):
        _use(monkeypatch, tile, parts)
        operands = _operands(shape, flips, kind, _normal(seed=sum(shape)))
        left, right = (x.astype(np.longdouble) for x in _untransposed(operands, flips))
        error = np.abs(_product(cupy, kind)(*operands, flips) - left @ right)
        assert (error <= _bound(shape[2], kind) * (np.abs(left) @ np.abs(right))).all()


@pytest.mark.parametrize("shape", [(67, 35, 129), (64, 100, 784), (784, 36, 64), (1, 1, 1000), (5, 0, 3), (0, 5, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["cuda", "cuda-tf32"])
def test_the_table_computes_integers_exactly_for_the_tiles_that_it_chooses(
    cupy: ModuleType, name: str, dtype: str, shape: tuple[int, int, int]
) -> None:
    matmul = minigan_kernels.table(name, cupy)["matmul"]
    for flips in FLIPS:
        operands = _operands(shape, flips, dtype, _small_integers(seed=sum(shape)))
        left, right = _untransposed(operands, flips)
        found = matmul(*map(cupy.asarray, operands), *flips)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.get(), left @ right)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_of_no_products_is_0_or_the_bias(cupy: ModuleType, dtype: str) -> None:
    compute = _product(cupy, dtype)
    bias = np.array([1, -2, 3], dtype)
    for flips in FLIPS:
        operands = _operands((5, 3, 0), flips, dtype, _normal(0))
        np.testing.assert_array_equal(compute(*operands, flips), np.zeros((5, 3)))
        np.testing.assert_array_equal(compute(*operands, flips, bias, 0.5), np.tile([1, -1, 3], (5, 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_product_has_the_same_bits_in_every_order_of_threads(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    operands = _operands((36, 68, 100), (False, True), _dtype(kind), _normal(1))
    for parts in (1, 3):
        _use(monkeypatch, KINDS[kind][-1], parts)
        runs = {_product(cupy, kind)(*operands, (False, True)).tobytes() for _ in range(6)}
        assert len(runs) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_added_in_order(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The result with parts has the bits of the sum, from the first to the last, of the products of its parts."""
    tile = KINDS[kind][-1]
    a, b = _operands((36, 40, 8 * tile.k - 4), (False, False), _dtype(kind), _normal(2))
    bias = _normal(3)(40).astype(a.dtype)
    compute = _product(cupy, kind)
    for parts, steps in ((8, 1), (4, 2), (3, 3)):  # with 3 parts, the last one has 2 steps
        _use(monkeypatch, tile, parts)
        whole = compute(a, b, bias=bias, slope=0.2)
        _use(monkeypatch, tile, 1)
        ranges = [slice(part * steps * tile.k, (part + 1) * steps * tile.k) for part in range(parts)]
        total = sum(compute(a[:, k], b[k]) for k in ranges) + bias
        np.testing.assert_array_equal(whole, np.where(total > 0, total, total * a.dtype.type(0.2)))


# Bias and LeakyReLU.


@pytest.mark.parametrize("slope", [1, 0.2, 0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_is_within_the_bound_of_the_formula(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, dtype: str, slope: float
) -> None:
    dense = minigan_kernels.table("cuda", cupy)["dense"]
    for (m, n, k), parts in itertools.product([(67, 35, 129), (40, 36, 64)], (1, 3)):
        _use(monkeypatch, SMALL, parts)
        x, w = _operands((m, n, k), (False, False), dtype, _normal(4))
        b = _normal(5)(n).astype(dtype)
        exact = reference.dense(np, *(v.astype(np.longdouble) for v in (x, w, b)), slope)
        size = np.abs(x).astype(np.longdouble) @ np.abs(w) + np.abs(b)
        error = np.abs(dense(*map(cupy.asarray, (x, w, b)), slope).get() - exact)
        # one rounding for the bias, one for the slope, one for the slope's own
        assert (error <= _bound(k, dtype, roundings=3) * size).all()


@pytest.mark.parametrize("slope", [1, 0.2, 0])
@pytest.mark.parametrize("name", ["cuda", "cuda-tf32"])
def test_infinities_and_nans_come_out_where_they_do_in_the_reference(cupy: ModuleType, name: str, slope: float) -> None:
    x, w = _operands((5, 6, 40), (False, False), "float32", _normal(6))
    b = np.zeros(6, np.float32)
    x[0, 3], x[1, 7], x[2, 39] = np.inf, -np.inf, np.nan
    w[:, 1], w[5, 2], b[3], b[4] = 0, np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        expected = reference.dense(np, x, w, b, slope)
    found = minigan_kernels.table(name, cupy)["dense"](*map(cupy.asarray, (x, w, b)), slope).get()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    infinite = np.isinf(expected)
    np.testing.assert_array_equal(found[infinite], expected[infinite])
    assert infinite.any() and np.isfinite(found[~infinite & ~np.isnan(expected)]).all()


# Operands and results in memory.


def test_operands_that_are_not_aligned_to_16_bytes_are_read_correctly(cupy: ModuleType) -> None:
    """Parameters lie anywhere in a flat buffer."""
    matmul = minigan_kernels.table("cuda", cupy)["matmul"]
    a, b = _operands((8, 12, 16), (False, False), "float32", _small_integers(7))
    for shifted in range(3):
        buffers = [cupy.zeros(200, "float32") for _ in range(3)]
        views = []
        for i, (buffer, shape) in enumerate(zip(buffers, (a.shape, b.shape, (8, 12)), strict=True)):
            view = buffer[(i == shifted) :][: shape[0] * shape[1]].reshape(shape)
            assert (view.data.ptr % 16 != 0) == (i == shifted)
            views.append(view)
        views[0][...], views[1][...] = cupy.asarray(a), cupy.asarray(b)
        assert matmul(views[0], views[1], False, False, views[2]) is views[2]
        np.testing.assert_array_equal(views[2].get(), a @ b)
        rest = buffers[2].get()
        assert not rest[96 + (shifted == 2) :].any() and not rest[: (shifted == 2)].any()


@pytest.mark.parametrize("name", ["cuda", "cuda-tf32"])
def test_operands_in_any_layout_are_read_correctly(cupy: ModuleType, name: str) -> None:
    kernels = minigan_kernels.table(name, cupy)
    a, b = _operands((9, 10, 11), (False, False), "float32", _small_integers(12))
    wide = cupy.asarray(np.repeat(b, 2, axis=1))
    found = kernels["matmul"](cupy.asarray(a.T.copy()).T, wide[:, ::2], False, False)
    np.testing.assert_array_equal(found.get(), a @ b)
    bias = cupy.broadcast_to(cupy.ones(1, "float32"), (10,))
    found = kernels["dense"](cupy.asarray(a[::-1].copy())[::-1], wide[:, ::2], bias, 1)
    np.testing.assert_array_equal(found.get(), a @ b + 1)


def test_words_of_16_bytes_need_extents_and_addresses_in_their_multiples(cupy: ModuleType) -> None:
    buffer = cupy.zeros(65, "float32")
    assert gemm.vector_width(np.dtype("float32"), (8, 16), (buffer,)) == 4
    assert gemm.vector_width(np.dtype("float32"), (8, 18), (buffer,)) == 1
    assert gemm.vector_width(np.dtype("float32"), (8, 16), (buffer, buffer[1:])) == 1
    assert gemm.vector_width(np.dtype("float64"), (8, 18), (cupy.zeros(4),)) == 2


@pytest.mark.parametrize("name", ["matmul", "dense"])
def test_out_is_written_and_returned_or_refused(cupy: ModuleType, name: str) -> None:
    kernel = minigan_kernels.table("cuda", cupy)[name]
    a, b, bias = cupy.ones((3, 4), "float32"), cupy.ones((4, 5), "float32"), cupy.ones(5, "float32")
    rest = (False, False) if name == "matmul" else (bias, 1)
    out = cupy.full((3, 5), np.nan, "float32")
    assert kernel(a, b, *rest, out) is out
    np.testing.assert_array_equal(out.get(), np.full((3, 5), 4 if name == "matmul" else 5))
    for unsuitable in (cupy.zeros((5, 3), "float32"), cupy.zeros((3, 5)), cupy.zeros((5, 3), "float32").T):
        with pytest.raises(ValueError, match="needs row-major memory"):
            kernel(a, b, *rest, unsuitable)


def _fenced(shape: int | tuple[int, ...], dtype: np.dtype, fence_pages: int = 8) -> np.ndarray:
    """An array that ends where memory begins that nobody may read or write."""
    count = int(np.prod(shape))
    pages = -(-count * dtype.itemsize // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + fence_pages) * mmap.PAGESIZE)
    fence = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + pages * mmap.PAGESIZE
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(fence, fence_pages * mmap.PAGESIZE, 0) == 0
    return np.frombuffer(memory, dtype, count, pages * mmap.PAGESIZE - count * dtype.itemsize).reshape(shape)


def _multiply_before_fences(kind: str, tile: Tile) -> None:
    """All four products, with and without parts, where every array has a fence behind it."""
    dtype = np.dtype(_dtype(kind))
    aligned = (16 // dtype.itemsize, (tile.m + 4, tile.n + 4, tile.k + 4))
    for vector, (m, n, k) in [aligned] if tile.m == LARGE.m else [aligned, (1, (tile.m + 3, 3, 5))]:
        constants = gemm.tile_constants(tile, vector, dtype, kind == "tf32")
        text = compiler.full_source("matmul.cu", dtype, tuple(constants.items()))
        library = run.Library(build.compile(text, "matmul.cu"))
        for flips, parts in itertools.product(FLIPS, (1, 2)):
            shapes = (k, m) if flips[0] else (m, k), (n, k) if flips[1] else (k, n), n, (m, n), (parts, m, n)
            a, b, bias, out, workspace = (_fenced(shape, dtype) for shape in shapes)
            a[...], b[...], bias[...] = 2, 3, 1
            one, result = dtype.type(1), (bias, dtype.type(1), out) if parts == 1 else (None, dtype.type(1), workspace)
            name = f"matmul_{'nt'[flips[0]]}{'nt'[flips[1]]}"
            library.launch(name, (tile.blocks(m, n), 1, parts), tile.threads, (a, b, *result, m, n, k), seed=1)
            if parts > 1:
                blocks = -(-m * n // (vector * gemm.ADD_THREADS))
                library.launch("matmul_add_parts", blocks, gemm.ADD_THREADS, (workspace, parts, bias, one, out, m, n))
            assert (out == 6 * k + 1).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(("kind", "tile"), TILES)
def test_nothing_behind_an_array_is_read_or_written(standin: ModuleType, kind: str, tile: Tile) -> None:
    """A number that is read outside need not show in the result: the row that it leads to is not stored."""
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # quietly
            _multiply_before_fences(kind, tile)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    _multiply_before_fences(kind, tile)  # here, too, so that tools see which code this test executes


# TF32.


def _rounded_to_tf32(x: np.ndarray) -> np.ndarray:
    """float32 numbers rounded to 10 bits of mantissa, ties away from 0, by arithmetic in float64."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    scaled = mantissa * 2**11  # |mantissa| < 1 in units of the last of 11 bits, the leading one included
    return np.ldexp(np.copysign(np.floor(np.abs(scaled) + 0.5), scaled) / 2**11, exponent).astype(np.float32)


@pytest.mark.parametrize(("kind", "tile"), [parameter for parameter in TILES if parameter.values[0] == "tf32"])
def test_tf32_is_the_product_of_the_rounded_factors(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str, tile: Tile
) -> None:
    for shape, flips in itertools.product(_shapes(kind, tile), FLIPS):
        _use(monkeypatch, tile, 1)
        operands = _operands(shape, flips, "float32", _normal(8))
        found = _product(cupy, "tf32")(*operands, flips)
        left, right = _untransposed([_rounded_to_tf32(x) for x in operands], flips)
        # Tensor cores may round each addition towards 0, whose unit is twice as large.
        assert (np.abs(found - left @ right) <= 2 * _bound(shape[2], "float32") * (np.abs(left) @ np.abs(right))).all()


def test_the_error_of_tf32_is_within_its_bound_and_near_what_rounding_at_random_gives(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two factors with relative errors of at most u = 2^-11: |error| <= (2 u + u^2 + gamma_K) |A| |B|."""
    m, n, k = 64, 64, 512
    _use(monkeypatch, MEDIUM, 1)
    left, right = _operands((m, n, k), (False, False), "float32", _normal(9))
    error = _product(cupy, "tf32")(left, right) - left.astype(np.float64) @ right
    unit = 2.0**-11
    bound = (2 * unit + unit**2 + 2 * _bound(k, "float32")) * (np.abs(left).astype(np.float64) @ np.abs(right))
    assert (np.abs(error) <= bound).all()
    # Rounding errors uniform in units of the last place have a relative deviation of between 2^-11 / sqrt(3) and half
    # of it; each product has two, and the sum of k products of normal numbers has the deviation sqrt(k).
    relative = np.sqrt(np.mean(error**2)) / np.sqrt(k)
    assert unit / np.sqrt(3) / 2 * np.sqrt(2) < relative < unit / np.sqrt(3) * np.sqrt(2)


def test_numbers_are_rounded_to_tf32_to_nearest_with_ties_away_from_0(standin: ModuleType) -> None:
    header = (Path(compiler.__file__).parent / "ptx.cuh").read_text(encoding="utf-8")
    kernel = (
        'extern "C" __global__ void rounded(const float* x, float* out) {\n'
        "    out[threadIdx.x] = rounded_to_tf32(x[threadIdx.x]);\n}\n"
    )
    library = run.Library(build.compile(header + kernel, "rounded.cu"))
    unit = 2.0**-10
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo("f4").max, 1 + unit / 2, -1 - unit / 2, 1 + 1.5 * unit,
               2 - unit / 2, 1 + unit / 2 - 2.0**-23, 1e-40, 2.0**-137, 2.0**-138]  # fmt: skip
    x = np.concatenate([np.array(special, "f4"), _normal(10)(100).astype("f4")])
    out = np.empty_like(x)
    library.launch("rounded", 1, x.size, (x, out))
    assert np.isnan(out[4])
    expected = [0.0, -0.0, np.inf, -np.inf, np.nan, np.inf, 1 + unit, -1 - unit, 1 + 2 * unit, 2, 1,
                np.float32(round(1e-40 * 2**136) / 2**136), 2.0**-136, 0]  # fmt: skip
    np.testing.assert_array_equal(out[: len(special)], np.array(expected, "f4"))
    np.testing.assert_array_equal(np.signbit(out[:2]), [False, True])
    np.testing.assert_array_equal(out[len(special) :], _rounded_to_tf32(x[len(special) :]))


def test_in_float64_tf32_computes_the_bits_of_cuda(cupy: ModuleType) -> None:
    operands = [cupy.asarray(x) for x in _operands((9, 10, 11), (False, False), "float64", _normal(11))]
    plain, tensor = (minigan_kernels.table(name, cupy)["matmul"] for name in ("cuda", "cuda-tf32"))
    np.testing.assert_array_equal(plain(*operands, False, False).get(), tensor(*operands, False, False).get())


def test_tf32_offers_the_operations_of_cuda_and_is_not_chosen_by_default(cupy: ModuleType) -> None:
    assert list(minigan_kernels.table("cuda-tf32", cupy)) == list(minigan_kernels.table("cuda", cupy))
    assert minigan_kernels.fastest(cupy) == "cuda"


def test_a_gpu_without_tf32_is_refused(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, suffices in (("75", False), ("80", True), ("120", True)):
        monkeypatch.setattr(driver, "architecture", lambda capability=capability: capability)
        assert (tf32.unavailable() is None) == suffices
    monkeypatch.setattr(driver, "architecture", lambda: "75")
    assert "compute capability 8.0 or higher, and this one has 7.5" in (tf32.unavailable() or "")


# The choice of tiles and parts.


SHAPES = [(m, n, k) for m in (1, 2, 64, 127, 4096) for n in (1, 10, 784, 4096) for k in (0, 1, 32, 100, 5000, 70_000)]


@pytest.mark.parametrize("multiprocessors", [1, 16, 132])
def test_parts_have_work_and_fit_into_memory(multiprocessors: int) -> None:
    kinds = [(4, 4, False), (4, 1, True), (8, 2, False)]
    for (m, n, k), (itemsize, vector, tensor) in itertools.product(SHAPES, kinds):
        tile, parts = plan(m, n, k, itemsize, multiprocessors, vector, tensor)
        steps = -(-k // tile.k)
        assert 1 <= parts <= max(1, min(steps, gemm.MOST_PARTS))
        if steps:
            assert (parts - 1) * -(-steps // parts) < steps  # the last part has a step
        assert parts * m * n < 2**31
        assert tile.m < 128 or vector == 4


def test_the_tile_fits_the_product() -> None:
    assert plan(2048, 2048, 2048, 4, 132)[0] is LARGE
    assert plan(2048, 2048, 2048, 4, 132, vector=1)[0] is MEDIUM
    assert plan(64, 64, 64, 4, 132)[0] is SMALL
    assert plan(2048, 2048, 2048, 8, 132)[0] == gemm._FLOAT64[0]
    assert plan(2048, 2048, 2048, 4, 132, tf32=True)[0] == gemm._TF32[0]


@pytest.mark.parametrize("shape", [(64, 1024, 512), (64, 512, 256), (64, 784, 1024), (1024, 128, 12_544)])
def test_few_tiles_with_a_long_sum_are_split_to_fill_the_gpu(shape: tuple[int, int, int]) -> None:
    tile, parts = plan(*shape, 4, 132)
    assert tile.blocks(*shape[:2]) < 132 <= tile.blocks(*shape[:2]) * parts
    assert plan(*shape, 4, 1)[1] == 1  # nothing to fill


def test_many_tiles_or_a_short_sum_are_not_split() -> None:
    for shape in ((4096, 4096, 4096), (262_144, 64, 1024), (64, 512, 32)):
        assert plan(*shape, 4, 132)[1] == 1


def test_the_number_of_threads_is_that_of_the_kernel() -> None:
    assert [tile.threads for tile in (LARGE, MEDIUM, SMALL)] == [256, 128, 64]
