"""The stand-in's device: what CuPy and CUDA refuse is refused, captured work is bit-identical, freed memory is poison.

Its arrays are tested in test_standin_arrays.py.
"""

from __future__ import annotations

import gc
import importlib.machinery
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import cupy_standin
from support.cuda_cpu import build
from support.environment import WITHOUT_COMPILER

with cupy_standin.importable() as cp:
    from cupy._array import words
    from cupy._standin import NAMES, WrittenOutsideError, count_synchronisations

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason=WITHOUT_COMPILER)

KERNELS = """
extern "C" __global__ void scale(const float* x, float factor, float* out, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = x[i] * factor;
}
extern "C" __global__ void types(double d, int i, long long q, float* out) {
    out[0] = d + i + q;
}
extern "C" __global__ void write_at(float* out, int at, float value) {
    if (threadIdx.x == 0 && blockIdx.x == 0) out[at] = value;
}
extern "C" __global__ void copy_from(const float* x, int at, float* out) {
    out[0] = x[at];
}
extern "C" __global__ void last_writer(float* out) {
    out[0] = threadIdx.x;
}
extern "C" __global__ void count_blocks(int* out) {
    out[0] += 1;
}
extern "C" __global__ void sum_shared(float* out) {
    extern __shared__ float values[];
    values[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0;
        for (int i = 0; i < blockDim.x; ++i) sum += values[i];
        out[0] = sum;
    }
}
"""


@pytest.fixture(autouse=True)
def _importable(standin: ModuleType) -> None:
    assert standin is cp


@pytest.fixture(scope="module")
def module() -> Any:
    with cupy_standin.importable():
        loaded = cp.cuda.Module()
        loaded.load(_compiled(KERNELS))
        return loaded


def _compiled(source: str, *options: str) -> bytes:
    nvrtc = cp.cuda.nvrtc
    program = nvrtc.createProgram(source, "tests.cu", (), ())
    try:
        nvrtc.compileProgram(program, ("-std=c++17", "-arch=sm_90", *options))
        return nvrtc.getCUBIN(program)
    finally:
        nvrtc.destroyProgram(program)


@pytest.fixture
def pool() -> Any:
    return cp.cuda.MemoryPool()


@pytest.fixture
def stream() -> Any:
    return cp.cuda.Stream(non_blocking=True)


def _captured(stream: Any, work: Callable[[], Any]) -> tuple[Any, Any]:
    """(the graph of `work`, what `work` returned)."""
    with stream:
        stream.begin_capture()
        try:
            result = work()
        finally:
            graph = stream.end_capture()
    return graph, result


# Names.

LIST_NAMES = """
import cupy, inspect, json
modules = ["runtime", "driver", "nvrtc", "memory", "device", "stream", "graph", "function"]
found = {"": dir(cupy), "ndarray": dir(cupy.ndarray), "cuda": dir(cupy.cuda)}
for name in modules:
    module = getattr(cupy.cuda, name)
    found[name] = dir(module)
    for key, value in vars(module).items():
        if inspect.isclass(value):
            found[name + "." + key] = dir(value)
print(json.dumps(found))
"""
# What the stand-in's modules have beside CuPy's names: what they import, and what only the stand-in needs.
OWN_NAMES = words(
    """
    annotations Any Callable Iterator Path cache contextmanager dataclass field gc hashlib itertools math np os re
    tempfile time weakref ndarray current Current Launches Capture graph runtime MEMORY DEVICE_ID record_work
    record_synchronisation CUDADriverError Segment WrittenOutsideError Allocator Place DEFAULT_POOL GUARD UNIT
    RUNTIME_VERSION using_allocator require_device synchronise_device capturing from_capture
    """
)
OWN_ATTRIBUTES = {
    "BaseMemory": {"segment", "check", "mem", "offset"},
    "MemoryPointer": {"offset"},
    "MemoryPool": {"memory", "take_back"},
    "Function": {"module", "name", "kernel"},
    "PooledMemory": {"free", "pool"},
}


