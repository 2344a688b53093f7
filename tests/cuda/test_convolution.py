"""The CUDA convolutions: against plain loops, the reference in float64, their adjoints; tiles, parts, edges, TF32."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import naive
from support.convolutions import HAND_PICKED, ONE, RANDOM, Case
from support.cuda_cpu import build, run
from support.environment import thinned

import minigan_kernels
from minigan_kernels.cuda import compiler, few_channels, gemm
from minigan_kernels.geometry import Geometry

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="needs g++, which compiles the kernels for the CPU")

FLOATS = ["float32", "float64"]
MODULES = {
    name: importlib.import_module(f"minigan_kernels.cuda.{name}")
    for name in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
}
REFERENCE = minigan_kernels.table("reference", np)


class Device:
    """The three convolutions on the device, for arrays of the host. Results have a guard zone that is looked at."""

    def __init__(self, cupy: ModuleType, tf32: bool = False) -> None:
        self.xp, self.tf32 = cupy, tf32

    def __call__(self, x: Any) -> Any:
        return None if x is None else self.xp.asarray(x)

    def conv2d(self, x: Any, w: Any, b: Any, slope: float, geometry: Geometry) -> np.ndarray:
        y = MODULES["conv2d"].convolve(self(x), self(w), self(b), slope, geometry, None, self.tf32)
        return self.xp.asnumpy(y)

    def input_grad(self, g: Any, w: Any, b: Any, slope: float, geometry: Geometry) -> np.ndarray:
        dx = MODULES["conv2d_input_grad"].transposed(self(g), self(w), self(b), slope, geometry, None, self.tf32)
        return self.xp.asnumpy(dx)

    def weight_grad(self, x: Any, g: Any, geometry: Geometry) -> np.ndarray:
        dw = MODULES["conv2d_weight_grad"].weight_grad(self(x), self(g), geometry, None, self.tf32)
        return self.xp.asnumpy(dw)

    def all_three(self, x: Any, w: Any, g: Any, geometry: Geometry) -> tuple[np.ndarray, ...]:
        """(conv2d, its input gradient, its weight gradient) without bias and activation."""
        y, dx = self.conv2d(x, w, None, 1, geometry), self.input_grad(g, w, None, 1, geometry)
        return y, dx, self.weight_grad(x, g, geometry)


@pytest.fixture
def device(cupy: ModuleType) -> Device:
    return Device(cupy)


def _all_three_exactly(x: np.ndarray, w: np.ndarray, g: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, ...]:
    return naive.conv2d(x, w, geometry), naive.input_grad(g, w, geometry), naive.weight_grad(x, g, geometry)


def _integers(seed: int, largest: int = 4) -> Callable[[tuple[int, ...]], np.ndarray]:
    rng = np.random.default_rng([13, seed])
    return lambda shape: rng.integers(-largest, largest + 1, shape)


# Sums of products of small integers are exact in any order.


IN_FLOAT32 = [(case, "float32") for case in HAND_PICKED + thinned(RANDOM, 8)]
IN_FLOAT64 = [(case, "float64") for case in thinned(HAND_PICKED, 14)]


@pytest.mark.parametrize(("case", "dtype"), IN_FLOAT32 + IN_FLOAT64, ids=str)
def test_integers_are_exact(device: Device, case: Case, dtype: str) -> None:
    draw = _integers(case.inputs * 1000 + case.outputs)
    x, w, g = case.draw(draw, dtype)
    b_out, b_in = (draw((count,)).astype(dtype) / 2 for count in (case.outputs, case.inputs))
    y, dx, dw = _all_three_exactly(x, w, g, case.geometry)
    np.testing.assert_array_equal(device.weight_grad(x, g, case.geometry), dw)
    for slope, bias in ((1.0, False), (0.25, True), (0.0, True)):
        b = b_out if bias else None
        np.testing.assert_array_equal(device.conv2d(x, w, b, slope, case.geometry), naive.bias_act(y, b, slope))
        b = b_in if bias else None
        np.testing.assert_array_equal(device.input_grad(g, w, b, slope, case.geometry), naive.bias_act(dx, b, slope))


# Every tile and split of the sums, with fragments of one number and of 16 bytes. In these cases all extents differ, the
# pixels, the elements of a window and the channels fill several tiles and end inside one.

TILES = {"float32": gemm._FLOAT32, "float64": gemm._FLOAT64, "tf32": gemm._TF32}
ODD = Case(Geometry((9, 11), (2, 5), (1, 1), ((1, 0), (3, 2))), 3, 7, 35)
STRIDED = Case(Geometry((11, 18), (5, 3), (2, 3), ((1, 2), (0, 4))), 5, 9, 33)
BY_FOURS = Case(Geometry((10, 7), (3, 4), (3, 2), ((2, 0), (1, 3))), 4, 12, 36)
LARGE = Case(Geometry((7, 8), (3, 2), (1, 1), ((1, 1), (1, 0))), 3, 132, 140)


class Split(NamedTuple):
    """A tile, by its number in `TILES`, and how many parts a sum has."""

    tile: int
    parts: int


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Split]:
    """Let every product have this tile and these parts, whatever its shape."""

    def plan(m: int, n: int, k: int, itemsize: int, multiprocessors: int, vector: int, tf32: bool) -> Any:
        kind = "tf32" if tf32 and itemsize == 4 else f"float{8 * itemsize}"
        return TILES[kind][-request.param.tile], request.param.parts

    for module in (gemm, *MODULES.values()):
        if hasattr(module, "plan"):
            monkeypatch.setattr(module, "plan", plan)
    return request.param


SPLITS = [Split(1, 1), Split(1, 3), Split(2, 1), Split(2, 4)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", [ODD, STRIDED, BY_FOURS], ids=str)
@pytest.mark.parametrize("split", SPLITS, indirect=True)
def test_every_tile_and_split(device: Device, split: Split, case: Case, dtype: str) -> None:
    _require_exact(device, case, dtype)


@pytest.mark.parametrize("split", [Split(3, 1), Split(3, 2)], indirect=True)
def test_the_largest_tile(device: Device, split: Split) -> None:
    _require_exact(device, LARGE, "float32")


def _require_exact(device: Device, case: Case, dtype: str) -> None:
    draw = _integers(17)
    x, w, g = case.draw(draw, dtype)
    b_out, b_in = draw((case.outputs,)).astype(dtype), draw((case.inputs,)).astype(dtype)
    y, dx, dw = _all_three_exactly(x, w, g, case.geometry)
    np.testing.assert_array_equal(device.conv2d(x, w, b_out, 0.5, case.geometry), naive.bias_act(y, b_out, 0.5))
    np.testing.assert_array_equal(device.input_grad(g, w, b_in, 0.5, case.geometry), naive.bias_act(dx, b_in, 0.5))
    np.testing.assert_array_equal(device.weight_grad(x, g, case.geometry), dw)


# Few channels in the result: one warp or several share a row.

FEW = [
    Case(Geometry((9, 7), (3, 4), (1, 2), ((1, 2), (3, 0))), 3, 5, 3),
    Case(Geometry((7, 10), (4, 3), (2, 1), ((2, 1), (1, 0))), 2, 12, 2),
    Case(Geometry((4, 5), (4, 5), (1, 1)), 5, 100, 1),
    Case(Geometry((6, 5), (3, 3), (2, 2), ONE), 3, 20, 4),
]


@pytest.mark.parametrize("warps", [1, 3, 8])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", FEW, ids=str)
def test_few_channels(device: Device, case: Case, dtype: str, warps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_channels, "_warps", lambda blocks, k, vector: warps)
    _require_exact(device, case, dtype)
    _require_exact(device, dataclasses.replace(case, inputs=case.outputs, outputs=case.inputs), dtype)


# Rounding. A sum of k products in any order, from numbers of 24 or 53 bits, has a relative error of at most gamma(k) =
# k u / (1 - k u), times the sum of the products' absolute values (Higham, 2002, section 3.1); parts, bias and slope
# round a few times more.

ROUNDED = [ODD, STRIDED, BY_FOURS, *FEW[:2], Case(Geometry((8, 6), (4, 4), (2, 2), ONE), 3, 64, 33)]


def _gamma(depth: int, dtype: str) -> float:
    unit = float(np.finfo(dtype).eps) / 2
    return depth * unit / (1 - depth * unit)


def _depths(case: Case) -> tuple[int, int, int]:
    """How many products each element of the three results sums at most, with some roundings more."""
    taps = int(np.prod(case.geometry.kernel))
    pixels = case.batch * int(np.prod(case.geometry.out))
    return taps * case.inputs + 8, taps * case.outputs + 8, pixels + 8


def _wide(results: Any, x: np.ndarray, w: np.ndarray, g: np.ndarray, geometry: Geometry) -> Iterator[tuple[Any, ...]]:
    """(result, exact result, the sums of absolute products) of each of the three, in extended precision."""
    wide = [a.astype(np.longdouble) for a in (x, w, g)]
    exact, sizes = (
        (
            REFERENCE["conv2d"](x, w, None, 1, geometry),
            REFERENCE["conv2d_input_grad"](g, w, None, 1, geometry),
            REFERENCE["conv2d_weight_grad"](x, g, geometry),
        )
        for x, w, g in (wide, [np.abs(a) for a in wide])
    )
    yield from zip(results, exact, sizes, strict=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", ROUNDED, ids=str)
def test_errors_are_those_of_rounding(device: Device, case: Case, dtype: str) -> None:
    x, w, g = case.draw(np.random.default_rng(5).standard_normal, dtype)
    found = device.all_three(x, w, g, case.geometry)
    for depth, (result, exact, size) in zip(_depths(case), _wide(found, x, w, g, case.geometry), strict=True):
        assert result.dtype == dtype
        assert np.all(np.abs(result - exact) <= _gamma(depth, dtype) * size)


@pytest.mark.parametrize("case", ROUNDED, ids=str)
def test_adjoint_identities(device: Device, case: Case) -> None:
    """<g, conv2d(x, w)> = <input_grad(g, w), x> = <weight_grad(x, g), w>, up to the rounding of each."""
    x, w, g = case.draw(np.random.default_rng(6).standard_normal, "float64")
    y, dx, dw = device.all_three(x, w, g, case.geometry)
    size = (np.abs(g) * REFERENCE["conv2d"](np.abs(x), np.abs(w), None, 1, case.geometry)).sum()
    allowed = 2 * _gamma(max(_depths(case)) + g.size + x.size + w.size, "float64") * size
    assert abs((g * y).sum() - (dx * x).sum()) <= allowed
    assert abs((g * y).sum() - (dw * w).sum()) <= allowed


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("split", [Split(1, 3)], indirect=True)
def test_every_run_gives_the_same_bits(device: Device, split: Split, dtype: str) -> None:
    """The stand-in runs threads and blocks in another order each time."""
    for case in (STRIDED, BY_FOURS, FEW[0]):
        x, w, g = case.draw(np.random.default_rng(8).standard_normal, dtype)
        one, two = (device.all_three(x, w, g, case.geometry) for _ in range(2))
        assert [a.tobytes() for a in one] == [a.tobytes() for a in two]


# TF32.


def _rounded_to_tf32(x: np.ndarray) -> np.ndarray:
    """x with 10 bits of mantissa, rounded to nearest, ties away from 0."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.mark.parametrize(
    ("split", "case"),
    [(Split(1, 1), ODD), (Split(1, 3), BY_FOURS), (Split(2, 3), ROUNDED[-1])],
    indirect=["split"],
    ids=str,
)
def test_tf32_rounds_each_factor_to_11_bits_and_sums_in_float32(cupy: ModuleType, split: Split, case: Case) -> None:
    device = Device(cupy, tf32=True)
    x, w, g = case.draw(np.random.default_rng(9).standard_normal, "float32")
    found = device.all_three(x, w, g, case.geometry)
    rounded = [_rounded_to_tf32(a) for a in (x, w, g)]
    assert any((a != b).any() for a, b in zip(rounded, (x, w, g), strict=True))
    for depth, (result, exact, size) in zip(_depths(case), _wide(found, *rounded, case.geometry), strict=True):
        assert np.all(np.abs(result - exact) <= _gamma(depth, "float32") * size)


