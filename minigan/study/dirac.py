"""The Dirac-GAN: the smallest GAN that shows which training methods converge, and the stability of twelve methods.

Mescheder, Geiger and Nowozin, "Which training methods for GANs do actually converge?", 2018. All data lie at 0, all
generated samples at theta, and the discriminator has one weight: its logit is D(x) = psi x, high where x seems real
(the paper has it low there, so its psi is our -psi; the eigenvalues are the same). The equilibrium is (0, 0).

Each player descends its own loss, along the vector field v(theta, psi) = -(d generator loss / d theta, d discriminator
loss / d psi). Near the equilibrium the dynamics depend on the Jacobian J of v there, and with discrete steps on the
eigenvalues of the Jacobian of one step: I + h J if both players step at once; (I + h J_G)(I + h J_D) if the
discriminator steps first, where J_G and J_D keep the generator's and the discriminator's row of J. If both eigenvalues
have a modulus below 1 the players converge, at 1 they circle (to first order; higher orders decide), and above 1 they
diverge. Every v and J is computed by automatic differentiation.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad

SIMULTANEOUS, ALTERNATING = RULES = ("simultaneous", "alternating")
CONVERGES, CIRCLES, DIVERGES = "converges", "circles", "diverges"
STEP_SIZE = 0.125  # a power of two: rounding does not split the double eigenvalue at the critical gamma
START = (1.0, 1.0)  # of the simulations
STEPS = 1000
_UNIT_CIRCLE_TOLERANCE = 1e-9  # a modulus this near to 1 differs from it by rounding
_CIRCLING_RATIO = 1.2  # a trajectory circles if its reach changes by less within a quarter of its steps

PlayerLoss = Callable[[Tensor, Tensor], Tensor]
Eigenvalues = tuple[complex, complex]


@dataclass(frozen=True)
class ClosedForm:
    """The Jacobian J = [[a, c], [-c, d]] that the paper's lemmas have in common, and its eigenvalues in closed form.

    `generator` (a) and `discriminator` (d) are each player's damping of itself, `coupling` (c) is the effect of the
    other player; c = f'(0).
    """

    coupling: float
    generator: float = 0.0
    discriminator: float = 0.0

    def flow(self) -> Eigenvalues:
        """The eigenvalues of J: (a + d) / 2 +- sqrt((a - d)**2 / 4 - c**2)."""
        half_difference = (self.generator - self.discriminator) / 2
        return _roots((self.generator + self.discriminator) / 2, half_difference**2 - self.coupling**2)

    def step(self, rule: str, h: float) -> Eigenvalues:
        """The eigenvalues of one step's Jacobian.

        Simultaneous: 1 + h lambda. Alternating: T/2 +- sqrt(T**2 / 4 - P), with the trace T = 2 + h (a + d) - (h c)**2
        and the determinant P = (1 + h a)(1 + h d).
        """
        if _checked(rule) == SIMULTANEOUS:
            first, second = self.flow()
            return 1 + h * first, 1 + h * second
        trace = 2 + h * (self.generator + self.discriminator) - (h * self.coupling) ** 2
        return _roots(trace / 2, trace**2 / 4 - (1 + h * self.generator) * (1 + h * self.discriminator))


@dataclass(frozen=True)
class Method:
    """A training method for the Dirac-GAN: the loss of each player, elementwise, as a function of (theta, psi).

    closed_form: the Jacobian of v at the equilibrium, None where there is none. formula: its eigenvalues as text. clip:
    after each step psi is clipped to [-clip, clip], unless it is None.
    """

    name: str
    generator: PlayerLoss
    discriminator: PlayerLoss
    formula: str
    closed_form: ClosedForm | None
    clip: float | None = None

    def velocity(self, theta: Tensor, psi: Tensor, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """v at each point (theta[i], psi[i]), as its components along theta and psi."""
        (theta_gradient,) = grad(ops.sum(self.generator(theta, psi)), [theta], create_graph=create_graph)
        (psi_gradient,) = grad(ops.sum(self.discriminator(theta, psi)), [psi], create_graph=create_graph)
        return -theta_gradient, -psi_gradient

    def jacobian(self) -> np.ndarray | None:
        """J at the equilibrium, (2, 2), by differentiating twice; None where v is discontinuous there."""
        if self.closed_form is None:
            return None
        point = [Tensor([0.0]), Tensor([0.0])]
        rows = self.velocity(*point, create_graph=True)
        return np.array([[entry.item() for entry in grad(ops.sum(row), point)] for row in rows])

    def step_jacobian(self, rule: str, h: float) -> np.ndarray | None:
        """The Jacobian of one step of size h at the equilibrium, where clipping has no effect."""
        jacobian, one = self.jacobian(), np.eye(2)
        if jacobian is None:
            return None
        if _checked(rule) == SIMULTANEOUS:
            return one + h * jacobian
        of_generator, of_discriminator = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
        return (one + h * of_generator @ jacobian) @ (one + h * of_discriminator @ jacobian)

    def trajectory(self, rule: str, h: float, start: tuple[float, float], steps: int) -> np.ndarray:
        """(theta, psi) before the first step and after each of `steps`, shape (steps + 1, 2)."""
        alternating = _checked(rule) == ALTERNATING
        points = [start]
        for _ in range(steps):
            theta, psi = Tensor([points[-1][0]]), Tensor([points[-1][1]])
            (psi_gradient,) = grad(ops.sum(self.discriminator(theta, psi)), [psi])
            new_psi = psi - h * psi_gradient
            if self.clip is not None:
                new_psi = Tensor(np.clip(new_psi.numpy(), -self.clip, self.clip))
            opponent = Tensor(new_psi.numpy()) if alternating else psi
            (theta_gradient,) = grad(ops.sum(self.generator(theta, opponent)), [theta])
            points.append((theta.item() - h * theta_gradient.item(), new_psi.item()))
        return np.array(points)


# The losses of the players.


def minimax_generator(theta: Tensor, psi: Tensor) -> Tensor:
    """log(1 - sigmoid(D(theta)))."""
    return -ops.softplus(psi * theta)


def non_saturating_generator(theta: Tensor, psi: Tensor) -> Tensor:
    """-log sigmoid(D(theta))."""
    return ops.softplus(-(psi * theta))


def cross_entropy(theta: Tensor, psi: Tensor) -> Tensor:
    """-log sigmoid(D(0)) - log(1 - sigmoid(D(theta))), the discriminator's loss with either generator loss."""
    return ops.softplus(-(psi * 0.0)) + ops.softplus(psi * theta)