@pytest.fixture(scope="module")
def real() -> dict[str, list[str]]:
    """The names of the real CuPy, which need not find a device."""
    path = [entry for entry in sys.path if entry != cupy_standin.FOLDER]
    if importlib.machinery.PathFinder.find_spec("cupy", path) is None:
        pytest.skip("needs CuPy to compare the names with")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run([sys.executable, "-c", LIST_NAMES], capture_output=True, text=True, env=environment)
    if done.returncode:
        pytest.skip(f"CuPy cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def test_the_lists_of_names_are_those_of_the_real_cupy(real: dict[str, list[str]]) -> None:
    assert set(NAMES["module"]) - set(real[""]) == set()
    assert set(NAMES["ndarray"]) - set(real["ndarray"]) == set()


@pytest.mark.parametrize("name", ["runtime", "driver", "nvrtc", "memory", "device", "stream", "graph", "function"])
def test_the_names_of_cuda_are_those_of_the_real_cupy(real: dict[str, list[str]], name: str) -> None:
    module = getattr(cp.cuda, name)
    assert _public(vars(module)) - set(real[name]) - OWN_NAMES == set()
    for key, value in vars(module).items():
        if inspect.isclass(value) and f"{name}.{key}" in real:
            attributes = {n for base in value.__mro__[:-1] for n in _public(vars(base))}
            own = {n for base in value.__mro__ for n in OWN_ATTRIBUTES.get(base.__name__, ())}
            assert attributes - set(real[f"{name}.{key}"]) - own == set(), key


def test_cuda_itself_has_no_name_of_its_own(real: dict[str, list[str]]) -> None:
    assert set(cp.cuda.__all__) <= set(real["cuda"])


def _public(names: Any) -> set[str]:
    return {name for name in names if not name.startswith("_")}


# Machines without a device.


@pytest.mark.parametrize(
    ("machine", "driver_version", "error"),
    [
        ("no-driver", 0, "cudaErrorInsufficientDriver"),
        ("old-driver", 12_040, "cudaErrorInsufficientDriver"),
        ("no-device", 13_020, "cudaErrorNoDevice"),
    ],
)
def test_a_machine_without_a_device(
    machine: str, driver_version: int, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUPY_STANDIN", machine)
    runtime = cp.cuda.runtime
    assert runtime.driverGetVersion() == driver_version
    assert runtime.runtimeGetVersion() == 13_020
    assert not cp.is_available()
    for call in (runtime.getDeviceCount, runtime.memGetInfo, cp.cuda.Device, lambda: cp.zeros(10**6), cp.cuda.Stream):
        with pytest.raises(runtime.CUDARuntimeError, match=error):
            call()


def test_an_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPY_STANDIN", "quantum")
    with pytest.raises(ValueError, match="CUPY_STANDIN is 'quantum'"):
        cp.cuda.runtime.getDeviceCount()


# Compiling.


@needs_compiler
def test_a_source_with_an_error_is_refused_with_a_log() -> None:
    nvrtc = cp.cuda.nvrtc
    program = nvrtc.createProgram('extern "C" __global__ void k(int n) { n = undeclared; }', "broken.cu", (), ())
    with pytest.raises(nvrtc.NVRTCError, match="NVRTC_ERROR_COMPILATION"):
        nvrtc.compileProgram(program, ("-arch=sm_90",))
    assert "error" in nvrtc.getProgramLog(program)
    with pytest.raises(nvrtc.NVRTCError):
        nvrtc.getCUBIN(program)
    nvrtc.destroyProgram(program)
    with pytest.raises(nvrtc.NVRTCError):
        nvrtc.getProgramLog(program)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(cp.cuda.nvrtc.NVRTCError, match="NVRTC_ERROR_INVALID_OPTION"):
        _compiled(KERNELS, "-O3-please")


def test_headers_are_refused() -> None:
    with pytest.raises(NotImplementedError):
        cp.cuda.nvrtc.createProgram(KERNELS, "tests.cu", (b"",), ("cuda.h",))


def test_the_compilers_version_changes_with_the_shim(monkeypatch: pytest.MonkeyPatch) -> None:
    nvrtc, before = cp.cuda.nvrtc, cp.cuda.nvrtc.getVersion()
    assert nvrtc.getVersion() == before
    monkeypatch.setattr("cupy._shim.identity", lambda: b"another")
    nvrtc.getVersion.cache_clear()
    try:
        assert nvrtc.getVersion() != before
    finally:
        nvrtc.getVersion.cache_clear()


def test_what_is_no_compiled_code_is_refused() -> None:
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_IMAGE"):
        cp.cuda.Module().load(b"cubin")


@needs_compiler
def test_an_unknown_kernel_is_refused(module: Any) -> None:
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="CUDA_ERROR_NOT_FOUND"):
        module.get_function("absent")


# Launching.


@needs_compiler
def test_a_kernel_computes(module: Any) -> None:
    x = cp.asarray(np.arange(1000, dtype=np.float32))
    out = cp.empty_like(x)
    module.get_function("scale")((4,), (256,), (x, np.float32(2), out, np.int32(1000)))
    np.testing.assert_array_equal(out.get(), np.arange(1000, dtype=np.float32) * 2)


@needs_compiler
def test_arguments_pass_by_their_bytes(module: Any) -> None:
    out = cp.empty(1, np.float32)
    module.get_function("types")((1,), (1,), (0.5, np.int32(2), 40, out))  # Python: a double and 64 bits
    assert out.item() == 42.5


@needs_compiler
@pytest.mark.parametrize(
    ("kernel", "position", "wrong"),
    [
        ("scale", 1, 2.0),  # a double for a float
        ("scale", 1, np.float64(2)),
        ("scale", 3, 4),  # 64 bits for an int
        ("scale", 3, np.int64(4)),
        ("scale", 3, True),
        ("types", 1, 2),
        ("types", 0, np.float32(2)),
        ("types", 2, np.int32(2)),
        ("scale", 0, None),
        ("scale", 0, np.ones(4, np.float32)),
        ("scale", 0, [1.0]),
        ("scale", 0, "double"),
    ],
)
def test_wrong_arguments_are_refused(module: Any, kernel: str, position: int, wrong: Any) -> None:
    array = cp.ones(4, np.float32)
    right = {
        "scale": [array, np.float32(2), array, np.int32(4)],
        "types": [np.float64(1), np.int32(2), np.int64(3), array],
    }[kernel]
    module.get_function(kernel)((1,), (4,), tuple(right))
    right[position] = array.astype(np.float64) if isinstance(wrong, str) else wrong
    with pytest.raises(TypeError):
        module.get_function(kernel)((1,), (4,), tuple(right))


@needs_compiler
def test_strides_are_ignored(module: Any) -> None:
    x = cp.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    out = cp.empty(6, np.float32)
    module.get_function("scale")((1,), (32,), (x.T, np.float32(1), out, np.int32(6)))
    np.testing.assert_array_equal(out.get(), np.arange(6))


@needs_compiler
@pytest.mark.parametrize(
    ("grid", "block", "shared"),
    [
        ((2**31,), (1,), 0),
        ((1, 65_536), (1,), 0),
        ((1, 1, 65_536), (1,), 0),
        ((1,), (1025,), 0),
        ((1,), (32, 33), 0),
        ((1,), (1, 1, 65), 0),
        ((1,), (1,), 48 * 1024 + 1),
    ],
)
def test_launches_over_a_limit_are_refused(module: Any, grid: tuple, block: tuple, shared: int) -> None:
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_VALUE"):
        module.get_function("last_writer")(grid, block, (cp.empty(1, np.float32),), shared_mem=shared)


@needs_compiler
def test_an_empty_grid_runs_one_block(module: Any) -> None:
    out = cp.zeros(1, np.int32)
    module.get_function("count_blocks")((0,), (1,), (out,))
    assert out.item() == 1


@needs_compiler
def test_shared_memory_is_what_the_launch_asks_for(module: Any) -> None:
    out = cp.empty(1, np.float32)
    module.get_function("sum_shared")((1,), (64,), (out,), shared_mem=256)
    assert out.item() == 63 * 32
    with pytest.raises(RuntimeError):
        module.get_function("sum_shared")((1,), (64,), (out,), shared_mem=128)


@needs_compiler
@pytest.mark.parametrize("at", [-1, -64, 6, 7, 60])
def test_a_write_outside_of_an_array_is_found(module: Any, at: int) -> None:
    out = cp.zeros(6, np.float32)
    with pytest.raises(WrittenOutsideError, match="the kernel write_at wrote outside an array of 24 bytes"):
        module.get_function("write_at")((1,), (1,), (out, np.int32(at), np.float32(1)))
    module.get_function("write_at")((1,), (1,), (out, np.int32(5), np.float32(1)))
    assert out.tolist() == [0, 0, 0, 0, 0, 1]


@needs_compiler
def test_a_nan_written_outside_is_found(module: Any) -> None:
    """Copied poison is not taken for untouched poison: each array has another NaN around it."""
    x, out = cp.zeros(6, np.float32), cp.zeros(6, np.float32)
    with pytest.raises(WrittenOutsideError):
        module.get_function("scale")((1,), (32,), (x, np.float32(1), out, np.int32(7)))


@needs_compiler
def test_a_write_into_an_empty_array_is_found(module: Any) -> None:
    with pytest.raises(WrittenOutsideError, match="wrote into an empty array"):
        module.get_function("write_at")((1,), (1,), (cp.zeros(0, np.float32), np.int32(0), np.float32(1)))


@needs_compiler
@pytest.mark.parametrize("dtype", [np.float32])
@pytest.mark.parametrize("at", [-1, 6, 40])
def test_a_read_outside_of_an_array_gives_nan(module: Any, at: int, dtype: type) -> None:
    x, out = cp.zeros(6, dtype), cp.zeros(1, dtype)
    module.get_function("copy_from")((1,), (1,), (x, np.int32(at), out))
    assert np.isnan(out.item())


@needs_compiler
def test_the_order_of_threads_changes_from_launch_to_launch(module: Any) -> None:
    out, found = cp.empty(1, np.float32), set()
    for _ in range(20):
        module.get_function("last_writer")((1,), (64,), (out,))
        found.add(out.item())
    assert len(found) > 5


# Memory.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: cp.empty((3, 5), dtype),
        lambda dtype: cp.empty_like(cp.zeros(7, dtype)),
        lambda dtype: cp.ndarray(4, dtype),
    ],
)
def test_new_memory_is_nan(make: Callable, dtype: str) -> None:
    assert np.isnan(make(dtype).get()).all()