def test_float64_is_the_same_with_tf32(cupy: ModuleType) -> None:
    x, w, g = ODD.draw(np.random.default_rng(10).standard_normal, "float64")
    plain, tf32 = (Device(cupy, tf32).all_three(x, w, g, ODD.geometry) for tf32 in (False, True))
    assert [a.tobytes() for a in plain] == [a.tobytes() for a in tf32]


# Numbers that are not finite.


@pytest.mark.parametrize("case", [ODD, STRIDED, BY_FOURS, *FEW], ids=str)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_nonfinite_number_reaches_what_it_reaches_in_the_reference(device: Device, case: Case, number: float) -> None:
    """Also through the padding, whose zeros are factors like other numbers.

    Not tested: in the input gradient, the reference has no zeros around g that a number in the weights could meet.
    """
    rng, geometry = np.random.default_rng(11), case.geometry
    x, w, g = case.draw(lambda shape: rng.integers(1, 5, shape), "float32")
    for place in (0, -1, *rng.integers(0, min(x.size, w.size, g.size), 4)):
        bad_x, bad_w, bad_g = (a.copy() for a in (x, w, g))
        for bad in (bad_x, bad_w, bad_g):
            bad.flat[place] = number
        with np.errstate(invalid="ignore"):
            for found, expected in (
                (device.conv2d(bad_x, w, None, 1, geometry), REFERENCE["conv2d"](bad_x, w, None, 1, geometry)),
                (device.conv2d(x, bad_w, None, 1, geometry), REFERENCE["conv2d"](x, bad_w, None, 1, geometry)),
                (
                    device.input_grad(bad_g, w, None, 1, geometry),
                    REFERENCE["conv2d_input_grad"](bad_g, w, None, 1, geometry),
                ),
                (device.weight_grad(bad_x, g, geometry), REFERENCE["conv2d_weight_grad"](bad_x, g, geometry)),
                (device.weight_grad(x, bad_g, geometry), REFERENCE["conv2d_weight_grad"](x, bad_g, geometry)),
            ):
                np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


