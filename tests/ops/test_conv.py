"""Convolution: every implementation against plain loops, adjoints, finite differences, packed weights, rounding."""

from __future__ import annotations

import copy
import functools
import importlib
import itertools
import os
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import differences, layouts, naive
from support.convolutions import CASES, CHANNELS, DCGAN, HAND_PICKED, LARGE, NONE, ONE, RANDOM, WINOGRAD, Case
from support.environment import EXHAUSTIVE, ON_NUMPY, needs_numba

import minigan as mg
import minigan_kernels
from minigan import Parameter, Tensor, grad, ops, vjp
from minigan.core import backend
from minigan.nn import Conv2d, ConvTranspose2d, Dense, Flatten, LeakyReLU, Sequential
from minigan.optim import SGD, Adam
from minigan_kernels.geometry import Geometry, of_convolution, padding_widths
from minigan_kernels.packed_weights import PackedWeights, get_packed

FLOATS = ["float32", "float64"]
pytestmark = pytest.mark.usefixtures("winograd_however_small")


def _by_four_and_two(cases: list[Case]) -> list[Case]:
    return [c for c in cases if c.geometry.kernel == (4, 4) and c.geometry.stride == (2, 2)]


BY_FOUR_AND_TWO = _by_four_and_two(CASES)


def _fast(geometry: Geometry) -> Geometry:
    return geometry._replace(precision="fast")


def test_the_cases_cover_every_kind_of_geometry() -> None:
    random = RANDOM  # all of them run with MINIGAN_EXHAUSTIVE=1
    assert len(random) >= 200
    assert len(_by_four_and_two(HAND_PICKED + RANDOM + WINOGRAD)) >= 60
    assert {c.inputs for c in random} == {c.outputs for c in random} == set(CHANNELS)
    assert {c.batch for c in random} == {1, 2, 3, 4, 5}
    assert {k for c in random for k in c.geometry.kernel} == set(range(1, 8))
    assert {s for c in random for s in c.geometry.stride} == {1, 2, 3}
    assert sum(c.geometry.out == (1, 1) for c in random) >= 5
    assert sum(c.geometry.size == c.geometry.kernel for c in random) >= 10
    assert sum(len(set(itertools.chain(*c.geometry.padding))) > 1 for c in random) >= 50


# Against plain loops: sums of products of small integers are exact in any order, also after transforms that only add.


def _integers(rng: np.random.Generator, largest: int = 4) -> Callable[[tuple[int, ...]], np.ndarray]:
    return lambda shape: rng.integers(-largest, largest + 1, shape)