def test_memory_is_aligned() -> None:
    assert {cp.zeros(n, np.float32).data.ptr % 512 for n in (1, 3, 1000)} == {0}


def test_freed_memory_is_poisoned_and_reused(pool: Any) -> None:
    with cp.cuda.using_allocator(pool.malloc):
        a = cp.ones(100, np.float32)
        raw, address = a._data, a.data.ptr
        view = a[10:20]
        del a
        assert (raw == 1).all()  # the view keeps it
        del view
        assert np.isnan(raw).all()
        b = cp.empty(90, np.float32)
        assert b.data.ptr == address
        assert np.isnan(b.get()).all()
        b[...] = 7
        assert (raw[:90] == 7).all()


def test_a_pool_counts_its_memory(pool: Any) -> None:
    with cp.cuda.using_allocator(pool.malloc):
        a, b = cp.zeros(100, np.float32), cp.zeros(1000, np.float64)
        assert (pool.used_bytes(), pool.total_bytes(), pool.free_bytes()) == (512 + 8192, 512 + 8192, 0)
        del a
        assert (pool.used_bytes(), pool.free_bytes(), pool.n_free_blocks()) == (8192, 512, 1)
        free, _ = cp.cuda.runtime.memGetInfo()
        pool.free_all_blocks()
        assert (pool.total_bytes(), pool.n_free_blocks()) == (8192, 0)
        assert cp.cuda.runtime.memGetInfo()[0] == free + 512
        assert (b.get() == 0).all()


