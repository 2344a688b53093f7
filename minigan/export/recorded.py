"""The graph of a network's operations, recorded twice with batches of two sizes: what differs depends on the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.engine import recording
from minigan.autodiff.graph import ancestors
from minigan.core.errors import UsageError
from minigan.nn import Module
from minigan.nn.module import dtype_of, preserve_state

BATCHES = (3, 2)  # the sizes of the two batches


@dataclass(frozen=True, eq=False)
class Recorded:
    """A Tensor of the graph as it was in both batches."""

    pair: tuple[Tensor, Tensor]

    @property
    def operation(self) -> str | None:
        """The name of the operation that computed it; None for an input, a parameter or a constant."""
        rule = self.pair[0].rule
        return None if rule is None else rule.name

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Its shapes in the two batches."""
        return self.pair[0].shape, self.pair[1].shape

    def static(self, name: str) -> Any:
        """A static argument of its operation; raises UsageError if it depends on the size of the batch."""
        first, second = (x.static[name] for x in self.pair)
        if repr(first) != repr(second):
            raise UsageError(f"the generator calls '{self.operation}' with a {name} that depends on the batch size, "
                             "which has no ONNX form here; export without ONNX (--no-onnx).")  # fmt: skip
        return first


@dataclass(frozen=True)
class Recording:
    """A network's graph: its inputs, its output, and every Tensor in between, in the order of their creation."""

    inputs: tuple[Recorded, ...]
    output: Recorded
    nodes: dict[Tensor, Recorded]  # by the Tensor of the first batch
    computed: frozenset[Tensor]  # those of the first batch that depend on an input

    def parents(self, node: Recorded) -> list[Recorded | float]:
        """What `node` was computed from; raises UsageError for a number that depends on the size of the batch."""
        found: list[Recorded | float] = []
        for first, second in zip(node.pair[0].parents, node.pair[1].parents, strict=True):
            if isinstance(first, Tensor):
                found.append(self.nodes[first])
            elif first == second:
                found.append(float(first))
            else:
                raise UsageError(
                    f"the generator calls '{node.operation}' with a number that depends on the batch size, which has "
                    "no ONNX form here; export without ONNX (--no-onnx)."
                )
        return found


def record(network: Module, inputs: Sequence[np.ndarray]) -> Recording:
    """The graph of `network` in evaluation mode on `inputs`, arrays (sum(BATCHES), ...), whose state stays as it is.

    Inputs are converted to the network's dtype. Raises UsageError for another number of examples, if the network gives
    several outputs, or if it does other operations on another batch.
    """
    arrays = [np.asarray(x, dtype_of(network) or np.float32) for x in inputs]
    if any(x.shape[:1] != (sum(BATCHES),) for x in arrays):
        raise UsageError(
            f"the inputs have the shapes {[x.shape for x in arrays]}, expected {sum(BATCHES)} examples of each; "
            "give so many, whatever their numbers."
        )
    first, second = [Tensor(x[: BATCHES[0]]) for x in arrays], [Tensor(x[BATCHES[0] :]) for x in arrays]
    with preserve_state(network), recording(True):
        network.eval()
        outputs = network(*first), network(*second)
    if not all(isinstance(y, Tensor) for y in outputs):
        raise UsageError("the generator gives several outputs, and an ONNX file here has one; export with --no-onnx.")
    graphs = [ancestors(y) for y in outputs]
    if [_name(x) for x in graphs[0]] != [_name(x) for x in graphs[1]]:
        raise UsageError(
            "the generator does other operations on a batch of another size, which has no ONNX form here; export "
            "without ONNX (--no-onnx)."
        )
    nodes = {pair[0]: Recorded(pair) for pair in zip(*graphs, strict=True)}
    pairs = zip(first, second, strict=True)
    given = tuple(nodes.get(pair[0]) or Recorded(pair) for pair in pairs)  # an input may have no effect
    return Recording(given, nodes[outputs[0]], nodes, _computed_from(set(first), graphs[0]))


def _name(x: Tensor) -> str | None:
    return None if x.rule is None else x.rule.name


def _computed_from(inputs: set[Tensor], graph: Sequence[Tensor]) -> frozenset[Tensor]:
    """The Tensors of `graph`, in order of creation, that depend on `inputs`, with these."""
    reached = set(inputs)
    for x in graph:
        if any(isinstance(parent, Tensor) and parent in reached for parent in x.parents):
            reached.add(x)
    return frozenset(reached)
