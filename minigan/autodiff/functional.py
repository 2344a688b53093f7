"""Derivatives of functions of Tensors: value and gradient, Jacobian, and products with Jacobian and Hessian.

Each takes a function f and a point x: a Tensor, array or number, a list, tuple or dict of Tensors or arrays, or a
Module. f is called with Tensors in the form of x, or with the Module itself. Derivatives are Tensors in that form, or a
dict by the names of the Module's parameters. They are taken inside of `no_grad`, too.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from minigan.autodiff import engine
from minigan.autodiff.derivatives import HasParameters, flatten, require_tensor
from minigan.autodiff.engine import Tensor, constant_like, recording
from minigan.core import backend

Function = Callable[[Any], Tensor]


def value_and_grad(f: Function, *, create_graph: bool = False) -> Callable[[Any], tuple[Tensor, Any]]:
    """A function that maps x to f(x), a Tensor of one element, and its gradient in the form of x (see this module).

    With `create_graph` the gradient can be differentiated again. The function raises TypeError for another kind of x or
    of f(x), ValueError if f(x) has more than one element.
    """

    def value_and_gradient(x: Any) -> tuple[Tensor, Any]:
        y, tensors, restore_form = _evaluate("value_and_grad", f, x)
        return y, restore_form(engine.grad(y, tensors, create_graph=create_graph))

    return value_and_gradient


def jvp(f: Function, x: Any, v: Any, *, create_graph: bool = False) -> Tensor:
    """J v, the derivative of f at x in the direction v, of the shape of f(x); v, a constant, has the form of x.

    The vector-Jacobian product of u is linear in u, and its derivative in u, multiplied by v, is J v: two backward
    passes, and no forward mode (Townsend, 2017). With `create_graph` it can be differentiated again. Raises TypeError
    for another kind of x, v or f(x), ValueError for another shape of v.
    """
    y, tensors, _ = _evaluate("jvp", f, x)
    u = constant_like(y, 0.0)
    along = _inner_product("jvp", engine.vjp(y, tensors, u, create_graph=True), tensors, x, v)
    return engine.grad(along, [u], create_graph=create_graph)[0]


@overload
def hvp(f: Function, x: Tensor | np.ndarray | float, v: Any, *, create_graph: bool = ...) -> Tensor: ...
@overload
def hvp(f: Function, x: Any, v: Any, *, create_graph: bool = ...) -> Any: ...
def hvp(f: Function, x: Any, v: Any, *, create_graph: bool = False) -> Any:
    """The Hessian of f at x times v, in the form of x. f(x) has one element; v, a constant, has the form of x.

    It is the gradient of <gradient of f, v> (Pearlmutter, 1994). With `create_graph` it can be differentiated again.
    Raises TypeError for another kind of x, v or f(x), ValueError for another shape of v or of f(x).
    """
    y, tensors, restore_form = _evaluate("hvp", f, x)
    along = _inner_product("hvp", engine.grad(y, tensors, create_graph=True), tensors, x, v)
    return restore_form(engine.grad(along, tensors, create_graph=create_graph))


@overload
def jacobian(f: Function, x: Tensor | np.ndarray | float) -> Tensor: ...
@overload
def jacobian(f: Function, x: Any) -> Any: ...
def jacobian(f: Function, x: Any) -> Any:
    """The Jacobian of f at x, of shape (*f(x).shape, *x.shape); for several Tensors one each, in the form of x.

    It takes a backward pass for each element of f(x), and cannot be differentiated again; `jvp` and `vjp` give products
    with it, which can. Raises TypeError for another kind of x or of f(x).
    """
    y, tensors, restore_form = _evaluate("jacobian", f, x)
    xp = backend.of(y.data).xp
    jacobians = [xp.zeros_like(x.data, shape=(y.size, *x.shape), order="C") for x in tensors]
    for i in range(y.size):
        cotangent = xp.zeros_like(y.data, shape=y.size)
        cotangent[i] = 1.0
        gradients = engine.vjp(y, tensors, Tensor(cotangent.reshape(y.shape)))
        for whole, g in zip(jacobians, gradients, strict=True):
            whole[i] = g.data
    return restore_form([Tensor(whole.reshape(y.shape + whole.shape[1:])) for whole in jacobians])


def _evaluate(function: str, f: Function, x: Any) -> tuple[Tensor, list[Tensor], Callable[[list[Tensor]], Any]]:
    """f(x), the Tensors of x, and a function that puts a list of their derivatives into the form of x."""
    if isinstance(x, Mapping):
        x = {name: _as_tensor(value) for name, value in x.items()}
    elif isinstance(x, (list, tuple)):
        x = (tuple if isinstance(x, tuple) else list)(map(_as_tensor, x))
    else:
        x = Tensor(x) if isinstance(x, (int, float, np.generic)) else _as_tensor(x)
    tensors, restore_form = flatten(function, x)
    with recording(True):
        return require_tensor(function, "f(x)", f(x)), tensors, restore_form


def _as_tensor(x: Any) -> Any:
    return Tensor(x) if type(x) in backend.by_array_type else x


def _inner_product(function: str, gradients: Sequence[Tensor], tensors: Sequence[Tensor], x: Any, v: Any) -> Tensor:
    """<gradients, v>, to be differentiated, for v in the form of x."""
    directions = [v]
    if isinstance(x, (Mapping, HasParameters)) and not isinstance(x, Tensor):
        names = list(x if isinstance(x, Mapping) else x.parameters())
        fits = isinstance(v, Mapping) and v.keys() == set(names)
        directions = [v[name] for name in names] if fits else []
    elif isinstance(x, (list, tuple)):
        directions = list(v) if isinstance(v, (list, tuple)) else []
    if len(directions) != len(tensors) or not tensors:
        raise TypeError(
            f"{function} needs a direction v in the form of x, one array or Tensor for each of its {len(tensors)}; got "
            f"{type(v).__name__}"
        )
    with recording(True):
        products = [g * _direction(function, *pair) for g, *pair in zip(gradients, tensors, directions, strict=True)]
        return functools.reduce(operator.add, [product.sum() for product in products])


def _direction(function: str, x: Tensor, v: Any) -> Tensor:
    """v as a constant: it may be x itself, and only the other factor of the product is to be differentiated."""
    v = Tensor(v if isinstance(v, Tensor) else backend.of(x.data).asarray(v, str(x.dtype)))
    if v.shape != x.shape:
        raise ValueError(f"{function} needs a direction v of the shape {x.shape} of x, got shape {v.shape}")
    return v