def test_the_best_fit_is_reused(pool: Any) -> None:
    with cp.cuda.using_allocator(pool.malloc):
        arrays = [cp.zeros(n * 1024, np.uint8) for n in (8, 4, 3)]
        address = arrays[1].data.ptr
        arrays.clear()
        keep = cp.zeros(3 * 1024, np.uint8)
        assert cp.zeros(7 * 512, np.uint8).data.ptr == address
        assert keep.data.ptr != address


def test_memory_of_arrays_in_a_reference_cycle_goes_back_to_its_pool(pool: Any) -> None:
    with cp.cuda.using_allocator(pool.malloc):
        cycle: list[Any] = [cp.zeros(5)]
        cycle.append(cycle)
        address = cycle[0].data.ptr
        del cycle
        gc.collect()
        again = cp.zeros(5)
    assert again.data.ptr == address
    assert not again.data.mem.segment.released


def test_too_much_memory_is_refused_with_the_bytes_asked_for(pool: Any) -> None:
    pool.set_limit(10_000)
    assert pool.get_limit() == 10_000
    with cp.cuda.using_allocator(pool.malloc):
        cp.zeros(1000, np.float64)
        kept = cp.zeros(9000, np.uint8)  # only once the first block has gone back to the device
        message = r"allocating 1,024 bytes \(allocated so far: 9,216 bytes, limit set to: 10,000 bytes\)"
        with pytest.raises(cp.cuda.memory.OutOfMemoryError, match=message):
            cp.zeros(1000, np.uint8)
        assert kept.size == 9000
    assert isinstance(cp.cuda.memory.OutOfMemoryError(1, 2), MemoryError)


