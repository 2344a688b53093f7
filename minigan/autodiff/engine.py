"""Reverse-mode automatic differentiation: Tensor, primitive, grad, no_grad.

An operation is written once: its forward on raw arrays, and for each differentiable input one vector-Jacobian product
(VJP), itself built from operations. So `grad(..., create_graph=True)` can be differentiated again, to any order.

Each Tensor made by an operation remembers the operation and its inputs. Tensors are numbered as they are made, and
inputs exist before outputs: counting down from the loss is a topological order (Baydin et al., 2018, section 3.2).
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.autodiff.host_values import HostValues
from minigan.core import backend

_backends = backend.by_array_type  # every operation looks its backend up here: faster than a call of `backend.of`
_creation_count = itertools.count()
_creation_index = operator.attrgetter("creation_index")
_recording = True

if TYPE_CHECKING:

    def _operator(self: Tensor, other: Any) -> Tensor: ...
    def _function(self: Tensor) -> Tensor: ...
    def _reduction(self: Tensor, axis: int | tuple[int, ...] | None = ..., keepdims: bool = ...) -> Tensor: ...


class Tensor(HostValues):
    """An immutable array of float32 or float64 that remembers how it was computed.

    `Tensor(values)` takes an array of the current backend, which it keeps without a copy, or nested numbers, which
    become float64 as in NumPy. Raises TypeError for numbers that are not real.

    data: the array. rule: the Rule of the operation that made the Tensor, None for a leaf. parents: the inputs of that
    operation, Tensors or Python numbers. static: its keyword arguments. saved: arrays that its forward keeps for its
    derivative. creation_index: grows with every Tensor made, so a Tensor has a larger one than its parents.
    versions: the versions of the Variables among the parents, added up; None without any.
    """

    __slots__ = ("__weakref__", "creation_index", "data", "parents", "rule", "saved", "static", "versions")
    static: dict[str, Any]
    versions: int | None
    version = 0  # counts the changes of a Variable, the only Tensors that are `mutable`
    mutable = False

    def __init__(self, values: Any) -> None:
        if isinstance(values, Tensor):  # the numbers of a Variable change, those of the new Tensor must not
            values = copied(values).data if values.mutable else values.data
        elif _contains_tensor(values):
            raise TypeError("Tensor(...) takes numbers, got a list of Tensors; minigan.ops.stack joins Tensors")
        self.data: Any = backend.as_real_array(values)
        self.creation_index = next(_creation_count)
        self.rule: Rule | None = None
        self.parents: tuple[Any, ...] = ()
        self.saved: tuple[Any, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The extent of each axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers, float32 or float64."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    def __len__(self) -> int:
        return len(self.data)

    def __dir__(self) -> list[str]:
        """The names for users, without those of the engine."""
        internal = {"increment_version", "mutable", "version"}.union(
            *(getattr(c, "__slots__", ()) for c in type(self).__mro__)
        )
        return [name for name in super().__dir__() if name not in internal]

    if TYPE_CHECKING:  # minigan.ops gives Tensor its operators and methods
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _operator
        __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __getitem__ = _operator

        __neg__ = __abs__ = _function
        abs = cos = exp = log = relu = sigmoid = sign = sin = softplus = sqrt = tanh = _function
        max = mean = min = sum = var = _reduction

        @property
        def T(self) -> Tensor: ...  # noqa: N802 - NumPy's name
        def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def clip(self, low: Any = ..., high: Any = ...) -> Tensor: ...
        def logsumexp(self, axis: int | tuple[int, ...] | None = ..., keepdims: bool = ...) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def softmax(self, axis: int = ...) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...


class Rule:
    """The name of an operation, its derivatives (see `primitive`), and their formula as text (see `formula_of`)."""

    __slots__ = ("composite", "formula", "has_zero_vjp", "joint", "name", "vjps")

    def __init__(self, name: str, vjps: tuple, joint: Any, composite: Any, formula: Any) -> None:
        self.name, self.vjps, self.joint, self.composite, self.formula = name, vjps, joint, composite, formula
        self.has_zero_vjp = None in vjps

    def pull_back(self, g: Tensor, y: Tensor, needs_grad: Sequence[bool]) -> Sequence[Tensor | None]:
        """The cotangent of each input of y that `needs_grad` marks, from the cotangent g of y itself."""
        if _recording and self.composite is not None:
            return _pull_back_composite(self.composite, g, y, needs_grad)
        if self.joint is not None:
            return self.joint(g, y, *y.parents, needs_grad=needs_grad, **y.static)
        return [
            vjp(g, y, *y.parents, **y.static) if needed else None
            for vjp, needed in zip(self.vjps, needs_grad, strict=True)
        ]


def primitive(
    *vjps: Callable | None, joint: Callable | None = None, composite: Callable | None = None, view: bool = False,
    formula: Any = None,
) -> Callable:  # fmt: skip
    """Make a forward on raw arrays, `forward(backend, *arrays, **static)`, an operation on Tensors.

    Positional arguments are differentiable (Tensors, arrays, or Python numbers, which are constants), keyword arguments
    are static. The derivatives are built from operations on Tensors. They are either `vjps`, one
    `vjp(g, y, *inputs, **static)` for each positional argument, None where the derivative is zero; or
    `joint(g, y, *inputs, needs_grad, **static)`, which returns all of them and can share work between them;
    `needs_grad` says for each input whether its cotangent is needed, and the others may be None.

    A forward that returns `(array, saved)` keeps the tuple `saved` of raw arrays in `y.saved`, for the derivative. A
    derivative that computes on raw arrays needs a `composite`: a function that composes the same operation of
    differentiable ones; under `create_graph` it is differentiated instead. view: whether the forward may return a view
    of its input; it then gets a copy of a Variable, so that its result does not change with the Variable.

    formula: the derivatives as text, {input: formula}, or a function of the static arguments that returns a `Formula`.

    The operation raises TypeError for inputs of both types, and where no input is a Tensor or an array.
    """

    def decorate(forward: Callable) -> Callable[..., Tensor]:
        rule = Rule(forward.__name__.lstrip("_"), vjps, joint, composite, formula)

        def operation(*inputs: Any, **static: Any) -> Tensor:
            arrays: list[Any] = []
            like, versions = None, None  # the first array; the versions of the Variables, added up
            for x in inputs:
                if isinstance(x, Tensor):
                    data = x.data
                    if like is None:
                        like = data
                    elif data.dtype != like.dtype:
                        raise TypeError(
                            f"{rule.name} got {like.dtype} and {data.dtype}; convert an array or Module by its .astype"
                        )
                    if x.mutable:
                        versions = (versions or 0) + x.version
                        data = copied(x).data if view else data
                    arrays.append(data)
                elif isinstance(x, (int, float)):
                    arrays.append(float(x))
                else:
                    return operation(*map(_as_tensor_or_number, inputs), **static)
            if like is None:
                raise TypeError(f"{rule.name} needs at least one Tensor or array, got only numbers")
            B = _backends[type(like)]  # noqa: N806 - the name that forwards give it
            recorder = backend.recorder  # records the operations of a training step: see minigan.gan.replay
            try:
                if recorder is None:
                    data = forward(B, *arrays, **static)
                else:
                    data = recorder.forward(forward, B, arrays, static)
            except Exception as error:
                error.add_note(_in_operation(rule.name, arrays))
                raise
            y = Tensor.__new__(Tensor)
            data, y.saved = data if type(data) is tuple else (data, ())
            y.data = data if type(data) is B.array_type else B.asarray(data)  # NumPy's full reductions give scalars
            y.creation_index = next(_creation_count)
            y.static, y.versions = static, versions
            y.rule, y.parents = (rule, inputs) if _recording else (None, ())
            return y

        functools.update_wrapper(operation, forward)
        del operation.__wrapped__  # type: ignore[attr-defined] # the forward has another signature:
        _, *parameters = inspect.signature(forward).parameters.values()  # that of the forward, without the backend
        operation.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        operation.rule = rule  # type: ignore[attr-defined]
        return operation

    return decorate


class recording:  # noqa: N801 - called like a function; a generator with @contextmanager takes ten times as long
    """A context in which operations record the graph (their rules and inputs), or do not."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __enter__(self) -> None:
        global _recording
        self._before, _recording = _recording, self._on

    def __exit__(self, *problem: object) -> None:
        global _recording
        _recording = self._before


