"""The nodes and constants of an ONNX graph while it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class OnnxGraph:
    """Nodes in the order in which they are computed, and constants by name; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self._transposed: dict[str, tuple[str, tuple[int, ...]]] = {}  # (source, axes) of the result of a Transpose
        self._known: dict[tuple[Any, ...], str] = {}  # names of constants by their numbers

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output, and return the name of that."""
        from onnx import helper

        output = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, values: Any, name: str | None = None) -> str:
        """The name of a constant: float32, or int64 for whole numbers; equal ones are kept once."""
        array = np.asarray(values)
        array = np.ascontiguousarray(array.astype(np.int64 if array.dtype.kind in "iu" else np.float32))
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._known:
            self._known[key] = name or f"constant_{len(self.constants)}"
            self.constants[self._known[key]] = array
        return self._known[key]

    def transpose(self, value: str, axes: Sequence[int]) -> str:
        """`value` with its axes in the order `axes`; a transpose that undoes another one gives what that was made of.

        A constant is transposed here.
        """
        if value in self.constants:
            return self.constant(self.constants[value].transpose(axes), f"{value}.transposed")
        source, before = self._transposed.get(value, ("", ()))
        if [before[i] for i in axes] == list(range(len(axes))) if before else False:
            return source
        output = self.add("Transpose", value, perm=list(axes))
        self._transposed[output] = value, tuple(axes)
        return output

    def needed_nodes(self, output: str) -> list[Any]:
        """The nodes from which `output` is computed; the others have become superfluous."""
        needed, kept = {output}, []
        for node in reversed(self.nodes):
            if node.output[0] in needed:
                needed.update(node.input)
                kept.append(node)
        return kept[::-1]