def wasserstein_generator(theta: Tensor, psi: Tensor) -> Tensor:
    """-D(theta)."""
    return -(psi * theta)


def wasserstein_critic(theta: Tensor, psi: Tensor) -> Tensor:
    """D(theta) - D(0)."""
    return psi * theta - psi * 0.0


def gradient_penalty(weight: float, *, centre: float = 0.0, on_fakes: bool = False) -> PlayerLoss:
    """weight / 2 (|dD/dx| - centre)**2, with dD/dx by automatic differentiation at the data or at the fakes."""

    def penalty(theta: Tensor, psi: Tensor) -> Tensor:
        x = theta * (1.0 if on_fakes else 0.0)
        (slope,) = grad(ops.sum(psi * x), [x], create_graph=True)
        distance = ops.absolute(slope) - centre if centre else slope
        return distance * distance * (weight / 2)

    return penalty


def plus(loss: PlayerLoss, penalty: PlayerLoss) -> PlayerLoss:
    """The loss plus the penalty."""
    return lambda theta, psi: loss(theta, psi) + penalty(theta, psi)


def half_squared_velocity(generator: PlayerLoss, discriminator: PlayerLoss) -> PlayerLoss:
    """|v|**2 / 2, which consensus optimisation adds to both losses (Mescheder et al., "The numerics of GANs", 2017)."""

    def penalty(theta: Tensor, psi: Tensor) -> Tensor:
        (theta_gradient,) = grad(ops.sum(generator(theta, psi)), [theta], create_graph=True)
        (psi_gradient,) = grad(ops.sum(discriminator(theta, psi)), [psi], create_graph=True)
        return (theta_gradient * theta_gradient + psi_gradient * psi_gradient) * 0.5

    return penalty


# The methods.


def _zero_centred(
    name: str, generator: PlayerLoss, loss: PlayerLoss, gamma: float, coupling: float = 0.5, on_fakes: bool = False
) -> Method:
    return Method(
        f"{name}, gamma {gamma:g}",
        generator,
        plus(loss, gradient_penalty(gamma, on_fakes=on_fakes)),
        f"-gamma/2 +- sqrt(gamma^2/4 - {'1/4' if coupling == 0.5 else '1'})",
        ClosedForm(coupling, discriminator=-gamma),
    )


