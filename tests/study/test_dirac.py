"""The Dirac-GAN against the lemmas of Mescheder, Geiger and Nowozin, 2018, written out here once more."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from support.environment import EXHAUSTIVE

from minigan import Tensor, gradcheck
from minigan.autodiff import grad
from minigan.gan import losses
from minigan.study import dirac
from minigan.study.dirac import ALTERNATING, CIRCLES, CONVERGES, DIVERGES, METHODS, RULES, SIMULTANEOUS

H = dirac.STEP_SIZE
BY_NAME = {method.name: method for method in METHODS}
WITH_JACOBIAN = [method for method in METHODS if method.closed_form is not None]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
every_smooth_method = pytest.mark.parametrize("method", WITH_JACOBIAN, ids=lambda m: m.name)
every_rule = pytest.mark.parametrize("rule", RULES)


def pair(middle: float, square: float) -> list[complex]:
    return [middle + cmath.sqrt(square), middle - cmath.sqrt(square)]


# f(t) = -log(1 + exp(-t)): f'(0) = 1/2, f''(0) = -1/4; for Wasserstein f(t) = t: f'(0) = 1.
LEMMAS = {
    "minimax": [0.5j, -0.5j],
    "non-saturating": [0.5j, -0.5j],
    "Wasserstein": [1j, -1j],
    "Wasserstein, clipped at 0.3": [1j, -1j],
    "instance noise, sigma 1": pair(-1 / 4, 1 / 16 - 1 / 4),
    "R1, gamma 0.3": pair(-0.15, 0.0225 - 1 / 4),
    "R1, critical, gamma 1": [-0.5, -0.5],
    "R2, gamma 0.3": pair(-0.15, 0.0225 - 1 / 4),
    "non-saturating + R1, gamma 0.3": pair(-0.15, 0.0225 - 1 / 4),
    "Wasserstein + R1, gamma 0.3": pair(-0.15, 0.0225 - 1),
    "consensus, gamma 0.3": [-0.3 / 4 + 0.5j, -0.3 / 4 - 0.5j],
}
UNREGULARISED = ("minimax", "non-saturating", "Wasserstein", "Wasserstein, clipped at 0.3")


def agree(found: tuple[complex, complex], expected: list[complex]) -> bool:
    """Two eigenvalues in any order, to 1e-10."""
    either = min(max(abs(found[0] - a), abs(found[1] - b)) for a, b in (expected, expected[::-1]))
    return either <= 1e-10


def radius(path: np.ndarray) -> np.ndarray:
    return np.hypot(*path.T)


# Eigenvalues


def test_there_are_lemmas_for_all_methods_but_wgan_gp() -> None:
    assert len(METHODS) >= 9
    assert set(BY_NAME) - set(LEMMAS) == {"WGAN-GP, gamma 1"}


@every_smooth_method
def test_flow_has_the_eigenvalues_of_the_paper(method: dirac.Method) -> None:
    row = dirac.analyse(method, SIMULTANEOUS)
    assert agree(row.flow, LEMMAS[method.name])
    assert agree(row.flow_closed, LEMMAS[method.name])


@every_smooth_method
@every_rule
@pytest.mark.parametrize("h", [0.125, 0.25, 1.0])
def test_step_has_the_eigenvalues_of_its_closed_form(method: dirac.Method, rule: str, h: float) -> None:
    row = dirac.analyse(method, rule, h)
    assert agree(row.step, list(row.step_closed))


@every_smooth_method
def test_simultaneous_step_is_one_plus_h_times_the_flow(method: dirac.Method) -> None:
    row = dirac.analyse(method, SIMULTANEOUS, 0.25)
    assert agree(row.step, [1 + 0.25 * value for value in LEMMAS[method.name]])


@pytest.mark.parametrize("name", UNREGULARISED)
@pytest.mark.parametrize("h", [0.1, 0.5, 1.9])
def test_unregularised_steps_have_the_eigenvalues_of_the_paper(name: str, h: float) -> None:
    method, slope = BY_NAME[name], abs(LEMMAS[name][0])
    for value in dirac.analyse(method, SIMULTANEOUS, h).step:
        assert abs(value) == pytest.approx(math.sqrt(1 + (h * slope) ** 2), abs=1e-10)
    middle = 1 - (h * slope) ** 2 / 2
    assert agree(dirac.analyse(method, ALTERNATING, h).step, pair(middle, middle**2 - 1))


@every_smooth_method
@every_rule
def test_jacobian_of_a_step_is_the_derivative_of_what_the_simulation_does(method: dirac.Method, rule: str) -> None:
    size = 1e-5
    columns = [
        (method.trajectory(rule, 0.25, (a, b), 1)[-1] - method.trajectory(rule, 0.25, (-a, -b), 1)[-1]) / (2 * size)
        for a, b in ((size, 0.0), (0.0, size))
    ]
    np.testing.assert_allclose(method.step_jacobian(rule, 0.25), np.transpose(columns), atol=1e-9)


@every_smooth_method
@every_rule
def test_eigenvalues_are_those_of_a_general_solver(method: dirac.Method, rule: str) -> None:
    matrix = method.step_jacobian(rule, 0.25)
    found = dirac.eigenvalues(matrix)
    assert found[0] + found[1] == pytest.approx(np.trace(matrix), abs=1e-14)
    assert found[0] * found[1] == pytest.approx(np.linalg.det(matrix), abs=1e-14)
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(np.linalg.eigvals(matrix)), atol=1e-7)


def test_wgan_gp_has_no_jacobian_because_its_field_jumps() -> None:
    method = BY_NAME["WGAN-GP, gamma 1"]
    assert method.jacobian() is None
    assert method.step_jacobian(ALTERNATING, H) is None
    assert dirac.analyse(method, SIMULTANEOUS).spectral_radius is None
    _, turns = method.velocity(Tensor([0.0, 0.0]), Tensor([-1e-12, 1e-12]))
    np.testing.assert_allclose(turns.numpy(), [-1, 1], atol=1e-9)


# The fields


@every_method
def test_losses_have_right_derivatives_to_second_order(method: dirac.Method) -> None:
    """Away from the line psi = 0, where WGAN-GP has its kink."""
    points = [np.array([0.7, -0.4, 0.2]), np.array([0.5, 1.3, -0.8])]
    for loss in (method.generator, method.discriminator):
        gradcheck(loss, points, order=2, names=["theta", "psi"]).raise_for_failure()


@pytest.mark.parametrize("name", ["minimax", "non-saturating"])
def test_players_minimise_the_losses_of_the_library(name: str) -> None:
    theta, psi = Tensor([[0.7]]), Tensor([[-1.3]])
    loss, fake, real = losses.get(name), psi * theta, psi * 0.0
    (push,), (turn,) = grad(loss.generator(fake), [theta]), grad(loss.discriminator(real, fake), [psi])
    found = BY_NAME[name].velocity(theta, psi)
    assert [v.item() for v in found] == pytest.approx([-push.item(), -turn.item()], rel=1e-14)


def test_consensus_has_the_whole_derivative_of_the_squared_speed() -> None:
    """|v|**2 / 2 = (theta**2 + psi**2) f'**2 / 2 with f' = sigmoid(psi theta); both factors are squared, so no 1/2."""
    theta, psi, gamma = 0.8, -0.6, 0.3
    s = 1 / (1 + math.exp(-psi * theta))
    square = theta**2 + psi**2
    expected = (
        psi * s - gamma * (theta * s**2 + square * s * s * (1 - s) * psi),
        -theta * s - gamma * (psi * s**2 + square * s * s * (1 - s) * theta),
    )
    found = dirac.consensus(gamma).velocity(Tensor([theta]), Tensor([psi]))
    assert [v.item() for v in found] == pytest.approx(expected, rel=1e-12)


def test_r1_and_r2_are_one_field_here() -> None:
    theta, psi = Tensor([0.7, -2.0]), Tensor([0.5, 1.5])
    for a, b in zip(dirac.r1(0.3).velocity(theta, psi), dirac.r2(0.3).velocity(theta, psi), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_instance_noise_is_the_mean_over_noise() -> None:
    """Against a plain sum over a fine grid."""
    theta, psi, sigma = 0.8, -1.1, 0.7
    z = np.linspace(-9, 9, 4001)
    weight = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    fake, real = theta + sigma * z, sigma * z
    push = weight @ (psi / (1 + np.exp(-psi * fake)))
    turn = weight @ (real / (1 + np.exp(psi * real)) - fake / (1 + np.exp(-psi * fake)))
    found = dirac.instance_noise(sigma).velocity(Tensor([theta]), Tensor([psi]))
    assert [v.item() for v in found] == pytest.approx([push, turn], rel=1e-9)


# Stability.


def expected_stability(name: str, rule: str) -> str:
    if name.startswith("WGAN-GP"):
        return CIRCLES
    if name not in UNREGULARISED:
        return CONVERGES
    return DIVERGES if rule == SIMULTANEOUS else CIRCLES


@every_method
@every_rule
def test_stability(method: dirac.Method, rule: str) -> None:
    assert dirac.analyse(method, rule).stability == expected_stability(method.name, rule)


@pytest.mark.slow
@every_smooth_method
@every_rule
def test_simulation_agrees_with_the_stability(method: dirac.Method, rule: str) -> None:
    row = dirac.analyse(method, rule)
    path = method.trajectory(rule, H, (1e-4, -1e-4), 1000)  # along the only eigenvector of the critical gamma
    assert dirac.classify_trajectory(path) == row.stability
    steps = np.arange(200, 701)  # later the noisy sums of the quadrature show
    rate = np.polyfit(steps, np.log(radius(path[steps])), 1)[0]
    assert math.exp(rate) == pytest.approx(row.spectral_radius, abs=2e-4)


def test_alternating_steps_beyond_the_limit_diverge() -> None:
    """h f'(0) = 2 is the limit."""
    method = BY_NAME["minimax"]
    assert [dirac.analyse(method, ALTERNATING, h).stability for h in (3.9, 4.1)] == [CIRCLES, DIVERGES]