def test_the_device_has_as_much_memory_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    cp.get_default_memory_pool().free_all_blocks()
    total = cp.cuda.runtime.memGetInfo()[1] - cp.cuda.runtime.memGetInfo()[0] + 100_000
    monkeypatch.setenv("CUPY_STANDIN_MEMORY", str(total))
    assert cp.cuda.Device().mem_info == (100_000, total)
    with pytest.raises(cp.cuda.memory.OutOfMemoryError, match="allocating 100,352 bytes"):
        cp.zeros(100_001, np.uint8)
    cp.zeros(90_000, np.uint8)


@pytest.mark.parametrize("arguments", [{}, {"size": 1, "fraction": 0.5}, {"size": -1}, {"fraction": 2.0}])
def test_limits_that_are_none_are_refused(pool: Any, arguments: dict) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        pool.set_limit(**arguments)


def test_allocators_nest_and_are_restored(pool: Any) -> None:
    other, default = cp.cuda.MemoryPool(), cp.cuda.get_allocator()
    assert default == cp.get_default_memory_pool().malloc
    with cp.cuda.using_allocator(pool.malloc):
        with cp.cuda.using_allocator(other.malloc):
            a = cp.zeros(5)
        b = cp.zeros(5)
        assert cp.cuda.get_allocator() == pool.malloc
        with pytest.raises(ValueError, match="inside `using_allocator`"):
            cp.cuda.set_allocator(None)
    assert (other.used_bytes(), pool.used_bytes()) == (512, 512)
    assert cp.cuda.get_allocator() == default
    cp.cuda.set_allocator(pool.malloc)
    c = cp.zeros(5)
    cp.cuda.set_allocator(default)
    assert pool.used_bytes() == 1024
    del a, b, c


def test_an_array_lies_where_it_is_told(pool: Any) -> None:
    memory = pool.malloc(1024)
    one = cp.ndarray((4,), np.float32, memptr=memory)
    two = cp.ndarray((4,), np.float32, memptr=memory + 512)
    one[...], two[...] = 1, 2
    assert (one.data.ptr, two.data.ptr) == (memory.ptr, memory.ptr + 512)
    assert (one.tolist(), two.tolist()) == ([1] * 4, [2] * 4)
    assert two[2:].data.ptr == memory.ptr + 520
    assert cp.zeros(0).data.ptr == 0


def test_bases_are_the_arrays_that_views_share() -> None:
    a = cp.zeros((4, 6))
    assert a.base is None
    assert a.reshape(6, 4).T[1:].base is a
    assert cp.split(a, 2)[1].base is a
    assert (a + 1).base is None


# Capture.


def _step(x: Any, w: Any, out: Any) -> Any:
    """Operations of each kind: new arrays, views, in place, reductions, a scatter, an index array, an upload of 0-d."""
    y = cp.exp(x[1:] * 0.5) + w
    y -= y.mean(axis=0, keepdims=True)
    halves = cp.split(y, 2)
    z = cp.concatenate([halves[1], halves[0] * cp.asarray(3.0)])
    z[0] = 5
    z[:, 1:] *= 2
    picked = z[cp.argmax(z, axis=0)]
    cp.add.at(w, (cp.argmin(z, axis=1),), 1.0)
    cp.clip(picked, -1, 1, out)
    out.fill(0) if x.size == 0 else cp.copyto(out, cp.where(out > 0, out, picked))
    return z.sum(axis=1), cp.divmod(z, 2.0)[1], out.astype(np.float64)