@functools.cache
def _truth(case: Case) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Integers (x, w, g), biases (convolution, transposed) in halves, and the three results by loops."""
    rng = np.random.default_rng([7, CASES.index(case)])
    x, w, g = case.draw(_integers(rng), "float64")
    biases = rng.integers(-60, 61, case.outputs) / 2, rng.integers(-60, 61, case.inputs) / 2
    geometry = case.geometry
    results = naive.conv2d(x, w, geometry), naive.input_grad(g, w, geometry), naive.weight_grad(x, g, geometry)
    return (x, w, g, *biases), results


@pytest.mark.parametrize("case", [c for c in CASES if np.prod(c.result) * np.prod(c.weight[:3]) < 4000][:12], ids=str)
def test_the_plain_loops_are_right(case: Case) -> None:
    (x, w, g, _, _), (y, dx, dw) = _truth(case)
    expected = naive.seven_loops(x, w, case.geometry)
    assert expected.shape == case.result  # which is the geometry's arithmetic
    np.testing.assert_array_equal(y, expected)
    total = (g * expected).sum()
    assert (dx * x).sum() == total
    assert (dw * w).sum() == total


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_integers_are_exact(table: dict, case: Case, dtype: str) -> None:
    inputs, (y, dx, dw) = _truth(case)
    x, w, g, b_out, b_in = arrays = [a.astype(dtype) for a in inputs]
    slope = (1.0, 0.25, 0.0)[CASES.index(case) % 3]
    found = [
        table["conv2d"](x, w, None, 1.0, case.geometry),
        table["conv2d_input_grad"](g, w, None, 1.0, case.geometry),
        table["conv2d_weight_grad"](x, g, case.geometry),
        table["conv2d"](x, w, b_out, slope, case.geometry),
        table["conv2d_input_grad"](g, w, b_in, slope, case.geometry),
    ]
    expected = [y, dx, dw, naive.bias_act(y, inputs[3], slope), naive.bias_act(dx, inputs[4], slope)]
    # Compared only now, to find a result whose memory the next call reuses.
    for one, two in zip(found, expected, strict=True):
        assert one.dtype == dtype
        np.testing.assert_array_equal(one, two)
    for one, two in zip(arrays, inputs, strict=True):
        np.testing.assert_array_equal(one, two, err_msg="an input was changed")


@pytest.mark.parametrize("slope", [1.0, 0.25, 0.0])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("dtype", FLOATS)
def test_bias_and_slope_of_every_path(table: dict, slope: float, with_bias: bool, dtype: str) -> None:
    for case in HAND_PICKED:
        inputs, (y, dx, _) = _truth(case)
        x, w, g, *biases = (a.astype(dtype) for a in inputs)
        b_out, b_in = biases if with_bias else (None, None)
        found = table["conv2d"](x, w, b_out, slope, case.geometry)
        np.testing.assert_array_equal(found, naive.bias_act(y, b_out, slope), err_msg=str(case))
        found = table["conv2d_input_grad"](g, w, b_in, slope, case.geometry)
        np.testing.assert_array_equal(found, naive.bias_act(dx, b_in, slope), err_msg=str(case))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", BY_FOUR_AND_TWO, ids=str)
def test_fast_precision_is_right_up_to_rounding(table: dict, case: Case, dtype: str) -> None:
    inputs, expected = _truth(case)
    x, w, g, b_out, _ = (a.astype(dtype) for a in inputs)
    sizes = (np.abs(a) for a in inputs[:3])
    geometry = _fast(case.geometry)
    found = _all_three(table, geometry, x, w, g)
    for one, two, size in zip(found, expected, _all_three(table, case.geometry, *sizes), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, two, rtol=0, atol=300 * float(np.finfo(dtype).eps) * size.max())
    activated, size = table["conv2d"](x, w, b_out, 0.25, geometry), np.abs(inputs[3]).max() + np.abs(expected[0]).max()
    np.testing.assert_allclose(
        activated, naive.bias_act(found[0], b_out, 0.25), rtol=0, atol=300 * float(np.finfo(dtype).eps) * size
    )


def _all_three(table: dict, geometry: Geometry, x: Any, w: Any, g: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        table["conv2d"](x, w, None, 1.0, geometry),
        table["conv2d_input_grad"](g, w, None, 1.0, geometry),
        table["conv2d_weight_grad"](x, g, geometry),
    )


# Layouts of operands: views, read-only, transposed, strided.

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fortran": np.asfortranarray,
    "channels-first": lambda a: np.ascontiguousarray(a.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
    "batch-last": lambda a: np.ascontiguousarray(a.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2),
    "every-second": lambda a: a.repeat(2, 0).repeat(2, 1).repeat(2, 2).repeat(2, 3)[::2, 1::2, ::2, 1::2],
    "cut-out": lambda a: np.pad(a, 1, constant_values=99)[1:-1, 1:-1, 1:-1, 1:-1],
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1],
    "misaligned": layouts.misaligned,
    "read-only": layouts.read_only,
}
SOME = [HAND_PICKED[i] for i in (0, 1, 2, 5, 10, 14, 20, 21, 23, 27, 36)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(table: dict, layout: str, dtype: str) -> None:
    lay = LAYOUTS[layout]
    for case in SOME:
        inputs, expected = _truth(case)
        x, w, g = (lay(a.astype(dtype)) for a in inputs[:3])
        for one, two in zip(_all_three(table, case.geometry, x, w, g), expected, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=str(case))
        b = np.repeat(inputs[3].astype(dtype), 2)[::2]
        b.flags.writeable = False
        activated = naive.bias_act(expected[0], inputs[3], 0.25)
        np.testing.assert_array_equal(table["conv2d"](x, w, b, 0.25, case.geometry), activated, err_msg=str(case))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_broadcast_cotangent(table: dict, dtype: str) -> None:
    """The derivative of a sum is one 1 with strides of 0."""
    for case in SOME:
        x, w, _ = (a.astype(dtype) for a in _truth(case)[0][:3])
        g = np.broadcast_to(np.ones((), dtype), case.result)
        np.testing.assert_array_equal(
            table["conv2d_input_grad"](g, w, None, 1.0, case.geometry), naive.input_grad(g, w, case.geometry)
        )
        np.testing.assert_array_equal(
            table["conv2d_weight_grad"](x, g, case.geometry), naive.weight_grad(x, g, case.geometry)
        )


@pytest.mark.parametrize("dtype", FLOATS)
def test_an_empty_batch(table: dict, dtype: str) -> None:
    for case in SOME:
        w = np.ones(case.weight, dtype)
        x, g = np.ones((0, *case.picture[1:]), dtype), np.ones((0, *case.result[1:]), dtype)
        y, dx, dw = _all_three(table, case.geometry, x, w, g)
        assert (y.shape, dx.shape, dw.shape) == (g.shape, x.shape, w.shape)
        assert not dw.any()


# <g, conv2d(x, w)> = <input_grad(g, w), x> = <weight_grad(x, g), w>.


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_adjoint_identities(table: dict, case: Case, precision: str) -> None:
    rng = np.random.default_rng([9, CASES.index(case)])
    x, w, g = case.draw(rng.standard_normal, "float64")
    geometry = case.geometry._replace(precision=precision)
    y, dx, dw = _all_three(table, geometry, x, w, g)
    plain = minigan_kernels.table("reference", np)["conv2d"]
    size = (np.abs(g) * plain(np.abs(x), np.abs(w), None, 1.0, case.geometry)).sum()
    total = (g * y).sum()
    assert abs(total - (dx * x).sum()) <= 1e-12 * size
    assert abs(total - (dw * w).sum()) <= 1e-12 * size


# Finite differences through the operations. A geometry for each path.

PATHS = {
    "winograd": ({"kernel": 4, "stride": 2, "padding": 1}, (2, 6, 8), 16, 16),
    "winograd-of-all-regions": ({"kernel": 4, "stride": 2, "padding": 1}, (1, 14, 10), 16, 32),
    "winograd-odd": ({"kernel": 4, "stride": 2, "padding": 1}, (1, 7, 5), 16, 16),
    "winograd-small": ({"kernel": 4, "stride": 2, "padding": 1}, (2, 2, 3), 16, 16),
    "dcgan-of-other-channels": ({"kernel": 4, "stride": 2, "padding": 1}, (1, 7, 5), 17, 9),
    "winograd-few-in": ({"kernel": 4, "stride": 2, "padding": 1}, (2, 6, 6), 3, 16),
    "winograd-few-out": ({"kernel": 4, "stride": 2, "padding": 1}, (2, 6, 6), 16, 3),
    "fast": ({"kernel": 4, "stride": 2, "padding": 1, "precision": "fast"}, (2, 8, 10), 16, 16),
    "fast-of-all-regions": ({"kernel": 4, "stride": 2, "padding": 1, "precision": "fast"}, (1, 14, 20), 16, 16),
    "fast-odd": ({"kernel": 4, "stride": 2, "padding": 1, "precision": "fast"}, (1, 5, 3), 16, 16),
    "direct": ({"kernel": 3, "stride": 1, "padding": 1}, (2, 5, 4), 9, 17),
    "direct-strided": ({"kernel": (3, 5), "stride": (2, 3), "padding": ((0, 2), (3, 1))}, (2, 6, 7), 10, 9),
    "few-out": ({"kernel": 3, "stride": 1, "padding": 1}, (2, 5, 4), 9, 3),
    "few-out-uneven": ({"kernel": (3, 4), "stride": 1, "padding": ((2, 0), (1, 3))}, (1, 4, 5), 10, 2),
    "few-in": ({"kernel": 5, "stride": 2, "padding": "same"}, (2, 6, 7), 3, 9),
    "direct-few": ({"kernel": 3, "stride": 2, "padding": "same"}, (2, 6, 5), 2, 3),
    "gaps": ({"kernel": 2, "stride": 3, "padding": "valid"}, (2, 7, 9), 9, 10),
    "whole": ({"kernel": 4, "stride": 1, "padding": 0}, (3, 4, 4), 9, 10),
    "one-by-one": ({"kernel": 1, "stride": 1, "padding": 0}, (2, 3, 4), 9, 10),
}


def _path(name: str) -> tuple[dict[str, Any], Case]:
    """(the settings of `conv2d`, the case) of a path."""
    settings, (batch, *size), inputs, outputs = PATHS[name]
    settings = dict(settings)
    kernel = settings.pop("kernel")
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    geometry = of_convolution((size[0], size[1]), kernel, **settings)
    return settings, Case(geometry, batch, inputs, outputs)


@pytest.mark.parametrize("path", PATHS)
def test_derivatives_of_conv2d(path: str, kernels: str, make_rng: Callable) -> None:
    settings, case = _path(path)
    x, w, _ = case.draw(make_rng().standard_normal, "float64")
    differences.check_first_order(lambda x, w: ops.conv2d(x, w, **settings), [x, w])
    differences.check_second_order(lambda x, w: ops.conv2d(x, w, **settings), [x, w])


@pytest.mark.parametrize("path", PATHS)
def test_derivatives_of_the_input_gradient(path: str, kernels: str, make_rng: Callable) -> None:
    settings, case = _path(path)
    _, w, g = case.draw(make_rng().standard_normal, "float64")
    size = case.geometry.size
    precise = {name: value for name, value in settings.items() if name != "precision"}

    def both(g: Tensor, w: Tensor) -> Tensor:
        return ops.concatenate(
            [
                ops.conv2d_input_grad(g, w, size=size, **precise),
                ops.conv_transpose2d(g, w, output_size=size, **settings),
            ]
        )

    differences.check_first_order(both, [g, w])
    differences.check_second_order(both, [g, w])


@pytest.mark.parametrize("path", [name for name in PATHS if "fast" not in name])
def test_derivatives_of_the_weight_gradient(path: str, kernels: str, make_rng: Callable) -> None:
    settings, case = _path(path)
    x, _, g = case.draw(make_rng().standard_normal, "float64")

    def weight_grad(x: Tensor, g: Tensor) -> Tensor:
        return ops.conv2d_weight_grad(x, g, kernel=case.geometry.kernel, **settings)

    differences.check_first_order(weight_grad, [x, g])
    differences.check_second_order(weight_grad, [x, g])


@pytest.mark.parametrize("path", ["winograd-small", "fast-odd", "direct-few"])
def test_third_derivatives(path: str, kernels: str, make_rng: Callable) -> None:
    settings, case = _path(path)
    x, w, _ = case.draw(make_rng().standard_normal, "float64")

    def gradients(x: Tensor, w: Tensor) -> Tensor:
        y = ops.sum(ops.tanh(ops.conv2d(x, w, **settings) * 0.3))
        return ops.concatenate([ops.reshape(g, -1) for g in grad(y, [x, w], create_graph=True)])

    differences.check_second_order(gradients, [x * 0.2, w * 0.2])


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("path", ["winograd", "winograd-few-in", "fast", "direct", "direct-few", "few-out", "whole"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("with_bias", [True, False])
def test_fused_has_the_kink_of_the_separate_operations(
    kernels: str, with_bias: bool, transposed: bool, path: str, slope: float, make_rng: Callable
) -> None:
    settings, case = _path(path)
    rng = make_rng()
    x, w, g = (Tensor(a) for a in case.draw(_integers(rng, 2), "float64"))
    if transposed:
        x, g, settings = g, x, settings | {"output_size": case.geometry.size}
    operation = ops.conv_transpose2d if transposed else ops.conv2d
    if with_bias:
        sums = np.round(operation(x, w, **settings).numpy())
        b = Tensor(-sums[0, 0, -1])  # so that in every channel a sum lies on the kink
    else:
        x.data[0] = 0.0  # so that every sum of an image lies at the kink

    def separate() -> Tensor:
        y = operation(x, w, **settings)
        return ops.leaky_relu(y + b if with_bias else y, slope=slope)

    def fused() -> Tensor:
        return operation(x, w, b if with_bias else None, slope=slope, **settings)

    if with_bias and path == "fast":  # its zeros are not exactly zero: off the kink with them
        b = b + 0.5
    else:
        assert not separate().numpy()[0, 0, -1].any()
    np.testing.assert_allclose(fused().numpy(), separate().numpy(), rtol=1e-13, atol=1e-12)
    for leaves in ([x, w, b], [x], [w], [b], [x, w]) if with_bias else ([x, w], [x], [w]):
        for create_graph in (False, True):
            one = vjp(fused(), leaves, g, create_graph=create_graph)
            two = vjp(separate(), leaves, g, create_graph=create_graph)
            for first, second in zip(one, two, strict=True):
                np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("path", ["winograd", "fast", "direct", "few-out"])
@pytest.mark.parametrize("transposed", [False, True])
def test_second_derivatives_of_fused_are_those_of_the_separate_operations(
    kernels: str, transposed: bool, path: str, slope: float, make_rng: Callable
) -> None:
    settings, case = _path(path)
    rng = make_rng()
    x, w, g = (Tensor(a) for a in case.draw(rng.standard_normal, "float64"))
    if transposed:
        x, g, settings = g, x, settings | {"output_size": case.geometry.size}
    operation = ops.conv_transpose2d if transposed else ops.conv2d
    for b in (None, Tensor(rng.standard_normal(g.shape[3]))):
        sums = operation(x, w, **settings)
        separate = ops.leaky_relu(sums if b is None else sums + b, slope=slope)
        leaves = [x, w] if b is None else [x, w, b]
        found = []
        for y in (operation(x, w, b, slope=slope, **settings), separate):
            first = vjp(y, leaves, g, create_graph=True)
            found.append(grad(functools.reduce(ops.add, (ops.sum(d * d) for d in first)), [*leaves, g]))
        for one, two in zip(*found, strict=True):
            scale = max(float(np.abs(two.numpy()).max()), 1.0)
            np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=0, atol=1e-12 * scale)
        assert found[1][0].numpy().any()


# Rounding errors of float32.

LAYERS = [(64, 3, 64), (32, 64, 128), (16, 128, 256), (8, 256, 512)]


@functools.cache
def _dcgan_layer(side: int, inputs: int, outputs: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """(x, w, g) in float32 for a batch of 8 images, and the three results in float64."""
    rng = np.random.default_rng([10, side])
    case = Case(Geometry((side, side), **DCGAN), 8, inputs, outputs)
    x, w, g = case.draw(rng.standard_normal, "float32")
    w *= np.float32(0.02)
    wide = _all_three(minigan_kernels.table("reference", np), case.geometry, *(a.astype("float64") for a in (x, w, g)))
    return (x, w, g), wide


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "bound"), [("exact", 5e-6), ("fast", 3e-5)])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_rounding_errors_of_the_layers_of_dcgan(
    table: dict, product_error: float, layer: Any, precision: str, bound: float
) -> None:
    inputs, exact = _dcgan_layer(*layer)
    geometry = Geometry((layer[0], layer[0]), **DCGAN, precision=precision)
    for name, one, two in zip(("y", "dx", "dw"), _all_three(table, geometry, *inputs), exact, strict=True):
        assert one.dtype == np.float32
        assert np.abs(one - two).max() <= (bound + product_error) * np.abs(two).max(), name


# The number of threads does not change a bit.


@pytest.fixture
def threads() -> Iterator[Callable[[int], int]]:
    from minigan_kernels.numba import set_threads

    if set_threads(2) < 2:
        pytest.skip("needs two cores")
    yield set_threads
    set_threads(None)


def _run_everything(case: Case, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    t = minigan_kernels.table("reference", np) | minigan_kernels.table("numba", np)
    x, w, g = case.draw(rng.standard_normal, dtype)
    b_out, b_in = rng.standard_normal(case.outputs).astype(dtype), rng.standard_normal(case.inputs).astype(dtype)
    return [
        *_all_three(t, case.geometry, x, w, g),
        t["conv2d"](x, w, b_out, 0.2, case.geometry, PackedWeights()),
        t["conv2d_input_grad"](g, w, b_in, 0.2, case.geometry, PackedWeights()),
    ]


@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LARGE)
def test_the_bits_do_not_depend_on_the_number_of_threads(threads: Callable, name: str, dtype: str) -> None:
    assert threads(1) == 1
    alone = _run_everything(LARGE[name], dtype)
    assert threads(2) == 2
    for one, two in zip(alone, _run_everything(LARGE[name], dtype), strict=True):
        assert one.tobytes() == two.tobytes()


# Packed weights.


def test_packed_weights_keep_what_is_used_twice_until_invalidated() -> None:
    kept, numbers, fills = PackedWeights(), np.arange(3.0), []

    def packed(form: str) -> np.ndarray:
        def fill(out: np.ndarray) -> None:
            fills.append(form)
            out[...] = numbers * (2 if form == "twice" else 3)

        return kept.get(form, lambda: np.empty(3), fill)

    packed("twice")
    twice = packed("twice")
    assert packed("twice") is twice
    assert fills == ["twice"] * 2  # nobody knew at first that it would be wanted again
    numbers += 1
    np.testing.assert_array_equal(packed("twice"), [0, 2, 4])  # it cannot know
    kept.invalidate()
    assert packed("twice") is twice  # the same memory, kept at once
    np.testing.assert_array_equal(twice, [2, 4, 6])
    packed("twice")
    assert fills == ["twice"] * 3
    without = get_packed(None, "twice", lambda: np.zeros(3), lambda out: None)
    assert not without.any()


def test_packed_weights_do_not_keep_what_is_used_once() -> None:
    packed = PackedWeights()
    for number in range(3):
        array = packed.get("once", lambda: np.empty(1 << 16), lambda out, number=number: out.fill(number))
        assert array[0] == number
        released = weakref.ref(array)
        del array
        assert released() is None
        packed.invalidate()


def test_a_fill_that_fails_is_repeated() -> None:
    packed = PackedWeights()
    with pytest.raises(ZeroDivisionError):
        packed.get("form", lambda: np.zeros(1), lambda out: 1 // 0)
    assert packed.get("form", lambda: np.zeros(1), lambda out: out.fill(5)).item() == 5


@pytest.fixture(params=["remembering", *ON_NUMPY])
def with_packing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each implementation; and the reference with a copy of the weights as its packed weights, as fast kernels do."""
    if request.param != "remembering":
        mg.use("numpy", request.param.kernels)
        return request.param.kernels
    mg.use("numpy", "reference")
    room = backend.current()
    plain = {name: room.kernel(name) for name in minigan_kernels.OPERATIONS}

    def remembering(name: str) -> Callable:
        def kernel(
            x: Any, w: Any, b: Any, slope: float, geometry: Geometry, packed: PackedWeights | None = None
        ) -> Any:
            kept = get_packed(packed, (name, geometry), lambda: np.empty_like(w), lambda out: np.copyto(out, w))
            return plain[name](x, kept, b, slope, geometry)

        return kernel

    changed = plain | {name: remembering(name) for name in ("conv2d", "conv2d_input_grad")}
    monkeypatch.setattr(room, "kernel", changed.__getitem__)
    return "remembering"


