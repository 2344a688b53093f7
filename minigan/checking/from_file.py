"""Load a function and its derivative from a user's Python file, named as `path/to/file.py:function`, and check them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minigan.checking import Report, check_pair, check_vjp
from minigan.core import random, user_file
from minigan.core.errors import UsageError, did_you_mean

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FileDerivative:
    """A function from the file `path`, its analytic derivative, and a point `x`: an array or a tuple of arrays.

    derivative: the vector-Jacobian product of `f` if `is_vjp`; otherwise its gradient, and `f` returns one number.
    """

    path: Path
    f: Callable[..., Any]
    derivative: Callable[..., Any]
    x: Any
    is_vjp: bool

    def check(self, seed: int = 0) -> Report:
        """The checker's report; raises MiniganError if the file's code fails, UsageError if it cannot be checked."""
        check = check_vjp if self.is_vjp else check_pair
        return _call(self.path, lambda: check(self.f, self.derivative, self.x, seed=seed))


def load(
    target: str,
    *,
    gradient: str | None = None,
    vjp: str | None = None,
    shapes: Sequence[Shape] = (),
    seed: int = 0,
    dtype: str = "float64",
) -> FileDerivative:
    """The function, the derivative and the point that `target`, such as "losses.py:hinge", names.

    A function without required arguments is called, and must return (f, grad_f, x); if f(x) is not one number, the
    second is its vector-Jacobian product. Any other function is f itself. Its derivative is the function that
    `gradient` or `vjp` names, or grad_NAME, NAME_grad, vjp_NAME, NAME_vjp; the point is an array of standard normal
    numbers for each of `shapes`, or what NAME_inputs() returns. Raises UsageError if one of these is missing,
    MiniganError if the file's code fails.
    """
    path, name = _split(target)
    module = user_file.load_module(path)
    function = _function(module, path, name)
    if _needs_arguments(function):
        derivative, is_vjp = _derivative(module, path, name, gradient, vjp)
        return FileDerivative(path, function, derivative, _point(module, path, name, shapes, seed, dtype), is_vjp)
    if gradient or vjp or shapes:
        raise UsageError(
            f"{name} takes no arguments, so it returns the function, its derivative and the point; leave --gradient, "
            "--vjp and --shape out."
        )
    return _from_factory(function, path, name)


def _split(target: str) -> tuple[Path, str]:
    file, colon, name = target.rpartition(":")
    if not colon or not file or not name:
        raise UsageError(f"'{target}' names no function; write path/to/file.py:function.")
    return Path(file), name


def _function(module: ModuleType, path: Path, name: str) -> Callable[..., Any]:
    found = vars(module).get(name)
    if found is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"{path} has no function '{name}'; {did_you_mean(name, known)}")
    if not callable(found):
        raise UsageError(f"'{name}' in {path} is of type {type(found).__name__}; name a function.")
    return found


def _needs_arguments(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin without a signature
        return True
    return False


def _derivative(
    module: ModuleType, path: Path, name: str, gradient: str | None, vjp: str | None
) -> tuple[Callable[..., Any], bool]:
    """The derivative of the function `name`, and whether it is a vector-Jacobian product."""
    if gradient and vjp:
        raise UsageError("--gradient and --vjp both name the derivative; leave one of them out.")
    if gradient or vjp:
        return _function(module, path, gradient or vjp or ""), bool(vjp)
    conventional = {f"grad_{name}": False, f"{name}_grad": False, f"vjp_{name}": True, f"{name}_vjp": True}
    for candidate, is_vjp in conventional.items():
        if callable(vars(module).get(candidate)):
            return _function(module, path, candidate), is_vjp
    raise UsageError(
        f"{path} holds no derivative of {name}; call it grad_{name}, or say its name with --gradient "
        "(or --vjp, if it takes a cotangent as well)."
    )


def _point(module: ModuleType, path: Path, name: str, shapes: Sequence[Shape], seed: int, dtype: str) -> Any:
    if shapes:
        rng = random.generator(seed, "point")
        arrays = tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)
        return arrays if len(arrays) > 1 else arrays[0]
    inputs = vars(module).get(f"{name}_inputs")
    if callable(inputs):
        return _as_point(_call(path, inputs))
    raise UsageError(
        f"there is no point at which to check {name}; give the shape of each of its arguments, such as --shape 3,4, or "
        f"let a function {name}_inputs() in the file return them."
    )


def _as_point(x: Any) -> Any:
    """A list of arrays as a tuple; anything else as it is."""
    return tuple(x) if isinstance(x, list) and x and hasattr(x[0], "shape") else x


def _from_factory(function: Callable[..., Any], path: Path, name: str) -> FileDerivative:
    """The derivative from a function without arguments, which returns (f, grad_f, x)."""
    returned = _call(path, function)
    is_valid = isinstance(returned, tuple) and len(returned) == 3 and callable(returned[0]) and callable(returned[1])
    if not is_valid:
        raise UsageError(
            f"{name} takes no arguments, so it should return (f, grad_f, x): a function, its gradient and a point; it "
            f"returned {_description(returned)}."
        )
    f, derivative, x = returned[0], returned[1], _as_point(returned[2])
    return FileDerivative(path, f, derivative, x, is_vjp=_call(path, lambda: np.size(_value(f, x))) != 1)


def _value(f: Callable[..., Any], x: Any) -> Any:
    """f at a copy of x, called as by the checker: with the arrays, or with their tuple if f takes one argument."""
    if not isinstance(x, tuple):
        return _array(f(np.array(x)))
    arrays = tuple(np.array(part) for part in x)
    try:
        inspect.signature(f).bind(*arrays)
    except TypeError:
        return _array(f(arrays))
    except ValueError:  # a builtin without a signature
        pass
    return _array(f(*arrays))


def _array(y: Any) -> np.ndarray:
    return np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)


def _description(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {', '.join(type(part).__name__ for part in value) or 'nothing'}"
    return "nothing" if value is None else f"one value of type {type(value).__name__}"


def _call(path: Path, function: Callable[[], Any]) -> Any:
    """What `function` returns; raises MiniganError with one sentence, and the line if the file's code fails."""
    try:
        return user_file.call(path, function)
    except (TypeError, ValueError) as error:  # raised by the checker, not by the file
        raise UsageError(f"{error}".replace("use check_vjp", "name its vector-Jacobian product with --vjp")) from error
