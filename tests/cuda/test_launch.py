"""Launching CUDA kernels: what would read or write foreign memory, or pass wrong bytes, is refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigan_kernels.cuda import compiler, driver, launch, signature

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
TEXT = """
extern "C" __global__ __launch_bounds__(THREADS) void kernel(
    const real* __restrict__ x,  // (rows, columns)
    const double* scalars, long long* __restrict__ first, int count, real slope, double rate, long long total) {
}
extern "C" __global__ void nothing() {}
extern "C" __global__ void textures(cudaTextureObject_t picture) {}
"""


class DeviceArray(np.ndarray):
    """Stands for CuPy's array here, where nothing is launched: CuPy's own refusals are tested in test_standin.py."""


def device(values: Any, dtype: Any = np.float32) -> Any:
    return np.asarray(values, dtype).view(DeviceArray)


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """What was launched: (grid, block, arguments, shared bytes)."""
    calls: list[tuple[Any, ...]] = []
    functions = SimpleNamespace(get_function=lambda name: lambda *a, shared_mem: calls.append((*a, shared_mem)))
    library = SimpleNamespace(ndarray=DeviceArray, empty=lambda shape, dtype: np.empty(shape, dtype).view(DeviceArray))
    monkeypatch.setattr(driver, "cupy_module", lambda: library)
    monkeypatch.setattr(compiler, "load_module", lambda *_: functions)
    monkeypatch.setattr(compiler, "full_source", lambda *_: TEXT)
    return calls


KERNEL = "the CUDA kernel kernel takes"
GOOD = {
    "x": device([[1, 2], [3, 4]]), "scalars": device([1], np.float64), "first": device([1], np.int64), "count": 4,
    "slope": np.float32(0.2), "rate": np.float64(0.1), "total": np.int64(2**40),
}  # fmt: skip


def start(grid: Any = 1, block: Any = 32, shared_bytes: int = 0, **changes: Any) -> None:
    launch.Kernel("kernel.cu", "kernel").launch(
        FLOAT32, grid, block, *(GOOD | changes).values(), shared_bytes=shared_bytes
    )


def test_arguments_arrive_as_they_are_declared(launched: list) -> None:
    start((3, 2), (8, 4), shared_bytes=256)
    ((grid, block, arguments, shared_bytes),) = launched
    assert (grid, block, shared_bytes) == ((3, 2, 1), (8, 4, 1), 256)
    assert [type(a) for a in arguments[3:]] == [np.int32, np.float32, np.float64, np.int64]
    assert all(a is GOOD[name] for a, name in zip(arguments, ("x", "scalars", "first"), strict=False))


def test_none_is_the_null_pointer(launched: list) -> None:
    start(x=None)
    ((_, _, arguments, _),) = launched
    assert type(arguments[0]) is np.uint64 and arguments[0] == 0


def test_real_follows_the_dtype(launched: list) -> None:
    kernel = launch.Kernel("kernel.cu", "kernel")
    kernel.launch(FLOAT64, 1, 32, *(GOOD | {"x": device([1], np.float64), "slope": np.float64(1)}).values())
    with pytest.raises(TypeError, match="an array in float64 for 'x', not one in float32"):
        kernel.launch(FLOAT64, 1, 32, *GOOD.values())
    assert len(launched) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x": np.zeros((2, 2), np.float32)}, f"{KERNEL} a device array for 'x', not numpy.ndarray"),
        ({"x": 3}, f"{KERNEL} a device array for 'x', not int"),
        ({"x": device([1], np.float64)}, f"{KERNEL} an array in float32 for 'x', not one in float64"),
        ({"scalars": device([1])}, f"{KERNEL} an array in float64 for 'scalars', not one in float32"),
        ({"first": device([1], np.int32)}, f"{KERNEL} an array in int64 for 'first', not one in int32"),
        ({"x": GOOD["x"].T}, f"{KERNEL} a row-major array for 'x', not one with strides (4, 8)"),
        ({"count": 4.0}, f"{KERNEL} a Python integer for 'count', not float"),
        ({"count": np.int64(4)}, f"{KERNEL} a Python integer for 'count', not numpy.int64"),
        ({"count": None}, f"{KERNEL} a Python integer for 'count', not NoneType"),
        (
            {"count": 2**31},
            f"{KERNEL} an integer of 32 bits for 'count', and 2,147,483,648 needs more: use a smaller batch",
        ),
        ({"slope": 0.2}, f"{KERNEL} a NumPy scalar of type float32 for 'slope', not float"),
        ({"slope": np.float64(0.2)}, f"{KERNEL} a NumPy scalar of type float32 for 'slope', not numpy.float64"),
        ({"rate": np.float32(0.2)}, f"{KERNEL} a NumPy scalar of type float64 for 'rate', not numpy.float32"),
        ({"total": 3}, f"{KERNEL} a NumPy scalar of type int64 for 'total', not int"),
    ],
)
def test_an_unsuitable_argument_is_refused(change: dict[str, Any], expected: str, launched: list) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        start(**change)
    assert str(caught.value) == expected
    assert not launched


def test_an_array_with_its_strides_is_taken_as_it_is(launched: list) -> None:
    start(x=launch.Strided(GOOD["x"].T))
    ((_, _, arguments, _),) = launched
    assert arguments[0].strides == (4, 8)
    with pytest.raises(TypeError, match=r"a device array for 'x', not numpy\.ndarray"):
        start(x=launch.Strided(np.zeros(3, np.float32)))
    with pytest.raises(TypeError, match="an array in float32 for 'x', not one in float64"):
        start(x=launch.Strided(device([1], np.float64)))
    assert len(launched) == 1


def test_a_huge_array_is_refused(launched: list) -> None:
    """With strides of 0, so that it takes no memory; NumPy calls it row-major if one extent alone exceeds 1."""
    size = 2**31 - 2**16 + 1
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (size,), (4,)).view(DeviceArray)
    with pytest.raises(ValueError, match=r"up to 2,147,418,112 elements, and 'x' has 2,147,418,113: use a smaller"):
        start(x=huge)
    assert not launched


def test_too_few_arguments_are_refused(launched: list) -> None:
    with pytest.raises(TypeError, match="kernel takes 7 arguments, not 1"):
        launch.Kernel("kernel.cu", "kernel").launch(FLOAT32, 1, 1, GOOD["x"])
    assert not launched


@pytest.mark.parametrize("grid", [0, (3, 0), (1, 1, 0)])
def test_an_empty_grid_launches_nothing(grid: Any, launched: list) -> None:
    start(grid)
    assert not launched


@pytest.mark.parametrize("grid", [0, 1])
def test_arguments_are_checked_for_an_empty_grid_too(grid: int) -> None:
    with pytest.raises(TypeError):
        start(grid, slope=0.2)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"grid": 2**31}, "would need a grid of (2147483648, 1, 1) blocks; CUDA allows (2147483647, 65535, 65535)"),
        ({"grid": (1, 65_536)}, "would need a grid of (1, 65536, 1) blocks"),
        ({"grid": (1, 1, 65_536)}, "would need a grid of (1, 1, 65536) blocks"),
        ({"grid": -1}, "would need a grid of (-1, 1, 1) blocks"),
        ({"block": 1025}, "cannot run blocks of (1025, 1, 1) threads; CUDA allows 1 to 1024"),
        ({"block": (32, 32, 2)}, "cannot run blocks of (32, 32, 2) threads"),
        ({"block": 0}, "cannot run blocks of (0, 1, 1) threads"),
        ({"shared_bytes": 49_153}, "would need 49,153 bytes of shared memory, and a block has 49,152"),
    ],
)
def test_limits(limits: dict[str, Any], expected: str, launched: list) -> None:
    with pytest.raises(ValueError, match="the CUDA kernel kernel") as caught:
        start(**limits)
    assert expected in str(caught.value)
    assert not launched


def test_the_largest_launch_is_allowed(launched: list) -> None:
    start((2**31 - 1, 65_535, 65_535), (16, 64), shared_bytes=49_152)
    assert len(launched) == 1


def test_a_compiled_kernel_is_loaded_once_for_each_dtype_and_set_of_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(*key: Any) -> Any:
        loaded.append(key)
        return SimpleNamespace(get_function=lambda _: lambda *a, shared_mem: None)

    monkeypatch.setattr(compiler, "load_module", load)
    kernel = launch.Kernel("kernel.cu", "nothing")
    for dtype, constants in [(FLOAT32, {}), (FLOAT32, {"TILE": 8}), (FLOAT32, {"TILE": 8}), (FLOAT64, {"TILE": 8})]:
        kernel.launch(dtype, 1, 1, **constants)
    assert loaded == [
        ("kernel.cu", FLOAT32, ()), ("kernel.cu", FLOAT32, (("TILE", 8),)), ("kernel.cu", FLOAT64, (("TILE", 8),)),
    ]  # fmt: skip


def test_parameters_are_read_from_the_declaration() -> None:
    assert [(p.name, p.type, p.is_pointer) for p in signature.parameters(TEXT, "kernel")] == [
        ("x", "real", True), ("scalars", "double", True), ("first", "long long", True), ("count", "int", False),
        ("slope", "real", False), ("rate", "double", False), ("total", "long long", False),
    ]  # fmt: skip
    assert signature.parameters(TEXT, "nothing") == ()
    with pytest.raises(LookupError, match="there is no extern"):
        signature.parameters(TEXT, "missing")
    with pytest.raises(TypeError, match="'cudaTextureObject_t picture', which nothing can be passed for"):
        signature.parameters(TEXT, "textures")


def test_blocks_for() -> None:
    assert [launch.blocks_for(n, 256) for n in (0, 1, 256, 257)] == [0, 1, 1, 2]


def test_results_are_written_to_suitable_memory_only() -> None:
    out = device(np.zeros((2, 3)))
    assert launch.output_array((2, 3), FLOAT32, out) is out
    assert launch.output_array((2, 3), FLOAT32).shape == (2, 3)
    expected = r"a result of shape \(2, 3\) in float32 needs row-major memory of that shape and type, not an array of "
    with pytest.raises(ValueError, match=expected + r"shape \(3, 2\) in float32"):
        launch.output_array((2, 3), FLOAT32, device(np.zeros((3, 2))))
    with pytest.raises(ValueError, match=expected + r"shape \(2, 3\) in float64"):
        launch.output_array((2, 3), FLOAT32, device(np.zeros((2, 3)), np.float64))
    with pytest.raises(ValueError, match=r"strides \(4, 8\)"):
        launch.output_array((2, 3), FLOAT32, device(np.zeros((3, 2))).T)