MEMO_SETTINGS = [
    {"stride": 2, "padding": 1},
    {"stride": 2, "padding": 1, "precision": "fast"},
    {"stride": 1, "padding": 0},
    {"stride": 1, "padding": "same"},
    {"stride": (2, 1), "padding": ((1, 2), (0, 1))},
]


def _all_uses(x: np.ndarray, w: Any, b: Any) -> list[np.ndarray]:
    """Results and derivatives of first and second order in many geometries, by one weight (4, 4, 9, 16)."""
    found = []
    for settings in MEMO_SETTINGS:
        leaf = Tensor(x)
        for y in (
            ops.conv2d(leaf, w, **settings),
            ops.conv2d(leaf, w, b, slope=0.2, **settings),
            ops.conv2d(leaf, w, slope=0.2, **settings),
            ops.conv2d(Tensor(x[:, :5]), w, **settings),
            ops.conv_transpose2d(ops.conv2d(leaf, w, **settings), w, output_size=x.shape[1:3], **settings),
        ):
            (gx,) = grad(ops.sum(y * y), [leaf], create_graph=True)
            found += [y, gx, *grad(ops.sum(gx * gx), [leaf, w])]
    return [t.numpy() for t in found]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_parameter_gives_the_bits_of_a_tensor(with_packing: str, dtype: str, make_rng: Callable) -> None:
    rng = make_rng()
    x, b = rng.standard_normal((2, 6, 7, 9)).astype(dtype), Tensor(rng.standard_normal(16).astype(dtype))
    first, second = (rng.standard_normal((4, 4, 9, 16)).astype(dtype) for _ in range(2))
    parameter = Parameter(first.copy())
    for w in (first, second, first):
        parameter.assign(w)
        expected = _all_uses(x, Tensor(w), b)
        for _ in range(2):  # the second time from the packed weights
            for one, two in zip(_all_uses(x, parameter, b), expected, strict=True):
                assert one.tobytes() == two.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("table", ON_NUMPY, indirect=True)  # no kernel for CuPy packs weights