def test_r1_with_too_large_a_step_diverges() -> None:
    """|1 + h lambda|**2 = 1 - h gamma + h**2 / 4 for complex eigenvalues: the limit is h = 4 gamma."""
    assert [dirac.analyse(dirac.r1(0.3), SIMULTANEOUS, h).stability for h in (1.19, 1.21)] == [CONVERGES, DIVERGES]


@pytest.mark.parametrize(
    ("spectral_radius", "stability"), [(0.999, CONVERGES), (1 + 1e-12, CIRCLES), (1.001, DIVERGES)]
)
def test_stability_of_a_spectral_radius(spectral_radius: float, stability: str) -> None:
    assert dirac.classify_spectral_radius(spectral_radius) == stability


@pytest.mark.parametrize(
    ("factor", "stability"), [(0.9, CONVERGES), (1.0, CIRCLES), (1.01, DIVERGES), (0.0, CONVERGES)]
)
def test_stability_of_a_trajectory(factor: float, stability: str) -> None:
    assert dirac.classify_trajectory(np.array([[factor**t, 0.0] for t in range(400)])) == stability


# Critical gamma


@pytest.mark.parametrize(("family", "critical"), [(dirac.r1, 1.0), (dirac.r2, 1.0), (dirac.wasserstein_r1, 2.0)])
def test_critical_gamma_is_where_turning_ends_and_speed_is_greatest(family, critical: float) -> None:
    def flow(gamma: float) -> tuple[complex, complex]:
        return dirac.analyse(family(gamma), SIMULTANEOUS).flow

    assert flow(critical * 0.999)[0].imag > 0
    assert flow(critical * 1.001)[0].imag == 0
    assert flow(critical) == (-critical / 2, -critical / 2)
    for other in (0.9, 0.999, 1.001, 1.1):
        assert max(value.real for value in flow(other * critical)) > -critical / 2


