"""Gradients with respect to one Tensor, a list, tuple or dict of Tensors, or all parameters of a Module.

They are returned in the same form. The functions of the engine, which the library itself calls, take lists only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, overload, runtime_checkable

from minigan.autodiff import engine
from minigan.autodiff.engine import Tensor


@runtime_checkable
class HasParameters(Protocol):
    """An object with named parameters, such as a Module; this package cannot import that class."""

    def parameters(self) -> Mapping[str, Tensor]:
        """Tensors by name."""


@overload
def grad(loss: Tensor, wrt: Tensor, *, create_graph: bool = ..., keep_graph: bool = ...) -> Tensor: ...
@overload
def grad(
    loss: Tensor, wrt: Mapping[str, Any] | HasParameters, *, create_graph: bool = ..., keep_graph: bool = ...
) -> dict[str, Tensor]: ...
@overload
def grad(
    loss: Tensor, wrt: tuple[Any, ...], *, create_graph: bool = ..., keep_graph: bool = ...
) -> tuple[Tensor, ...]: ...
@overload
def grad(loss: Tensor, wrt: list[Any], *, create_graph: bool = ..., keep_graph: bool = ...) -> list[Tensor]: ...
def grad(loss: Tensor, wrt: Any, *, create_graph: bool = False, keep_graph: bool = True) -> Any:
    """The gradient of the scalar `loss` with respect to `wrt`, in the form of `wrt`. It changes no Tensor.

    wrt: a Tensor gives a Tensor of the same shape; a list or tuple of Tensors gives a list or tuple, a dict of them a
    dict; a Module gives a dict by the names of its `parameters()`. A Tensor that `loss` does not depend on has gradient
    zero. With `create_graph` the gradients can be differentiated again. Without `keep_graph` the graph is freed on the
    way, and with it memory.

    Raises TypeError for another kind of `wrt`, ValueError if `loss` has more than one element, RuntimeError if a
    Parameter or Buffer has changed since it was used.
    """
    tensors, restore_form = flatten("grad", wrt)
    loss = require_tensor("grad", "loss", loss)
    return restore_form(engine.grad(loss, tensors, create_graph=create_graph, keep_graph=keep_graph))


@overload
def vjp(y: Tensor, wrt: Tensor, cotangent: Any, *, create_graph: bool = ..., keep_graph: bool = ...) -> Tensor: ...
@overload
def vjp(
    y: Tensor,
    wrt: Mapping[str, Any] | HasParameters,
    cotangent: Any,
    *,
    create_graph: bool = ...,
    keep_graph: bool = ...,
) -> dict[str, Tensor]: ...
@overload
def vjp(
    y: Tensor, wrt: tuple[Any, ...], cotangent: Any, *, create_graph: bool = ..., keep_graph: bool = ...
) -> tuple[Tensor, ...]: ...
@overload
def vjp(
    y: Tensor, wrt: list[Any], cotangent: Any, *, create_graph: bool = ..., keep_graph: bool = ...
) -> list[Tensor]: ...
def vjp(y: Tensor, wrt: Any, cotangent: Any, *, create_graph: bool = False, keep_graph: bool = True) -> Any:
    """The gradient of <cotangent, y> with respect to `wrt`, in the form of `wrt`; see `grad`.

    cotangent: a Tensor or array of the shape of y. Raises as `grad`, and ValueError for a cotangent of another shape.
    """
    tensors, restore_form = flatten("vjp", wrt)
    y = require_tensor("vjp", "y", y)
    cotangent = cotangent if isinstance(cotangent, Tensor) else Tensor(cotangent)
    return restore_form(engine.vjp(y, tensors, cotangent, create_graph=create_graph, keep_graph=keep_graph))


def flatten(function: str, wrt: Any) -> tuple[list[Tensor], Callable[[list[Tensor]], Any]]:
    """The Tensors in `wrt`, and a function that puts a list of their gradients into the form of `wrt`."""
    if isinstance(wrt, Tensor):
        return [wrt], lambda gradients: gradients[0]
    if isinstance(wrt, HasParameters):
        wrt = wrt.parameters()
    if isinstance(wrt, Mapping):
        named = {f"entry {name!r}": value for name, value in wrt.items()}
    elif isinstance(wrt, (list, tuple)):
        named = {f"place {i}": value for i, value in enumerate(wrt)}
    else:
        raise _type_error(function, type(wrt).__name__)
    for place, value in named.items():
        if not isinstance(value, Tensor):
            raise _type_error(function, f"a {type(wrt).__name__} with {type(value).__name__} at {place}")
    if isinstance(wrt, Mapping):
        names = list(wrt)
        return list(named.values()), lambda gradients: dict(zip(names, gradients, strict=True))
    return list(named.values()), tuple if isinstance(wrt, tuple) else list


def _type_error(function: str, got: str) -> TypeError:
    return TypeError(
        f"{function} takes the derivative with respect to a Tensor, a list, tuple or dict of Tensors, or a Module; "
        f"got {got}"
    )


def require_tensor(function: str, what: str, value: Any) -> Tensor:
    """`value`. Raises TypeError, which names the `function` and `what` the value is, unless it is a Tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{function} differentiates a Tensor, but its {what} is {type(value).__name__}")
    return value
