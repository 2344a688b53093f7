"""Reverse-mode automatic differentiation: Tensor, primitive, grad, no_grad.

An operation is written once: its forward on raw arrays, and for each differentiable input one vector-Jacobian
product (VJP), which is itself built from operations. So `grad(..., create_graph=True)` gives derivatives that
can be differentiated again, to any order.

Each Tensor made by an operation remembers the operation and its inputs. Tensors are numbered as they are made,
and an operation's inputs exist before its output: counting down from the loss is a topological order. See
Baydin et al., 2018, "Automatic Differentiation in Machine Learning: a Survey", section 3.2.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan import backend

Operand = "Tensor | float | np.ndarray"

_numbers = itertools.count()
_recording = True


class Tensor:
    """An immutable array of float32 or float64 that remembers how it was computed.

    `Tensor(values)` takes an array, which is kept as it is when it lies on the current backend, or nested
    numbers, which become float64 as in NumPy. Raises TypeError for numbers that are not real.
    """

    __slots__ = ("__weakref__", "data", "number", "parents", "rule", "saved", "stamp", "static")
    version = 0  # only a Parameter changes
    __array_priority__ = 1000  # `array + tensor` asks the tensor

    def __init__(self, values: Any) -> None:
        self._become(_checked_array(values))

    def _become(self, data: Any) -> None:
        self.data = data
        self.number = next(_numbers)
        self.rule: Rule | None = None
        self.parents: tuple[Any, ...] = ()
        self.saved: tuple[Any, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    def numpy(self) -> np.ndarray:
        """A copy on the host; waits for the device."""
        return backend.of(self.data).to_numpy(self.data)

    def item(self) -> float:
        """The only element as a Python number; waits for the device."""
        return self.data.item()

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        made_by = f", from {self.rule.name}" if self.rule else ""
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype}{made_by})"

    def __bool__(self) -> bool:
        raise TypeError("a Tensor has no truth value; compare its .numpy() or .item() instead")

    if TYPE_CHECKING:  # minigan.ops gives Tensor its operators

        def __add__(self, other: Operand) -> Tensor: ...
        def __radd__(self, other: Operand) -> Tensor: ...
        def __sub__(self, other: Operand) -> Tensor: ...
        def __rsub__(self, other: Operand) -> Tensor: ...
        def __mul__(self, other: Operand) -> Tensor: ...
        def __rmul__(self, other: Operand) -> Tensor: ...
        def __truediv__(self, other: Operand) -> Tensor: ...
        def __rtruediv__(self, other: Operand) -> Tensor: ...
        def __pow__(self, exponent: float) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __matmul__(self, other: Operand) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...


class Parameter(Tensor):
    """A Tensor that learning changes in place; `version` counts the changes."""

    __slots__ = ("home", "version")

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.version = 0
        self.home: object | None = None  # the optimiser whose flat buffer holds the numbers

    def assign(self, values: Any) -> None:
        """Replace the numbers; raises ValueError unless the shape is the same."""
        if tuple(np.shape(values)) != self.shape:
            raise ValueError(f"cannot assign values of shape {np.shape(values)} to a parameter of shape {self.shape}")
        self.data[...] = backend.of(self.data).asarray(values, dtype=str(self.dtype))
        self.version += 1


class Rule:
    """What the engine knows of an operation: its name and its derivatives."""

    __slots__ = ("composite", "joint", "name", "vjps")

    def __init__(self, name: str, vjps: tuple, joint: Callable | None, composite: Callable | None) -> None:
        self.name, self.vjps, self.joint, self.composite = name, vjps, joint, composite

    def pull_back(self, g: Tensor, y: Tensor, wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        """The cotangent of each wanted input of y, from the cotangent g of y itself."""
        if _recording and self.composite is not None:
            return _pull_back_composite(self.composite, g, y, wanted)
        if self.joint is not None:
            return self.joint(g, y, *y.parents, wanted=wanted, **y.static)
        return [
            vjp(g, y, *y.parents, **y.static) if want and vjp is not None else None
            for vjp, want in zip(self.vjps, wanted, strict=True)
        ]


def primitive(*vjps: Callable | None, joint: Callable | None = None, composite: Callable | None = None) -> Callable:
    """Make an operation on Tensors of a forward on raw arrays, `forward(backend, *arrays, **static)`.

    Positional arguments are differentiable (Tensors, arrays, or Python numbers, which stay constants); keyword
    arguments are static. The derivatives are given in one of two ways, built from operations on Tensors:
    `vjps`, one `vjp(g, y, *inputs, **static)` for each positional argument, None where the derivative is zero;
    or `joint(g, y, *inputs, wanted, **static)`, which returns all of them and may share work among them.

    A forward that returns `(array, saved)` keeps the tuple `saved` of raw arrays in `y.saved`, for its derivative.
    A derivative that computes on raw arrays needs a `composite`: the same operation written in differentiable
    ones, which serves whenever a graph of the derivative is asked for.
    """

    def decorate(forward: Callable) -> Callable[..., Tensor]:
        rule = Rule(forward.__name__, vjps, joint, composite)

        def operation(*inputs: Any, **static: Any) -> Tensor:
            arrays = []
            like, stamp = None, 0
            for i, x in enumerate(inputs):
                if not isinstance(x, Tensor):
                    if isinstance(x, (int, float)):
                        arrays.append(x)
                        continue
                    x = Tensor(x)
                    inputs = (*inputs[:i], x, *inputs[i + 1 :])
                if like is None:
                    like = x.data
                elif x.data.dtype != like.dtype:
                    raise TypeError(f"{rule.name} was given {like.dtype} and {x.data.dtype}; convert one of them first")
                stamp += x.version
                arrays.append(x.data)
            if like is None:
                raise TypeError(f"{rule.name} needs at least one Tensor or array, got only numbers")
            room = backend.of(like)
            try:
                data = forward(room, *arrays, **static)
            except Exception as error:
                error.add_note(_in_operation(rule.name, arrays))
                raise
            y = Tensor.__new__(Tensor)
            data, saved = data if type(data) is tuple else (data, ())
            # NumPy gives scalars, not arrays, for full reductions.
            y._become(data if type(data) is room.array_type else room.asarray(data))
            y.saved = saved
            if _recording:
                y.rule, y.parents, y.static, y.stamp = rule, inputs, static, stamp
            return y

        operation.__name__ = operation.__qualname__ = forward.__name__
        operation.__doc__ = forward.__doc__
        operation.__module__ = forward.__module__
        operation.rule = rule  # type: ignore[attr-defined]
        return operation

    return decorate


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Whether operations inside remember their inputs."""
    global _recording
    before, _recording = _recording, on
    try:
        yield
    finally:
        _recording = before


