"""The gradient checker: compared with known derivatives, and tried on many kinds of mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import minigan as mg
from minigan import Parameter, Tensor, nn, ops
from minigan.autodiff import primitive
from minigan.checking import GradientError, Verdict, check_pair, check_vjp, gradcheck
from minigan.checking.finite_differences import differentiate

CASES = 100


def _never(estimate: Any) -> bool:
    return False


# Numeric derivatives and their error bars.


class TanhGan:
    """The generator's non-saturating loss of small tanh networks, and a random direction for all weights."""

    def __init__(self, seed: int, dtype: str) -> None:
        rng = np.random.default_rng([3, seed])
        hidden, batch = int(rng.integers(4, 24)), int(rng.integers(4, 32))
        shapes = [(3, hidden), (hidden, 2), (2, hidden), (hidden, 1)]
        self.weights = [(rng.standard_normal(s) / math.sqrt(s[0])).astype(dtype) for s in shapes]
        self.direction = [rng.choice([-1.0, 1.0], s) * rng.uniform(0.5, 1.5, s) / math.sqrt(s[0]) for s in shapes]
        self.z = rng.standard_normal((batch, 3)).astype(dtype)

    @staticmethod
    def loss(weights: list[np.ndarray], z: np.ndarray) -> Any:
        a, b, c, d = weights
        logits = np.tanh(np.tanh(z @ a) @ b @ c) @ d
        return np.log1p(np.exp(-logits)).mean()

    def phi(self, t: float) -> float:
        dtype = self.z.dtype
        return float(
            self.loss([(w + t * v).astype(dtype) for w, v in zip(self.weights, self.direction, strict=True)], self.z)
        )

    def truth(self) -> float:
        """The exact derivative, by a complex step in double precision whatever the type of the weights."""
        moved = [w + 1e-40j * v for w, v in zip(self.weights, self.direction, strict=True)]
        return float(self.loss(moved, self.z.astype(np.float64)).imag / 1e-40)


def noise_of(phi: Callable[[float], float]) -> float:
    """The standard deviation of phi's rounding errors, from sixth differences, which vanish for a smooth phi.

    Moré and Wild, "Estimating computational noise" (2011).
    """
    values = [phi(1e-3 * step) for step in range(-12, 12)]
    return math.sqrt(np.mean(np.diff(values, 6) ** 2) / math.comb(12, 6))


# Extrapolation multiplies the noise of a difference quotient by 8 at most, the product of (2^k + 1) / (2^k - 1); a bar
# is 4 times the difference of two extrapolated values, at a step of a sixteenth of the first.
AMPLIFIED = 8 * 2 * 4 * 16
WIDEST = 4  # standard deviations that a rounding error is away from 0


@pytest.mark.parametrize(("dtype", "eps"), [("float64", 2.3e-16), ("float32", 1.2e-7)])
def test_error_bars_cover_the_error_of_a_derivative_and_are_as_small_as_the_noise_allows(
    dtype: str, eps: float
) -> None:
    """The limit follows from the measured noise, since the rounding of matrix products differs between machines."""
    first_step = 0.25
    covered, widths = 0, []
    for seed in range(CASES):
        case = TanhGan(seed, dtype)
        middle, truth = case.phi(0.0), case.truth()
        found = differentiate(case.phi, middle, first_step, eps * abs(middle), _never).central
        covered += abs(found.value - truth) <= found.error_bar
        widths.append(found.error_bar / (noise_of(case.phi) / first_step))
    assert covered >= 0.99 * CASES
    assert np.quantile(widths, 0.9) <= AMPLIFIED
    assert np.max(widths) <= WIDEST * AMPLIFIED