def r1(gamma: float, name: str = "R1") -> Method:
    """Minimax losses with gamma / 2 |dD/dx|**2 at the data; gamma = 1 is critical: the fastest without oscillation."""
    return _zero_centred(name, minimax_generator, cross_entropy, gamma)


def r2(gamma: float) -> Method:
    """The same penalty at the fakes; D is linear, so it has the same value as R1."""
    return _zero_centred("R2", minimax_generator, cross_entropy, gamma, on_fakes=True)


def non_saturating_r1(gamma: float) -> Method:
    """R1 with the non-saturating generator loss: the same to first order."""
    return _zero_centred("non-saturating + R1", non_saturating_generator, cross_entropy, gamma)


def wasserstein_r1(gamma: float) -> Method:
    """The zero-centred penalty on a Wasserstein critic; critical at gamma = 2."""
    return _zero_centred("Wasserstein + R1", wasserstein_generator, wasserstein_critic, gamma, coupling=1.0)


def wgan_clipped(clip: float) -> Method:
    """Wasserstein losses with psi clipped: the same at the equilibrium, but psi stays bounded."""
    return Method(
        f"Wasserstein, clipped at {clip:g}", wasserstein_generator, wasserstein_critic, "+-i", ClosedForm(1.0), clip
    )


def wgan_gp(gamma: float) -> Method:
    """The 1-centred penalty: v is discontinuous where psi changes its sign, so also at the equilibrium."""
    loss = plus(wasserstein_critic, gradient_penalty(gamma, centre=1.0))
    return Method(f"WGAN-GP, gamma {gamma:g}", wasserstein_generator, loss, "none: v jumps at psi = 0", None)


def instance_noise(sigma: float) -> Method:
    """Gaussian noise of standard deviation sigma on data and fakes; expectations by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    noise, weight = Tensor(sigma * nodes), Tensor(weights / weights.sum())

    def logits(theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        theta, psi = ops.reshape(theta, (-1, 1)), ops.reshape(psi, (-1, 1))
        return psi * noise, psi * (theta + noise)

    def generator(theta: Tensor, psi: Tensor) -> Tensor:
        return -ops.sum(ops.softplus(logits(theta, psi)[1]) * weight, axis=1)

    def discriminator(theta: Tensor, psi: Tensor) -> Tensor:
        real, fake = logits(theta, psi)
        return ops.sum((ops.softplus(-real) + ops.softplus(fake)) * weight, axis=1)

    formula, closed = "-sigma^2/4 +- sqrt(sigma^4/16 - 1/4)", ClosedForm(0.5, discriminator=-(sigma**2) / 2)
    return Method(f"instance noise, sigma {sigma:g}", generator, discriminator, formula, closed)


def consensus(gamma: float) -> Method:
    """Both players also minimise gamma / 2 |v|**2, with v of the minimax losses."""

    def penalty(theta: Tensor, psi: Tensor) -> Tensor:
        return half_square(theta, psi) * gamma

    half_square = half_squared_velocity(minimax_generator, cross_entropy)
    losses = plus(minimax_generator, penalty), plus(cross_entropy, penalty)
    closed = ClosedForm(0.5, generator=-gamma / 4, discriminator=-gamma / 4)
    return Method(f"consensus, gamma {gamma:g}", *losses, "-gamma/4 +- i/2", closed)


METHODS: tuple[Method, ...] = (
    Method("minimax", minimax_generator, cross_entropy, "+-i/2", ClosedForm(0.5)),
    Method("non-saturating", non_saturating_generator, cross_entropy, "+-i/2", ClosedForm(0.5)),
    Method("Wasserstein", wasserstein_generator, wasserstein_critic, "+-i", ClosedForm(1.0)),
    wgan_clipped(0.3),
    wgan_gp(1.0),
    instance_noise(1.0),
    r1(0.3),
    r1(1.0, "R1, critical"),
    r2(0.3),
    non_saturating_r1(0.3),
    wasserstein_r1(0.3),
    consensus(0.3),
)


# Stability.


@dataclass(frozen=True)
class StabilityResult:
    """The stability of a method with an update rule: CONVERGES, CIRCLES or DIVERGES, from the eigenvalues.

    flow, step: the eigenvalues of J and of one step's Jacobian; flow_closed, step_closed: the same in closed form. All
    are None where there is no Jacobian; then the stability is that of a simulation from (1, 1).
    """

    method: Method
    rule: str
    stability: str
    flow: Eigenvalues | None = None
    flow_closed: Eigenvalues | None = None
    step: Eigenvalues | None = None
    step_closed: Eigenvalues | None = None

    @property
    def spectral_radius(self) -> float | None:
        """The larger modulus of the step's two eigenvalues."""
        return None if self.step is None else max(map(abs, self.step))