def _step_arrays() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(3)
    shapes = ((5, 4), (4, 4), (4, 4))
    return tuple(cp.asarray(rng.standard_normal(shape).astype(np.float32)) for shape in shapes)  # type: ignore


def test_a_graph_computes_the_same_bits_as_eager(stream: Any, pool: Any) -> None:
    eager, captured = _step_arrays(), _step_arrays()
    with cp.cuda.using_allocator(pool.malloc):
        graph, results = _captured(stream, lambda: _step(*captured))
    for step in range(3):
        expected = _step(*eager)
        graph.launch(stream)
        for one, two in zip((*results, *captured), (*expected, *eager), strict=True):
            assert one.get().tobytes() == two.get().tobytes()
        eager[0][...] = captured[0][...] = step  # a graph sees what its arrays hold when it is launched


def test_nothing_is_executed_while_captured(stream: Any) -> None:
    arrays = _step_arrays()
    before = [a.get() for a in arrays]
    _, results = _captured(stream, lambda: _step(*arrays))
    for a, bits in zip(arrays, before, strict=True):
        assert a.get().tobytes() == bits.tobytes()
    for result in results:
        assert np.isnan(result.get()).all()


@needs_compiler
def test_kernels_are_captured(module: Any, stream: Any) -> None:
    x, out = cp.ones(4, np.float32), cp.zeros(4, np.float32)
    scale = module.get_function("scale")
    graph, _ = _captured(stream, lambda: scale((1,), (4,), (x, np.float32(3), out, np.int32(4))))
    assert out.tolist() == [0] * 4
    x[...] = 2
    graph.launch()
    assert out.tolist() == [6] * 4
    with pytest.raises(TypeError):
        _captured(stream, lambda: scale((1,), (4,), (x, 3.0, out, np.int32(4))))


HOST = np.arange(6, dtype=np.float32)
READS = {
    "get": lambda a: a.get(),
    "asnumpy": lambda a: cp.asnumpy(a),
    "item": lambda a: a.item(0),
    "tolist": lambda a: a.tolist(),
    "bool": lambda a: bool(a[0]),
    "float": lambda a: float(a[0]),
    "int": lambda a: int(a[0]),
    "repr": lambda a: repr(a),
    "format": lambda a: f"{a}",
    "mask": lambda a: a[a > 2],
    "assignment by mask": lambda a: a.__setitem__(a > 2, 0.0),
    "nonzero": lambda a: cp.nonzero(a),
    "unique": lambda a: cp.unique(a),
    "where with one argument": lambda a: cp.where(a),
    "sort": lambda a: cp.sort(a),
    "argsort in a method": lambda a: a.argsort(),
    "synchronise the stream": lambda a: cp.cuda.get_current_stream().synchronize(),
    "synchronise the device": lambda a: cp.cuda.Device().synchronize(),
    "synchronise by the runtime": lambda a: cp.cuda.runtime.deviceSynchronize(),
    "an event": lambda a: cp.cuda.get_current_stream().record().synchronize(),
}
UPLOADS = {
    "asarray": lambda a: cp.asarray(HOST),
    "array of a list": lambda a: cp.array([1.0, 2.0]),
    "set": lambda a: a.set(HOST),
    "the table of a concatenation": lambda a: cp.concatenate([a] * 9),
    "the table of a stack": lambda a: cp.stack([a] * 9),
    "the table of a nested list": lambda a: cp.array([a] * 9),
}