def test_the_complex_step_agrees_with_fifty_digits() -> None:
    """The exact derivative of the test above, compared with arithmetic of arbitrary precision."""
    case = TanhGan(1, "float64")
    with mpmath.workdps(50):

        def phi(t: Any) -> Any:
            def product(x: Any, w: Any) -> Any:
                return [
                    [mpmath.fsum(p * q for p, q in zip(row, column, strict=True)) for column in zip(*w, strict=True)]
                    for row in x
                ]

            def tanh(x: Any) -> Any:
                return [[mpmath.tanh(value) for value in row] for row in x]

            a, b, c, d = (
                [
                    [mpmath.mpf(float(p)) + t * mpmath.mpf(float(q)) for p, q in zip(*rows, strict=True)]
                    for rows in zip(w, v, strict=True)
                ]
                for w, v in zip(case.weights, case.direction, strict=True)
            )
            z = [[mpmath.mpf(float(value)) for value in row] for row in case.z]
            logits = product(tanh(product(product(tanh(product(z, a)), b), c)), d)
            return mpmath.fsum(mpmath.log(1 + mpmath.exp(-row[0])) for row in logits) / len(logits)

        truth = mpmath.diff(phi, 0, h=mpmath.mpf(10) ** -20)
    assert case.truth() == pytest.approx(float(truth), rel=1e-14)


@pytest.mark.parametrize("distance", [0.2, 1e-2, 1e-4, 1e-6])
def test_steps_become_shorter_than_the_distance_of_a_kink(distance: float) -> None:
    def phi(t: float) -> float:
        return math.sin(t) + max(0.0, t - distance)

    found = differentiate(phi, 0.0, 0.25, 1e-16, _never, lambda estimate: estimate.error_bar <= 1e-6)
    assert not found.has_kink
    assert abs(found.central.value - 1) <= found.central.error_bar <= 1e-6


def test_a_kink_at_the_point_shows_both_sides() -> None:
    found = differentiate(lambda t: math.sin(t) + 0.3 * abs(t), 0.0, 0.25, 1e-16)
    assert found.has_kink
    assert found.one_sided() == pytest.approx((0.7, 1.3), abs=1e-10)


def test_steps_outside_of_the_domain_are_skipped() -> None:
    found = differentiate(lambda t: math.log(t + 1e-3) if t > -1e-3 else math.nan, math.log(1e-3), 0.25, 1e-15)
    assert abs(found.central.value - 1e3) <= found.central.error_bar <= 1e-6


# Verdicts.

RNG = np.random.default_rng(4)
A, B, C = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 5)), RNG.standard_normal(5)


def layer(a: Any, b: Any, c: Any) -> Any:
    return np.tanh(a @ b + c).sum()


def layer_grad(a: Any, b: Any, c: Any) -> Any:
    s = 1 - np.tanh(a @ b + c) ** 2
    return s @ b.T, a.T @ s, s.sum(0)


def _with(change: Callable[..., tuple]) -> Callable[..., tuple]:
    return lambda a, b, c: change(*layer_grad(a, b, c))


def _one_entry(ga: Any, gb: Any, gc: Any) -> tuple:
    gb = gb.copy()
    gb[2, 3] *= 1 + 1e-6
    return ga, gb, gc


def test_a_right_gradient_passes() -> None:
    report = check_pair(layer, layer_grad, (A, B, C))
    assert report.ok
    assert report.verdict is Verdict.PASS
    assert report.checked == ("a", "b", "c")
    assert report.error <= 2 * report.bar + 1e-13
    assert report.raise_for_failure() is report