@pytest.mark.parametrize("dtype", FLOATS)
def test_kernels_give_the_same_bits_with_packed_weights(table: dict, dtype: str) -> None:
    rng = np.random.default_rng(12)
    weights: dict[tuple[int, ...], tuple[np.ndarray, PackedWeights]] = {}
    for case in [*HAND_PICKED, *LARGE.values()]:  # packed once for all geometries of a shape of weights
        x, w, g = case.draw(rng.standard_normal, dtype)
        w, packed = weights.setdefault(w.shape, (w, PackedWeights()))
        for geometry in (case.geometry, _fast(case.geometry), case.geometry):
            for name, a in (("conv2d", x), ("conv2d_input_grad", g)):
                from_packed = table[name](a, w, None, 1.0, geometry, packed)
                assert from_packed.tobytes() == table[name](a, w, None, 1.0, geometry).tobytes(), (name, str(case))


@pytest.mark.parametrize("change", ["assign", "optimiser", "state"])
@pytest.mark.parametrize("make", [Conv2d, ConvTranspose2d])
def test_a_layer_uses_changed_weights(with_packing: str, make: type, change: str, make_rng: Callable) -> None:
    rng = make_rng()
    network = Sequential(make(9, 16, 4, rng, stride=2, padding=1), LeakyReLU(0.2), make(16, 9, 3, rng))
    x = Tensor(rng.standard_normal((2, 12, 14, 9)).astype(np.float32))

    def unpacked() -> np.ndarray:
        y = x
        for layer, slope in ((network[0], 0.2), (network[2], 1.0)):
            operation = ops.conv2d if make is Conv2d else ops.conv_transpose2d
            w, b = Tensor(layer.weight.numpy()), Tensor(layer.bias.numpy())
            y = operation(y, w, b, stride=layer.stride, padding=layer.padding, slope=slope)
        return y.numpy()

    optimiser = Adam(network.parameters(), learning_rate=0.1) if change == "optimiser" else None
    before = None
    for _ in range(3):
        y = network(x)
        np.testing.assert_array_equal(y.numpy(), unpacked())
        np.testing.assert_array_equal(network(x).numpy(), y.numpy())
        assert before is None or np.abs(y.numpy() - before).max() > 0.01
        before = y.numpy()
        if optimiser:
            optimiser.step(grad(ops.sum(y * y), list(network.parameters().values())))
        elif change == "assign":
            for p in network.parameters().values():
                p.assign(rng.standard_normal(p.shape))
        else:
            network.load_state({k: rng.standard_normal(v.shape).astype(v.dtype) for k, v in network.state().items()})


def test_packed_weights_stay_valid_when_an_optimiser_moves_the_weights(with_packing: str, make_rng: Callable) -> None:
    layer = Conv2d(9, 16, 4, make_rng(), stride=2, padding=1)
    x = Tensor(make_rng(1).standard_normal((1, 8, 8, 9)).astype(np.float32))
    before = layer(x).numpy()
    for optimiser in (SGD(layer.parameters(), learning_rate=0.5), SGD(layer.parameters(), learning_rate=0.5)):
        np.testing.assert_array_equal(layer(x).numpy(), before)
        optimiser_of_now = optimiser
    w = layer.weight.numpy()
    optimiser_of_now.step([Tensor(np.ones(p.shape, np.float32)) for p in layer.parameters().values()])
    np.testing.assert_array_equal(layer.weight.numpy(), w - np.float32(0.5))
    expected = ops.conv2d(x, Tensor(layer.weight), Tensor(layer.bias), stride=2, padding=1)
    np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())


def test_a_deep_copy_has_packed_weights_of_its_own(with_packing: str, make_rng: Callable) -> None:
    layer = Conv2d(9, 16, 4, make_rng(), stride=2, padding=1)
    x = Tensor(make_rng(1).standard_normal((1, 8, 8, 9)).astype(np.float32))
    before = layer(x).numpy()
    copied = copy.deepcopy(layer)
    layer.weight.assign(np.zeros(layer.weight.shape))
    assert not layer(x).numpy().any()
    np.testing.assert_array_equal(copied(x).numpy(), before)
    copied.weight.assign(np.zeros(layer.weight.shape))
    layer.weight.assign(np.ones(layer.weight.shape))
    assert layer(x).numpy().any()
    assert not copied(x).numpy().any()