def no_grad():
    """A context in which operations remember nothing, so that their inputs can be freed."""
    return recording(False)


def grad(loss: Tensor, wrt: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """The gradients of the scalar `loss` with respect to each Tensor of `wrt`; nothing else is touched.

    Only the paths from `loss` to `wrt` are visited; a Tensor that does not lead to `loss` has gradient zero.
    With `create_graph` the gradients can be differentiated in turn. Raises ValueError if `loss` has more than one
    element, RuntimeError if a Parameter changed after the loss was computed from it.
    """
    if loss.size != 1:
        raise ValueError(f"grad needs a loss of one element, got shape {loss.shape}; take its sum or mean first")
    return vjp(loss, wrt, _ones_like(loss), create_graph=create_graph)


def vjp(y: Tensor, wrt: Sequence[Tensor], cotangent: Tensor, *, create_graph: bool = False) -> list[Tensor]:
    """The gradients of <cotangent, y> with respect to each Tensor of `wrt`; see `grad`."""
    if cotangent.shape != y.shape:
        raise ValueError(f"the cotangent has shape {cotangent.shape}, but y has shape {y.shape}")
    targets = {id(x) for x in wrt}
    cotangents = {id(y): cotangent}
    path = _path(y, targets)
    on_path = {id(node) for node in path}
    with recording(create_graph):
        for node in reversed(path):
            if not any(id(x) in on_path for x in node.parents) or id(node) not in cotangents:
                continue
            g = cotangents[id(node)] if id(node) in targets else cotangents.pop(id(node))
            for x, gx in zip(node.parents, _pull_back(node, g, on_path), strict=True):
                if gx is not None and id(x) in on_path:
                    before = cotangents.get(id(x))
                    cotangents[id(x)] = gx if before is None else before + gx
    return [cotangents[id(x)] if id(x) in cotangents else _zeros_like(x) for x in wrt]


def _path(y: Tensor, targets: set[int]) -> list[Tensor]:
    """Every Tensor between `y` and the targets, both included, in the order they were made."""
    seen, waiting = {id(y): y}, [y]
    while waiting:
        for x in waiting.pop().parents:
            if isinstance(x, Tensor) and id(x) not in seen:
                seen[id(x)] = x
                waiting.append(x)
    path: list[Tensor] = []
    leads_to_target: set[int] = set()
    for node in sorted(seen.values(), key=_number):
        if id(node) in targets or any(id(x) in leads_to_target for x in node.parents):
            leads_to_target.add(id(node))
            path.append(node)
    return path


def _number(node: Tensor) -> int:
    return node.number


def _pull_back(node: Tensor, g: Tensor, on_path: set[int]) -> Sequence[Tensor | None]:
    rule = node.rule
    assert rule is not None  # a Tensor with parents has a rule
    if node.stamp != sum(x.version for x in node.parents if isinstance(x, Tensor)):
        raise RuntimeError(
            f"a Parameter that {rule.name} used has changed since; compute the loss again before asking for its gradient"
        )
    wanted = [id(x) in on_path for x in node.parents]
    try:
        gradients = rule.pull_back(g, node, wanted)
        for x, gx in zip(node.parents, gradients, strict=True):
            if gx is not None and isinstance(x, Tensor) and gx.shape != x.shape:
                raise ValueError(f"the derivative has shape {gx.shape} for an input of shape {x.shape}")
        return gradients
    except Exception as error:
        error.add_note(f"... in the derivative: {_in_operation(rule.name, node.parents)}")
        raise


def _pull_back_composite(composite: Callable, g: Tensor, y: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    # Stand-ins for the inputs: one input may have been computed from another, and only this operation's own
    # derivative is asked for.
    stand_ins = [_same(x) if isinstance(x, Tensor) else x for x in y.parents]
    chosen = [x for x, want in zip(stand_ins, wanted, strict=True) if want]
    gradients = iter(vjp(composite(*stand_ins, **y.static), chosen, g, create_graph=True))
    return [next(gradients) if want else None for want in wanted]


@primitive(lambda g, y, x: g)
def _same(B: backend.Backend, x: Any) -> Any:
    return x


def _in_operation(name: str, inputs: Sequence[Any]) -> str:
    shapes = ", ".join(str(tuple(x.shape)) if hasattr(x, "shape") else str(x) for x in inputs)
    return f"operation {name} with inputs of shapes {shapes}"


def _checked_array(values: Any) -> Any:
    data = values.data if isinstance(values, Tensor) else values
    if not backend.holds(data):
        data = np.asarray(data)
    if str(data.dtype) not in backend.FLOATS:
        if data.dtype.kind not in "biuf":
            raise TypeError(f"a Tensor holds real numbers, got dtype {data.dtype}")
        data = data.astype("float64")
    if type(data) is not backend.current().array_type and type(data) is np.ndarray:
        data = backend.current().asarray(data)  # host numbers move to the backend in use
    return data


def _ones_like(x: Tensor) -> Tensor:
    return Tensor(backend.of(x.data).xp.ones_like(x.data))


def _zeros_like(x: Tensor) -> Tensor:
    return Tensor(backend.of(x.data).xp.zeros_like(x.data))
