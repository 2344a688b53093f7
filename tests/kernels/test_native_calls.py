"""Native sequences do what their calls do from Python: the same bits, the same exceptions, and nothing is left over."""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.environment import needs_numba

import minigan_kernels
from minigan_kernels import recorded_calls

pytestmark = needs_numba
Call = tuple[Callable[..., Any], tuple[Any, ...]]
FLOATS = ["float32", "float64"]
SUMMED = [0, 1, 2, 7, 8, 9, 127, 128, 129, 1000, 8191, 8193, 300_001]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, 100.0, -100.0]


def _join(calls: list[Call]) -> list[Call]:
    return list(minigan_kernels.join_calls("numba", calls))


def _run(calls: list[Call]) -> None:
    for function, arguments in calls:
        function(*arguments)


def _sequence(calls: list[Call]) -> Call:
    """The native sequence of `calls`, all of them."""
    (joined,) = _join(calls)
    assert type(joined[0]).__name__ == "_NativeSequence"
    return joined


def _numbers(dtype: str, *shape: int) -> np.ndarray:
    values = np.random.default_rng(shape).standard_normal(shape).astype(dtype)
    values.reshape(-1)[: len(SPECIAL)] = SPECIAL[: values.size]
    return values


# NumPy's functions.


class _ByName:
    """As the recorder writes np.maximum, which takes `out` by name only."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self.ufunc = ufunc

    def __call__(self, a: Any, b: Any, out: np.ndarray) -> None:
        self.ufunc(a, b, out=out)


UFUNCS: list[Any] = [
    np.absolute, np.negative, np.exp, np.log1p, np.tanh, np.sqrt, np.sin, np.add, np.subtract, np.multiply, np.divide,
    np.greater_equal, np.equal, _ByName(np.maximum), _ByName(np.minimum),
]  # fmt: skip
OPERANDS: dict[str, Callable[[str], list[np.ndarray]]] = {
    "vectors": lambda dtype: [_numbers(dtype, 1003), _numbers(dtype, 1003)[::-1]],
    "a number": lambda dtype: [_numbers(dtype, 7, 40), np.asarray(1.7, dtype)],
    "rows": lambda dtype: [_numbers(dtype, 5, 40), _numbers(dtype, 40)],
    "columns": lambda dtype: [_numbers(dtype, 6, 1, 9), _numbers(dtype, 2, 1)],
    "in steps": lambda dtype: [_numbers(dtype, 9, 30)[::2, ::3], _numbers(dtype, 10, 5).T[:5, ::1]],
    "nothing": lambda dtype: [_numbers(dtype, 0, 4), _numbers(dtype, 4)],
    "numbers": lambda dtype: [_numbers(dtype), _numbers(dtype)],
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", OPERANDS)
def test_elementwise_functions_give_the_bits_of_numpy(layout: str, dtype: str) -> None:
    operands = OPERANDS[layout](dtype)
    calls, expected = [], []
    with np.errstate(all="ignore"):
        for function in UFUNCS:
            ufunc = getattr(function, "ufunc", function)
            expected.append(np.asarray(ufunc(*operands[: ufunc.nin])))
            if ufunc.nin == 1:
                expected[-1] = np.asarray(ufunc(operands[0]))
            calls.append((function, (*operands[: ufunc.nin], np.ones_like(expected[-1]))))
    target = np.zeros(np.broadcast_shapes(*(x.shape for x in operands)), dtype)
    calls.append((np.copyto, (target, operands[1])))
    expected.append(np.broadcast_to(operands[1], target.shape))
    _run([_sequence(calls)])
    for call, values in zip(calls, expected, strict=True):
        out = call[1][0] if call[0] is np.copyto else call[1][-1]
        assert out.tobytes() == values.tobytes(), str(call[0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_all_elements_have_the_bits_of_numpy(dtype: str) -> None:
    arrays = [(_numbers(dtype, count) * 1e-3, None) for count in SUMMED]
    arrays += [(_numbers(dtype, 31, 33), (0, 1)), (_numbers(dtype, 999, 1), 0), (_numbers(dtype, 1, 7, 1), (0, 1, 2))]
    arrays += [(np.full(3, -0.0, dtype), None), (_numbers(dtype, 1, 500), 1)]
    with np.errstate(invalid="ignore"):
        expected = [np.asarray(np.add.reduce(x, axis=axis)) for x, axis in arrays]
    results = [np.ones_like(values) for values in expected]
    calls = [(np.add.reduce, (x, axis, None, out, False)) for (x, axis), out in zip(arrays, results, strict=True)]
    _run([_sequence(calls)])
    for out, values in zip(results, expected, strict=True):
        np.testing.assert_array_equal(out, values)
        assert out.tobytes() == values.tobytes() or np.isnan(values).any()


def _refused(dtype: str) -> list[Call]:
    x, out = _numbers(dtype, 40, 50), np.zeros((40, 50), dtype)
    return [
        (np.add, (x.reshape(-1)[:-1], x.reshape(-1)[1:], x.reshape(-1)[1:])),  # overlapping
        (np.copyto, (x[1:], x[:-1])),
        (np.add, (x, np.ones(50, np.float64 if dtype == "float32" else np.float32), np.zeros((40, 50)))),  # converted
        (np.copyto, (np.zeros((40, 50), "int32"), x, "unsafe")),
        (np.copyto, (out, x, "same_kind", x > 0)),
        (np.add.reduce, (x, 0, None, np.zeros(50, dtype), False)),  # no single sum
        (np.add.reduce, (x[:, :1], None, None, np.zeros((), dtype), False)),
        (np.maximum.reduce, (x, None, None, np.zeros((), dtype), False)),
        (np.multiply, (x, x.T.copy().T, out)),  # too many loops
        (np.negative, (np.zeros(1 << 22, dtype), np.zeros(1 << 22, dtype))),  # so long that Python does not matter
        (lambda a: np.negative(a, a), (x,)),
        (np.negative, (x.astype(x.dtype.newbyteorder()), out.astype(x.dtype.newbyteorder()))),
        (np.negative, (_misaligned(x), out)),
        (np.matmul, (x[:40, :40].copy(), x[:40, :40].copy(), np.zeros((40, 40), dtype))),  # not elementwise
        (np.floor_divide, (np.ones(3, "int64"), np.ones(3, "int64"), np.ones(3, "int64"))),
    ]


def _misaligned(x: np.ndarray) -> np.ndarray:
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:]
    memory[...] = x.reshape(-1).view(np.uint8)
    return memory.view(x.dtype).reshape(x.shape)


@pytest.mark.parametrize("dtype", FLOATS)
def test_other_calls_are_made_from_python_in_their_place(dtype: str) -> None:
    for i, (function, arguments) in enumerate(_refused(dtype)):
        y = _numbers(dtype, 8)
        calls = [(np.negative, (y, y)), (np.absolute, (y, y)), (function, arguments), (np.add, (y, y, y))]
        assert [call[1] is arguments for call in _join(calls)] == [False, True, False], f"call {i}"


# Compiled kernels.


def _kernel_calls(dtype: str, threads: int = 1) -> tuple[list[Call], list[np.ndarray]]:
    """Calls of kernels of several types, and the arrays that they write."""
    matmul, slope_gate = (minigan_kernels.table("numba", np)[name] for name in ("matmul", "slope_gate"))
    a, b = _numbers(dtype, 70, 66)[:, :64].copy(), _numbers(dtype, 64, 50)
    with recorded_calls.record() as calls, np.errstate(all="ignore"):
        product = matmul(a, b, False, False)
        written = [product, slope_gate(product, product, 0.2), matmul(product, b, False, True)]
    return [call[:2] for call in calls], written


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_sequence_gives_the_bits_of_its_kernels_and_holds_their_memory(dtype: str) -> None:
    calls, written = _kernel_calls(dtype)
    expected = [x.tobytes() for x in written]
    sequence = _sequence(calls)
    operand = next(x for x in calls[0][1] if isinstance(x, np.ndarray))
    memory = [weakref.ref(x) for x in (operand, written[0])]
    del calls, operand
    gc.collect()
    for x in written:
        x.fill(0)
    _run([sequence])
    assert [x.tobytes() for x in written] == expected
    del sequence, written, x
    gc.collect()
    assert [reference() for reference in memory] == [None, None]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_sequence_gives_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    jit = importlib.import_module("minigan_kernels.numba.jit")
    before = jit._threads
    try:
        jit._threads = min(threads, jit.config.NUMBA_NUM_THREADS)
        calls, written = _kernel_calls("float32")
        sequence = _sequence(calls)
        for x in written:
            x.fill(0)
        _run([sequence])
    finally:
        jit._threads = before
    _, expected = _kernel_calls("float32")
    assert [x.tobytes() for x in written] == [x.tobytes() for x in expected]


def test_a_failing_call_raises_its_exception_and_nothing_after_it_is_computed() -> None:
    import numba

    jit = importlib.import_module("minigan_kernels.numba.jit")

    def refuse_negative(x: np.ndarray) -> None:
        if x[0] < 0:
            raise ValueError("negative")
        x[0] += 1

    kernel = jit.Compiled(
        "refusing", numba.njit(refuse_negative), lambda dtype: (numba.types.Array(dtype, 1, "C"),), "x"
    )
    x, y = np.ones(2, np.float32), np.ones(2, np.float32)
    with recorded_calls.record() as calls:
        kernel.launch(x.dtype, x)
    sequence = _sequence([calls[0][:2], (np.negative, (y, y)), calls[0][:2], (np.negative, (y, y))])
    _run([sequence])
    assert (x[0], y[0]) == (4, 1)
    x[0] = -3
    with pytest.raises(ValueError, match="negative"):
        _run([sequence])
    assert (x[0], y[0]) == (-3, 1)


def test_a_kernel_whose_arguments_it_does_not_know_is_called_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    native_calls = importlib.import_module("minigan_kernels.numba.native_calls")
    calls, written = _kernel_calls("float32")
    expected = [x.tobytes() for x in written]
    monkeypatch.setattr(native_calls, "_packed", lambda x, kind: b"" if isinstance(x, np.ndarray) else bytes(8))
    joined = _join(calls)
    assert [function for function, _ in joined] == [function for function, _ in calls]
    _run(joined)
    assert [x.tobytes() for x in written] == expected


def test_the_reference_has_no_native_sequences() -> None:
    y = np.ones(3)
    calls: list[Call] = [(np.negative, (y, y)), (np.negative, (y, y))]
    assert minigan_kernels.join_calls("reference", calls) is calls
