"""The traced array functions of a forward give its bits; a forward that cannot be traced is left whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

from minigan import Tensor, autodiff, grad, ops
from minigan.core import backend
from minigan.gan.replay.memory import flatten_results
from minigan.gan.replay.recorder import Recorder
from minigan.gan.replay.trace import trace
from minigan.selftest import primitives

# Operations that, where they return no view, copy in ways that are not traced, or use arrays of positions.
UNTRACEABLE = {
    "logsumexp",
    "one_hot",
    "pad",
    "place",
    "index",
    "reshape",
    "broadcast_to",
    "from_windows",
    "to_windows",
    "largest_tap",
}


class Comparing:
    """A recorder that traces each forward and compares both on other numbers.

    untraced: the names of forwards that cannot be traced. traced: the number of those that can.
    """

    def __init__(self) -> None:
        self.untraced: list[str] = []
        self.traced = self.kernels = 0

    def forward(self, forward: Callable[..., Any], library: Any, arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        before = self.kernels
        found = forward(library, *arrays, **static)
        views = all(np.shares_memory(x, y) for x in flatten_results(found) for y in arrays if isinstance(y, np.ndarray))
        if self.kernels == before and not views:
            self._compare(partial(forward, library, **static), forward.__name__.lstrip("_"), arrays)
        return found

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        self.kernels += 1
        return function

    def refuse(self, reason: str) -> None:
        pass

    def _compare(self, forward: Callable[..., Any], name: str, given: Sequence[Any]) -> None:
        arrays = [x.copy(order="K") if isinstance(x, np.ndarray) else x for x in given]
        result = trace(forward, arrays)
        if result is None:
            self.untraced.append(name)
            return
        self.traced += 1
        calls, results = result
        for numbers in (np.flip, lambda x: x * 3, np.zeros_like, lambda x: np.full_like(x, np.nan)):
            for x in arrays:
                if isinstance(x, np.ndarray):
                    x[...] = numbers(x).copy()
            with np.errstate(all="ignore"):
                for call in calls:
                    call.function(*call.arguments)
                expected = [np.asarray(result) for result in flatten_results(forward(*arrays))]
            assert len(results) == len(expected)
            for result, other in zip(results, expected, strict=True):
                assert (result.shape, result.strides, result.dtype) == (other.shape, other.strides, other.dtype)
                assert result.tobytes() == other.tobytes(), name


@contextmanager
def compared() -> Iterator[Comparing]:
    recorder = Comparing()
    backend.recorder, before = recorder, backend.recorder
    try:
        yield recorder
    finally:
        backend.recorder = before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", primitives.primitives())
def test_the_trace_of_an_operation_and_its_derivative_gives_their_bits(name: str, dtype: str) -> None:
    for f, inputs in primitives.primitives(dtype=dtype)[name]:
        tensors = [Tensor(x) for x in inputs]
        with compared() as found:
            y = f(*tensors)
            if y.dtype.kind == "f" and y.rule is not None:
                grad(ops.sum(y), tensors)
        assert set(found.untraced) <= UNTRACEABLE


def test_the_operations_of_losses_and_scores_can_be_traced() -> None:
    x = Tensor(np.linspace(-3, 3, 600, dtype=np.float32).reshape(300, 2))
    with compared() as found:
        for loss in (ops.mean_softplus(x, -1), ops.mean(ops.maximum(1.0 - x, 0.0)), ops.mean(ops.sigmoid(x) ** 2)):
            grad(loss, [x])
        _ = ops.concatenate([x, x], axis=1), ops.softmax(x), ops.sum(x, axis=0), autodiff.copied(x), x[3:7]
    assert not found.untraced
    assert found.traced > 20


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x * float(x.sum()),
        lambda x: x * x.max().item(),
        lambda x: x if (x > 0).any() else -x,
        lambda x: x * [value for value in x][0],  # noqa: C416, RUF015 - iteration cannot be traced
        lambda x: x[np.array([1, 0])] + 1.0,
        lambda x: x * x[0, 0],  # a number
        lambda x: x[0, 0],
        lambda x: x.T.reshape(-1) + 1.0,  # a copy
        lambda x: x + np.arange(3.0),
        lambda x: np.asarray(x) + 1.0,
        lambda x: np.cumsum(x, axis=0),
        lambda x: np.multiply(x, 2.0, where=x > 0, out=np.zeros(x.shape)),
        lambda x: np.frexp(x)[0],
        lambda x: np.frombuffer(memoryview(x), x.dtype) + 1.0,
    ],
)
def test_a_forward_that_cannot_be_traced_is_left_whole(forward: Callable[[Any], Any]) -> None:
    x = np.arange(6.0).reshape(2, 3)
    forward(x)
    assert trace(forward, [x]) is None


def test_a_forward_that_writes_an_argument_is_not_traced() -> None:
    def adds(x: Any) -> Any:
        x += 1.0
        return x * 2.0

    def assigns(x: Any) -> Any:
        x[1:] = 1.0
        return x * 2.0

    x = np.zeros(3)
    assert trace(adds, [x]) is None
    assert trace(assigns, [x]) is None
    assert not x.any()


def test_python_numbers_convert_as_in_numpy() -> None:
    """Python numbers are weak: they take the dtype of the array, and float64 with an array of booleans."""
    x = np.array([[0.5], [-2.0]], np.float32)
    found = trace(lambda x: (x > 0) * 0.1 + np.where(x > 0, 0.1, x), [x])
    assert found is not None
    calls, (result,) = found
    x[...] = [[-0.7], [3.0]]
    for call in calls:
        call.function(*call.arguments)
    assert result.dtype == np.float64
    assert result.tobytes() == ((x > 0) * 0.1 + np.where(x > 0, 0.1, x)).tobytes()


def test_a_function_without_signature_can_be_recorded() -> None:
    x, y = np.array([3.0, 1.0]), np.array([4.0, 2.0])
    recorder = Recorder([x, y])
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(max)
    assert recorder.kernel("largest", max)(x, y, key=np.ndim) is x
    assert recorder.refusal is None
    assert len(recorder.calls) == 1