@pytest.mark.parametrize(
    ("change", "cause", "name"),
    [
        (lambda ga, gb, gc: (ga, -gb, gc), "sign", "b"),
        (lambda ga, gb, gc: (2 * ga, gb, gc), "factor 1/2", "a"),
        (lambda ga, gb, gc: (ga, gb, gc / 2), "factor 2", "c"),
        (lambda ga, gb, gc: (ga, gb / 3, gc), "sum taken as mean", "b"),
        (lambda ga, gb, gc: (ga, gb, gc * 5), "mean taken as sum", "c"),
        (lambda ga, gb, gc: (ga, gb * 1.0001, gc), "factor", "b"),
        (lambda ga, gb, gc: (ga, gb / 7, gc), "factor 7", "b"),
        (lambda ga, gb, gc: (ga * 7, gb, gc), "factor 1/7", "a"),
        (lambda ga, gb, gc: (ga, gb, 0 * gc), "detached", "c"),
        (_one_entry, "one entry", "b"),
        (lambda ga, gb, gc: (ga, np.roll(gb, 1, 0), gc), "shifted", "b"),
        (lambda ga, gb, gc: (ga, gb[::-1, ::-1], gc), "flipped", "b"),
        (lambda ga, gb, gc: (ga, gb, np.tile(gc, (3, 1))), "missing sum over a broadcast axis", "c"),
        (lambda ga, gb, gc: (ga.T, gb, gc), "transposed", "a"),
        (lambda ga, gb, gc: (ga.T.reshape(ga.shape), gb, gc), "transposed", "a"),
        (lambda ga, gb, gc: (gb, ga, gc), "exchanged arguments", "a"),
        (lambda ga, gb, gc: (ga, gb), "count", None),
        (lambda ga, gb, gc: (ga, gb, gc[:3]), "shape", "c"),
        (lambda ga, gb, gc: (ga, gb, gc * np.nan), "not finite", "c"),
    ],
)
def test_mistakes_are_named(change: Any, cause: str, name: str | None) -> None:
    report = check_pair(layer, _with(change), (A, B, C))
    assert not report.ok
    assert (report.verdict, report.cause, report.name) == (Verdict.FAIL, cause, name)
    with pytest.raises(GradientError, match="FAIL"):
        report.raise_for_failure()


def test_the_wrong_entry_is_named_with_both_values() -> None:
    report = check_pair(layer, _with(_one_entry), (A, B, C))
    assert report.entry == "b[2, 3]"
    right = layer_grad(A, B, C)[1][2, 3]
    assert report.analytic == pytest.approx(right * (1 + 1e-6), rel=1e-14)
    assert abs(report.numeric - right) <= report.bar + 1e-15


@pytest.mark.parametrize("same_shape", [True, False])
def test_the_rules_of_two_arguments_exchanged(same_shape: bool) -> None:
    x, y = RNG.standard_normal((2, 4)), RNG.standard_normal((2, 4) if same_shape else (2, 1))
    report = check_pair(lambda x, y: (x**2 * y).sum(), lambda x, y: (x**2 * np.ones_like(y), 2 * x * y), (x, y))
    assert not report.ok
    if same_shape:
        assert report.cause == "exchanged arguments"


KINKED = np.array([0.0, 1.0, -1.0, 0.0, 2.0, -0.3])


@pytest.mark.parametrize("at_zero", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("x", [KINKED, np.zeros(7), np.zeros((3, 1))])
def test_leaky_relu_at_its_kink_may_have_any_derivative_between_its_sides(at_zero: float, x: np.ndarray) -> None:
    def vjp(x: Any, u: Any) -> Any:
        return u * np.where(x > 0, 1.0, np.where(x == 0, at_zero, 0.2))

    report = check_vjp(lambda x: np.where(x > 0, x, 0.2 * x), vjp, x)
    assert report.verdict is Verdict.KINK
    assert report.ok == (0.2 <= at_zero <= 1), str(report)


def test_ties_of_a_maximum() -> None:
    x = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])

    def shared(x: Any, u: Any) -> Any:
        top = x == x.max(1, keepdims=True)
        return u[:, None] * top / top.sum(1, keepdims=True)

    def first(x: Any, u: Any) -> Any:
        return u[:, None] * (np.arange(x.shape[1]) == x.argmax(1)[:, None])

    def everyone(x: Any, u: Any) -> Any:
        return 1.5 * u[:, None] * (x == x.max(1, keepdims=True))

    assert check_vjp(lambda x: x.max(1), shared, x).ok
    assert check_vjp(lambda x: x.max(1), first, x).ok
    assert not check_vjp(lambda x: x.max(1), everyone, x).ok


def test_a_kink_does_not_hide_a_mistake_elsewhere() -> None:
    report = check_vjp(lambda x: np.maximum(x, 0), lambda x, u: u * (x > -0.5), np.array([0.0, 1.0, -0.3, 2.0]))
    assert not report.ok
    assert report.cause == "missing gate"


def test_absolute_value_at_zero_outside_of_its_sides() -> None:
    report = check_vjp(np.abs, lambda x, u: u * np.where(x == 0, 3.0, np.sign(x)), np.array([0.0, 1.0, -2.0]))
    assert report.verdict is Verdict.KINK
    assert not report.ok
    assert report.sides is not None
    assert report.index == (0,)


