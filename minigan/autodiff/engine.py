"""Reverse-mode automatic differentiation: Tensor, primitive, grad, no_grad.

An operation is written once: its forward on raw arrays, and for each differentiable input one vector-Jacobian product
(VJP), itself built from operations. So `grad(..., create_graph=True)` can be differentiated again, to any order.

Each Tensor made by an operation remembers the operation and its inputs. Tensors are numbered as they are made, and
inputs exist before outputs: counting down from the loss is a topological order (Baydin et al., 2018, section 3.2).
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.core import backend

_rooms = backend.by_array_type  # looked up here, for every operation, without a call
_creation_count = itertools.count()
_recording = True

if TYPE_CHECKING:

    def _operator(self: Tensor, other: Any) -> Tensor: ...


class Tensor:
    """An immutable array of float32 or float64 that remembers how it was computed.

    `Tensor(values)` takes an array, which is kept as it is when it lies on the current backend, or nested
    numbers, which become float64 as in NumPy. Raises TypeError for numbers that are not real.
    """

    __slots__ = ("__weakref__", "creation_index", "data", "inputs_version", "parents", "rule", "saved", "static")
    static: dict[str, Any]
    inputs_version: int | None
    version = 0  # only what is `mutable` changes: a Parameter or a Buffer
    mutable = False
    __array_priority__ = 1000  # `array + tensor` asks the tensor

    def __init__(self, values: Any) -> None:
        if isinstance(values, Tensor):  # a Parameter's numbers change, a Tensor's must not
            values = copied(values).data if values.mutable else values.data
        self.data: Any = backend.as_real_array(values)
        self.creation_index = next(_creation_count)
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
        backend.note_host_read("an array")
        return backend.of(self.data).to_numpy(self.data)

    def item(self) -> float:
        """The only element as a Python number; waits for the device."""
        backend.note_host_read("a number")
        return self.data.item()

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def __bool__(self) -> bool:
        raise TypeError("a Tensor has no truth value; compare its .numpy() or .item() instead")

    if TYPE_CHECKING:  # minigan.ops gives Tensor its operators
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _operator
        __matmul__ = __rmatmul__ = __pow__ = __getitem__ = _operator

        def __neg__(self) -> Tensor: ...


class Rule:
    """What the engine knows of an operation: its name and its derivatives."""

    __slots__ = ("composite", "has_zero_vjp", "joint", "name", "vjps")

    def __init__(self, name: str, vjps: tuple, joint: Callable | None, composite: Callable | None) -> None:
        self.name, self.vjps, self.joint, self.composite = name, vjps, joint, composite
        self.has_zero_vjp = None in vjps

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


def primitive(
    *vjps: Callable | None, joint: Callable | None = None, composite: Callable | None = None, view: bool = False
) -> Callable:
    """Make an operation on Tensors of a forward on raw arrays, `forward(backend, *arrays, **static)`.

    Positional arguments are differentiable (Tensors, arrays, or Python numbers, which stay constants); keyword
    arguments are static. The derivatives are built from operations on Tensors: `vjps`, one
    `vjp(g, y, *inputs, **static)` for each positional argument, None where the derivative is zero; or
    `joint(g, y, *inputs, wanted, **static)`, which returns all of them and may share work among them.

    A forward that returns `(array, saved)` keeps the tuple `saved` of raw arrays in `y.saved`, for its derivative. A
    derivative on raw arrays needs a `composite`: the same operation written in differentiable ones, which serves when a
    graph of the derivative is asked for. A forward that returns a `view` of its input is given a copy of what changes
    in place, a Parameter or a Buffer: results that were computed from it must not change with it.
    """

    def decorate(forward: Callable) -> Callable[..., Tensor]:
        rule = Rule(forward.__name__.lstrip("_"), vjps, joint, composite)

        def operation(*inputs: Any, **static: Any) -> Tensor:
            arrays: list[Any] = []
            like, inputs_version = None, None  # the versions of the Parameters used, added up; None without any
            for x in inputs:
                if isinstance(x, Tensor):
                    data = x.data
                    if like is None:
                        like = data
                    elif data.dtype != like.dtype:
                        raise TypeError(f"{rule.name} was given {like.dtype} and {data.dtype}; convert one of them")
                    if x.mutable:
                        inputs_version = (inputs_version or 0) + x.version
                        data = copied(x).data if view else data
                    arrays.append(data)
                elif isinstance(x, (int, float)):
                    arrays.append(float(x))
                else:
                    return operation(*map(_lifted, inputs), **static)
            if like is None:
                raise TypeError(f"{rule.name} needs at least one Tensor or array, got only numbers")
            room = _rooms[type(like)]
            recorder = backend.recorder  # notes what is done with arrays, to do it again: see minigan.gan.replay
            try:
                if recorder is None:
                    data = forward(room, *arrays, **static)
                else:
                    data = recorder.forward(forward, room, arrays, static)
            except Exception as error:
                error.add_note(_in_operation(rule.name, arrays))
                raise
            y = Tensor.__new__(Tensor)
            data, y.saved = data if type(data) is tuple else (data, ())
            # NumPy gives scalars, not arrays, for full reductions.
            y.data = data if type(data) is room.array_type else room.asarray(data)
            y.creation_index = next(_creation_count)
            y.static, y.inputs_version = static, inputs_version
            y.rule, y.parents = (rule, inputs) if _recording else (None, ())
            return y

        functools.update_wrapper(operation, forward)
        del operation.__wrapped__  # type: ignore[attr-defined] # whose signature is not the operation's
        operation.rule = rule  # type: ignore[attr-defined]
        return operation

    return decorate


class recording:  # noqa: N801 - used as a function; a generator with @contextmanager is ten times as slow
    """A context inside which operations remember their inputs, or do not."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __enter__(self) -> None:
        global _recording
        self._before, _recording = _recording, self._on

    def __exit__(self, *problem: object) -> None:
        global _recording
        _recording = self._before