@pytest.mark.parametrize(("with_bias", "slope"), [(True, 1.0), (True, 0.2), (False, 1.0), (False, 0.2)])
@pytest.mark.parametrize("first", ["graph", "layer"])
def test_a_graph_made_before_the_weight_changed_gives_the_old_derivative_or_an_error(
    with_packing: str, first: str, with_bias: bool, slope: float, make_rng: Callable
) -> None:
    """A derivative's graph, kept while the weight changes, gives the old weight's derivative, or is refused."""
    rng = make_rng()
    layer = Conv2d(9, 16, 4, rng, stride=2, padding=1, bias=with_bias)
    network = Sequential(layer, LeakyReLU(slope)).astype("float64")
    x, u = Tensor(rng.standard_normal((1, 8, 8, 9))), Tensor(rng.standard_normal((1, 4, 4, 16)))
    v = Tensor(rng.standard_normal((1, 8, 8, 9)))
    (gx,) = vjp(network(x), [x], u, create_graph=True)
    old = layer.weight.numpy()
    layer.weight.assign(rng.standard_normal(old.shape))

    def unpacked(x: Tensor, w: np.ndarray) -> Tensor:
        b = Tensor(layer.bias.numpy()) if with_bias else None
        return ops.conv2d(x, Tensor(w), b, stride=2, padding=1, slope=slope)

    def use_the_graph() -> None:
        try:
            (found,) = vjp(gx, [u], v)
        except RuntimeError as error:
            assert "changed since" in str(error)
        else:
            along = ops.conv2d(v, old, stride=2, padding=1)
            expected = ops.slope_gate(unpacked(x, old), along, slope=slope)
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)

    def use_the_layer() -> None:
        new = unpacked(x, layer.weight.numpy())
        np.testing.assert_array_equal(network(x).numpy(), new.numpy())
        (found,) = vjp(network(x), [x], u)
        (expected,) = vjp(new, [x], u)
        np.testing.assert_array_equal(found.numpy(), expected.numpy())

    steps = [use_the_graph, use_the_layer]
    for step in steps if first == "graph" else reversed(steps):
        step()


# Padding and sizes.


