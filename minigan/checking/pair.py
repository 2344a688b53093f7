"""Check derivatives of functions of plain arrays: in NumPy, PyTorch, JAX, or anything that converts to arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.checking.check import check_derivative
from minigan.checking.problem import Arrays, Problem
from minigan.checking.report import Report


def check_pair(
    f: Callable[..., Any], grad_f: Callable[..., Any], x: Any, *, names: Sequence[str] | None = None, seed: int = 0
) -> Report:
    """Is `grad_f(x)` the gradient of `f(x)`?

    x: an array, float32 or float64, or a tuple of arrays. `f(x)` returns one number, `grad_f(x)` an array of the shape
    of x. For a tuple both are called with its arrays as arguments, or with the tuple if they take one argument; then
    `grad_f` returns a tuple with one array for each. names: of the arrays in the report; by default the names of f's
    parameters. seed: of the random directions.

    Raises TypeError if x is not made of floating-point arrays, or f does not return one number.
    """
    call_f, call_grad = _of_list(f, x), _of_list(grad_f, x)

    def value(arrays: Arrays) -> Any:
        y = _array(call_f(arrays))
        if y.size != 1:
            raise TypeError(f"f returned shape {y.shape}, expected one number; use check_vjp for functions with more")
        return y.reshape(())

    def gradients(arrays: Arrays, weights: np.ndarray) -> list[np.ndarray]:
        return _as_list(call_grad(arrays))

    return _check(value, gradients, f, x, names, seed, is_pair=True)


def check_vjp(
    f: Callable[..., Any], vjp: Callable[..., Any], x: Any, *, names: Sequence[str] | None = None, seed: int = 0
) -> Report:
    """Is `vjp(x, u)` the gradient of <u, f(x)>, for any u of the shape of f(x)?

    f may return an array of any shape; otherwise the arguments are those of `check_pair`. For a tuple x the functions
    are called as `f(*x)` and `vjp(*x, u)`, or with the tuple as one argument. Raises TypeError if x is not made of
    floating-point arrays.
    """
    call_f, call_vjp = _of_list(f, x), _of_list(vjp, x, more=1)

    def gradients(arrays: Arrays, weights: np.ndarray) -> list[np.ndarray]:
        return _as_list(call_vjp(arrays, weights))

    return _check(lambda arrays: _array(call_f(arrays)), gradients, f, x, names, seed)


def _check(
    value: Any, gradients: Any, f: Callable, x: Any, names: Sequence[str] | None, seed: int, is_pair: bool = False
) -> Report:
    point = [as_point(part) for part in (x if isinstance(x, tuple) else (x,))]
    problem = Problem(value, gradients, point, names_of(f, names, len(point)), tries_complex=True, is_pair=is_pair)
    return check_derivative(problem, seed)


def as_point(x: Any) -> np.ndarray:
    """A copy of `x` as a float32 or float64 array; raises TypeError if it holds other numbers, or none."""
    array = _array(x)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"derivatives are checked at float32 or float64 arrays, not {array.dtype}; convert the inputs")
    if not array.size:
        raise TypeError(f"an input has shape {array.shape}, so there is nothing to check; give it at least one number")
    return np.array(array)


def _of_list(function: Callable[..., Any], x: Any, more: int = 0) -> Callable[..., Any]:
    """`function` as a function of a list of arrays, and of `more` arguments after it."""
    if not isinstance(x, tuple):
        return lambda arrays, *rest: function(arrays[0], *rest)
    if _accepts(function, len(x) + more):
        return lambda arrays, *rest: function(*arrays, *rest)
    return lambda arrays, *rest: function(tuple(arrays), *rest)


def _accepts(function: Callable[..., Any], count: int) -> bool:
    """Whether `function` can be called with `count` positional arguments."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def names_of(f: Callable[..., Any], names: Sequence[str] | None, count: int) -> list[str]:
    """`names`, or the names of f's parameters, or x0, x1 ...; raises TypeError unless there is one for each input."""
    if names is not None:
        if len(names) != count:
            raise TypeError(f"there are {len(names)} names for {count} inputs; give one for each")
        return list(names)
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        parameters = []
    own = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return own[:count] if len(own) >= count else ["x"] if count == 1 else [f"x{i}" for i in range(count)]


def _as_list(derivatives: Any) -> list[np.ndarray]:
    return [_array(g) for g in (derivatives if isinstance(derivatives, (tuple, list)) else (derivatives,))]


def _array(x: Any) -> np.ndarray:
    """`x` as a NumPy array; a PyTorch tensor is detached from its graph first.

    Raises TypeError if it is no array, such as a list of rows of different lengths.
    """
    try:
        return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    except ValueError as error:
        raise TypeError(
            f"a {type(x).__name__} is no array of numbers ({error}); give one number or an array"
        ) from error
