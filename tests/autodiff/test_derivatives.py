"""Gradients come in the form in which the variables are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import nn, ops
from minigan.autodiff import Tensor


def _leaves() -> tuple[Tensor, Tensor, Tensor]:
    """x, w, and the loss sum(x^2 w), whose gradients are 2 x w and x^2."""
    x, w = Tensor([1.0, 2.0, 3.0]), Tensor([5.0, 7.0, 11.0])
    return x, w, ops.sum(x * x * w)


OF_X, OF_W = [10.0, 28.0, 66.0], [1.0, 4.0, 9.0]


def _both(loss: Tensor, wrt: Any, **options: bool) -> list[Any]:
    """By `grad`, and by `vjp` with a cotangent of 1."""
    return [mg.grad(loss, wrt, **options), mg.vjp(loss, wrt, np.ones(()), **options)]


def test_one_tensor_gives_one_tensor() -> None:
    x, _, loss = _leaves()
    for found in _both(loss, x):
        assert isinstance(found, Tensor)
        assert found.numpy().tolist() == OF_X


def test_a_list_a_tuple_and_a_dict_give_the_same_form() -> None:
    x, w, loss = _leaves()
    for found in _both(loss, [w, x]):
        assert isinstance(found, list)
        assert [g.numpy().tolist() for g in found] == [OF_W, OF_X]
    for pair in _both(loss, (x, w)):
        assert isinstance(pair, tuple)
        assert [g.numpy().tolist() for g in pair] == [OF_X, OF_W]
    for named in _both(loss, {"w": w, "x": x}):
        assert {name: g.numpy().tolist() for name, g in named.items()} == {"w": OF_W, "x": OF_X}
    assert (mg.grad(loss, []), mg.grad(loss, ()), mg.grad(loss, {})) == ([], (), {})


def test_a_module_gives_a_dict_by_the_names_of_its_parameters() -> None:
    layer = nn.Sequential(nn.Dense(2, 1, np.random.default_rng(0))).astype("float64")
    loss = ops.sum(layer(np.array([[2.0, 3.0], [10.0, 20.0]])))
    for found in _both(loss, layer):
        assert {name: g.numpy().tolist() for name, g in found.items()} == {
            "0.weight": [[12.0], [23.0]],
            "0.bias": [2.0],
        }
    assert mg.grad(loss, nn.Tanh()) == {}


def test_options_reach_the_engine() -> None:
    x, _, loss = _leaves()
    (of_x,) = mg.grad(loss, (x,), create_graph=True)
    assert mg.grad(ops.sum(of_x), x).numpy().tolist() == [10.0, 14.0, 22.0]
    mg.vjp(loss, x, Tensor(2.0), keep_graph=False)
    with pytest.raises(RuntimeError, match="keep_graph"):
        mg.grad(loss, x)


@pytest.mark.parametrize(
    ("wrt", "given"),
    [
        (np.ones(3), "ndarray"),
        (1.0, "float"),
        (None, "NoneType"),
        ({"x": Tensor(1.0)}.values(), "dict_values"),
        ([Tensor(1.0), np.ones(3)], "a list with ndarray at place 1"),
        ({"x": [Tensor(1.0)]}, "a dict with list at entry 'x'"),
        ((nn.Tanh(),), "a tuple with Tanh at place 0"),
    ],
)
def test_other_forms_are_refused(wrt: Any, given: str) -> None:
    _, _, loss = _leaves()
    for function in (lambda: mg.grad(loss, wrt), lambda: mg.vjp(loss, wrt, Tensor(1.0))):
        with pytest.raises(TypeError, match=f"a Tensor, a list, tuple or dict of Tensors, or a Module; got {given}"):
            function()


def test_a_loss_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match="grad differentiates a Tensor, but its loss is float"):
        mg.grad(3.0, Tensor(1.0))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="vjp differentiates a Tensor, but its y is ndarray"):
        mg.vjp(np.ones(2), Tensor(1.0), np.ones(2))  # type: ignore[call-overload]
