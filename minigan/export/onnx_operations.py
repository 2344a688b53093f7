"""The ONNX form of minigan's operations: one function for each name of an operation.

Images stay (N, H, W, C), as in minigan; ONNX's convolutions, pooling and resizing take (N, C, H, W), so each of them
stands between two transposes. Two that undo each other are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from minigan.core.errors import UsageError
from minigan.export.onnx_graph import OnnxGraph
from minigan.export.recorded import Recorded
from minigan.ops.shape import axes_of

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_WEIGHT_AXES = (3, 2, 0, 1)  # (kh, kw, in, out) to (out, in, kh, kw); transposed (kh, kw, out, in) to (in, out, kh, kw)


class Translation(Protocol):
    """What the functions below may use."""

    graph: OnnxGraph

    def inputs(self, node: Recorded) -> list[str]:
        """The names of what `node` was computed from."""

    def first_input(self, node: Recorded) -> str:
        """The name of the first of them."""

    def shape(self, node: Recorded) -> str:
        """The name of the shape of `node`, which may depend on the batch."""

    def reshaped(self, node: Recorded) -> str:
        """The name of a shape for Reshape, with -1 for the extent that depends on the batch."""


OnnxForm = Callable[[Translation, Recorded], str]
OPERATIONS: dict[str, OnnxForm] = {}


def _form_of(*names: str) -> Callable[[OnnxForm], OnnxForm]:
    def register(form: OnnxForm) -> OnnxForm:
        OPERATIONS.update(dict.fromkeys(names, form))
        return form

    return register


def _same(operator: str, t: Translation, node: Recorded) -> str:
    return t.graph.add(operator, *t.inputs(node))


for _name, _operator in {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "sign": "Sign", "absolute": "Abs", "maximum": "Max", "sin": "Sin", "cos": "Cos", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "softplus": "Softplus", "tensor_power": "Pow",
}.items():  # fmt: skip
    OPERATIONS[_name] = functools.partial(_same, _operator)


def _leaky_relu(graph: OnnxGraph, value: str, slope: float) -> str:
    if slope == 1:
        return value
    return graph.add("LeakyRelu", value, alpha=float(slope)) if slope else graph.add("Relu", value)


@_form_of("leaky_relu")
def _activation(t: Translation, node: Recorded) -> str:
    return _leaky_relu(t.graph, t.first_input(node), node.static("slope"))


@_form_of("power")
def _power(t: Translation, node: Recorded) -> str:
    return t.graph.add("Pow", *t.inputs(node), t.graph.constant(float(node.static("exponent"))))


@_form_of("where")
def _where(t: Translation, node: Recorded) -> str:
    condition, *values = t.inputs(node)
    return t.graph.add("Where", t.graph.add("Cast", condition, to=_type("BOOL")), *values)


@_form_of("dense")
def _dense(t: Translation, node: Recorded) -> str:
    return _leaky_relu(t.graph, t.graph.add("Gemm", *t.inputs(node)), node.static("slope"))


@_form_of("matmul")
def _matmul(t: Translation, node: Recorded) -> str:
    axes = (1, 0) if len(node.shapes[0]) == 2 else (0, 2, 1)
    flags = node.static("transpose_a"), node.static("transpose_b")
    factors = zip(t.inputs(node), flags, strict=True)
    return t.graph.add("MatMul", *(t.graph.transpose(x, axes) if flag else x for x, flag in factors))


@_form_of("conv2d")
def _conv2d(t: Translation, node: Recorded) -> str:
    return _convolution(t, node, "Conv", 1.0)


@_form_of("input_grad")
def _conv_transpose2d(t: Translation, node: Recorded) -> str:
    return _convolution(t, node, "ConvTranspose", 1.0)


@_form_of("fused")
def _fused_convolution(t: Translation, node: Recorded) -> str:
    operator = "ConvTranspose" if node.static("transposed") else "Conv"
    return _convolution(t, node, operator, node.static("slope"))


def _convolution(t: Translation, node: Recorded, operator: str, slope: float) -> str:
    x, w, *bias = t.inputs(node)
    geometry, attributes = node.static("geometry"), _window(node.static("geometry"))
    if operator == "ConvTranspose":  # of all sizes that the convolution maps to that of x, the one that is wanted
        small = geometry.out
        least = [(n - 1) * s + k for n, s, k in zip(small, geometry.stride, geometry.kernel, strict=True)]
        attributes["output_padding"] = [whole - part for whole, part in zip(geometry.padded, least, strict=True)]
    x, w = t.graph.transpose(x, TO_CHANNELS_FIRST), t.graph.transpose(w, _WEIGHT_AXES)
    y = _leaky_relu(t.graph, t.graph.add(operator, x, w, *bias, **attributes), slope)
    return t.graph.transpose(y, TO_CHANNELS_LAST)


def _window(geometry: Any) -> dict[str, Any]:
    """The attributes of a sliding window."""
    (top, bottom), (left, right) = geometry.padding
    return {
        "kernel_shape": list(geometry.kernel), "strides": list(geometry.stride), "pads": [top, left, bottom, right],
    }  # fmt: skip


@_form_of("from_windows")
def _pool(t: Translation, node: Recorded) -> str:
    """The sum over each window, or its largest pixel: the operation then has a second input, which says where it is."""
    geometry, is_maximum = node.static("geometry"), len(node.pair[0].parents) == 2
    x = t.graph.transpose(t.first_input(node), TO_CHANNELS_FIRST)
    if is_maximum:
        return t.graph.transpose(t.graph.add("MaxPool", x, **_window(geometry)), TO_CHANNELS_LAST)
    mean = t.graph.add("AveragePool", x, count_include_pad=1, **_window(geometry))
    size = float(np.prod(geometry.kernel))
    return t.graph.add("Mul", t.graph.transpose(mean, TO_CHANNELS_LAST), t.graph.constant(size))


@_form_of("to_windows")
def _upsample(t: Translation, node: Recorded) -> str:
    geometry = node.static("geometry")
    repeats = geometry.stride == geometry.kernel and geometry.padding == ((0, 0), (0, 0))
    if len(node.pair[0].parents) != 1 or not repeats:
        raise unsupported(node)
    x = t.graph.transpose(t.first_input(node), TO_CHANNELS_FIRST)
    scales = t.graph.constant(np.array([1.0, 1.0, *geometry.kernel]))
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return t.graph.transpose(t.graph.add("Resize", x, "", scales, **attributes), TO_CHANNELS_LAST)


@_form_of("reshape")
def _reshape(t: Translation, node: Recorded) -> str:
    return t.graph.add("Reshape", *t.inputs(node), t.reshaped(node))


@_form_of("broadcast_to")
def _broadcast(t: Translation, node: Recorded) -> str:
    return t.graph.add("Expand", *t.inputs(node), t.shape(node))


@_form_of("transpose")
def _transpose(t: Translation, node: Recorded) -> str:
    return t.graph.transpose(t.first_input(node), node.static("axes"))


@_form_of("concatenate")
def _concatenate(t: Translation, node: Recorded) -> str:
    return t.graph.add("Concat", *t.inputs(node), axis=int(node.static("axis")))


@_form_of("pad")
def _pad(t: Translation, node: Recorded) -> str:
    before, after = np.transpose(node.static("widths"))
    return t.graph.add("Pad", *t.inputs(node), t.graph.constant(np.concatenate([before, after])))


@_form_of("sum")
def _sum(t: Translation, node: Recorded) -> str:
    return _reduce(t, node, "ReduceSum", node.static("keepdims"))


@_form_of("max")
def _max(t: Translation, node: Recorded) -> str:
    return _reduce(t, node, "ReduceMax", node.static("keepdims"))


@_form_of("logsumexp")
def _logsumexp(t: Translation, node: Recorded) -> str:
    return _reduce(t, node, "ReduceLogSumExp", False)


def _reduce(t: Translation, node: Recorded, operator: str, keepdims: bool) -> str:
    axes = axes_of(node.static("axis"), node.pair[0].parents[0].ndim)
    return t.graph.add(operator, *t.inputs(node), t.graph.constant(np.array(axes, np.int64)), keepdims=int(keepdims))


@_form_of("softmax")
def _softmax(t: Translation, node: Recorded) -> str:
    return t.graph.add("Softmax", *t.inputs(node), axis=int(node.static("axis")))


@_form_of("one_hot")
def _one_hot(t: Translation, node: Recorded) -> str:
    labels = t.graph.add("Cast", *t.inputs(node), to=_type("INT64"))
    count, values = t.graph.constant(np.array([node.static("count")])), t.graph.constant(np.array([0.0, 1.0]))
    return t.graph.add("OneHot", labels, count, values, axis=-1)


@_form_of("index")
def _index(t: Translation, node: Recorded) -> str:
    """Slices and whole numbers along axes, as Slice and Gather; new axes as Unsqueeze."""
    value, key = t.first_input(node), node.static("key")
    parts = _one_part_for_each_axis(key if isinstance(key, tuple) else (key,), node)
    axes = [part for part in parts if part is not None]
    for axis, part in enumerate(axes):
        if isinstance(part, slice) and part != slice(None):
            value = _sliced(t.graph, value, axis, part)
    for axis in reversed(range(len(axes))):
        if not isinstance(axes[axis], slice):
            value = t.graph.add("Gather", value, t.graph.constant(np.asarray(axes[axis], np.int64)), axis=axis)
    kept = [part for part in parts if part is None or isinstance(part, slice)]
    new = [place for place, part in enumerate(kept) if part is None]
    return t.graph.add("Unsqueeze", value, t.graph.constant(np.array(new, np.int64))) if new else value


def _one_part_for_each_axis(key: tuple[Any, ...], node: Recorded) -> list[Any]:
    """The key with slices for an Ellipsis and what it leaves out; raises UsageError for arrays."""
    if not all(part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in key):
        raise unsupported(node)
    named = sum(part is not None and part is not Ellipsis for part in key)
    rest = [slice(None)] * (node.pair[0].parents[0].ndim - named)
    key = key if Ellipsis in key else (*key, Ellipsis)
    place = key.index(Ellipsis)
    return [*key[:place], *rest, *key[place + 1 :]]


def _sliced(graph: OnnxGraph, value: str, axis: int, part: slice) -> str:
    step, far = part.step or 1, np.iinfo(np.int64)
    start = part.start if part.start is not None else (0 if step > 0 else far.max)
    stop = part.stop if part.stop is not None else (far.max if step > 0 else far.min)
    bounds = (graph.constant(np.array([number], np.int64)) for number in (start, stop, axis, step))
    return graph.add("Slice", value, *bounds)


def unsupported(node: Recorded) -> UsageError:
    """The error for an operation without an ONNX form."""
    return UsageError(
        f"the generator uses the operation '{node.operation}', which has no ONNX form here; build it of others, or "
        "export without ONNX (--no-onnx)."
    )


def _type(name: str) -> int:
    import onnx

    return int(getattr(onnx.TensorProto, name))