def no_grad() -> recording:
    """A context in which operations remember nothing, so that their inputs can be freed."""
    return recording(False)


def grad(loss: Tensor, wrt: Sequence[Tensor], *, create_graph: bool = False, keep_graph: bool = True) -> list[Tensor]:
    """The gradients of the scalar `loss` with respect to each Tensor of `wrt`; nothing else is touched.

    Only the paths from `loss` to `wrt` are visited; other Tensors have gradient zero. With `create_graph` the gradients
    can be differentiated in turn. Without `keep_graph` the paths are taken apart on the way, to free memory early.
    Raises ValueError if `loss` has more than one element, RuntimeError if a Parameter changed since it was used.
    """
    if loss.size != 1:
        raise ValueError(f"grad needs a loss of one element, got shape {loss.shape}; take its sum or mean first")
    return vjp(loss, wrt, constant_like(loss, 1.0), create_graph=create_graph, keep_graph=keep_graph)


def vjp(
    y: Tensor, wrt: Sequence[Tensor], cotangent: Tensor, *, create_graph: bool = False, keep_graph: bool = True
) -> list[Tensor]:
    """The gradients of <cotangent, y> with respect to each Tensor of `wrt`; see `grad`."""
    if cotangent.shape != y.shape:
        raise ValueError(f"the cotangent has shape {cotangent.shape}, but y has shape {y.shape}")
    targets = set(wrt)
    cotangents = {y: cotangent}
    with recording(create_graph):
        path = results_between(y, targets)
        while path:
            node, wanted = path.pop()
            g = cotangents.get(node) if node in targets else cotangents.pop(node, None)
            if g is None:
                continue  # every rule on the way to this node gave None: its derivative is zero
            for x, want, gx in zip(node.parents, wanted, _pull_back(node, g, wanted), strict=True):
                if not want or gx is None:
                    continue
                if gx.data.shape != x.data.shape:
                    raise _wrong_shape(gx, x, node)
                before = cotangents.get(x)
                cotangents[x] = gx if before is None else before + gx
            if not keep_graph:
                node.parents = node.saved = ()
    return [cotangents[x] if x in cotangents else constant_like(x, 0.0) for x in wrt]


