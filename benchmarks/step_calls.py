"""The calls of a recorded training step, each with the operation that made it, its arithmetic and its memory traffic.

`recorded` records a step of a GAN as `minigan.gan.replay` does, with a recorder and a plan that note these as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigan.gan.replay import calls, plan, recorder

_KIND_BY_KERNEL = {
    "dense": "products", "matmul": "products",
    "conv2d": "convolutions", "conv2d_input_grad": "convolutions", "conv2d_weight_grad": "convolutions",
    "batch_norm": "batch norm", "batch_norm_grad": "batch norm", "update_running_statistics": "batch norm",
    "adam": "optimiser", "sgd": "optimiser", "rmsprop": "optimiser", "lerp": "optimiser",
}  # fmt: skip
_IN_PLACE = {"adam": 4, "sgd": 2, "rmsprop": 3, "lerp": 1}  # arrays that these kernels read and write, at least


@dataclass(eq=False)
class Operation:
    """An operation of the step: a kernel of the table, or a forward that is made of NumPy functions.

    shapes: of its array arguments. flops: of the product or convolution done directly. traffic: the bytes of its
    arguments and results, each once. calls: its recorded calls (function, arguments), bound to the memory of a replay.
    """

    name: str
    kind: str
    shapes: list[tuple[int, ...]]
    flops: int = 0
    traffic: int = 0
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.name} {' '.join('x'.join(map(str, shape)) or '1' for shape in self.shapes)}"


class _Recorder(recorder.Recorder):
    """Notes with every recorded call the operation in which it was made, as its attribute `operation`."""

    def __init__(self, persistent: Any) -> None:
        super().__init__(persistent)
        self._operation: Operation | None = None

    def forward(self, forward: Any, library: Any, arrays: Any, static: Any) -> Any:
        operands = [np.asarray(array) for array in arrays]
        operation = Operation(forward.__name__.strip("_"), "elementwise", [x.shape for x in operands])
        with self._making(operation):
            returned = super().forward(forward, library, arrays, static)
        results = returned if isinstance(returned, tuple) else (returned,)
        operation.traffic = _bytes([*operands, *results])
        return returned

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        recording = super().kernel(operation, function)

        def labelled(*arguments: Any, **options: Any) -> Any:
            arrays = [x for x in arguments if isinstance(x, np.ndarray)]
            made = Operation(operation, _KIND_BY_KERNEL.get(operation, "elementwise"), [x.shape for x in arrays])
            with self._making(made):
                returned = recording(*arguments, **options)
            results = returned if isinstance(returned, tuple) else (returned,)
            made.flops = _flops(operation, arrays, results, arguments)
            made.traffic = _bytes([*arrays, *results]) + _bytes(arrays[: _IN_PLACE.get(operation, 0)])
            return returned

        return labelled

    @contextmanager
    def _making(self, operation: Operation) -> Any:
        before, self._operation = self._operation, operation
        try:
            yield
        finally:
            self._operation = before

    def _append(self, call: Any) -> None:
        super()._append(call)
        call.operation = self._operation


class _Plan(plan.Plan):
    """Adds every bound call to its operation; `operations` are those that have calls, in order."""

    def __init__(self, *arguments: Any) -> None:
        self.operations: list[Operation] = []
        super().__init__(*arguments)
        _found.append(self)

    def _bind(self, call: Any) -> Any:
        bound = super()._bind(call)
        if not self.operations or self.operations[-1] is not call.operation:
            self.operations.append(call.operation)
        call.operation.calls.append(bound)
        return bound


_found: list[_Plan] = []


def recorded(gan: Any, real: Any, steps: int = 6) -> list[Operation]:
    """Take some training steps, the last of them replayed, and return the operations of the recorded step in order."""
    before = calls.Recorder, calls.Plan
    calls.Recorder, calls.Plan = _Recorder, _Plan
    try:
        for _ in range(steps):
            gan.train_step(real)
    finally:
        calls.Recorder, calls.Plan = before
    if not gan.replay.steps:
        raise ValueError(f"the step was not replayed: {gan.replay.fallback_reason}")
    return _found[-1].operations


def function_name(function: Callable[..., Any]) -> str:
    """A short name of a recorded function."""
    function = getattr(function, "function", function)  # of the plan's wrappers
    function = getattr(function, "func", function)  # of a partial
    owner = getattr(getattr(function, "__self__", None), "__name__", "")
    name = getattr(function, "__name__", type(function).__name__)
    return f"{owner}.{name}" if name == "reduce" else name.strip("_")


def _flops(operation: str, arrays: list[np.ndarray], results: tuple[Any, ...], arguments: tuple[Any, ...]) -> int:
    """2 multiply-adds of each term of the direct sums."""
    match operation:
        case "dense":
            return 2 * arrays[0].size * arrays[1].shape[1]
        case "matmul":
            transposed = [x for x in arguments if isinstance(x, (bool, np.bool_))]
            depth = arrays[0].shape[0 if transposed and transposed[0] else 1]
            return 2 * int(results[0].size) * depth
        case "conv2d":  # (n, oh, ow, maps) sums of kh * kw * channels terms
            return 2 * results[0].size * math.prod(arrays[1].shape[:3])
        case "conv2d_input_grad":
            return 2 * arrays[0].size * math.prod(arrays[1].shape[:3])
        case "conv2d_weight_grad":
            kh, kw, channels, _ = results[0].shape
            return 2 * arrays[1].size * kh * kw * channels
    return 0


def _bytes(arrays: list[Any]) -> int:
    """The bytes of the arrays, each once."""
    return sum({x.__array_interface__["data"][0]: x.nbytes for x in arrays if isinstance(x, np.ndarray)}.values())
