"""Walks over the graph of operations."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import Tensor, autodiff, grad, ops
from minigan.autodiff.graph import ancestors, backward_path


def _leaf(*values: float) -> Tensor:
    return Tensor(np.array(values))


def _names(tensors: list) -> list[str]:
    return [t.rule.name if t.rule else "leaf" for t in tensors]


def test_ancestors_are_in_order_of_creation_and_occur_once() -> None:
    x, unused = _leaf(1.0, 2.0), _leaf(3.0)
    y = x * x
    loss = ops.sum(y * 2.0 + y)
    found = ancestors(loss)
    assert found[0] is x
    assert found[1] is y
    assert _names(found) == ["leaf", "multiply", "multiply", "add", "sum"]
    assert unused not in found
    assert ancestors(x) == [x]


def test_ancestors_stop_at_the_oldest_index() -> None:
    x = _leaf(1.0)
    y = x * 2.0
    loss = ops.sum(y)
    assert ancestors(loss, y.creation_index) == [y, loss]


def test_the_backward_path_holds_what_leads_to_a_target_from_last_to_first() -> None:
    a, b = _leaf(1.0, 2.0), _leaf(3.0, 4.0)
    loss = ops.sum(ops.exp(a) * ops.tanh(b))
    path = backward_path(loss, [b])
    assert _names([node for node, _ in path]) == ["sum", "multiply", "tanh"]
    assert [flows for _, flows in path] == [[True], [False, True], [True]]
    assert backward_path(loss, [_leaf(0.0)]) == []


def test_no_cotangent_flows_into_an_input_without_a_vjp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does `grad` go there: not beyond a sign, nor into the first input of slope_gate."""
    x = _leaf(1.0, -2.0)
    gate = x * 3.0
    loss = ops.sum(ops.slope_gate(gate, x, slope=0.5)) + ops.sum(ops.exp(ops.sign(x)))
    path = backward_path(loss, [x])
    assert _names([node for node, _ in path]) == ["add", "sum", "slope_gate"]
    assert path[-1][1] == [False, True]
    visited = []
    pull_back = autodiff.Rule.pull_back
    monkeypatch.setattr(autodiff.Rule, "pull_back", lambda rule, *a: visited.append(rule.name) or pull_back(rule, *a))
    grad(loss, x)
    assert visited == ["add", "sum", "slope_gate"]


def test_a_freed_graph_is_refused() -> None:
    x = _leaf(1.0)
    loss = ops.sum(x * x)
    grad(loss, x, keep_graph=False)
    with pytest.raises(RuntimeError, match="freed this graph"):
        backward_path(loss, [x])
