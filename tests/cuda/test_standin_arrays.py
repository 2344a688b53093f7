"""The strict stand-in for CuPy refuses what it should, counts what it should, and otherwise computes like NumPy."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from support import cupy_standin

with cupy_standin.importable() as xp:
    from cupy import _functions
    from cupy._standin import count_synchronisations, observed

HOST = np.arange(6, dtype=np.float32)


@pytest.fixture(autouse=True)
def _importable(standin: ModuleType) -> None:
    assert standin is xp


@pytest.fixture
def device() -> xp.ndarray:
    return xp.asarray(HOST)


# Names.


@pytest.mark.parametrize("name", ["errstate", "isnat", "vecdot", "longdouble", "object_", "no_such_name"])
def test_names_cupy_does_not_have_are_refused(name: str) -> None:
    with pytest.raises(AttributeError, match="CuPy has none"):
        getattr(xp, name)


@pytest.mark.parametrize("name", ["linalg", "random", "fft", "load", "save", "r_"])
def test_names_the_stand_in_does_not_offer_are_refused(name: str) -> None:
    with pytest.raises(AttributeError, match="does not offer"):
        getattr(xp, name)


@pytest.mark.parametrize("name", ["itemset", "tofile", "ctypes", "resize", "setflags", "__index__"])
def test_array_attributes_that_are_not_offered_are_refused(device: xp.ndarray, name: str) -> None:
    assert not hasattr(device, name)


def test_array_class_has_no_attribute_cupy_does_not_have() -> None:
    public = {name for name in vars(xp.ndarray) if not name.startswith("_") or name.endswith("__")}
    assert public - {"__slots__", "__annotations__", "__weakref__"} <= set(_functions.NAMES["ndarray"])


def test_module_has_no_public_name_cupy_does_not_have() -> None:
    public = {name for name in (*vars(xp), *dir(xp)) if not name.startswith("_")}
    assert public <= set(_functions.NAMES["module"])


def test_every_offered_name_can_be_found() -> None:
    for name in dir(xp):
        assert getattr(xp, name) is getattr(xp, name)


def test_types_and_constants_pass_through() -> None:
    assert xp.float32 is np.float32
    assert xp.int64 is np.int64
    assert xp.pi == np.pi
    assert xp.inf == np.inf
    assert xp.newaxis is None
    assert xp.dtype is np.dtype


# Refusals of NumPy arrays.

BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lt", "le", "eq", "ne", "gt", "ge"]
IN_PLACE = ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"]


@pytest.mark.parametrize("host", [HOST, np.array(2.0, np.float32)], ids=["1-d", "0-d"])
@pytest.mark.parametrize("name", BINARY + IN_PLACE)
def test_operators_refuse_numpy_arrays(device: xp.ndarray, name: str, host: np.ndarray) -> None:
    with pytest.raises(TypeError, match=r"Unsupported type <class 'numpy.ndarray'>"):
        getattr(operator, name)(device, host)


@pytest.mark.parametrize("name", BINARY)
def test_reflected_operators_refuse_numpy_arrays(device: xp.ndarray, name: str) -> None:
    with pytest.raises(TypeError, match="Unsupported type"):
        getattr(operator, name)(HOST, device)


def test_in_place_operator_of_a_numpy_array_refuses_a_device_array(device: xp.ndarray) -> None:
    host = HOST.copy()
    with pytest.raises(TypeError):
        host += device


@pytest.mark.parametrize(
    "call",
    [
        lambda a: xp.add(a, HOST),
        lambda a: xp.exp(HOST),
        lambda a: np.add(a, HOST),
        lambda a: np.add(HOST, a),
        lambda a: xp.add(a, a, out=HOST.copy()),
        lambda a: xp.add(a, a, HOST.copy()),
        lambda a: np.add(a, a, out=HOST.copy()),
        lambda a: np.add(HOST, HOST, out=a),
        lambda a: xp.sum(HOST),
        lambda a: xp.sum(a, axis=0, out=np.array(0.0, np.float32)),
        lambda a: xp.where(a > 1, HOST, a),
        lambda a: np.where(a > 1, HOST, a),
        lambda a: xp.concatenate([a, HOST]),
        lambda a: np.concatenate((HOST, a)),
        lambda a: xp.stack([a, HOST]),
        lambda a: xp.copyto(a, HOST),
        lambda a: xp.zeros_like(HOST),
        lambda a: xp.ascontiguousarray(HOST),
        lambda a: xp.array([a, HOST]),
        lambda a: xp.matmul(a, HOST),
        lambda a: xp.einsum("i,i->", a, HOST),
        lambda a: a.dot(HOST),
        lambda a: a.clip(HOST, HOST),
        lambda a: a.take(np.array([0])),
        lambda a: a.fill(np.array(1.0)),
        lambda a: a.sum(out=np.array(0.0)),
        lambda a: a[np.array([0, 1])],
        lambda a: a[HOST > 1],
        lambda a: a.__setitem__(slice(None), HOST),
        lambda a: a.__setitem__(np.array([0]), 1.0),
        lambda a: a.scatter_add(xp.asarray([0]), np.array([1.0])),
        lambda a: xp.add.at(a, xp.asarray([0]), np.array([1.0])),
        lambda a: xp.add.reduce(HOST),
    ],
)
def test_functions_methods_and_assignments_refuse_numpy_arrays(device: xp.ndarray, call: Callable) -> None:
    with pytest.raises(TypeError):
        call(device)


# Other refusals.


@pytest.mark.parametrize(
    "call",
    [
        np.asarray,
        np.array,
        lambda a: np.testing.assert_array_equal(a, HOST),
        lambda a: HOST.__setitem__(slice(None), a),
        lambda a: np.add.reduce(a),
        lambda a: np.linalg.norm(a),
        lambda a: np.isnat(a),
        lambda a: xp.exp([1.0]),
        lambda a: a + [1.0] * 6,
        lambda a: a == None,  # noqa: E711
        lambda a: a == "text",
        lambda a: xp.exp(a, where=a > 1),
        lambda a: xp.sum([1.0]),
        lambda a: xp.mean(3.0),
        lambda a: xp.sum(a, where=a > 1),
        lambda a: a.max(initial=0.0),
        lambda a: xp.stack([a[0], 1.0]),
        lambda a: xp.array([a[0], 1.0]),
        lambda a: a[[0, 1]],
        lambda a: a[True],
        lambda a: a.__setitem__(slice(2), [1.0, 2.0]),
        lambda a: a[: xp.asarray(2)],
        lambda a: range(xp.asarray(2)),
        lambda a: operator.index(xp.asarray(2)),
        lambda a: a.reshape(xp.asarray(2), 3),
        lambda a: xp.reshape(a, (xp.asarray(2), 3)),
        lambda a: xp.sum(a, axis=xp.asarray(0)),
        lambda a: xp.zeros(xp.asarray(2)),
        lambda a: xp.arange(xp.asarray(2)),
        lambda a: hash(a),
        lambda a: len(xp.asarray(1.0)),
        lambda a: iter(xp.asarray(1.0)),
        lambda a: xp.asarray([0]).scatter_add(xp.asarray([0]), 1),  # int64: CUDA has no such atomic operation
    ],
)
def test_other_implicit_conversions_are_refused(device: xp.ndarray, call: Callable) -> None:
    with pytest.raises(TypeError):
        call(device)


@pytest.mark.parametrize("values", [["text"], [object()], np.zeros(2, np.longdouble), np.zeros(2, "datetime64[s]")])
def test_types_no_gpu_has_are_refused(values: object) -> None:
    with pytest.raises(ValueError, match="Unsupported dtype"):
        xp.asarray(values)


@pytest.mark.parametrize("call", [lambda a: xp.maximum.reduce(a), lambda a: xp.subtract.at(a, xp.asarray([0]), 1.0)])
def test_ufunc_methods_cupy_does_not_have_are_refused(device: xp.ndarray, call: Callable) -> None:
    with pytest.raises(NotImplementedError):
        call(device)


def test_refused_implicit_conversion_is_worded_as_in_cupy(device: xp.ndarray) -> None:
    with pytest.raises(TypeError, match=r"Implicit conversion to a NumPy array is not allowed.*`\.get\(\)`"):
        np.asarray(device)


# What is accepted.


@pytest.mark.parametrize("scalar", [2, 2.0, True, np.float32(2), np.int64(2), np.float64(2)])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "lt", "eq"])
def test_scalars_are_accepted_on_both_sides(device: xp.ndarray, name: str, scalar: object) -> None:
    operate = getattr(operator, name)
    with np.errstate(divide="ignore"):
        expectations = operate(HOST, scalar), operate(scalar, HOST)
    for result, expected in zip((operate(device, scalar), operate(scalar, device)), expectations, strict=True):
        assert isinstance(result, xp.ndarray)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result.get(), expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, a: a @ a,
        lambda m, a: -abs(a),
        lambda m, a: divmod(a, 4.0),
        lambda m, a: m.where(a > 2, a, 0.0),
        lambda m, a: m.concatenate([a, a]),
        lambda m, a: m.split(a, 3),
        lambda m, a: m.einsum("i,j->ij", a, a),
        lambda m, a: m.add.accumulate(a),
        lambda m, a: m.sqrt(a - 3.0),
        lambda m, a: a.reshape(2, 3).transpose(1, 0).sum(axis=0, keepdims=True),
        lambda m, a: m.pad(a.reshape(2, 3), ((1, 1), (0, 2))),
        lambda m, a: a[None, ::2],
        lambda m, a: a[m.asarray([3, 1])],
        lambda m, a: a.reshape(2, 3)[m.asarray([0, 1]), 1],
        lambda m, a: m.take_along_axis(a, m.argsort(-a), axis=0),
        lambda m, a: m.full((2, 2), 3.0, dtype=m.float32),
        lambda m, a: m.arange(3, dtype=m.float32),
        lambda m, a: m.float32(2) * a,
    ],
)
def test_results_are_those_of_numpy(device: xp.ndarray, call: Callable) -> None:
    with np.errstate(all="ignore"):
        expected = call(np, HOST)
    with count_synchronisations() as counted:
        result = call(xp, device)
    assert counted.count == 0
    several = isinstance(result, (tuple, list))
    for ours, theirs in zip(result if several else [result], expected if several else [expected], strict=True):
        assert isinstance(ours, xp.ndarray)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours.get(), theirs)


@pytest.mark.parametrize(
    "call",
    [
        lambda a: np.add(a, a),
        lambda a: np.exp(a),
        lambda a: np.where(a > 1, a, 0.0),
        lambda a: np.concatenate([a, a]),
        lambda a: np.zeros_like(a),
        lambda a: np.mean(a),
    ],
)
def test_numpy_functions_dispatch_to_the_stand_in(device: xp.ndarray, call: Callable) -> None:
    assert isinstance(call(device), xp.ndarray)


@pytest.mark.parametrize(
    "call",
    [
        lambda a: a.sum(),
        lambda a: xp.mean(a),
        lambda a: a.argmax(),
        lambda a: a @ a,
        lambda a: a[0],
        lambda a: xp.count_nonzero(a),
        lambda a: xp.allclose(a, a),
        lambda a: xp.array_equal(a, a),
        lambda a: xp.add(1, 2),
        lambda a: (a > 0).all(),
    ],
)
def test_results_without_dimensions_are_arrays(device: xp.ndarray, call: Callable) -> None:
    with count_synchronisations() as counted:
        result = call(device)
    assert isinstance(result, xp.ndarray)
    assert result.shape == ()
    assert counted.count == 0


def test_division_by_zero_does_not_warn(device: xp.ndarray, recwarn: pytest.WarningsRecorder) -> None:
    assert (device / 0.0).tolist()[1] == np.inf
    assert xp.log(device * 0.0).tolist() == [-np.inf] * 6
    assert not recwarn.list


def test_operators_leave_the_choice_to_objects_that_opt_out_of_ufuncs(device: xp.ndarray) -> None:
    class Node:
        __array_ufunc__ = None

        def __radd__(self, other: object) -> str:
            return "node"

    assert device + Node() == "node"


def test_array_module_follows_the_arguments(device: xp.ndarray) -> None:
    assert xp.get_array_module(HOST, device) is xp
    assert xp.get_array_module(HOST, 1.0) is np


# Views and outputs.


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[2:5],
        lambda a: a[2],
        lambda a: a[...],
        lambda a: a.reshape(2, 3),
        lambda a: a.reshape(2, 3).T,
        lambda a: a.reshape(2, 3)[1],
        lambda a: a.ravel(),
        lambda a: xp.split(a, 2)[1],
        lambda a: xp.asarray(a),
    ],
)
def test_in_place_operators_write_through_views(device: xp.ndarray, view: Callable) -> None:
    part = view(device)
    before = part
    part *= 10
    part += 100
    assert part is before
    np.testing.assert_array_equal(view(device).get(), view(xp.asarray(HOST)).get() * 10 + 100)


@pytest.mark.parametrize("index", [lambda: xp.asarray([2]), lambda: xp.asarray(2), lambda: xp.asarray(HOST > 3)])
def test_index_arrays_give_copies(device: xp.ndarray, index: Callable) -> None:
    part = device[index()]
    part += 100
    np.testing.assert_array_equal(device.get(), HOST)


def test_assignment_takes_device_arrays_and_scalars(device: xp.ndarray) -> None:
    device[0] = 7
    device[1:3] = device[3:5]
    device[xp.asarray([4, 5])] = np.float32(9)
    assert device.tolist() == [7, 3, 4, 3, 9, 9]


def test_matmul_in_place_rebinds() -> None:
    matrix = xp.eye(2)
    before = matrix
    matrix @= matrix * 3.0
    assert before.tolist() == [[1, 0], [0, 1]]
    assert matrix.tolist() == [[3, 0], [0, 3]]


@pytest.mark.parametrize(
    "call",
    [
        lambda a, out: xp.multiply(a, 2.0, out=out),
        lambda a, out: xp.multiply(a, 2.0, out),
        lambda a, out: np.multiply(a, 2.0, out=out),
    ],
)
def test_out_is_written_and_returned(device: xp.ndarray, call: Callable) -> None:
    out = xp.empty_like(device)
    assert call(device, out) is out
    np.testing.assert_array_equal(out.get(), HOST * 2)


def test_out_of_a_reduction_is_written_and_returned(device: xp.ndarray) -> None:
    out = xp.zeros((), xp.float32)
    assert device.sum(out=out) is out
    assert float(out) == 15


def test_scattering_adds_up_repeated_positions(device: xp.ndarray) -> None:
    device.scatter_add(xp.asarray([0, 0, 1]), xp.ones(3))
    xp.add.at(device, xp.asarray([0]), 5)
    device.scatter_max(slice(4, 6), 4.5)
    assert device.tolist() == [7, 2, 2, 3, 4.5, 5]


# Counting.


@pytest.mark.parametrize(
    ("fetch", "expected"),
    [
        (lambda a: a.get(), 1),
        (lambda a: a.get(out=np.empty_like(HOST)), 1),
        (lambda a: xp.asnumpy(a), 1),
        (lambda a: xp.asnumpy(HOST), 0),
        (lambda a: a.tolist(), 1),
        (lambda a: a.tobytes(), 1),
        (lambda a: a.item(2), 1),
        (lambda a: float(a[1]), 1),
        (lambda a: int(a[1]), 1),
        (lambda a: complex(a[1]), 1),
        (lambda a: bool(a[1]), 1),
        (lambda a: "yes" if a.sum() > 0 else "no", 1),
        (lambda a: f"{a.mean():.3f}", 1),
        (lambda a: str(a), 1),
        (lambda a: repr(a), 1),
        (lambda a: [float(x) for x in a], 6),
        (lambda a: list(a), 0),
        (lambda a: max(a), 5),
        (lambda a: a[a > 2], 1),
        (lambda a: a.__setitem__(a > 2, 0.0), 1),
        (lambda a: xp.nonzero(a), 1),
        (lambda a: xp.where(a), 1),
        (lambda a: np.unique(a), 1),
        (lambda a: xp.where(a > 2, a, 0), 0),
        (lambda a: (a.shape, a.dtype, a.ndim, a.size, a.strides, a.nbytes, a.itemsize, a.T, len(a)), 0),
        (lambda a: (a.flags.c_contiguous, a.flags["OWNDATA"], a.base), 0),
        (lambda a: copy.deepcopy(a), 0),
    ],
)
def test_synchronisations_are_counted(device: xp.ndarray, fetch: Callable, expected: int) -> None:
    with count_synchronisations() as counted:
        fetch(device)
    assert counted.count == expected
    assert counted.uploads == 0


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda a: xp.array(HOST), 1),
        (lambda a: xp.asarray(HOST, dtype=xp.float64), 1),
        (lambda a: xp.asarray([1.0, 2.0]), 1),
        (lambda a: a.set(HOST), 1),
        (lambda a: xp.array(a), 0),
        (lambda a: xp.asarray(a), 0),
        (lambda a: xp.asarray([a, a]), 0),
        (lambda a: xp.zeros((2, 3)), 0),
        (lambda a: xp.arange(4), 0),
        (lambda a: a + 1, 0),
    ],
)
def test_uploads_are_counted(device: xp.ndarray, make: Callable, expected: int) -> None:
    with count_synchronisations() as counted:
        make(device)
    assert counted.uploads == expected
    assert counted.count == 0


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda a: a + 1, ["add"]),
        (lambda a: a.sum(), ["sum"]),
        (lambda a: np.exp(a), ["exp"]),
        (lambda a: xp.concatenate([a, a]), ["concatenate"]),
        (lambda a: xp.zeros_like(a), ["zeros_like"]),
        (lambda a: xp.zeros(3), ["zeros"]),
        (lambda a: a.copy(), ["copy"]),
        (lambda a: copy.copy(a), ["copy"]),
        (lambda a: xp.array(a), ["array"]),
        (lambda a: xp.asarray(HOST), ["upload"]),
        (lambda a: a.__setitem__(0, 1.0), ["setitem"]),
        (lambda a: a.fill(1.0), ["fill"]),
        (lambda a: a.clip(0.0, 1.0, out=a), ["clip"]),
        (lambda a: a.scatter_add(slice(2), 1.0), ["add.at"]),
        (lambda a: a.reshape(2, 3).T.reshape(6), ["reshape"]),
        (lambda a: xp.allclose(a, a), ["allclose"]),
        (lambda a: (a[1:], a[None], a.reshape(2, 3).T, xp.asarray(a), xp.split(a, 2), np.shape(a), len(a)), []),
    ],
)
def test_work_is_told_and_views_are_none(device: xp.ndarray, call: Callable, expected: list[str]) -> None:
    told: list[str] = []
    with observed(told.append):
        call(device)
    call(device)
    assert told == expected


def test_counts_nest_and_stop_with_their_block(device: xp.ndarray) -> None:
    with count_synchronisations() as outer:
        device.get()
        with count_synchronisations() as inner:
            device.get()
            assert inner.count == 1
        device.get()
    device.get()
    assert (inner.count, outer.count) == (1, 3)


def test_uploads_and_downloads_are_copies() -> None:
    host = HOST.copy()
    device = xp.asarray(host)
    host[:] = -1
    device.get()[:] = -2
    np.testing.assert_array_equal(device.get(), HOST)


def test_arrays_pickle(device: xp.ndarray) -> None:
    restored = pickle.loads(pickle.dumps(device))
    assert isinstance(restored, xp.ndarray)
    np.testing.assert_array_equal(restored.get(), HOST)


def test_asarray_and_array_differ_in_copying(device: xp.ndarray) -> None:
    assert xp.asarray(device) is device
    assert not xp.shares_memory(xp.array(device), device)