def _same(n: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "SAME", as its documentation has it."""
    total = max(kernel - (stride if n % stride == 0 else n % stride), 0)
    return total // 2, total - total // 2


SIZES = list(itertools.product([1, 2, 5, 6, 7, 12], [1, 2, 3, 4, 5], [1, 2, 3]))


def test_widths_of_same_are_those_of_tensorflow() -> None:
    for n, kernel, stride in SIZES:
        found = padding_widths("same", (n, 6), (kernel, 4), (stride, 2))
        assert found == (_same(n, kernel, stride), (1, 1)), (n, kernel, stride)


def test_sizes_are_those_of_keras() -> None:
    for n, kernel, stride in SIZES:
        x, w = Tensor(np.ones((1, n, 7, 2))), Tensor(np.ones((kernel, 2, 2, 3)))
        same = ops.conv2d(x, w, stride=(stride, 3), padding="same")
        assert same.shape == (1, (n - 1) // stride + 1, 3, 3)
        if n >= kernel:
            valid = ops.conv2d(x, w, stride=(stride, 3), padding="valid")
            assert valid.shape == (1, (n - kernel) // stride + 1, 2, 3)
        number = ops.conv2d(x, w, stride=(stride, 3), padding=2)
        assert number.shape == (1, (n + 4 - kernel) // stride + 1, 4, 3)
        explicit = ops.conv2d(x, w, stride=(stride, 3), padding=((1, 3), (0, 2)))
        assert explicit.shape == (1, (n + 4 - kernel) // stride + 1, 3, 3)


def test_same_padding_puts_the_odd_zero_last() -> None:
    x = Tensor(np.arange(1.0, 5).reshape(1, 4, 1, 1))
    column = np.array([1.0, 10.0, 100.0, 1000.0])

    def along(kernel: int, stride: int) -> list[float]:
        w = Tensor(column[:kernel].reshape(kernel, 1, 1, 1))
        down = ops.conv2d(x, w, stride=stride, padding="same").numpy().reshape(-1)
        x_across, w_across = ops.transpose(x, (0, 2, 1, 3)), ops.transpose(w, (1, 0, 2, 3))
        across = ops.conv2d(x_across, w_across, stride=stride, padding="same").numpy().reshape(-1)
        np.testing.assert_array_equal(down, across)
        return down.tolist()

    assert along(2, 1) == [21, 32, 43, 4]
    assert along(4, 1) == [3210, 4321, 432, 43]
    assert along(4, 2) == [3210, 432]
    assert along(3, 2) == [321, 43]
    assert along(3, 3) == [210, 43]
    assert along(2, 3) == [21, 4]
    assert along(1, 3) == [1, 4]


def test_padding_equals_explicit_zeros(make_rng: Callable) -> None:
    rng = make_rng()
    x = Tensor(rng.integers(-4, 5, (2, 7, 8, 3)).astype(float))
    for kernel, stride in itertools.product([1, 2, 3, 4, 5], [1, 2, 3]):
        w = Tensor(rng.integers(-4, 5, (kernel, kernel, 3, 2)).astype(float))
        same = _same(7, kernel, stride), _same(8, kernel, stride)
        for padding, explicit in (("same", same), ("valid", NONE), (2, ((2, 2), (2, 2))), (((0, 1), (2, 3)),) * 2):
            padded = ops.pad(x, ((0, 0), *explicit, (0, 0)))
            expected = naive.conv2d(
                padded.numpy(), w.numpy(), Geometry(padded.shape[1:3], (kernel,) * 2, (stride,) * 2, NONE)
            )
            np.testing.assert_array_equal(ops.conv2d(x, w, stride=stride, padding=padding).numpy(), expected)


def test_sizes_of_the_transposed_convolution() -> None:
    for n, kernel, stride in SIZES:
        x, w = Tensor(np.ones((1, n, 3, 2))), Tensor(np.ones((kernel, 4, 5, 2)))
        smallest = (n - 1) * stride + kernel
        settings: list[tuple[Any, int, int]] = [
            ("same", n * stride, 6),
            ("valid", n * stride + max(kernel - stride, 0), 8),
            (0, smallest, 8),
            (((1, 0), (2, 1)), smallest - 1, 5),
        ]
        for padding, rows, columns in settings:
            if rows < 1:
                continue
            y = ops.conv_transpose2d(x, w, stride=(stride, 2), padding=padding)
            assert y.shape == (1, rows, columns, 5), (n, kernel, stride, padding)
            assert ops.conv2d(y, w, stride=(stride, 2), padding=padding).shape == x.shape
        for more in range(stride):
            size = smallest + more, 8
            y = ops.conv_transpose2d(x, w, stride=(stride, 2), output_size=size)
            assert y.shape == (1, *size, 5)
            assert ops.conv2d(y, w, stride=(stride, 2)).shape == x.shape


def test_output_size_only_adds_pixels_that_no_input_reaches(make_rng: Callable) -> None:
    rng = make_rng()
    x, w = Tensor(rng.standard_normal((2, 3, 4, 5))), Tensor(rng.standard_normal((3, 3, 2, 5)))
    small = ops.conv_transpose2d(x, w, stride=3).numpy()
    large = ops.conv_transpose2d(x, w, stride=3, output_size=(11, 13)).numpy()
    np.testing.assert_allclose(large[:, :9, :12], small, rtol=1e-13, atol=1e-14)
    assert not large[:, 9:].any()
    assert not large[:, :, 12:].any()


def test_the_transposed_convolution_is_the_adjoint(kernels: str, make_rng: Callable) -> None:
    rng = make_rng()
    for path in PATHS:
        settings, case = _path(path)
        x, w, g = (Tensor(a) for a in case.draw(rng.standard_normal, "float64"))
        back = ops.conv_transpose2d(g, w, output_size=case.geometry.size, **settings)
        y = ops.conv2d(x, w, **settings)
        one, two = (g * y).numpy(), (back * x).numpy()
        assert abs(one.sum() - two.sum()) <= 1e-12 * np.abs(one).sum()
        np.testing.assert_allclose(vjp(y, [x], g)[0].numpy(), back.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((3, 4), (4, 4), (2, 2), 1),
        ((3, 2), (3, 2), (1, 3), 0),
        ((2, 5), (5, 4), (3, 1), 2),
        ((1, 1), (4, 4), (1, 1), 0),
    ],
)
def test_the_transposed_convolution_equals_a_convolution_with_zeros_and_the_flipped_kernel(
    kernels: str, size: Any, kernel: Any, stride: Any, padding: int, make_rng: Callable
) -> None:
    """Zeros between the pixels, a border of kernel - 1, a plain convolution: Dumoulin and Visin, 2016, chapter 4."""
    rng = make_rng()
    x = rng.integers(-4, 5, (2, *size, 3)).astype(float)
    w = rng.integers(-4, 5, (*kernel, 5, 3)).astype(float)
    spread = np.zeros((2, *((n - 1) * s + 1 for n, s in zip(size, stride, strict=True)), 3))
    spread[:, :: stride[0], :: stride[1]] = x
    border = [(0, 0), *((k - 1 - padding,) * 2 for k in kernel), (0, 0)]
    for axis, (before, after) in enumerate(border):  # a negative border cuts
        spread = np.pad(spread, [(max(before, 0), max(after, 0)) if i == axis else (0, 0) for i in range(4)])
    flipped = w[::-1, ::-1].transpose(0, 1, 3, 2)
    expected = naive.conv2d(spread, flipped, Geometry(spread.shape[1:3], kernel, (1, 1), NONE))
    found = ops.conv_transpose2d(Tensor(x), Tensor(w), stride=stride, padding=padding)
    np.testing.assert_array_equal(found.numpy(), expected)


# Errors.


def _ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape))


X, W = _ones(2, 5, 6, 3), _ones(4, 4, 3, 7)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "channels": (
        lambda: ops.conv2d(X, _ones(4, 4, 2, 7)),
        r"conv2d needs x \(N, H, W, in\) and w \(kh, kw, in, out\), got shapes \(2, 5, 6, 3\) and \(4, 4, 2, 7\)",
    ),
    "rank-of-x": (lambda: ops.conv2d(_ones(5, 6, 3), W), r"conv2d needs .* got shapes \(5, 6, 3\) and \(4, 4, 3, 7\)"),
    "rank-of-w": (lambda: ops.conv2d(X, _ones(4, 3, 7)), r"conv2d needs .* \(4, 3, 7\)"),
    "channels-transposed": (
        lambda: ops.conv_transpose2d(X, W),
        r"conv_transpose2d needs x .* w \(kh, kw, out, in\), got shapes \(2, 5, 6, 3\) and \(4, 4, 3, 7\)",
    ),
    "kernel-does-not-fit": (
        lambda: ops.conv2d(X, _ones(6, 8, 3, 7), stride=(2, 3)),
        r"a kernel of 6 x 8, stride 2 x 3, padding \(\(0, 0\), \(0, 0\)\) does not fit an image of 5 x 6: that would "
        r"give \(5 - 6\) // 2 \+ 1 = 0 rows, \(6 - 8\) // 3 \+ 1 = 0 columns; use a smaller kernel or more padding",
    ),
    "kernel-does-not-fit-padded": (
        lambda: ops.conv2d(X, _ones(9, 1, 3, 7), padding=1),
        r"\(7 - 9\) // 1 \+ 1 = -1 rows, \(8 - 1\) // 1 \+ 1 = 8 columns",
    ),
    "padding-name": (lambda: ops.conv2d(X, W, padding="full"), r"padding must be .* not 'full'"),
    "padding-negative": (lambda: ops.conv2d(X, W, padding=-1), r"whole number of at least 0.* not -1"),
    "padding-pair": (lambda: ops.conv2d(X, W, padding=(1, 1)), r"padding must be .* not \(1, 1\)"),
    "padding-side": (lambda: ops.conv2d(X, W, padding=((0, -2), (0, 0))), r"padding must be"),
    "padding-fraction": (lambda: ops.conv2d(X, W, padding=0.5), r"padding must be .* not 0\.5"),
    "padding-fractions": (lambda: ops.conv2d(X, W, padding=((0.7, 1), (1, 1))), r"padding must be"),
    "padding-text": (lambda: ops.conv2d(X, W, padding=("12", "34")), r"padding must be .* not \('12', '34'\)"),
    "padding-none": (lambda: ops.conv2d(X, W, padding=None), r"padding must be .* not None"),
    "stride-zero": (lambda: ops.conv2d(X, W, stride=0), r"a stride is one or two whole numbers of at least 1, not 0"),
    "stride-three": (lambda: ops.conv2d(X, W, stride=(1, 2, 3)), r"a stride is .* not \(1, 2, 3\)"),
    "stride-fraction": (lambda: ops.conv2d(X, W, stride=1.5), r"a stride is one or two whole numbers .* not 1\.5"),
    "stride-none": (lambda: ops.conv2d(X, W, stride=None), r"a stride is one or two whole numbers .* not None"),
    "stride-text": (lambda: ops.conv2d(X, W, stride="22"), r"a stride is one or two whole numbers .* not '22'"),
    "stride-half": (lambda: ops.conv2d(X, W, stride=(1, 1.5)), r"a stride is .* not \(1, 1\.5\)"),
    "precision": (lambda: ops.conv2d(X, W, precision="high"), r"the precision must be 'exact' or 'fast', not 'high'"),
    "output-size": (
        lambda: ops.conv_transpose2d(X, _ones(4, 4, 7, 3), stride=2, padding=1, output_size=(12, 12)),
        r"5 x 6 pixels cannot become 12 x 12: a convolution with a kernel of 4 x 4, stride 2 x 2, padding .* maps "
        r"12 x 12 to 6 x 6; choose another output_size",
    ),
    "output-size-zero": (
        lambda: ops.conv_transpose2d(X, _ones(4, 4, 7, 3), output_size=(0, 4)),
        r"a size is one or two whole numbers of at least 1, not \(0, 4\)",
    ),
    "nothing-left": (
        lambda: ops.conv_transpose2d(_ones(1, 1, 2, 3), _ones(2, 2, 7, 3), padding=1),
        r"padding 1 leaves 0 x 1 pixels of 1 x 2; use less",
    ),
    "bias": (
        lambda: ops.conv2d(X, W, _ones(3)),
        r"weights of shape \(4, 4, 3, 7\) need one bias for each output channel, got shape \(3,\)",
    ),
    "bias-transposed": (
        lambda: ops.conv_transpose2d(X, _ones(4, 4, 7, 3), _ones(3)),
        r"weights of shape \(4, 4, 7, 3\) need one bias for each output channel, got shape \(3,\)",
    ),
    "bias-rank": (lambda: ops.conv2d(X, W, _ones(1, 7)), r"one bias for each output channel, got shape \(1, 7\)"),
    "slope": (lambda: ops.conv2d(X, W, _ones(7), slope=-0.5), r"LeakyReLU of slope 0 or more, got -0\.5"),
    "slope-without-bias": (
        lambda: ops.conv_transpose2d(X, _ones(4, 4, 7, 3), slope=-0.5),
        r"LeakyReLU of slope 0 or more, got -0\.5; apply leaky_relu separately",
    ),
    "kernel-of-nothing": (
        lambda: ops.conv2d(X, _ones(0, 4, 3, 7)),
        r"a kernel is one or two whole numbers of at least 1, not \(0, 4\)",
    ),
    "kernel-of-nothing-transposed": (
        lambda: ops.conv_transpose2d(X, _ones(4, 0, 7, 3)),
        r"a kernel is one or two whole numbers of at least 1, not \(4, 0\)",
    ),
    "cotangent-rank": (
        lambda: ops.conv2d_weight_grad(X, _ones(2, 2, 3), kernel=(4, 4)),
        r"conv2d_weight_grad needs .* got shape \(2, 2, 3\)",
    ),
    "cotangent": (
        lambda: ops.conv2d_weight_grad(X, _ones(2, 3, 3, 7), kernel=(4, 4)),
        r"conv2d_weight_grad needs g \(2, 2, 3\) x out, got shape \(2, 3, 3, 7\)",
    ),
    "size": (
        lambda: ops.conv2d_input_grad(_ones(2, 3, 3, 7), W, size=(5, 6)),
        r"3 x 3 pixels cannot become 5 x 6",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_do_not_fit_are_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("integer", [np.int64, np.int8, np.uint16])
def test_integers_of_numpy_are_integers(kernels: str, integer: type, make_rng: Callable) -> None:
    rng = make_rng()
    x, w, g = (Tensor(rng.standard_normal(s)) for s in ((2, 5, 6, 3), (4, 3, 3, 7), (2, 3, 2, 7)))
    one, two, three, four = map(integer, (1, 2, 3, 4))
    settings = {"stride": (2, 3), "padding": ((1, 2), (1, 1))}
    same_in_numpy = {"stride": (two, three), "padding": ((one, two), (one, one))}
    same: list[tuple[Callable, dict[str, Any], dict[str, Any]]] = [
        (lambda **s: ops.conv2d(x, w, **s), settings, same_in_numpy),
        (lambda **s: ops.conv2d(x, w, **s), {"stride": 2, "padding": 1}, {"stride": two, "padding": one}),
        (
            lambda **s: ops.conv_transpose2d(g, w, **s),
            settings | {"output_size": (5, 6)}, same_in_numpy | {"output_size": (four + one, two * three)},
        ),
        (lambda **s: ops.conv2d_weight_grad(x, g, **s), settings | {"kernel": (4, 3)},
         same_in_numpy | {"kernel": (four, three)}),
    ]  # fmt: skip
    for function, plain, numpys in same:
        expected, found = function(**plain), function(**numpys)
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
        assert found.static["geometry"] == expected.static["geometry"]
        assert {type(n) for pair in found.static["geometry"][:3] for n in pair} == {int}
    for make, shape in ((Conv2d, (2, 3, 3, 5)), (ConvTranspose2d, (2, 10, 12, 5))):
        layer = make(3, 5, four, rng, stride=two, padding=one).astype("float64")
        assert layer(Tensor(x)).shape == (shape if make is ConvTranspose2d else (2, 2, 3, 5))


PATHS_TO_NOTHING = list(itertools.product([(3, 1, 1), (4, 2, 1), (5, 2, 2), (6, 1, 0), (1, 1, 0)], ["exact", "fast"]))


def _of_nothing(transposed: bool, inputs: int, outputs: int) -> Iterator[tuple[Callable, list[Tensor], tuple]]:
    """(the operation with its settings, [x, w, b], the shape of the result) of every path."""
    x, b = _ones(2, 6, 6, inputs), Tensor(np.arange(outputs) - 2.0)
    operation = ops.conv_transpose2d if transposed else ops.conv2d
    for (kernel, stride, padding), precision in PATHS_TO_NOTHING:
        settings = {"stride": stride, "padding": padding, "precision": precision}
        shape = operation(_ones(2, 6, 6, 1), _ones(kernel, kernel, 1, 1), **settings).shape
        w = _ones(kernel, kernel, *((outputs, inputs) if transposed else (inputs, outputs)))
        yield functools.partial(operation, **settings), [x, w, b], (*shape[:3], outputs)


NO_CHANNELS = [(0, 5), (0, 20), (5, 0), (20, 0), (0, 0)]


@pytest.mark.parametrize(("inputs", "outputs"), NO_CHANNELS)
@pytest.mark.parametrize("transposed", [False, True])
def test_without_input_channels_only_the_bias_remains(
    kernels: str, transposed: bool, inputs: int, outputs: int
) -> None:
    for operation, (x, w, b), shape in _of_nothing(transposed, inputs, outputs):
        activated = np.where(b.numpy() > 0, b.numpy(), b.numpy() / 4)
        for y, expected in (
            (operation(x, w, b), b.numpy()),
            (operation(x, w, b, slope=0.25), activated),
            (operation(x, w), 0.0),
            (operation(x, w, slope=0.25), 0.0),
        ):
            assert y.shape == shape
            np.testing.assert_array_equal(y.numpy(), np.broadcast_to(expected, shape))


@pytest.mark.parametrize(("inputs", "outputs"), NO_CHANNELS)
@pytest.mark.parametrize("transposed", [False, True])
def test_derivatives_without_channels(kernels: str, transposed: bool, inputs: int, outputs: int) -> None:
    for operation, (x, w, b), shape in _of_nothing(transposed, inputs, outputs):
        for leaves, slope, create_graph in itertools.product(([x, w, b], [x, w]), (1.0, 0.25), (False, True)):
            y = operation(*leaves, slope=slope)
            dx, dw, *db = vjp(y, leaves, _ones(*shape), create_graph=create_graph)
            assert (dx.shape, dw.shape) == (x.shape, w.shape)
            assert not dx.numpy().any()
            assert not dw.numpy().any()
            for found in db:
                each = shape[0] * shape[1] * shape[2]
                np.testing.assert_allclose(found.numpy(), np.where(b.numpy() > 0, each, each * slope), rtol=1e-14)


# Through a gradient penalty: WGAN-GP (Gulrajani et al., 2017, equation 3) differentiates a derivative.


def _critic(dtype: str, rng: np.random.Generator, precision: str = "exact") -> Sequential:
    settings = {"stride": 2, "padding": 1, "precision": precision}
    critic = Sequential(
        Conv2d(3, 9, 4, rng, **settings), LeakyReLU(0.2), Conv2d(9, 10, 4, rng, **settings), LeakyReLU(0.2),
        Flatten(), Dense(40, 1, rng),
    ).astype(dtype)  # fmt: skip
    for name, p in critic.parameters().items():
        if "bias" in name:
            p.assign(rng.uniform(-0.3, 0.3, p.shape))
    return critic


def _loss(critic: Sequential, real: np.ndarray, between: np.ndarray) -> Tensor:
    x = Tensor(between)
    (slope,) = grad(ops.sum(critic(x)), [x], create_graph=True)
    norms = ops.sqrt(ops.sum(slope * slope, axis=(1, 2, 3)))
    return ops.mean(critic(Tensor(real))) + ops.mean((norms - 1.0) ** 2) * 10.0


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_the_gradient_of_a_gradient_penalty(kernels: str, precision: str, make_rng: Callable) -> None:
    rng = make_rng(27)  # no sum lies within 0.006 of a kink
    critic = _critic("float64", rng, precision)
    real, between = rng.standard_normal((2, 2, 8, 8, 3))
    parameters = critic.parameters()
    start = {name: p.numpy() for name, p in parameters.items()}

    def sides() -> np.ndarray:
        """On which side of each kink every sum lies."""
        found, x = [], Tensor(np.concatenate([real, between]))
        for layer in critic.layers:
            if isinstance(layer, LeakyReLU):
                found.append((x.numpy() > 0).reshape(-1))
            x = layer(x)
        return np.concatenate(found)

    at_start = sides()
    assert 0.2 < at_start.mean() < 0.8

    def moved(direction: dict[str, np.ndarray], t: float) -> float:
        for name, p in parameters.items():
            p.assign(start[name] + t * direction[name])
        assert (sides() == at_start).all(), "a kink lies within the step; choose another seed"
        return _loss(critic, real, between).item()

    found = dict(zip(parameters, grad(_loss(critic, real, between), list(parameters.values())), strict=True))
    directions = [{name: rng.standard_normal(p.shape) for name, p in parameters.items()} for _ in range(3)]
    for name, p in parameters.items():
        for _ in range(2):
            one = {other: np.zeros(q.shape) for other, q in parameters.items()}
            one[name].flat[rng.integers(p.size)] = 1.0
            directions.append(one)
    for direction in directions:
        length = np.sqrt(sum((d**2).sum() for d in direction.values()))
        expected, bound = differences.derivative(lambda t, d=direction: moved(d, t), step=5e-4 / length)
        exact = float(sum((found[name].numpy() * d).sum() for name, d in direction.items()))
        scale = abs(expected) + 1e-3 * length
        assert bound <= 1e-7 * scale, "the finite differences are too inaccurate"
        assert abs(exact - expected) <= 1e-7 * scale


# Numbers that are not finite, and large ones.


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_nonfinite_number_stays_in_its_image(table: dict, precision: str, bad: float) -> None:
    rng = np.random.default_rng(13)
    for case in [*SOME, LARGE["winograd-odd"], LARGE["direct"]]:
        geometry = case.geometry._replace(precision=precision)
        for name, shape in (("conv2d", case.picture), ("conv2d_input_grad", case.result)):
            w = rng.standard_normal(case.weight).astype(np.float32)
            x = rng.standard_normal((3, *shape[1:])).astype(np.float32)
            clean = table[name](x, w, None, 1.0, geometry)
            x[1] = bad
            with np.errstate(all="ignore"):
                y = table[name](x, w, None, 1.0, geometry)
            np.testing.assert_array_equal(y[[0, 2]], clean[[0, 2]], err_msg=f"{name} {case}")
            reached = clean[1] != 0
            assert not np.isfinite(y[1][reached]).any(), f"{name} {case}"


def test_large_numbers_do_not_overflow(table: dict, product_error: float) -> None:
    rng, bound = np.random.default_rng(14), 5e-6 + product_error
    for case in [*SOME, LARGE["winograd"], LARGE["few-in"], LARGE["direct"]]:
        x, w, g = case.draw(rng.standard_normal, "float32")
        x, w, g = x * np.float32(1e30), w * np.float32(1e-3), g * np.float32(1e30)
        for name, a in (("conv2d", x), ("conv2d_input_grad", g)):
            found = table[name](a, w, None, 1.0, case.geometry)
            wide = table[name](a.astype("float64"), w.astype("float64"), None, 1.0, case.geometry)
            assert np.isfinite(found).all(), str(case)
            assert np.abs(found - wide).max() <= bound * np.abs(wide).max(), f"{name} {case}"
        small = g * np.float32(1e-33)
        found = table["conv2d_weight_grad"](x, small, case.geometry)
        wide = table["conv2d_weight_grad"](x.astype("float64"), small.astype("float64"), case.geometry)
        assert np.isfinite(found).all(), str(case)
        assert np.abs(found - wide).max() <= bound * np.abs(wide).max(), str(case)


# The choice among kernels.


@pytest.mark.slow
@needs_numba
def test_winograd_is_chosen_where_its_transforms_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    names = ("conv", "winograd", "winograd_gradient")
    conv, winograd, gradient = (importlib.import_module(f"minigan_kernels.numba.{name}") for name in names)
    used = []
    for module, name in ((winograd, "convolve"), (gradient, "weight_grad")):
        kernel = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, kernel=kernel, name=name, **k: used.append(name) or kernel(*a, **k)
        )
    for batch, size, channels, expected in ((64, 8, 32, 3), (1, 8, 32, 0), (64, 8, 24, 0)):
        used.clear()
        geometry = Geometry((size, size), (4, 4), (2, 2), ONE)
        x, w = np.ones((batch, size, size, channels), np.float32), np.ones((4, 4, channels, channels), np.float32)
        y = conv.conv2d(x, w, None, 1.0, geometry)
        conv.conv2d_input_grad(y, w, None, 1.0, geometry)
        conv.conv2d_weight_grad(x, y, geometry)
        assert len(used) == expected


@needs_numba
@pytest.mark.skipif(not EXHAUSTIVE, reason="it compiles for half a minute; MINIGAN_EXHAUSTIVE=1 runs it")
def test_no_kernel_reads_freed_memory(tmp_path: Path) -> None:
    """Numba's debug mode overwrites freed memory with a marker."""
    program = """
        import numpy as np
        from minigan_kernels import reference, table
        from minigan_kernels.geometry import Geometry
        kernels = table("numba", np)
        importlib = __import__("importlib")
        importlib.import_module("minigan_kernels.numba.winograd").FEWEST_PIXELS.update(exact=1)
        rng = np.random.default_rng(0)
        for size, stride, channels, outputs in ((6, 2, 16, 16), (7, 2, 16, 32), (6, 1, 5, 9), (6, 2, 3, 16)):
            geometry = Geometry((size, size), (4, 4), (stride, stride), ((1, 1), (1, 1)))
            x = rng.integers(-3, 4, (2, size, size, channels)).astype("f")
            w = rng.integers(-3, 4, (4, 4, channels, outputs)).astype("f")
            y = kernels["conv2d"](x, w, None, 1.0, geometry)
            assert np.array_equal(y, reference.conv2d(np, x, w, None, 1.0, geometry)), "conv2d"
            g = rng.integers(-3, 4, y.shape).astype("f")
            found = kernels["conv2d_input_grad"](g, w, None, 1.0, geometry)
            assert np.array_equal(found, reference.conv2d_input_grad(np, g, w, None, 1.0, geometry)), "input gradient"
            found = kernels["conv2d_weight_grad"](x, g, geometry)
            assert np.array_equal(found, reference.conv2d_weight_grad(np, x, g, geometry)), "weight gradient"
    """
    environment = os.environ | {"NUMBA_DEBUG_NRT": "1", "MINIGAN_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]


def test_a_copied_layer_has_no_packed_weights(make_rng: Callable) -> None:
    layer = Conv2d(16, 16, 4, make_rng(), stride=2, padding=1)
    x = make_rng().standard_normal((2, 8, 8, 16)).astype(np.float32)
    expected = [layer(x) for _ in range(3)][-1].numpy()
    copied = copy.deepcopy(layer)
    assert not copied.weight.packed_weights._entries
    np.testing.assert_array_equal(copied(x).numpy(), expected)
