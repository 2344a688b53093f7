"""The formula of every primitive as text: evaluated by NumPy, it is the VJP of each input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import naive

from minigan import Tensor, autodiff, ops, vjp
from minigan.autodiff.formula import formula_of
from minigan.ops import pool
from minigan.selftest import primitives

CASES = {f"{name}-{i}": case for name, rows in primitives.primitives().items() for i, case in enumerate(rows)}


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _share_of_largest(x: np.ndarray, axis: Any) -> np.ndarray:
    largest = x == x.max(axis, keepdims=True)
    return largest / largest.sum(axis, keepdims=True)


def _sum_to_shape(shape: tuple[int, ...], g: np.ndarray) -> np.ndarray:
    """g summed over the axes along which an input of `shape` was broadcast."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, extent in enumerate(shape) if extent == 1 != g.shape[i]), keepdims=True)


def _namespace(y: Any, g: np.ndarray, arguments: list[str], place: int) -> dict[str, Any]:
    """What the names in the formula of y mean in NumPy, for the input number `place`."""
    inputs = [x.numpy() if isinstance(x, Tensor) else x for x in y.parents]
    static, x = y.static, inputs[0]
    geometry = static.get("geometry")

    def over_rows(reduction: Any) -> Any:
        return lambda v, axis=None: (
            reduction(v, axis=tuple(range(v.ndim - 1))) if axis is None else reduction(v, axis=axis, keepdims=True)
        )

    def repeat(g: np.ndarray, x: np.ndarray) -> np.ndarray:
        if g.ndim != x.ndim and g.ndim:
            g = np.expand_dims(g, tuple(axis % x.ndim for axis in np.atleast_1d(static["axis"])))
        return np.broadcast_to(g, x.shape)

    def own_part(g: np.ndarray) -> np.ndarray:
        ends = np.cumsum([part.shape[static["axis"]] for part in inputs])
        return np.split(g, ends[:-1], axis=static["axis"])[place]

    def zeros_but(g: np.ndarray, key: Any) -> np.ndarray:
        zeros = np.zeros_like(x)
        np.add.at(zeros, key, g)
        return zeros

    def windows(operation: Any) -> Any:
        return lambda g: operation(Tensor(g), *map(Tensor, inputs[1:]), geometry=geometry).numpy()

    def before_leaky_relu() -> np.ndarray:  # y has its sign, except for batch norm with a negative slope
        if y.rule.name != "batch_norm":
            return y.numpy()
        axes = tuple(range(x.ndim - 1))
        return (x - x.mean(axes)) / np.sqrt(x.var(axes) + static["eps"]) * inputs[1] + inputs[2]

    def without_border(g: np.ndarray) -> np.ndarray:
        return g[tuple(slice(a, a + n) for (a, _), n in zip(static["widths"], x.shape, strict=True))]

    return {
        **static, **dict(zip(arguments, inputs, strict=False)),
        "g": g, "y": y.numpy(), "z": before_leaky_relu(), "n": np.size(x),
        "where": np.where, "sqrt": np.sqrt, "sign": static.get("sign", np.sign),
        "sin": np.sin, "cos": np.cos, "log": np.log, "sigmoid": _sigmoid,
        "share_of_maximum": lambda a, b: (1 + np.sign(np.subtract(a, b))) / 2,
        "share_of_largest": lambda x, axis: _share_of_largest(x, axis),
        "sum": over_rows(np.sum), "mean": over_rows(np.mean), "repeat": repeat,
        "softmax": lambda x, axis: np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True),
        "reshape": np.reshape, "transpose": np.transpose, "inverse": np.argsort,
        "own_part": own_part, "zeros_but": zeros_but,
        "without_border": without_border,
        "conv2d": lambda x, w: naive.conv2d(x, w, geometry),
        "conv2d_input_grad": lambda g, w: naive.input_grad(g, w, geometry),
        "conv2d_weight_grad": lambda x, g: naive.weight_grad(x, g, geometry),
        "to_windows": windows(pool._to_windows), "from_windows": windows(pool._from_windows),
    }  # fmt: skip


@pytest.mark.parametrize(("function", "inputs"), CASES.values(), ids=CASES)
def test_every_formula_is_the_derivative(function: Any, inputs: tuple[np.ndarray, ...]) -> None:
    """Of every registered primitive: `CASES` has all of them (see test_primitives)."""
    y: Any = function(*map(Tensor, inputs))
    assert y.rule.formula is not None, f"the primitive {y.rule.name} has no formula"
    if y.static.get("exponent") == 0:
        return  # 0 * x**-1 is NaN at x = 0
    formula = formula_of(y)
    g = np.random.default_rng(3).standard_normal(y.shape)
    arguments = [*formula.cotangents, *[list(formula.cotangents)[-1]] * len(y.parents)][: len(y.parents)]
    for place, (argument, x) in enumerate(zip(arguments, y.parents, strict=True)):
        if not isinstance(x, Tensor):
            continue
        # Copies of the inputs: one may occur twice, or have been computed from another.
        copies = [Tensor(p) if isinstance(p, Tensor) else p for p in y.parents]
        again = Tensor.__new__(Tensor)
        for slot in ("creation_index", "data", "rule", "saved", "static", "versions"):
            setattr(again, slot, getattr(y, slot))
        again.parents = tuple(copies)
        names = _namespace(y, g, arguments, place)
        for definition in reversed(formula.where.split("; ") if formula.where else []):
            name, _, text = definition.partition(" = ")
            names[name] = eval(text, {"__builtins__": {}}, names)
        text = formula.cotangents[argument].replace(".T", ".mT")  # which of a batch transposes each matrix
        claimed = eval(text, {"__builtins__": {}}, names)
        (expected,) = vjp(again, [copies[place]], Tensor(g))
        found = _sum_to_shape(x.shape, np.broadcast_to(claimed, np.broadcast_shapes(np.shape(claimed), x.shape)))
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-12)


def test_the_name_and_the_formula_say_what_is_transposed_or_fused() -> None:
    a, images, w, b = (Tensor(np.ones(shape)) for shape in ((2, 2), (1, 3, 3, 1), (2, 2, 1, 1), (1,)))
    assert formula_of(ops.matmul(a, a, transpose_b=True)).operation == "matmul a b.T"
    assert formula_of(ops.conv2d(images, w)).operation == "conv2d"
    assert formula_of(ops.conv_transpose2d(images, w, b)).operation == "conv_transpose2d + bias"
    assert formula_of(ops.conv2d(images, w, b)).where == ""
    fused = formula_of(ops.conv2d(images, w, b, slope=0.2))
    assert (fused.operation, fused.where) == ("conv2d + bias", "h = where(z > 0, g, slope * g)")


def test_numbers_among_the_static_arguments_are_filled_in() -> None:
    x = Tensor(np.ones(3))
    assert formula_of(ops.power(x, 3)).cotangents == {"x": "3 * g * x**(3 - 1)"}
    assert formula_of(ops.mean_softplus(x, -1)).cotangents == {"x": "-g * sigmoid(-x) / n"}


def test_a_primitive_without_a_formula_is_named() -> None:
    double = autodiff.primitive(lambda g, y, x: g * 2.0)(lambda B, x: x * 2)
    double.rule.name = "double"
    formula = formula_of(double(Tensor(np.ones(3))))
    assert (formula.operation, formula.cotangents) == ("double", {"input": "vjp_of_double(g)"})
