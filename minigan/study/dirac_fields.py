"""The section on the Dirac-GAN: the vector field, a run and the eigenvalues of each training method."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from minigan.autodiff import Tensor
from minigan.figures.html_parts import picture, side_by_side, slideshow, table
from minigan.figures.svg import FAINT, FAKE, INK, PLANE, REAL, Chart
from minigan.study import dirac
from minigan.study.section import Numbers, Section

DRAWN_STEPS = 300
_VIEW = (-2.0, 2.0)
_ARROWS, _ARROW_LENGTH = 13, 0.22
_TITLES = "method", "eigenvalues of J: closed form, computed", "both at once", "in turn"
_SYMBOLS = {
    "+-": "±", "-": "&minus;", "gamma": "&gamma;", "sigma": "&sigma;", "psi": "ψ", "sqrt": "√", "^2": "²", "^4": "⁴",
    "non&minus;": "non-", "WGAN&minus;": "WGAN-",
}  # fmt: skip
_COLOURS = {dirac.SIMULTANEOUS: FAKE, dirac.ALTERNATING: REAL}


@cache
def rows() -> tuple[dirac.StabilityResult, ...]:
    """Every method under both rules."""
    return tuple(dirac.analyse(method, rule) for method in dirac.METHODS for rule in dirac.RULES)


@cache
def run(method: dirac.Method, rule: str) -> np.ndarray:
    """(theta, psi) of a run from (1, 1), (1001, 2)."""
    return method.trajectory(rule, dirac.STEP_SIZE, dirac.START, dirac.STEPS)


def section() -> Section:
    """A slideshow of the vector fields of all methods, and a table of eigenvalues and stability."""
    shown = Numbers()
    pairs = [[row for row in rows() if row.method is method] for method in dirac.METHODS]
    frames, captions = [_picture(method) for method in dirac.METHODS], [_caption(pair, shown) for pair in pairs]
    body = f"""
<p>The smallest GAN of all (Mescheder et al., 2018): the data lie at 0, the generator puts every sample at θ, and the
discriminator&rsquo;s logit is ψx. The equilibrium is θ = ψ = 0. Each player descends its own loss, so together they
follow a vector field</p>
<p class="formula">v(θ, ψ) = &minus;(∂L<sub>G</sub> / ∂θ, ∂L<sub>D</sub> / ∂ψ),</p>
<p>and whether they reach the equilibrium depends on the eigenvalues of its Jacobian J there. Imaginary eigenvalues, as
without a penalty, mean circles, and if both players step at once, steps of any size h lead outwards: |1 ± ih/2| =
√(1 + h²/4) &gt; 1. If they step in turn, they stay on a circle. A negative real part, from a penalty on the
discriminator&rsquo;s slope at the data (R1), from noise, or from consensus, leads inwards, if h is small enough.</p>
<p>Slide through {len(dirac.METHODS)} methods. Both runs start at (1, 1) with h = {dirac.STEP_SIZE:g};
{DRAWN_STEPS} steps are drawn. All arrows have the same length: they show directions only.</p>
{slideshow("dirac", frames, captions, slider="method")}
<p>All eigenvalues are computed by automatic differentiation. In brackets is the modulus of the larger eigenvalue of one
step: below 1 both players converge, at 1 they circle, above 1 they diverge. This holds near the equilibrium. “Reach” is
the largest distance from it in the last quarter of {dirac.STEPS:,} steps from (1, 1): with the non-saturating loss or
with clipping the players leave the equilibrium, too, but do not go far. v of WGAN-GP is discontinuous at the
equilibrium and has no Jacobian there, so its stability is that of a simulated run.</p>
{table(_TITLES, [_cells(pair, shown) for pair in pairs])}
"""
    return Section("dirac", "The Dirac-GAN: which training methods converge", body, shown.figures)


def _caption(pair: Sequence[dirac.StabilityResult], shown: Numbers) -> str:
    method = pair[0].method
    runs = "; ".join(f"{row.rule} steps: {_eigenvalues(row.step, f'{_named(row)}: step', shown)}" for row in pair)
    return (
        f"<strong>{_with_symbols(method.name)}</strong>. Eigenvalues of J: "
        f"{_eigenvalues(pair[0].flow, f'{method.name}: J', shown)}; of the Jacobian of {runs}."
    )


def _cells(pair: Sequence[dirac.StabilityResult], shown: Numbers) -> list[str]:
    method = pair[0].method
    both = f"{_with_symbols(method.formula)}<br>{_eigenvalues(pair[0].flow, f'{method.name}: J', shown)}"
    return [_with_symbols(method.name), both, *(_stability(row, shown) for row in pair)]


def _stability(row: dirac.StabilityResult, shown: Numbers) -> str:
    radius, far = row.spectral_radius, dirac.reach(run(row.method, row.rule))
    source = "simulated" if radius is None else shown(f"{_named(row)}: size", radius, 5)
    return f"<strong>{row.stability}</strong> ({source})<br>reach {shown(f'{_named(row)}: reach', far, 2)}"


def _named(row: dirac.StabilityResult) -> str:
    return f"{row.method.name}, {row.rule}"


def _with_symbols(words: str) -> str:
    for plain, symbol in _SYMBOLS.items():
        words = words.replace(plain, symbol)
    return words


def _eigenvalues(pair: dirac.Eigenvalues | None, name: str, shown: Numbers) -> str:
    """Two eigenvalues as HTML: a conjugate pair as real part ± imaginary part, a double eigenvalue once."""
    if pair is None:
        return "none"
    first, second = pair
    real = shown(f"{name}, real part", first.real, 4) if first.real or not first.imag else ""
    if first.imag:
        return f"{real} ± {shown(f'{name}, imaginary part', first.imag, 4)} i".strip()
    return f"{real} twice" if first == second else f"{real}, {shown(f'{name}, second', second.real, 4)}"


def _picture(method: dirac.Method) -> str:
    charts = []
    for rule, colour in _COLOURS.items():
        chart = Chart(_VIEW, _VIEW, title=f"{rule} steps", x_label="θ", y_label="ψ", size=PLANE)
        points = np.stack(np.meshgrid(*[np.linspace(*_VIEW, _ARROWS)] * 2), axis=-1).reshape(-1, 2)
        chart.arrows(points, _directions(method, points), FAINT, width=1.0)
        path = run(method, rule)[: DRAWN_STEPS + 1]
        chart.line(path, colour, width=1.4).dots(path[:1], INK, radius=2.5).dots(path[-1:], colour)
        alt = f"{method.name}, {rule} steps: the vector field around the equilibrium, and a run from (1, 1)"
        charts.append(picture(chart.svg(), alt))
    return side_by_side(*charts)


def _directions(method: dirac.Method, points: np.ndarray) -> np.ndarray:
    theta, psi = (Tensor(column.copy()) for column in points.T)
    velocity = np.stack([part.numpy() for part in method.velocity(theta, psi)], axis=1)
    length = np.hypot(*velocity.T)[:, None]
    return _ARROW_LENGTH * velocity / np.maximum(length, 1e-12)  # v is 0 at the equilibrium
