"""Batch normalisation on the GPU, against the reference and in extended precision."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import minigan_kernels
from minigan_kernels.cuda.row_blocks import divide_rows

REFERENCE = minigan_kernels.table("reference", np)
FLOATS = ["float32", "float64"]
EPS = 1e-3
# One launch; several blocks of rows, the last not whole, with several strips of columns, few columns, a single one.
AT_ONCE = [(1, 1), (2, 3), (7, 65), (64, 33), (256, 31), (2000, 3), (3000, 1)]
IN_BLOCKS = [(257, 32), (301, 35), (2101, 3), (9001, 1), (71, 4100)]


def _operands(shape: tuple[int, int], dtype: str, seed: int = 1) -> tuple[np.ndarray, ...]:
    """(x, g, gamma, beta)."""
    rng = np.random.default_rng(seed)
    x, g = rng.standard_normal(shape) * 3 + 2, rng.standard_normal(shape)
    return tuple(a.astype(dtype) for a in (x, g, *rng.standard_normal((2, shape[1]))))


def test_the_shapes_take_one_launch_or_three() -> None:
    assert all(divide_rows(*shape).count == 1 for shape in AT_ONCE)
    for shape in IN_BLOCKS:
        blocks = divide_rows(*shape)
        assert blocks.count > 1
        assert shape[0] % blocks.rows_per_block


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [1.0, 0.2, 0.0])
@pytest.mark.parametrize("shape", AT_ONCE + IN_BLOCKS)
def test_against_extended_precision(
    cuda: dict[str, Callable], shape: tuple[int, int], slope: float, dtype: str
) -> None:
    x, g, gamma, beta = _operands(shape, dtype)
    wide = x.astype(np.longdouble)
    mean = wide.mean(axis=0)
    variance = ((wide - mean) ** 2).mean(axis=0)
    scale = 1 / np.sqrt(variance + EPS)
    xhat = (wide - mean) * scale
    argument = xhat * gamma + beta
    g[np.abs(argument) < 1e-3] = 0  # so near the kink, rounding decides the side
    eps, rows = float(np.finfo(dtype).eps), shape[0]

    found = cuda["batch_norm"](x, gamma, beta, EPS, slope)
    assert [f.dtype for f in found] == [np.dtype(dtype)] * 3
    expected = np.where(argument > 0, argument, argument * slope), mean, variance
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=16 * eps, atol=64 * eps)

    found = cuda["batch_norm_grad"](g, x, gamma, beta, *found[1:], EPS, slope)
    assert [f.dtype for f in found] == [np.dtype(dtype)] * 3
    dx, dgamma, dbeta = found
    h = np.where(argument > 0, g, g * np.longdouble(slope))
    # A thread adds up to 64 terms, and the trees are at most 10 deep; a term h * xhat is off by some roundings more.
    for one, terms, roundings in ((dbeta, h, 90), (dgamma, h * xhat, 120)):
        assert np.all(
            np.abs(one - terms.sum(axis=0)) <= roundings * eps * (np.abs(terms).sum(axis=0) + np.abs(h).sum(axis=0))
        )
    of_dx = gamma * scale * (h - h.sum(axis=0) / rows - xhat * ((h * xhat).sum(axis=0) / rows))
    np.testing.assert_allclose(dx, of_dx, rtol=0, atol=256 * eps * float(np.abs(gamma * scale).max()))


@pytest.mark.parametrize("shape", [(64, 33), (301, 35), (2101, 3)])
def test_the_bits_are_the_same_every_time_and_in_every_layout(
    cuda: dict[str, Callable], shape: tuple[int, int]
) -> None:
    """The threads' order changes from launch to launch."""
    x, g, gamma, beta = _operands(shape, "float32")
    one = cuda["batch_norm"](x, gamma, beta, EPS, 0.2)
    one += cuda["batch_norm_grad"](g, x, gamma, beta, *one[1:], EPS, 0.2)
    for lay in (np.copy, np.asfortranarray, lambda a: np.repeat(a, 2, -1)[..., ::2], lambda a: a[::-1].copy()[::-1]):
        two = cuda["batch_norm"](*map(lay, (x, gamma, beta)), EPS, 0.2)
        two += cuda["batch_norm_grad"](*map(lay, (g, x, gamma, beta, *two[1:])), EPS, 0.2)
        assert [a.tobytes() for a in one] == [a.tobytes() for a in two]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(64, 33), (301, 35), (2101, 3), (9001, 1)])
