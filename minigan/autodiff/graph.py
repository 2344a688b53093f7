"""The graph of operations that a forward pass records, read from a result back to the inputs of the computation.

Each Tensor holds its part of the graph (see `Tensor`): `parents`, `rule`, `static` and `creation_index`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from minigan.autodiff.engine import Tensor, ancestors, results_between

__all__ = ["ancestors", "backward_path"]


def backward_path(y: Tensor, targets: Iterable[Tensor]) -> list[tuple[Any, list[bool]]]:
    """(result, whether a cotangent flows to each of its inputs) on the paths of cotangents from y to the targets.

    The results are in the order of the backward pass: from the one made last to the one made first. No cotangent flows
    into an input whose VJP is None. Raises RuntimeError if an earlier gradient freed the graph.
    """
    reached, path = {y}, []
    for node, needs_grad in reversed(results_between(y, set(targets))):
        if node in reached:
            reached.update(itertools.compress(node.parents, needs_grad))
            path.append((node, needs_grad))
    return path
