"""The operators and methods of Tensors, and NumPy's functions on them: each is an operation of this package."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.ops import elementwise, linear, reductions, shape

_UFUNCS: dict[Any, Callable[..., Any]] = {np.matmul: linear.matmul} | {
    getattr(np, name): getattr(elementwise, name)
    for name in (
        "absolute", "add", "cos", "divide", "exp", "log", "maximum", "minimum", "multiply", "negative", "power",
        "sign", "sin", "sqrt", "subtract", "tanh",
    )
}  # fmt: skip
_COMPARISONS: dict[Any, Callable[..., Any]] = {
    np.less: operator.lt, np.less_equal: operator.le, np.greater: operator.gt, np.greater_equal: operator.ge,
    np.equal: operator.eq, np.not_equal: operator.ne,
}  # fmt: skip
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.broadcast_to: shape.broadcast_to, np.clip: elementwise.clip, np.concatenate: shape.concatenate,
    np.max: reductions.max, np.mean: shape.mean, np.min: reductions.min, np.pad: shape.pad,
    np.reshape: shape.reshape, np.stack: shape.stack, np.sum: shape.sum, np.transpose: shape.transpose,
    np.var: reductions.var, np.where: elementwise.where,
    np.ndim: lambda x: x.ndim, np.shape: lambda x: x.shape, np.size: lambda x: x.size,
}  # fmt: skip
_TRUTH_VALUES = {np.allclose, np.array_equal, np.isclose, np.isfinite, np.isinf, np.isnan}  # they have no derivative


def _apply_ufunc(_: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """The operation that has the name of NumPy's `ufunc`, or truth values. Raises TypeError if there is neither."""
    if ufunc in _COMPARISONS and not any(isinstance(x, np.ndarray) and x.ndim for x in inputs):
        return _COMPARISONS[ufunc](*(x.item() if isinstance(x, (np.generic, np.ndarray)) else x for x in inputs))
    if ufunc in _TRUTH_VALUES:
        return ufunc(*map(np.asarray, inputs), **options)
    if ufunc not in _UFUNCS or method != "__call__" or options:
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise _no_such_function(f"{name} with {', '.join(options)}" if options else name)
    return _UFUNCS[ufunc](*inputs)


def _apply_function(_: Tensor, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    """The operation that has the name of NumPy's `function`, or truth values. Raises TypeError if there is neither."""
    if function in _TRUTH_VALUES:
        return function(*map(np.asarray, arguments), **options)
    if function not in _FUNCTIONS:
        raise _no_such_function(f"{function.__module__}.{function.__name__}".removeprefix("numpy."))
    return _FUNCTIONS[function](*arguments, **options)


def _no_such_function(name: str) -> TypeError:
    """NumPy would compute on the numbers alone, and the result would have no derivative."""
    return TypeError(
        f"np.{name} is no operation on Tensors; use one of minigan.ops, or .numpy() for numbers without a derivative"
    )


class _OnTheClass:
    """An attribute of the class that is None on its instances.

    NumPy looks `__array_ufunc__` up on the class. CuPy looks it up on the instance, and only if it finds None does
    `array + tensor` call the operator of the Tensor.
    """

    def __get__(self, instance: Tensor | None, owner: type) -> Any:
        return _apply_ufunc if instance is None else None


def _iterate(x: Tensor) -> Iterator[Tensor]:
    """The entries along the first axis. Raises TypeError for a Tensor without axes."""
    if not x.ndim:
        raise TypeError("a Tensor without axes cannot be iterated over; .item() is its number")
    return (shape.index(x, i) for i in range(len(x)))


def _reshape(x: Tensor, *extents: Any) -> Tensor:
    """The elements in row-major order in another shape, `x.reshape(2, -1)` or `x.reshape((2, -1))`."""
    return shape.reshape(x, extents[0] if len(extents) == 1 else extents)


def _transpose(x: Tensor, *axes: Any) -> Tensor:
    """The axes in reverse order, or in the order `x.transpose(1, 0)` or `x.transpose((1, 0))`."""
    return shape.transpose(x, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)


def _reflected(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda a, b: operation(b, a)


def add_methods_to_tensor() -> None:
    """Give Tensor its operators and methods; the engine, which defines it, knows no operation."""
    for name, operation in {
        "add": elementwise.add, "sub": elementwise.subtract, "mul": elementwise.multiply,
        "truediv": elementwise.divide, "pow": elementwise.power, "matmul": linear.matmul,
    }.items():  # fmt: skip
        setattr(Tensor, f"__{name}__", operation)
        setattr(Tensor, f"__r{name}__", _reflected(operation))
    for name, attribute in {
        "__abs__": elementwise.absolute, "__array_function__": _apply_function, "__array_ufunc__": _OnTheClass(),
        "__getitem__": shape.index, "__iter__": _iterate, "__neg__": elementwise.negative,
        "T": property(shape.transpose), "abs": elementwise.absolute, "clip": elementwise.clip, "cos": elementwise.cos,
        "exp": elementwise.exp, "log": elementwise.log, "logsumexp": reductions.logsumexp, "max": reductions.max,
        "mean": shape.mean, "min": reductions.min, "relu": elementwise.relu, "reshape": _reshape,
        "sigmoid": elementwise.sigmoid, "sign": elementwise.sign, "sin": elementwise.sin,
        "softmax": reductions.softmax, "softplus": elementwise.softplus, "sqrt": elementwise.sqrt, "sum": shape.sum,
        "tanh": elementwise.tanh, "transpose": _transpose, "var": reductions.var,
    }.items():  # fmt: skip
        setattr(Tensor, name, attribute)