# Extents of zero.


@pytest.mark.parametrize(
    ("batch", "inputs", "outputs"), [(0, 3, 6), (2, 0, 6), (2, 6, 0), (2, 0, 3), (2, 3, 0), (0, 2, 1)]
)
def test_empty_arrays(device: Device, batch: int, inputs: int, outputs: int) -> None:
    case = dataclasses.replace(STRIDED, batch=batch, inputs=inputs, outputs=outputs)
    x, w, g = case.draw(np.ones, "float32")
    b_out, b_in = np.arange(outputs, dtype="float32") - 2, np.arange(inputs, dtype="float32") - 2
    for found, expected in (
        (device.conv2d(x, w, b_out, 0.5, case.geometry), REFERENCE["conv2d"](x, w, b_out, 0.5, case.geometry)),
        (
            device.input_grad(g, w, b_in, 0.5, case.geometry),
            REFERENCE["conv2d_input_grad"](g, w, b_in, 0.5, case.geometry),
        ),
        (device.weight_grad(x, g, case.geometry), REFERENCE["conv2d_weight_grad"](x, g, case.geometry)),
    ):
        assert found.dtype == "float32"
        np.testing.assert_array_equal(found, expected)


# Memory layouts.


@pytest.mark.parametrize("case", [BY_FOURS, FEW[1]], ids=str)
def test_any_layout(cupy: ModuleType, case: Case) -> None:
    """Strided and transposed operands, results in given memory, and arrays that do not begin at 16 bytes."""
    x, w, g = case.draw(_integers(3), "float32")
    expected = _all_three_exactly(x, w, g, case.geometry)
    table = minigan_kernels.table("cuda", cupy)

    def strided(a: np.ndarray) -> Any:
        return cupy.asarray(np.repeat(a.transpose(3, 1, 0, 2), 2, 0))[::2].transpose(2, 1, 3, 0)

    def misaligned(a: np.ndarray) -> Any:
        memory = cupy.empty(a.size + 1, "float32")
        memory[1:] = cupy.asarray(a.reshape(-1))
        return memory[1:].reshape(a.shape)

    for lay in (strided, misaligned):
        laid = [lay(a) for a in (x, w, g)]
        out = [misaligned(np.zeros(a.shape, "float32")) for a in expected]
        found = (
            table["conv2d"](laid[0], laid[1], None, 1.0, case.geometry, None, out[0]),
            table["conv2d_input_grad"](laid[2], laid[1], None, 1.0, case.geometry, None, out[1]),
            table["conv2d_weight_grad"](laid[0], laid[2], case.geometry, out[2]),
        )
        for one, two, three in zip(found, out, expected, strict=True):
            assert one is two
            np.testing.assert_array_equal(cupy.asnumpy(one), three)