def test_a_function_that_draws_at_random_is_not_deterministic() -> None:
    rng = np.random.default_rng(0)
    report = check_pair(lambda x: (x**2).sum() + rng.standard_normal(), lambda x: 2 * x, A)
    assert (report.verdict, report.cause) == (Verdict.NONDETERMINISTIC, "not repeatable")


def test_a_derivative_that_uses_the_last_call_is_not_re_entrant() -> None:
    cache: dict[str, Any] = {}

    def f(x: Any) -> Any:
        cache["x"] = x
        return (x**3).sum()

    report = check_pair(f, lambda x: 3 * cache["x"] ** 2, A)
    assert (report.verdict, report.cause) == (Verdict.NONDETERMINISTIC, "not re-entrant")


@pytest.mark.parametrize("function", ["f", "the derivative"])
def test_a_changed_input_is_noticed(function: str) -> None:
    def f(x: Any) -> Any:
        if function == "f":
            x *= 2
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        x += 1
        return 2 * (x - 1)

    report = check_pair(f, grad_f, A)
    assert report.verdict is Verdict.MUTATED
    assert function in report.explanation


def test_values_that_scatter_are_noisy() -> None:
    def f(x: Any) -> Any:
        return (x**2).sum() + 1e-2 * (hash(x.tobytes()) % 1000)

    assert check_pair(f, lambda x: 2 * x, A).verdict is Verdict.NOISY


def test_the_remainder_of_taylors_expansion_shrinks_once_for_a_wrong_gradient() -> None:
    wrong = check_pair(layer, _with(lambda ga, gb, gc: (ga, -gb, gc)), (A, B, C))
    assert wrong.taylor_order == pytest.approx(1, abs=0.3)
    right = check_pair(layer, layer_grad, (A, B, C))
    assert right.taylor_order == pytest.approx(2, abs=0.3)


# Size.

MILLION = 1_000_000


# In float32 the number of steps depends on rounding: about 10 each for the direction, the entry and the rest, and for
# repeated measurements of them, with two evaluations a step; and about 20 more for the search and at the point itself.
@pytest.mark.parametrize(("dtype", "most"), [("float64", 60), ("float32", 2 * 10 * 6 + 20)])
def test_one_wrong_entry_in_a_million_is_found(dtype: str, most: int) -> None:
    rng = np.random.default_rng(9)
    w = (rng.standard_normal((1000, 1000)) / 30).astype(dtype)
    x = rng.standard_normal((16, 1000)).astype(dtype)

    def f(w: Any) -> Any:
        return np.logaddexp(0, np.tanh(x.astype(w.dtype) @ w).sum(1)).mean()

    def grad_f(w: Any) -> Any:
        h = np.tanh(x @ w)
        sigmoid = 1 / (1 + np.exp(-h.sum(1, keepdims=True)))
        g = x.T @ ((1 - h * h) * sigmoid) / len(x)
        g[123, 456] += 3.0
        return g

    report = check_pair(f, grad_f, w)
    assert (report.name, report.index, report.cause) == ("w", (123, 456), "one entry")
    assert report.evaluations <= most


def test_three_wrong_entries_among_many_lead_to_the_worst() -> None:
    x = np.random.default_rng(2).standard_normal(100_000)

    def grad_f(x: Any) -> Any:
        g = np.cos(x)
        g[[7, 50_000, 99_999]] += (1.0, 5.0, -2.0)
        return g

    report = check_pair(lambda x: np.sin(x).sum(), grad_f, x)
    assert report.index == (50_000,)
    assert report.evaluations <= 100


def test_evaluations_are_counted() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(0)
        return np.sin(x).sum()

    for grad_f in (np.cos, lambda x: -np.cos(x)):
        calls.clear()
        assert check_pair(f, grad_f, A).evaluations == len(calls)