def analyse(method: Method, rule: str, h: float = STEP_SIZE) -> StabilityResult:
    """The stability of `method` with the update rule `rule` and steps of size h, by its eigenvalues if it has any."""
    jacobian, step, closed = method.jacobian(), method.step_jacobian(rule, h), method.closed_form
    if jacobian is None or step is None or closed is None:
        return StabilityResult(method, rule, classify_trajectory(method.trajectory(rule, h, START, STEPS)))
    found = eigenvalues(step)
    stability = classify_spectral_radius(max(map(abs, found)))
    return StabilityResult(method, rule, stability, eigenvalues(jacobian), closed.flow(), found, closed.step(rule, h))


def eigenvalues(matrix: np.ndarray) -> Eigenvalues:
    """The eigenvalues of a (2, 2) matrix, the one with the larger imaginary part first, or else the larger real part.

    Computed by the quadratic formula, because a general solver loses half of the digits of a double eigenvalue.
    """
    (a, b), (c, d) = matrix.tolist()
    return _roots((a + d) / 2, ((a - d) / 2) ** 2 + b * c)


def classify_spectral_radius(spectral_radius: float) -> str:
    """CONVERGES below 1, CIRCLES at 1, DIVERGES above 1; two eigenvalues of modulus 1 are taken to be distinct."""
    if abs(spectral_radius - 1) <= _UNIT_CIRCLE_TOLERANCE:
        return CIRCLES
    return CONVERGES if spectral_radius < 1 else DIVERGES


def classify_trajectory(trajectory: np.ndarray) -> str:
    """The stability of a trajectory of several turns, from how far its third and its last quarter reach."""
    radii = np.hypot(*trajectory.T)
    before, last = (float(part.max()) for part in np.array_split(radii, 4)[2:])
    if last * _CIRCLING_RATIO < before or last == 0:
        return CONVERGES
    return DIVERGES if last > before * _CIRCLING_RATIO else CIRCLES


def table(methods: Sequence[Method] = METHODS, h: float = STEP_SIZE) -> str:
    """Every method with both update rules as text, a line each.

    The stability is that of the equilibrium; `reach` is the largest distance from it after step 750 of 1,000 of a run
    that starts at (1, 1).
    """
    titles = ("method", "closed form", "eigenvalues of J", "rule", "of the step", "radius", "stability", "reach")
    rows = [_cells(analyse(method, rule, h), h) for method in methods for rule in RULES]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in (titles, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def reach(trajectory: np.ndarray) -> float:
    """The largest distance from the equilibrium in the last quarter of a trajectory."""
    return float(np.hypot(*np.array_split(trajectory, 4)[-1].T).max())


def _cells(row: StabilityResult, h: float) -> tuple[str, ...]:
    radius = "-" if row.spectral_radius is None else f"{row.spectral_radius:.5f}"
    stability = row.stability if row.step is not None else f"{row.stability} (simulated)"
    far = f"{reach(row.method.trajectory(row.rule, h, START, STEPS)):.2g}"
    return row.method.name, row.method.formula, _as_text(row.flow), row.rule, _as_text(row.step), radius, stability, far


def _as_text(pair: Eigenvalues | None) -> str:
    """Two eigenvalues as text: a conjugate pair as real part +- imaginary part, a double eigenvalue once."""
    if pair is None:
        return "-"
    first, second = pair
    if first.imag:
        real = f"{first.real:.4f} " if first.real else ""
        return f"{real}+- {first.imag:.4f}i"
    return f"{first.real:.4f} twice" if first == second else f"{first.real:.4f}, {second.real:.4f}"


def _roots(middle: float, square: float) -> Eigenvalues:
    """middle +- sqrt(square)."""
    half = cmath.sqrt(square)
    return middle + half, middle - half


def _checked(rule: str) -> str:
    if rule not in RULES:
        raise ValueError(f"there is no rule '{rule}'; expected {' or '.join(RULES)}")
    return rule
