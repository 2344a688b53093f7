"""The recorded calls of a fast kernel are all that it computes: repeated on other numbers, they give its result."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import convolutions, updates
from support.environment import EXHAUSTIVE, needs_numba

import minigan_kernels
from minigan_kernels import recorded_calls
from minigan_kernels.geometry import Geometry
from minigan_kernels.packed_weights import PackedWeights

FLOATS = ["float32", "float64"]
FLIPS = list(itertools.product([False, True], repeat=2))
IMPLEMENTATIONS = ["reference", pytest.param("numba", marks=needs_numba)]
pytestmark = pytest.mark.usefixtures("winograd_however_small")


# The cases: shapes for every kernel that reach all of its compiled functions.


class Case(NamedTuple):
    """A kernel, the shapes of its arrays, and its other arguments; the class `PackedWeights` stands for an instance."""

    operation: str
    shapes: tuple[tuple[int, ...], ...]
    settings: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.operation} {self.shapes} {self.settings}"

    def draw(self, rng: np.random.Generator, dtype: str) -> list[np.ndarray]:
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in self.shapes]
        if self.operation == "batch_norm_grad":
            arrays[-1] = np.abs(arrays[-1])  # the variance
        return arrays

    def other_arguments(self) -> list[Any]:
        return [PackedWeights() if setting is PackedWeights else setting for setting in self.settings]


def _product_cases() -> Iterator[Case]:
    few = [(1, 5, 7), (2, 300, 65), (300, 3, 65), (65, 300, 1), (129, 100, 4), (4, 4, 4), (7, 0, 9)]
    for (m, k, n), (ta, tb) in itertools.product([*few, (33, 70, 65), (80, 65, 130)], FLIPS):
        yield Case("matmul", ((k, m) if ta else (m, k), (n, k) if tb else (k, n)), (ta, tb))
    for (m, k, n), slope in itertools.product([*few, (33, 70, 65), (300, 65, 130)], (0.0, 0.2, 1.0)):
        yield Case("dense", ((m, k), (k, n), (n,)), (slope,))


def _elementwise_cases() -> Iterator[Case]:
    for shape in ((17, 5), (300, 130)):
        yield Case("slope_gate", (shape, shape), (0.2,))
        yield Case("bias_act_grad", (shape, shape), (0.2,))
        yield Case("bias_grad", (shape,), ())
        yield Case("tanh_grad", (shape, shape), ())
        yield Case("batch_norm", (shape, shape[1:], shape[1:]), (1e-3, 0.2))
        vectors = (shape[1:],) * 3
        yield Case("batch_norm_grad", (shape, shape, *vectors, shape[1:]), (1e-3, 0.2))
    yield Case("slope_gate", ((2, 3, 5, 7),) * 2, (0.0,))


def _convolution_cases() -> Iterator[Case]:
    few = [convolutions.LARGE[name] for name in ("few-in", "few-out", "direct", "whole", "one-by-one")]
    for case in (*convolutions.HAND_PICKED, *few):
        precisions = ("exact", "fast") if case.geometry.kernel == (4, 4) else ("exact",)
        for precision, slope in itertools.product(precisions, (0.2, 1.0)):
            yield from _cases_of(case, case.geometry._replace(precision=precision), slope)
    nothing = convolutions.HAND_PICKED[21]
    for emptied in ({"batch": 0}, {"inputs": 0}, {"outputs": 0}):
        case = convolutions.Case(**(vars(nothing) | emptied))
        yield from _cases_of(case, case.geometry, 0.2)


def _cases_of(case: convolutions.Case, geometry: Geometry, slope: float) -> Iterator[Case]:
    x, w, y = case.picture, case.weight, case.result
    yield Case("conv2d", (x, w, w[3:]), (slope, geometry))
    yield Case("conv2d", (x, w), (None, slope, geometry, PackedWeights))
    yield Case("conv2d_input_grad", (y, w, w[2:3]), (slope, geometry, PackedWeights))
    yield Case("conv2d_input_grad", (y, w), (None, slope, geometry))
    yield Case("conv2d_weight_grad", (x, y), (geometry,))


CASES = [*_product_cases(), *_elementwise_cases(), *_convolution_cases()]
OPERATIONS = list(dict.fromkeys(case.operation for case in CASES))


# Memory layouts: an array, and the memory of which it is a view.

ArrayAndMemory = tuple[np.ndarray, np.ndarray]


def _row_major(values: np.ndarray) -> ArrayAndMemory:
    memory = values.copy()
    return memory, memory


def _transposed(values: np.ndarray) -> ArrayAndMemory:
    memory = np.ascontiguousarray(values.T)
    return memory.T, memory.T


def _in_steps(values: np.ndarray) -> ArrayAndMemory:
    memory = np.zeros([2 * n + 1 for n in values.shape], values.dtype)
    view = memory[(slice(1, None, 2),) * values.ndim]
    view[...] = values
    return view, view


def _read_only(values: np.ndarray) -> ArrayAndMemory:
    memory = values.copy()
    view = memory.view()
    view.flags.writeable = False
    return view, memory


LAYOUTS: dict[str, Callable[[np.ndarray], ArrayAndMemory]] = {
    "row-major": _row_major, "transposed": _transposed, "in steps": _in_steps, "read-only": _read_only,
}  # fmt: skip


# Repeating recorded calls.


def _kernel(operation: str, implementation: str = "numba") -> Callable[..., Any]:
    return minigan_kernels.table(implementation, np)[operation]


def _arrays(result: Any) -> list[np.ndarray]:
    return list(result) if isinstance(result, tuple | list) else [result]


def _repeat(calls: list[recorded_calls.Call]) -> None:
    """Repeat the calls; each may change only the arguments that it lists in `writes`."""
    for call in calls:
        read = [a for i, a in enumerate(call.arguments) if i not in call.writes and isinstance(a, np.ndarray)]
        before = [a.copy() for a in read]
        call.function(*call.arguments)
        for one, two in zip(read, before, strict=True):
            assert one.tobytes() == two.tobytes(), f"{call.function} writes into an array that is not in `writes`"


def _repeat_natively(calls: list[recorded_calls.Call]) -> None:
    """Repeat the calls twice, joined to native sequences: a call that has no neighbour stays one from Python."""
    for function, arguments in minigan_kernels.join_calls("numba", 2 * [call[:2] for call in calls]):
        function(*arguments)


def _overwrite_scratch_memory() -> None:
    memory = importlib.import_module("minigan_kernels.numba.memory")
    for buffer in memory._scratch.buffers.values():
        buffer.fill(np.nan)


def _check(case: Case, layout: str, dtype: str) -> None:
    """Record the kernel's calls on some numbers, repeat them on others, compare with the kernel's result for these."""
    kernel, rng = _kernel(case.operation), np.random.default_rng(1)
    operands = [LAYOUTS[layout](values) for values in case.draw(rng, dtype)]
    with recorded_calls.record() as calls:
        found = _arrays(kernel(*(argument for argument, _ in operands), *case.other_arguments()))
    others = case.draw(rng, dtype)
    for (_, memory), values in zip(operands, others, strict=True):
        memory[...] = values
    expected = [
        array.copy()
        for array in _arrays(kernel(*(LAYOUTS[layout](values)[0] for values in others), *case.other_arguments()))
    ]
    for repeat in (_repeat, _repeat_natively):
        for array in found:
            array.fill(np.nan)
        _overwrite_scratch_memory()
        repeat(calls)
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=str(case))
            assert one.tobytes() == two.tobytes(), str(case)


@pytest.mark.slow
@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_recorded_calls_are_all_that_a_kernel_computes(operation: str, layout: str, dtype: str) -> None:
    cases = [case for case in CASES if case.operation == operation]
    few = "conv" in operation and not EXHAUSTIVE
    for case in cases[:: (2 if layout == "row-major" else 8) if few else 1]:
        _check(case, layout, dtype)


@needs_numba
def test_a_copy_that_is_not_recorded_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    gemm = importlib.import_module("minigan_kernels.numba.gemm")
    case = Case("dense", ((9, 6), (6, 8), (8,)), (0.2,))
    _check(case, "transposed", "float32")
    monkeypatch.setattr(gemm, "row_major", np.ascontiguousarray)
    with pytest.raises(AssertionError):
        _check(case, "transposed", "float32")


@needs_numba
def test_an_array_that_is_written_but_not_listed_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    leaky_relu = importlib.import_module("minigan_kernels.numba.leaky_relu")
    case = Case("bias_act_grad", ((9, 6), (9, 6)), (0.2,))
    _check(case, "row-major", "float32")
    monkeypatch.setattr(leaky_relu.BIAS_ACT_GRAD, "_writes", leaky_relu.BIAS_ACT_GRAD._writes[:1])
    with pytest.raises(AssertionError, match="writes into an array that is not in `writes`"):
        _check(case, "row-major", "float32")


# Kernels that work in place.


class InPlace(NamedTuple):
    """The arguments of a kernel that changes some of them in place."""

    operation: str
    arrays: list[np.ndarray]
    settings: tuple[Any, ...]


def _in_place(dtype: str, step: int) -> Iterator[InPlace]:
    flat = updates.FlatArrays([70_001, 3, 65], dtype, 2, seed=step)
    flat.slots = [np.abs(flat.rng.standard_normal(flat.p.size)).astype(dtype) for _ in flat.slots]
    gradients = flat.gradients()
    gradients[1][0] = np.nan if step == 2 else 0
    scalars = updates.numbers_of("adam", step, 0.01 / step, 0.5, 0.999)
    arrays = [flat.p, flat.in_place(gradients), flat.bounds, *flat.slots, flat.first_bad, scalars]
    yield InPlace("adam", arrays, (0.5, 0.999, 1e-8))
    for operation in ("sgd", "rmsprop"):
        flat = updates.FlatArrays([70_001, 3, 65], dtype, 0, seed=step)
        scalars = updates.numbers_of(operation, step, 0.01 / step)
        moments = np.abs(flat.rng.standard_normal(flat.p.size)).astype(dtype)
        arrays = [flat.p, flat.in_place(gradients), flat.bounds, moments, flat.first_bad, scalars]
        yield InPlace(operation, arrays, updates.SETTINGS[operation][1:])
    for shape in ((17,), (3, 5), (70_001,)):
        one, two = (flat.rng.standard_normal(shape).astype(dtype) for _ in range(2))
        yield InPlace("update_running_statistics", [one, two], (0.9,))
        yield InPlace("lerp", [one.copy(), two.copy(), np.array([0.1 * step])], ())


@pytest.mark.slow
@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_recorded_calls_change_in_place_what_the_kernel_changes(dtype: str) -> None:
    for first, second in zip(_in_place(dtype, 1), _in_place(dtype, 2), strict=True):
        kernel = _kernel(first.operation)
        with recorded_calls.record() as calls:
            assert kernel(*first.arrays, *first.settings) is None
        for memory, values in zip(first.arrays, second.arrays, strict=True):
            memory[...] = values
        _repeat(calls)
        kernel(*second.arrays, *second.settings)
        for one, two in zip(first.arrays, second.arrays, strict=True):
            assert one.tobytes() == two.tobytes(), first.operation


# The cases cover everything.


def _compiled() -> dict[str, Any]:
    """Every compiled kernel, by name."""
    package = importlib.import_module("minigan_kernels.numba")
    jit = importlib.import_module("minigan_kernels.numba.jit")
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"minigan_kernels.numba.{info.name}")
        values = [*vars(module).values()]
        values += [part for family in values if type(family).__name__ == "_Family" for part in vars(family).values()]
        found |= {kernel.name: kernel for kernel in values if isinstance(kernel, jit.Compiled)}
    return found


@pytest.mark.slow
@needs_numba
def test_the_cases_reach_every_kernel_and_every_compiled_function() -> None:
    with recorded_calls.record() as calls:
        for case in CASES:
            _kernel(case.operation)(*case.draw(np.random.default_rng(1), "float32"), *case.other_arguments())
        for changed in _in_place("float32", 1):
            _kernel(changed.operation)(*changed.arrays, *changed.settings)
    reached = {id(call.function) for call in calls}
    launched = {name: kernel for name, kernel in _compiled().items() if kernel._writes}  # others only return numbers
    missed = [name for name, kernel in launched.items() if id(kernel._entries[np.dtype("float32")]) not in reached]
    assert not missed
    offered = set(minigan_kernels.table("numba", np))
    assert offered == {*OPERATIONS, *(changed.operation for changed in _in_place("float32", 1))}


# Recording.


@needs_numba
def test_calls_are_recorded_only_inside_record() -> None:
    x = np.ones((5, 6), np.float32)
    slope_gate = _kernel("slope_gate")
    assert recorded_calls.recorded is None
    with recorded_calls.record() as outer:
        slope_gate(x, x, 0.5)
        with recorded_calls.record() as inner:
            slope_gate(x.T, x.T, 0.5)
        slope_gate(x, x, 0.5)
    slope_gate(x, x, 0.5)
    assert (len(outer), len(inner)) == (2, 3)  # the inner list: two copies, and the kernel
    assert recorded_calls.recorded is None
    with pytest.raises(ZeroDivisionError), recorded_calls.record() as failed:
        recorded_calls.call(lambda: 1 // 0)
    assert (failed, recorded_calls.recorded) == ([], None)


@needs_numba
def test_packing_weights_is_recorded_when_it_happens() -> None:
    rng = np.random.default_rng(2)
    for case in (convolutions.HAND_PICKED[0], convolutions.HAND_PICKED[2], convolutions.HAND_PICKED[21]):
        x, w, g = case.draw(rng.standard_normal, "float32")
        for operation, operand in (("conv2d", x), ("conv2d_input_grad", g)):
            packed, kernel = PackedWeights(), _kernel(operation)
            counts = []
            for change in (False, False, False, True, False):
                if change:
                    packed.invalidate()
                with recorded_calls.record() as calls:
                    kernel(operand, w, None, 1.0, case.geometry, packed)
                counts.append(len(calls))
            with_packing, without = counts[0], counts[2]
            assert counts == [with_packing, with_packing, without, with_packing, without], str(case)
            assert with_packing > without


def test_packed_weights_restore_a_snapshot() -> None:
    packed, fills = PackedWeights(), []

    def get(name: str) -> np.ndarray:
        return packed.get(name, lambda: np.zeros(2), lambda array: fills.append(name))

    get("once")
    kept = get("often"), get("often")
    state = packed.snapshot()
    assert state["often"][0] is kept[1]
    assert [state[name][1:] for name in ("once", "often")] == [(False, False, 1), (True, False, 2)]
    packed.invalidate()
    get("other")
    packed.restore(state)
    assert packed.snapshot().keys() == {"once", "often"}
    del fills[:]
    assert get("often") is kept[1]
    assert not fills
    get("once")
    get("other")
    assert fills == ["once", "other"]


def test_a_packed_form_takes_the_memory_of_the_one_that_it_replaces() -> None:
    packed, fills = PackedWeights(), []

    def get(name: str, other: str) -> np.ndarray:
        def fill(array: np.ndarray) -> None:
            fills.append(name)
            array.fill(len(name))

        return packed.get(name, lambda: np.empty(2), fill, other)

    for _ in range(2):
        one = get("one", "three")
        one = get("one", "three")
        three = get("three", "one")
        assert three is one
        three = get("three", "one")
        assert [*three] == [5, 5]
        packed.invalidate()
    assert fills == ["one", "one", "three", "three", "one", "three"]
    assert get("one", "three") is three  # and "three" is outdated
    assert [*get("three", "one")] == [5, 5]
    assert [*get("one", "three")] == [3, 3]


@needs_numba
def test_convolutions_of_many_pixels_share_memory_for_packed_weights() -> None:
    """A convolution and its input gradient in turn give the bits that they give with a cache of their own."""
    geometry = Geometry((8, 8), (4, 4), (2, 2), ((1, 1), (1, 1)))
    rng = np.random.default_rng(4)
    x, w, g = (rng.standard_normal(s).astype(np.float32) for s in ((64, 8, 8, 64), (4, 4, 64, 64), (64, 4, 4, 64)))
    packed, forward, backward = PackedWeights(), _kernel("conv2d"), _kernel("conv2d_input_grad")
    for _ in range(3):
        for kernel, operand in ((forward, x), (forward, x), (backward, g), (backward, g)):
            found = kernel(operand, w, None, 1.0, geometry, packed)
            np.testing.assert_array_equal(found, kernel(operand, w, None, 1.0, geometry, None))
        w += 1
        packed.invalidate()
    assert len([array for array, *_ in packed.snapshot().values() if array is not None]) == 1


# Results in memory that the caller provides.


def _output_memory(result: Any) -> Any:
    """Memory like that of a result, full of NaN, which does not start on a cache line."""
    if isinstance(result, tuple | list):
        return tuple(map(_output_memory, result))
    return np.full(result.size + 1, np.nan, result.dtype)[1:].reshape(result.shape)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_result_can_be_written_to_memory_of_the_caller(implementation: str, operation: str, dtype: str) -> None:
    kernel = _kernel(operation, implementation)
    cases = [case for case in CASES if case.operation == operation]
    for case in cases[:: 1 if implementation == "numba" else 5]:
        arrays = case.draw(np.random.default_rng(3), dtype)
        expected = kernel(*arrays, *case.other_arguments())
        out = _output_memory(expected)
        found = kernel(*arrays, *case.other_arguments(), out=out)
        for given, one, two in zip(_arrays(out), _arrays(found), _arrays(expected), strict=True):
            assert one is given
            assert one.tobytes() == two.tobytes(), str(case)


@needs_numba
@pytest.mark.parametrize(
    "out",
    [np.empty((5, 7)), np.empty((7, 4)), np.empty((5, 4), np.float32), np.empty((4, 5)).T, np.empty((5, 8))[:, ::2]],
    ids=["shape", "transposed shape", "dtype", "column-major", "in steps"],
)
def test_memory_that_cannot_hold_the_result_is_refused(out: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a result of shape \(5, 4\) in float64 needs memory of that shape and type"):
        _kernel("matmul")(np.ones((5, 6)), np.ones((6, 4)), False, False, out=out)