# The division of convolution.cuh.


def test_division() -> None:
    source = compiler.full_source("few_channels.cu", np.dtype("float32"), (("VECTOR", 1), ("LINES", 1), ("COLUMNS", 1)))
    source += """
extern "C" __global__ void divide(const int* numbers, int divisor, int* quotients, int count) {
    const Division by(divisor);
    for (int i = 0; i < count; ++i) quotients[i] = by.quotient(numbers[i]);
}
"""
    divide = run.Library(build.compile(source, "divide.cu")).kernels["divide"]
    rng, largest = np.random.default_rng(12), 2**31 - 1
    divisors = [1, 2, 3, 7, 48, 192, 2**15, 65_535, 65_537, 2**30, largest - 1, largest]
    for divisor in [*divisors, *(int(largest ** rng.random()) + 1 for _ in range(50))]:
        near = rng.integers(0, largest // divisor + 1, 200)[:, None] * divisor + np.array([-1, 0, 1, divisor - 1])
        numbers = np.concatenate([near.ravel(), [0, 1, divisor, largest - 1, largest], rng.integers(0, 2**31, 200)])
        numbers = numbers[(numbers >= 0) & (numbers <= largest)].astype(np.int32)
        quotients = np.empty_like(numbers)
        divide.launch(1, 1, (numbers, divisor, quotients, numbers.size))
        np.testing.assert_array_equal(quotients, numbers // divisor, err_msg=str(divisor))