def no_grad() -> recording:
    """A context in which operations record no graph, so that memory is freed early and no gradient can be taken."""
    return recording(False)


def grad(loss: Tensor, wrt: Sequence[Tensor], *, create_graph: bool = False, keep_graph: bool = True) -> list[Tensor]:
    """The gradients of the scalar `loss` with respect to each Tensor of `wrt`. A pure function: it changes no Tensor.

    Only the paths from `loss` to `wrt` are visited; a Tensor on no path has gradient zero. With `create_graph` the
    gradients can be differentiated again. Without `keep_graph` the graph of these paths is freed on the way.
    Raises ValueError if `loss` has more than one element, RuntimeError if a Variable has changed since it was used.
    """
    if loss.size != 1:
        raise ValueError(f"grad needs a loss of one element, got shape {loss.shape}; take its sum or mean first")
    return vjp(loss, wrt, constant_like(loss, 1.0), create_graph=create_graph, keep_graph=keep_graph)


def vjp(
    y: Tensor, wrt: Sequence[Tensor], cotangent: Tensor, *, create_graph: bool = False, keep_graph: bool = True
) -> list[Tensor]:
    """The gradients of <cotangent, y> with respect to each Tensor of `wrt`; see `grad`.

    Raises ValueError unless the cotangent has the shape of y, RuntimeError as `grad` does.
    """
    if cotangent.shape != y.shape:
        raise ValueError(f"the cotangent has shape {cotangent.shape}, but y has shape {y.shape}")
    targets = set(wrt)
    cotangents = {y: cotangent}
    with recording(create_graph):
        path = results_between(y, targets)
        while path:
            node, needs_grad = path.pop()
            g = cotangents.get(node) if node in targets else cotangents.pop(node, None)
            if g is None:
                continue  # every rule on the way to this node gave None: its derivative is zero
            for x, needed, gx in zip(node.parents, needs_grad, _pull_back(node, g, needs_grad), strict=True):
                if not needed or gx is None:
                    continue
                if gx.data.shape != x.data.shape:
                    raise _wrong_shape(gx, x, node)
                before = cotangents.get(x)
                cotangents[x] = gx if before is None else before + gx
            if not keep_graph:
                node.parents = node.saved = ()
    return [cotangents[x] if x in cotangents else constant_like(x, 0.0) for x in wrt]


