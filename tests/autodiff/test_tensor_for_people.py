"""What a person does with a Tensor: print it, compare it, call its methods, pass it to NumPy."""

from __future__ import annotations

import ast
import copy
import inspect
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import Buffer, Parameter, Tensor, grad, ops
from minigan.autodiff import engine
from minigan.core import backend

MATRIX = np.array([[1.0, -2.0, 3.0], [0.5, 0.25, -4.0]])


# Text.


def test_repr_shows_the_numbers_the_shape_and_the_dtype() -> None:
    assert (
        repr(Tensor([[1.0, 2.0], [3.0, 4.5]]))
        == "Tensor([[1. , 2. ],\n        [3. , 4.5]], shape=(2, 2), dtype=float64)"
    )
    assert repr(Tensor(np.float32(0.1))) == "Tensor(0.1, shape=(), dtype=float32)"
    assert repr(Tensor(np.zeros((0, 3)))) == "Tensor([], shape=(0, 3), dtype=float64)"
    assert repr(Parameter([2.0])) == "Parameter([2.], shape=(1,), dtype=float64)"
    assert repr(Buffer(3)) == "Buffer(3, shape=(), dtype=int64)"


def test_repr_is_short_and_fits_the_width() -> None:
    text = repr(Tensor(np.arange(40_000.0).reshape(200, 200)))
    assert "..." in text
    assert "3.9999e+04" in text
    assert text.count("\n") < 20
    assert max(map(len, text.splitlines())) < np.get_printoptions()["linewidth"]
    assert repr(Tensor(np.arange(13.0))).splitlines()[1].strip() == "shape=(13,), dtype=float64)"


def test_formats_are_those_of_the_number() -> None:
    loss = Tensor(0.6931471805599453)
    assert f"{loss:.3f} {loss:8.1e} {Tensor([[2.0]]):g}" == "0.693  6.9e-01 2"
    assert f"{loss}" == str(loss) == repr(loss)
    with pytest.raises(
        ValueError, match=r"only a Tensor of one element is a number, this one has shape \(3,\); use .n"
    ):
        f"{Tensor(np.ones(3)):.3f}"


def test_repr_waits_for_the_device_once(standin: ModuleType) -> None:
    expected = repr(Tensor(MATRIX))
    mg.use("cupy", "reference")
    x = Tensor(MATRIX)
    with standin._standin.count_synchronisations() as waits:
        assert repr(x) == expected
    assert waits.count == 1


# Numbers.


def test_a_tensor_of_one_element_is_a_number() -> None:
    for x in (Tensor(2.5), Tensor(np.full((1, 1), 2.5, np.float32))):
        assert float(x) == 2.5
        assert int(x) == 2
        assert isinstance(int(x), int)
        assert x.item() == 2.5


@pytest.mark.parametrize("convert", [float, int, Tensor.item, lambda x: x < 1, lambda x: x == 1.0, lambda x: max(x, 2)])
@pytest.mark.parametrize("shape", [(2,), (0,), (1, 3)])
def test_other_tensors_are_no_numbers(convert: Callable, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="only a Tensor of one element is a number, this one has shape"):
        convert(Tensor(np.ones(shape)))


@pytest.mark.parametrize("number", [1, 2.0, True, np.float32(3.0), np.float64(-1.0), np.int64(2)])
@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_comparisons_with_numbers_are_those_of_the_number(name: str, number: Any) -> None:
    compare = getattr(operator, name)
    for value in (1.0, 2.0, -1.0, np.nan):
        x = Tensor(np.float32(value))
        assert compare(x, number) is bool(compare(value, number))
        assert compare(number, x) is bool(compare(number, value))


def test_two_tensors_of_one_element_are_ordered() -> None:
    a, b = Tensor(1.0), Tensor([2.0])
    assert a < b
    assert b >= a
    assert not a > b
    assert max(a, b) is b


def test_tensors_are_equal_by_identity_and_so_can_be_keys() -> None:
    a, b = Tensor(1.0), Tensor(1.0)
    assert a != b
    assert a == a
    assert {a: "a", b: "b"}[b] == "b"
    assert len({a, b, a}) == 2
    assert [b, a].index(a) == 1
    assert b not in [a]
    assert (a == None) is False  # noqa: E711
    assert (a == "1.0") is False
    x = Tensor(MATRIX)
    assert x in [a, x]
    assert copy.deepcopy(x) != x