def test_a_large_mean_costs_no_digits(cuda: dict[str, Callable], shape: tuple[int, int], dtype: str) -> None:
    """A mean of 1e4, a deviation of 1, and a drift from row to row, so that the blocks' means differ.

    x itself is given to within 1e4 * eps; E[x^2] - E[x]^2 would be off by 1e8 * eps, ten times the variance in float32.
    """
    rng = np.random.default_rng(2)
    x = (1e4 + rng.standard_normal(shape) + np.linspace(-2, 2, shape[0])[:, None]).astype(dtype)
    ones, zeros = np.ones(shape[1], dtype), np.zeros(shape[1], dtype)
    wide = x.astype(np.longdouble)
    mean, variance = wide.mean(axis=0), wide.var(axis=0)
    y, found_mean, found_variance = cuda["batch_norm"](x, ones, zeros, EPS, 1)
    grain = 1e4 * float(np.finfo(dtype).eps)
    assert np.all(np.abs(found_mean - mean) <= 2 * grain)  # the sums of differences are exact to some eps
    assert np.all(np.abs(found_variance - variance) <= 4 * grain**2 + 64 * float(np.finfo(dtype).eps) * variance)
    np.testing.assert_allclose(y, (wide - mean) / np.sqrt(variance + EPS), rtol=0, atol=4 * grain)
    for one, two in zip((y, found_mean, found_variance), REFERENCE["batch_norm"](x, ones, zeros, EPS, 1), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=4 * grain)


@pytest.mark.parametrize("shape", [(64, 33), (301, 35)])
def test_fused_leaky_relu_has_the_bits_of_a_separate_one(cuda: dict[str, Callable], shape: tuple[int, int]) -> None:
    """Also at the kink, where rounding decides the side: the backward pass chooses that of the forward pass."""
    x, g, gamma, beta = _operands(shape, "float32", 3)
    plain, *_ = cuda["batch_norm"](x, gamma, np.zeros_like(beta), EPS, 1.0)
    beta = -plain[shape[0] // 2]
    plain, mean, variance = cuda["batch_norm"](x, gamma, beta, EPS, 1.0)
    fused = cuda["batch_norm"](x, gamma, beta, EPS, 0.25)
    np.testing.assert_array_equal(fused[0], REFERENCE["slope_gate"](plain, plain, 0.25))
    h = REFERENCE["slope_gate"](plain, g, 0.25)
    one = cuda["batch_norm_grad"](g, x, gamma, beta, mean, variance, EPS, 0.25)
    two = cuda["batch_norm_grad"](h, x, gamma, beta, mean, variance, EPS, 1.0)
    assert [a.tobytes() for a in one] == [a.tobytes() for a in two]


@pytest.mark.parametrize("shape", [(5, 7), (301, 35)])
def test_a_nonfinite_number_stays_in_its_column(cuda: dict[str, Callable], shape: tuple[int, int]) -> None:
    x, g, gamma, beta = _operands(shape, "float32", 4)
    damaged, rest = x.copy(), np.arange(shape[1]) != 3
    damaged[shape[0] // 3, 3] = np.inf
    results = []
    for numbers in (x, damaged):
        forward = cuda["batch_norm"](numbers, gamma, beta, EPS, 0.2)
        results.append(forward + cuda["batch_norm_grad"](g, numbers, gamma, beta, *forward[1:], EPS, 0.2))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one[..., rest], two[..., rest])
    assert np.isnan(results[1][0][:, 3]).all()


def test_no_rows_and_no_columns(cuda: dict[str, Callable]) -> None:
    nothing, vector = np.zeros((0, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match="at least one row"):
        cuda["batch_norm"](nothing, vector, vector, EPS, 1)
    dx, dgamma, dbeta = cuda["batch_norm_grad"](nothing, nothing, vector, vector, vector, vector, EPS, 1)
    assert dx.shape == (0, 3)
    assert not dgamma.any()
    assert not dbeta.any()
    nothing, vector = np.zeros((4, 0), np.float32), np.ones(0, np.float32)
    forward = cuda["batch_norm"](nothing, vector, vector, EPS, 1)
    backward = cuda["batch_norm_grad"](nothing, nothing, vector, vector, *forward[1:], EPS, 1)
    assert [a.shape for a in forward + backward] == [(4, 0), (0,), (0,), (4, 0), (0,), (0,)]


@pytest.mark.parametrize("shape", [(5, 7), (301, 35)])
def test_results_in_given_memory(cupy: ModuleType, shape: tuple[int, int]) -> None:
    kernels = minigan_kernels.table("cuda", cupy)
    x, g, gamma, beta = map(cupy.asarray, _operands(shape, "float32", 5))
    forward = kernels["batch_norm"](x, gamma, beta, EPS, 0.2)
    backward = kernels["batch_norm_grad"](g, x, gamma, beta, *forward[1:], EPS, 0.2)
    for name, arguments, expected in (
        ("batch_norm", (x, gamma, beta), forward),
        ("batch_norm_grad", (g, x, gamma, beta, *forward[1:]), backward),
    ):
        out = tuple(cupy.empty(a.shape, a.dtype) for a in expected)
        returned = kernels[name](*arguments, EPS, 0.2, out=out)
        assert all(a is b for a, b in zip(returned, out, strict=True))
        assert [cupy.asnumpy(a).tobytes() for a in out] == [cupy.asnumpy(a).tobytes() for a in expected]