@pytest.mark.parametrize("h", [0.125, 0.5])
def test_critical_gamma_of_alternating_steps(h: float) -> None:
    """T**2 / 4 = P gives gamma = 2 f'(0) - h f'(0)**2."""
    critical = 1 - h / 4
    below, above = (dirac.r1(critical + shift).step_jacobian(ALTERNATING, h) for shift in (-1e-6, 1e-6))
    assert dirac.eigenvalues(below)[0].imag > 0
    assert dirac.eigenvalues(above)[0].imag == 0


def test_critical_noise() -> None:
    """sigma**4 / 16 = 1/4: sigma = sqrt 2."""
    below, above = (dirac.analyse(dirac.instance_noise(math.sqrt(2) + d), SIMULTANEOUS).flow for d in (-1e-6, 1e-6))
    assert below[0].imag > 0
    assert above[0].imag == 0


# Far from the equilibrium


@pytest.mark.slow
def test_non_saturating_alternating_creeps_in_like_one_over_root_t() -> None:
    """To first order it circles; to third order, averaged over a turn, dr/dt = -r**3 / 16."""
    h, start, steps = 0.0625, 0.3, 8000
    path = BY_NAME["non-saturating"].trajectory(ALTERNATING, h, (start, 0.0), steps)
    assert radius(path)[-1] == pytest.approx((start**-2 + h * steps / 8) ** -0.5, rel=0.02)