# Types and shapes of arguments.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3, 2)])
def test_any_shape_and_type(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    assert check_pair(lambda x: np.sin(x).sum(), np.cos, x).ok
    assert not check_pair(lambda x: np.sin(x).sum(), lambda x: 1.01 * np.cos(x), x).ok


def test_an_input_of_one_number_has_no_rest_that_agrees() -> None:
    assert check_pair(lambda x: x**2, lambda x: -2 * x, np.array(2.0)).cause == "sign"
    assert check_pair(lambda x: x**2, lambda x: 4 * x, np.array([2.0])).cause == "factor 1/2"


def test_a_tuple_may_be_taken_as_one_argument_or_as_several() -> None:
    assert check_pair(lambda p: layer(*p), lambda p: layer_grad(*p), (A, B, C)).ok
    assert check_vjp(lambda a, b: a @ b, lambda a, b, u: (u @ b.T, a.T @ u), (A, B)).ok
    assert check_vjp(lambda p: p[0] @ p[1], lambda p, u: (u @ p[1].T, p[0].T @ u), (A, B)).ok


def test_names_come_from_the_function_or_from_the_caller() -> None:
    assert check_pair(layer, layer_grad, (A, B, C), names=["input", "weight", "bias"]).checked == (
        "input",
        "weight",
        "bias",
    )
    assert check_pair(lambda *p: layer(*p), layer_grad, (A, B, C)).checked == ("x0", "x1", "x2")


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: check_pair(np.sum, np.ones_like, np.arange(3)), "not int"),
        (lambda: check_pair(np.sum, np.ones_like, np.zeros((0, 3))), "nothing to check"),
        (lambda: check_pair(np.sin, np.cos, A), "use check_vjp"),
        (lambda: check_pair(layer, layer_grad, (A, B, C), names=["a"]), "1 names for 3 inputs"),
        (lambda: gradcheck(lambda x: x.numpy(), A), "expected a Tensor"),
        (lambda: gradcheck(ops.tanh, A, names=["a", "b"]), "2 names for 1 inputs"),
    ],
)
def test_wrong_arguments_raise_a_sentence(call: Callable, part: str) -> None:
    with pytest.raises(TypeError, match=part):
        call()


def test_an_order_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="order 1, 2 or 3, not 4"):
        gradcheck(ops.tanh, A, order=4)


def test_pytorch_and_jax_arrays_are_understood() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def f(x: Any) -> Any:
        return torch.sin(torch.tensor(x)).sum()

    assert check_pair(f, lambda x: torch.cos(torch.tensor(x, requires_grad=True)), A).ok


# Functions of Tensors.


@primitive(lambda g, y, x: g * (1 - y * y))
def _tanh(B: Any, x: Any) -> Any:
    return B.xp.tanh(x)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_right_operation_passes_to_third_order(order: int) -> None:
    report = gradcheck(_tanh, A, order=order)
    assert report.ok, str(report)
    assert report.order == order


@primitive(lambda g, y, x: _wrong_next(g, x))
def _wrong_second(B: Any, x: Any) -> Any:
    return B.xp.tanh(x)


@primitive(lambda g, y, u, x: g * (1 - ops.tanh(x) * ops.tanh(x)), lambda g, y, u, x: g * u)
def _wrong_next(B: Any, u: Any, x: Any) -> Any:
    """The right derivative of tanh, whose own derivative in x is wrong."""
    return u * (1 - B.xp.tanh(x) ** 2)


def test_a_wrong_second_derivative_fails_at_second_order_only() -> None:
    assert gradcheck(_wrong_second, A).ok
    report = gradcheck(_wrong_second, A, order=2)
    assert (report.verdict, report.order) == (Verdict.FAIL, 2)
    assert "second derivative" in str(report)
    assert report.name == "x"


def _network(dtype: str = "float64") -> nn.Sequential:
    rng = np.random.default_rng(5)
    layers = (
        nn.Dense(4, 6, rng), nn.BatchNorm(6, momentum=0.5), nn.LeakyReLU(0.2), nn.Dropout(0.4, seed=3),
        nn.Dense(6, 1, rng),
    )  # fmt: skip
    return nn.Sequential(*layers).astype(dtype)