def test_comparisons_with_other_things_are_refused() -> None:
    x = Tensor(1.0)
    with pytest.raises(TypeError, match="'<' not supported between instances of 'Tensor' and 'str'"):
        _ = x < "2"
    for compare in (lambda: x < MATRIX, lambda: MATRIX < x, lambda: MATRIX == x):  # noqa: SIM300
        with pytest.raises(TypeError, match=r"is no operation on Tensors; use one of minigan.ops, or .numpy\(\)"):
            compare()


# Arrays.


def test_asarray_gives_a_copy_of_the_numbers() -> None:
    x = Tensor(MATRIX)
    array = np.asarray(x)
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, MATRIX)
    array[...] = 0.0
    np.testing.assert_array_equal(x.numpy(), MATRIX)
    assert np.array(x, np.float32).dtype == np.float32
    np.testing.assert_array_equal(x, MATRIX)  # NumPy's own tests take a Tensor, too
    with pytest.raises(ValueError, match="copied to a NumPy array; leave out copy=False"):
        np.asarray(x, copy=False)


def test_asarray_is_a_host_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    monkeypatch.setattr(backend, "note_host_read", reads.append)
    x = Tensor([1.0])
    for read in (lambda: np.asarray(x), lambda: repr(x), lambda: x < 1, lambda: float(x), lambda: f"{x:.1f}"):
        read()
    assert reads == ["an array", "an array", "a number", "a number", "a number"]


def test_a_list_of_tensors_is_no_array() -> None:
    """NumPy would take their numbers, and their derivatives would be lost."""
    x = Tensor(1.0)
    for values in ([x, x], [[1.0, x]], (x,)):
        with pytest.raises(TypeError, match=r"got a list of Tensors; minigan\.ops\.stack joins"):
            Tensor(values)
    with pytest.raises(TypeError, match="stack joins"):
        ops.sum(ops.exp([x, 2.0]))


UFUNCS = ["absolute", "cos", "exp", "log", "negative", "sign", "sin", "sqrt", "tanh"]
BINARY = ["add", "divide", "maximum", "minimum", "multiply", "power", "subtract"]


def _same(found: Any, expected: np.ndarray) -> None:
    assert isinstance(found, Tensor)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs_of_one_argument_are_operations(name: str) -> None:
    x = np.abs(MATRIX)
    _same(getattr(np, name)(Tensor(x)), getattr(np, name)(x))


@pytest.mark.parametrize("name", BINARY)
def test_ufuncs_of_two_arguments_are_operations(name: str) -> None:
    function, a, b = getattr(np, name), np.abs(MATRIX), MATRIX[0]
    for x, y in ((Tensor(a), b), (a, Tensor(b)), (Tensor(a), Tensor(b)), (2.0, Tensor(b)), (np.float64(2), Tensor(b))):
        _same(function(x, y), function(np.asarray(x), np.asarray(y)))