@pytest.mark.slow
def test_non_saturating_simultaneous_ends_on_a_circle() -> None:
    """Pushed out by h r / 8 and drawn in by r**3 / 16: they balance at r = sqrt(2 h)."""
    h = 0.03125
    path = BY_NAME["non-saturating"].trajectory(SIMULTANEOUS, h, (0.2, 0.0), 12000)
    assert radius(path)[-3000:].mean() == pytest.approx(math.sqrt(2 * h), rel=0.03)


@every_rule
def test_clipping_bounds_a_run_but_does_not_bring_it_home(rule: str) -> None:
    path = BY_NAME["Wasserstein, clipped at 0.3"].trajectory(rule, H, (1.0, 1.0), 1000)
    assert np.abs(path[1:, 1]).max() == pytest.approx(0.3)
    assert dirac.classify_trajectory(path) == CIRCLES
    assert 0.2 < dirac.reach(path) < 0.5


@every_rule
def test_wgan_gp_leaves_the_equilibrium_and_does_not_come_back(rule: str) -> None:
    path = BY_NAME["WGAN-GP, gamma 1"].trajectory(rule, H, (0.0, 1e-6), 1000)
    assert 1 < dirac.reach(path) < 2
    assert dirac.classify_trajectory(path) == CIRCLES


# The table


@pytest.mark.exhaustive
@pytest.mark.slow
def test_table_says_all_of_it() -> None:
    critical = BY_NAME["R1, critical, gamma 1"]
    methods = METHODS if EXHAUSTIVE else [METHODS[0], critical, BY_NAME["WGAN-GP, gamma 1"]]
    lines = dirac.table(methods).splitlines()
    assert len(lines) == 1 + 2 * len(methods)
    for line, (method, rule) in zip(lines[1:], ((m, r) for m in methods for r in RULES), strict=True):
        assert line.startswith(f"{method.name}  ")
        assert f"  {rule} " in line
        assert method.formula in line
        assert f" {expected_stability(method.name, rule)} " in line
    assert "0.9375 twice       0.93750" in lines[1 + 2 * methods.index(critical)]
    assert "1.00195" in lines[1]


@pytest.mark.parametrize("call", ["trajectory", "step_jacobian"])
def test_unknown_rule(call: str) -> None:
    arguments = {"trajectory": ("both", H, (1.0, 1.0), 1), "step_jacobian": ("both", H)}[call]
    with pytest.raises(ValueError, match="there is no rule 'both'; expected simultaneous or alternating"):
        getattr(BY_NAME["minimax"], call)(*arguments)


def test_velocity_at_many_points_is_that_at_each() -> None:
    """`velocity` takes whole grids, as the pictures need."""
    theta, psi = np.meshgrid([-1.0, 0.5], [0.3, 2.0])
    for method in METHODS:
        together = method.velocity(Tensor(theta.ravel()), Tensor(psi.ravel()))
        for i, point in enumerate(zip(theta.ravel(), psi.ravel(), strict=True)):
            alone = method.velocity(*(Tensor([value]) for value in point))
            assert [v.numpy()[i] for v in together] == pytest.approx([v.item() for v in alone], rel=1e-12)