@pytest.mark.parametrize("name", [*READS, *UPLOADS])
def test_what_no_capture_allows_is_refused_and_the_capture_lost(stream: Any, name: str) -> None:
    a = cp.asarray(HOST)
    runtime = cp.cuda.runtime
    with stream:
        stream.begin_capture()
        with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
            (READS | UPLOADS)[name](a)
        with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
            stream.end_capture()
        assert not stream.is_capturing()
    assert a.tolist() == HOST.tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda a: a @ a,
        lambda a: cp.matmul(a, a),
        lambda a: np.matmul(a, a),
        lambda a: cp.dot(a, a),
        lambda a: a.dot(a),
        lambda a: cp.tensordot(a, a, 1),
        lambda a: cp.einsum("i,i->", a, a),
    ],
)
def test_cublas_is_refused_while_captured(stream: Any, call: Callable) -> None:
    a = cp.asarray(HOST)
    with stream:
        stream.begin_capture()
        with pytest.raises(NotImplementedError, match="cuBLAS"):
            call(a)
        stream.end_capture()


def test_eight_arrays_are_joined_without_an_upload(stream: Any) -> None:
    a = cp.asarray(HOST)
    graph, joined = _captured(stream, lambda: (cp.concatenate([a] * 8), cp.stack([a] * 8), cp.array([a] * 8)))
    graph.launch()
    np.testing.assert_array_equal(joined[1].get(), np.stack([HOST] * 8))


def test_a_capture_is_refused_where_there_is_none(stream: Any) -> None:
    runtime = cp.cuda.runtime
    with pytest.raises(RuntimeError, match=r"cannot capture on the default \(legacy\) stream"):
        cp.cuda.Stream.null.begin_capture()
    with pytest.raises(runtime.CUDARuntimeError):
        stream.end_capture()
    stream.begin_capture()
    with pytest.raises(runtime.CUDARuntimeError):
        stream.begin_capture()
    stream.end_capture()
    with pytest.raises(NotImplementedError):
        cp.cuda.Graph()


def test_only_the_work_of_the_capturing_stream_is_captured(stream: Any) -> None:
    a = cp.zeros(3)
    stream.begin_capture()
    a += 1  # on the default stream
    with stream:
        a += 10
    graph = stream.end_capture()
    assert a.tolist() == [1] * 3
    graph.launch()
    assert a.tolist() == [11] * 3


def test_the_default_stream_is_refused_while_a_blocking_stream_captures() -> None:
    blocking, a = cp.cuda.Stream(), cp.zeros(3)
    blocking.begin_capture()
    for work in (lambda: a + 1, lambda: a.fill(1), lambda: a.get()):
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureImplicit"):
            work()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="Invalidated"):
        blocking.end_capture()
    assert (a + 1).tolist() == [1] * 3


def test_new_memory_is_refused_unless_the_capture_is_relaxed(stream: Any, pool: Any) -> None:
    runtime = cp.cuda.runtime
    with stream, cp.cuda.using_allocator(pool.malloc):
        for mode in (runtime.streamCaptureModeGlobal, runtime.streamCaptureModeThreadLocal):
            stream.begin_capture(mode)
            with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
                cp.empty(5)
            with pytest.raises(runtime.CUDARuntimeError):
                stream.end_capture()
        cp.empty(5)
        stream.begin_capture(runtime.streamCaptureModeGlobal)
        cp.empty(5)  # the pool has it
        stream.end_capture()


def test_a_graph_can_be_captured_into_another(stream: Any) -> None:
    a = cp.zeros(3)
    inner, _ = _captured(stream, lambda: a.__iadd__(1))

    def twice() -> None:
        inner.launch()
        inner.launch(stream)

    outer, _ = _captured(stream, twice)
    assert a.tolist() == [0] * 3
    outer.launch()
    assert a.tolist() == [2] * 3


def test_a_graph_does_not_own_its_memory(stream: Any, pool: Any) -> None:
    """Memory that is handed to somebody else is written by the next launch, and what they write is read by it."""
    x, out = cp.asarray(HOST), cp.zeros(6, np.float32)
    with cp.cuda.using_allocator(pool.malloc):
        held = [x * 10]

        def work() -> None:
            doubled = x * 2  # its memory is free as soon as this function returns
            cp.add(doubled, held[0], out=out)

        graph, _ = _captured(stream, work)
    graph.launch()
    expected = HOST * 12
    assert out.tolist() == expected.tolist()
    with cp.cuda.using_allocator(pool.malloc):
        others = cp.ones(6, np.float32)
    graph.launch()
    assert others.tolist() == (HOST * 2).tolist()
    assert out.tolist() == expected.tolist()  # each launch writes this memory before it reads it
    held.clear()
    with cp.cuda.using_allocator(pool.malloc):
        others = cp.ones(6, np.float32)
    graph.launch()
    assert out.tolist() != expected.tolist()