def ancestors(y: Tensor, oldest: int = 0) -> list[Any]:
    """y and every Tensor from which it was computed, in order of creation, from creation index `oldest` on."""
    visited, stack = {y}, [y]
    while stack:
        for x in stack.pop().parents:
            if x not in visited and isinstance(x, Tensor) and x.creation_index >= oldest:
                visited.add(x)
                stack.append(x)
    return sorted(visited, key=_creation_index)


def results_between(y: Tensor, targets: set[Tensor]) -> list[tuple[Any, list[bool]]]:
    """(result, whether each of its parents leads to a target) on the paths from y to targets, in order of creation."""
    path, leads_to_target = [], set(targets)
    for node in ancestors(y, min(map(_creation_index, targets), default=0)):
        if node.rule is not None and not node.parents:
            raise RuntimeError("an earlier gradient freed this graph; compute that one with keep_graph=True")
        if node.parents:
            needs_grad = [x in leads_to_target for x in node.parents]
            if node.rule.has_zero_vjp:
                needs_grad = [
                    needed and vjp is not None for needed, vjp in zip(needs_grad, node.rule.vjps, strict=True)
                ]
            if True in needs_grad:
                leads_to_target.add(node)
                path.append((node, needs_grad))
    return path


def _pull_back(node: Any, g: Tensor, needs_grad: list[bool]) -> Sequence[Tensor | None]:
    if node.versions is not None and node.versions != sum(x.version for x in node.parents if isinstance(x, Tensor)):
        raise RuntimeError(f"{node.rule.name} used a Parameter or Buffer that has changed since; compute the loss anew")
    try:
        return node.rule.pull_back(g, node, needs_grad)
    except Exception as error:
        error.add_note(f"... in the derivative: {_in_operation(node.rule.name, node.parents)}")
        raise


def _wrong_shape(gx: Tensor, x: Tensor, node: Any) -> ValueError:
    error = ValueError(f"the derivative has shape {gx.shape} for an input of shape {x.shape}")
    error.add_note(f"... in the derivative: {_in_operation(node.rule.name, node.parents)}")
    return error


def _pull_back_composite(composite: Callable, g: Tensor, y: Tensor, needs_grad: Sequence[bool]) -> list[Tensor | None]:
    # Stand-ins for the inputs: one may have been computed from another, and only this operation is differentiated.
    inputs = [_same(x) if isinstance(x, Tensor) else x for x in y.parents]
    chosen = [x for x, needed in zip(inputs, needs_grad, strict=True) if needed]
    gradients = iter(vjp(composite(*inputs, **y.static), chosen, g, create_graph=True))
    return [next(gradients) if needed else None for needed in needs_grad]


@primitive(lambda g, y, x: g, view=True, formula={"x": "g"})
def _same(B: backend.Backend, x: Any) -> Any:
    return x


@primitive(lambda g, y, x: g, formula={"x": "g"})
def copied(B: backend.Backend, x: Any) -> Any:
    """A copy of x."""
    return x.copy()


@primitive(None, formula={"x": "0"})
def _constant_like(B: backend.Backend, x: Any, *, value: float) -> Any:
    return B.xp.full_like(x, value)


def constant_like(x: Tensor, value: float) -> Tensor:
    """A constant Tensor of the shape and dtype of x, filled with `value`."""
    with no_grad():
        return _constant_like(x, value=value)


def _contains_tensor(values: Any) -> bool:
    """Whether nested lists contain a Tensor, whose graph NumPy would drop."""
    return isinstance(values, (list, tuple)) and any(isinstance(x, Tensor) or _contains_tensor(x) for x in values)


def _as_tensor_or_number(x: Any) -> Any:
    if isinstance(x, np.generic):
        return x.item()  # a NumPy scalar is a number, not an array
    return x if isinstance(x, (Tensor, int, float)) else Tensor(x)


def _in_operation(name: str, inputs: Sequence[Any]) -> str:
    shapes = ", ".join(str(tuple(x.shape)) if hasattr(x, "shape") else str(x) for x in inputs)
    return f"operation {name} with inputs of shapes {shapes}"
