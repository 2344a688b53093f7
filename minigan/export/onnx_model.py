"""A network as an ONNX model, from the operations that it does in evaluation mode: any Module, whatever its code.

Weights are constants, and so is what is computed from weights alone, such as the scale of a batch norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan import __version__
from minigan.core import files
from minigan.core.errors import UsageError
from minigan.export.onnx_graph import OnnxGraph
from minigan.export.onnx_operations import OPERATIONS, unsupported
from minigan.export.recorded import BATCHES, Recorded, Recording, record
from minigan.nn import Module

EXAMPLES = sum(BATCHES)
"""How many examples of the inputs `save_onnx` takes."""

OUTPUT = "samples"
_OPSET, _IR_VERSION = 18, 9  # of 2022 and 2023, which onnxruntime reads from version 1.15 on
_BATCH = "batch"  # the name of the extent that may be any number


def require_onnx() -> None:
    """Raise UsageError unless the package onnx can be imported."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UsageError(
            "an ONNX file needs the package onnx, which is not installed; install it (pip install 'minigan[onnx]'), or "
            "export without ONNX (--no-onnx)."
        ) from None


def save_onnx(path: str | Path, network: Module, inputs: Mapping[str, np.ndarray]) -> Path:
    """Write `network` in evaluation mode as an ONNX file, checked by onnx.checker, and return its path.

    inputs: by name, `EXAMPLES` examples of each input of the network, arrays (EXAMPLES, ...), whatever their numbers;
    the file takes float32 of any batch size, and gives `OUTPUT`. Images are (N, H, W, C).

    Raises UsageError if the package onnx is missing, for another number of examples, or for an operation without an
    ONNX form, which it names.
    """
    require_onnx()
    content = _model(network, inputs).SerializeToString()
    path = Path(path)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def _model(network: Module, inputs: Mapping[str, np.ndarray]) -> Any:
    from onnx import TensorProto, checker, helper, numpy_helper

    recording = record(network, list(inputs.values()))
    names = {variable: name for name, variable in (network.parameters() | network.buffers()).items()}
    translation = _Translation(recording, list(inputs), names)
    output = translation.graph.add("Identity", translation.name(recording.output), name=OUTPUT)
    nodes = translation.graph.needed_nodes(output)
    used = {value for node in nodes for value in node.input}
    constants = {name: array for name, array in translation.graph.constants.items() if name in used}
    graph = helper.make_graph(
        nodes,
        "generator",
        [_described(name, x, TensorProto.FLOAT) for name, x in zip(inputs, recording.inputs, strict=True)],
        [_described(OUTPUT, recording.output, TensorProto.FLOAT)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="minigan",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(model, full_check=True)
    return model


def _described(name: str, x: Recorded, kind: int) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, [_BATCH, *x.shapes[0][1:]])


class _Translation:
    """The graph of a Recording as an OnnxGraph; see `onnx_operations.Translation`."""

    def __init__(self, recording: Recording, names: Sequence[str], variables: Mapping[Any, str]) -> None:
        self.graph, self._recording, self._variables = OnnxGraph(), recording, variables
        self._input = names[0]
        self._names = dict(zip((x.pair[0] for x in recording.inputs), names, strict=True))
        for node in recording.nodes.values():  # in order of creation: inputs come before outputs
            if node.operation is not None and node.pair[0] in recording.computed:
                form = OPERATIONS.get(node.operation)
                if form is None:
                    raise unsupported(node)
                self._names[node.pair[0]] = form(self, node)

    def name(self, node: Recorded | float) -> str:
        """The name of what `node` is in the graph."""
        if isinstance(node, float):
            return self.graph.constant(node)
        tensor = node.pair[0]
        if tensor not in self._names:
            self._names[tensor] = self._constant(node)
        return self._names[tensor]

    def inputs(self, node: Recorded) -> list[str]:
        return [self.name(parent) for parent in self._recording.parents(node)]

    def first_input(self, node: Recorded) -> str:
        return self.name(self._recording.parents(node)[0])

    def _constant(self, node: Recorded) -> str:
        first, second = (x.numpy() for x in node.pair)
        if first.shape == second.shape and np.array_equal(first, second):
            return self.graph.constant(first, self._variables.get(node.pair[0]))
        if _has_equal_rows(first, second):
            return self.graph.add("Expand", self.graph.constant(first[:1]), self.shape(node))
        raise UsageError(
            "the generator computes numbers from its input without recording how, or draws random ones, which has no "
            "ONNX form; export without ONNX (--no-onnx)."
        )

    def shape(self, node: Recorded) -> str:
        if node.shapes[0] == node.shapes[1]:
            return self.graph.constant(np.array(node.shapes[0], np.int64))
        batch = self.graph.add("Shape", self._input, start=0, end=1)
        parts = [
            self.graph.constant(np.array([extent]))
            if extent == other
            else self.graph.add("Mul", batch, self.graph.constant(np.array([_multiple(node, extent, other)])))
            for extent, other in zip(*node.shapes, strict=True)
        ]
        return self.graph.add("Concat", *parts, axis=0)

    def reshaped(self, node: Recorded) -> str:
        first, second = node.shapes
        differ = [extent != other for extent, other in zip(first, second, strict=True)]
        if sum(differ) != 1:
            return self.shape(node)
        return self.graph.constant(np.where(differ, -1, first).astype(np.int64))


def _multiple(node: Recorded, extent: int, other: int) -> int:
    """How many times the batch size an extent is, which is `extent` and `other` in the two batches."""
    times, rest = divmod(extent, BATCHES[0])
    if rest or times * BATCHES[1] != other:
        raise unsupported(node)
    return times


def _has_equal_rows(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether both are one row, repeated for each example of the batch."""
    if first.shape[1:] != second.shape[1:] or (len(first), len(second)) != BATCHES:
        return False
    return bool((first == first[:1]).all() and (second == first[:1]).all())