FUNCTIONS: list[Callable[..., Any]] = [
    np.sum, np.mean, np.max, np.min, np.var, np.transpose,
    lambda x: np.sum(x, axis=0, keepdims=True), lambda x: np.max(x, axis=(0, 1)), lambda x: np.reshape(x, (3, 2)),
    lambda x: np.concatenate([x, x], axis=1), lambda x: np.stack([x, x]), lambda x: np.where(MATRIX > 0, x, 0.0),
    lambda x: np.clip(x, -1.0, 1.0), lambda x: np.broadcast_to(x, (4, 2, 3)), lambda x: np.pad(x, ((1, 0), (0, 2))),
    lambda x: MATRIX + x, lambda x: MATRIX.T @ x, lambda x: 2.0 ** x, lambda x: np.float64(2) * x,
    lambda x: x @ MATRIX.T, lambda x: x.sum(), lambda x: x.mean(0),
    lambda x: x.max(axis=-1, keepdims=True), lambda x: x.min(),
    lambda x: x.var(1), lambda x: x.reshape(3, 2), lambda x: x.reshape((3, 2)), lambda x: x.reshape(-1),
    lambda x: x.T,
    lambda x: x.transpose(), lambda x: x.transpose(1, 0), lambda x: x.transpose((1, 0)), abs,
    lambda x: x.clip(-1.0, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_functions_and_methods_give_numpys_result(number: int) -> None:
    _same(FUNCTIONS[number](Tensor(MATRIX)), FUNCTIONS[number](MATRIX))


def test_functions_of_numpy_keep_the_derivative() -> None:
    x = Tensor(MATRIX)
    loss = np.mean(np.tanh(np.concatenate([x, 2.0 * x])) ** 2)
    expected = ops.mean(ops.tanh(ops.concatenate([x, 2.0 * x])) ** 2)
    np.testing.assert_array_equal(grad(loss, [x])[0].numpy(), grad(expected, [x])[0].numpy())


@pytest.mark.parametrize(
    ("compute", "name"),
    [
        (lambda x: np.square(x), "np.square"),
        (lambda x: np.linalg.norm(x), "np.linalg.norm"),
        (lambda x: np.add.reduce(x), "np.add.reduce"),
        (lambda x: np.add(x, 1.0, out=np.zeros(2)), "np.add with out"),
        (lambda x: operator.iadd(np.zeros(2), x), "np.add with out"),
        (lambda x: np.cumsum(x), "np.cumsum"),
    ],
)
def test_functions_without_an_operation_are_refused(compute: Callable[[Any], Any], name: str) -> None:
    """NumPy's result would have no derivative, which nobody would notice."""
    with pytest.raises(TypeError, match=rf"^{name} is no operation on Tensors"):
        compute(Tensor([1.0, 2.0]))


def test_truth_values_are_numpys() -> None:
    """They have no derivative that could be lost."""
    x = Tensor([1.0, np.nan, np.inf])
    assert np.isfinite(x).tolist() == [True, False, False]
    assert (np.isnan(x).tolist(), np.isinf(x).tolist()) == ([False, True, False], [False, False, True])
    assert np.isfinite(Tensor(1.0))
    assert np.allclose(x, x.numpy() * (1 + 1e-9), equal_nan=True)
    assert not np.array_equal(x[0], 2.0)
    assert np.isclose(x[:1], [1.0 + 1e-9]).tolist() == [True]


def test_lists_are_numbers_beside_a_tensor() -> None:
    x = Tensor([1.0, 2.0])
    assert (x * [1, 2]).numpy().tolist() == [1.0, 4.0]
    assert (x @ [1.0, 2.0]).item() == 5.0
    assert ([[1.0, 2.0]] @ x).numpy().tolist() == [5.0]


def test_shapes_can_be_asked_for() -> None:
    x = Tensor(MATRIX)
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)


def test_arrays_of_the_device_leave_operators_to_the_tensor(standin: ModuleType) -> None:
    mg.use("cupy", "reference")
    x, array = Tensor(MATRIX), standin.asarray(MATRIX)
    for found, expected in (
        (array + x, 2 * MATRIX), (x + array, 2 * MATRIX), (array @ x.T, MATRIX @ MATRIX.T), (MATRIX - x, 0 * MATRIX),
        (np.tanh(x), np.tanh(MATRIX)),
    ):  # fmt: skip
        assert type(found.data) is standin.ndarray
        _same(found, expected)


# Loops, names.


def test_loops_end_and_need_an_axis() -> None:
    x = Tensor(MATRIX)
    assert [row.shape for row in x] == [(3,), (3,)]
    (of_x,) = grad(sum((row * row).sum() for row in x), [x])
    np.testing.assert_array_equal(of_x.numpy(), 2 * MATRIX)
    with pytest.raises(TypeError, match="a Tensor without axes cannot be iterated over"):
        list(Tensor(1.0))


def test_completion_shows_names_for_users() -> None:
    for x in (Tensor(1.0), Parameter(1.0), Buffer(1)):
        names = {name for name in dir(x) if not name.startswith("_")}
        assert {"shape", "dtype", "numpy", "item", "sum", "T"} <= names
        assert not names & {"data", "rule", "parents", "static", "saved", "versions", "version", "owner", "mutable"}
        for name in names:
            assert name in ("shape", "dtype", "ndim", "size") or inspect.getdoc(getattr(type(x), name)), name


def test_every_method_is_declared_for_type_checkers() -> None:
    """The engine declares what `minigan.ops` attaches."""
    (definition,) = (n for n in ast.parse(inspect.getsource(engine)).body if getattr(n, "name", "") == "Tensor")
    (block,) = (node for node in definition.body if isinstance(node, ast.If))
    declared = {target.id for node in block.body if isinstance(node, ast.Assign) for target in node.targets}
    declared |= {node.name for node in block.body if isinstance(node, ast.FunctionDef)}
    own = {node.name for node in definition.body if isinstance(node, ast.FunctionDef)}
    attached = {n for n, value in vars(Tensor).items() if callable(value) or isinstance(value, property)} - own
    assert declared - {"__array_ufunc__"} == attached - {"__array_function__"}