@pytest.mark.parametrize("training", [True, False])
def test_a_module_is_checked_with_its_parameters_and_left_as_it_was(training: bool) -> None:
    network = _network().train(training)
    before = network.state()
    x = np.random.default_rng(6).standard_normal((7, 4))
    report = gradcheck(network, x, order=2)
    assert report.ok, str(report)
    assert {"0.weight", "1.scale", "4.bias"} <= set(report.checked)
    for name, value in network.state().items():
        np.testing.assert_array_equal(value, before[name])
    assert network.training is training


def test_parameters_of_a_function_are_checked_by_name() -> None:
    w = Parameter(B)
    assert gradcheck(lambda x: ops.tanh(x @ w), A, parameters={"w": w}).checked == ("x", "w")
    np.testing.assert_array_equal(w.numpy(), B)


@primitive(lambda g, y, x, w: g @ ops.transpose(w), lambda g, y, x, w: 2 * (ops.transpose(x) @ g))
def _twice(B: Any, x: Any, w: Any) -> Any:
    return x @ w


def test_the_wrong_parameter_of_a_module_is_named() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            self.weight = Parameter(B)

        def forward(self, x: Tensor) -> Tensor:
            return ops.tanh(_twice(x, self.weight))

    report = gradcheck(Layer(), A)
    assert (report.name, report.cause) == ("weight", "factor 1/2")


def test_kinks_of_tensors_do_not_stop_higher_orders() -> None:
    report = gradcheck(lambda x: ops.leaky_relu(x, slope=0.2) * x, KINKED, order=2)
    assert report.ok, str(report)


@pytest.mark.parametrize("kernels", ["reference", "numba"])
def test_float32_kernels_pass_within_their_own_rounding(kernels: str) -> None:
    if kernels == "numba":
        pytest.importorskip("numba", reason="numba is not installed")
    mg.use(kernels=kernels)
    try:
        x = np.random.default_rng(8).standard_normal((16, 12)).astype(np.float32)
        w = np.random.default_rng(9).standard_normal((12, 8)).astype(np.float32)
        assert gradcheck(lambda x, w: ops.tanh(x @ w), [x, w]).ok
        assert not gradcheck(lambda x, w: ops.tanh(_twice(x, w)), [x, w]).ok
    finally:
        mg.use(kernels="auto")


def test_a_derivative_that_is_not_linear_in_the_cotangent_is_caught() -> None:
    assert not check_vjp(lambda x: 2 * x, lambda x, u: 2 * np.abs(u), A).ok
    assert not check_vjp(lambda x: x.sum(), lambda x, u: np.ones_like(x) * abs(u), A).ok


def test_a_cotangents_lost_sign_shows_also_where_its_negative_numbers_meet_flat_outputs() -> None:
    x = np.array([40.0, 0.3, 0.5, -0.2])  # tanh is flat at the first
    for seed in range(30):
        report = check_vjp(np.tanh, lambda x, u: np.abs(u) * (1 - np.tanh(x) ** 2), x, seed=seed)
        assert report.cause == "not linear in the cotangent"


def test_an_error_inside_of_a_derivative_is_a_finding() -> None:
    report = check_pair(lambda x: (x**2).sum(), lambda x: 1 / 0, A)
    assert (report.verdict, report.cause) == (Verdict.FAIL, "raises")
    assert "ZeroDivisionError: division by zero, in <lambda>, test_checking.py line" in report.explanation


def test_an_error_inside_of_the_function_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        check_pair(lambda x: 1 / 0, lambda x: x, A)


def test_of_several_wrong_arrays_the_detached_one_is_named() -> None:
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    def loss(real: Any, fake: Any) -> Any:
        return np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()

    def fakes_only(real: Any, fake: Any) -> Any:
        return 0 * real, (sigmoid(fake) - sigmoid(-fake)) / fake.size

    report = check_pair(loss, fakes_only, (RNG.standard_normal(8) - 1, RNG.standard_normal(8) + 2))
    assert (report.cause, report.name) == ("detached", "real")


def test_a_result_without_numbers_has_derivatives_without_numbers() -> None:
    assert gradcheck(lambda x: x[np.zeros(0, np.int64)], A, order=2).ok


def test_the_complex_step_gives_no_warning() -> None:
    """Warnings are errors here: a cast to real numbers would warn."""
    assert check_pair(lambda x: float((x * x).sum()), lambda x: 2 * x, A).ok
