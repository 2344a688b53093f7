"""The graph of operations that a forward pass leaves behind, read from a result back to what it was computed from.

Each Tensor holds its part of the graph (see `Tensor`): `parents`, `rule`, `static` and `creation_index`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from minigan.autodiff.engine import Tensor, ancestors, results_between

__all__ = ["ancestors", "backward_path"]


def backward_path(y: Tensor, targets: Iterable[Tensor]) -> list[tuple[Any, list[bool]]]:
    """Each result through which a cotangent flows from y to a target, and for each of its inputs whether it flows on.

    The results are in the order of the backward pass: from the one made last to the one made first. No cotangent flows
    into an input whose VJP is None. Raises RuntimeError if an earlier gradient took the graph apart.
    """
    reached, path = {y}, []
    for node, wanted in reversed(results_between(y, set(targets))):
        if node in reached:
            reached.update(itertools.compress(node.parents, wanted))
            path.append((node, wanted))
    return path