def ancestors(y: Tensor, oldest: int = 0) -> list[Any]:
    """y and every Tensor that it was computed from, in the order in which they were made, from number `oldest` on."""
    seen, waiting = {y}, [y]
    while waiting:
        for x in waiting.pop().parents:
            if x not in seen and isinstance(x, Tensor) and x.creation_index >= oldest:
                seen.add(x)
                waiting.append(x)
    return sorted(seen, key=_creation_index)


def results_between(y: Tensor, targets: set[Tensor]) -> list[tuple[Any, list[bool]]]:
    """The results between the targets and y, in the order they were made, and which inputs of each lead to a target."""
    path, leads_to_target = [], set(targets)
    for node in ancestors(y, min(map(_creation_index, targets), default=0)):  # what is older leads to no target
        if node.rule is not None and not node.parents:
            raise RuntimeError("an earlier gradient took this graph apart; ask for that one with keep_graph=True")
        if node.parents:
            wanted = [x in leads_to_target for x in node.parents]
            if node.rule.has_zero_vjp:
                wanted = [want and vjp is not None for want, vjp in zip(wanted, node.rule.vjps, strict=True)]
            if True in wanted:
                leads_to_target.add(node)
                path.append((node, wanted))
    return path


_creation_index = operator.attrgetter("creation_index")


def _pull_back(node: Any, g: Tensor, wanted: list[bool]) -> Sequence[Tensor | None]:
    if node.inputs_version is not None and node.inputs_version != sum(
        x.version for x in node.parents if isinstance(x, Tensor)
    ):
        name = node.rule.name
        raise RuntimeError(
            f"a Parameter that {name} used has changed since; compute the loss again before its gradient"
        )
    try:
        return node.rule.pull_back(g, node, wanted)
    except Exception as error:
        error.add_note(f"... in the derivative: {_in_operation(node.rule.name, node.parents)}")
        raise


def _wrong_shape(gx: Tensor, x: Tensor, node: Any) -> ValueError:
    error = ValueError(f"the derivative has shape {gx.shape} for an input of shape {x.shape}")
    error.add_note(f"... in the derivative: {_in_operation(node.rule.name, node.parents)}")
    return error


def _pull_back_composite(composite: Callable, g: Tensor, y: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    # Stand-ins for the inputs: one input may have been computed from another, and only this operation's own
    # derivative is asked for.
    stand_ins = [_same(x) if isinstance(x, Tensor) else x for x in y.parents]
    chosen = [x for x, want in zip(stand_ins, wanted, strict=True) if want]
    gradients = iter(vjp(composite(*stand_ins, **y.static), chosen, g, create_graph=True))
    return [next(gradients) if want else None for want in wanted]


@primitive(lambda g, y, x: g, view=True)
def _same(B: backend.Backend, x: Any) -> Any:
    return x


@primitive(lambda g, y, x: g)
def copied(B: backend.Backend, x: Any) -> Any:
    """The same numbers in memory of their own."""
    return x.copy()


@primitive(None)
def _constant_like(B: backend.Backend, x: Any, *, value: float) -> Any:
    return B.xp.full_like(x, value)


def constant_like(x: Tensor, value: float) -> Tensor:
    """`value` in every place of x, outside of any graph."""
    with no_grad():
        return _constant_like(x, value=value)


def _lifted(x: Any) -> Any:
    if isinstance(x, np.generic):
        return x.item()  # a NumPy scalar is a number, not an array
    return x if isinstance(x, (Tensor, int, float)) else Tensor(x)


def _in_operation(name: str, inputs: Sequence[Any]) -> str:
    shapes = ", ".join(str(tuple(x.shape)) if hasattr(x, "shape") else str(x) for x in inputs)
    return f"operation {name} with inputs of shapes {shapes}"