def test_a_graph_on_memory_given_back_to_the_device_is_refused(stream: Any, pool: Any) -> None:
    x = cp.asarray(HOST)
    with cp.cuda.using_allocator(pool.malloc):
        graph, result = _captured(stream, lambda: x + 1)
    graph.launch()
    del result
    pool.free_all_blocks()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorIllegalAddress"):
        graph.launch()


def test_a_graph_on_a_pool_that_is_gone_is_refused(stream: Any) -> None:
    x, pool = cp.asarray(HOST), cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        graph, result = _captured(stream, lambda: x + 1)
    del pool
    graph.launch()  # the array holds its own memory
    assert result.tolist() == (HOST + 1).tolist()
    del result
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorIllegalAddress"):
        graph.launch()


@needs_compiler
def test_a_write_outside_of_an_array_of_a_graph_is_found(module: Any, stream: Any) -> None:
    out, write_at = cp.zeros(6, np.float32), module.get_function("write_at")
    graph, _ = _captured(stream, lambda: cp.add(out, 1, out=out))
    graph.launch()
    with pytest.raises(WrittenOutsideError):
        write_at((1,), (1,), (out, np.int32(6), np.float32(1)))


@needs_compiler
def test_memory_of_several_captured_arrays_is_written_beyond_the_smaller(module: Any, stream: Any, pool: Any) -> None:
    x, write_at = cp.ones(100, np.float32), module.get_function("write_at")

    def work() -> Any:
        x * 2
        return x[:3] * 3  # in the memory of the first product

    with cp.cuda.using_allocator(pool.malloc):
        graph, small = _captured(stream, work)
    graph.launch()
    assert small.tolist() == [3] * 3
    write_at((1,), (1,), (small, np.int32(0), np.float32(1)))
    assert small.tolist() == [1, 3, 3]


# Streams and events.


def test_streams_are_current_inside_of_their_contexts(stream: Any) -> None:
    other, null = cp.cuda.Stream(), cp.cuda.Stream.null
    assert cp.cuda.get_current_stream() == null
    with stream:
        with other, stream:
            assert cp.cuda.get_current_stream() is stream
        assert cp.cuda.get_current_stream() is stream
    assert cp.cuda.get_current_stream() == null == cp.cuda.Stream(null=True)
    assert stream != other
    assert stream.is_non_blocking
    assert not other.is_non_blocking


def test_waiting_is_counted(stream: Any) -> None:
    start, end = cp.cuda.Event(), cp.cuda.Event()
    start.record(stream)
    end.record(stream)
    with count_synchronisations() as waits:
        stream.synchronize()
        cp.cuda.Device().synchronize()
        end.synchronize()
    assert waits.count == 3
    assert cp.cuda.get_elapsed_time(start, end) >= 0
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidResourceHandle"):
        cp.cuda.get_elapsed_time(start, cp.cuda.Event())


# The fixture.


def test_a_capture_left_open_fails_its_test(stream: Any) -> None:
    state = cp._standin.state()
    stream.use()
    stream.begin_capture()
    with pytest.raises(AssertionError, match="CuPy was left with"):
        cp._standin.restore(state)
    assert cp.cuda.get_current_stream() == cp.cuda.Stream.null
    cp.asarray(HOST).get()


def test_the_stand_in_is_gone_after_its_context() -> None:
    code = """
import sys
from support import cupy_standin
from minigan_kernels.cuda import driver
from minigan.core import backend
with cupy_standin.importable() as cupy:
    assert driver.find_cupy() == (cupy, "")
    assert backend.why_no_cupy() == ""
assert "cupy" not in sys.modules and cupy_standin.FOLDER not in sys.path
assert driver.find_cupy()[0] is not cupy
with cupy_standin.importable() as again:
    assert again is cupy
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p != cupy_standin.FOLDER)}
    environment.pop("MINIGAN_TEST_CUPY", None)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
