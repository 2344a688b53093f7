"""The section on saturation: the generator's minimax loss has a vanishing gradient where D rejects the samples.

Two Gaussians on a line, data N(0, 1) and samples N(theta, 1), with the optimal discriminator, whose logit is
log p_data - log p_g = theta^2 / 2 - theta x. Means over the samples are computed by the trapezoidal rule.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad
from minigan.figures.html_parts import figure, picture, side_by_side, slideshow, table
from minigan.figures.svg import FAINT, FAKE, INK, REAL, THIRD, Chart
from minigan.gan import losses
from minigan.study.section import Numbers, Section

MINIMAX, NON_SATURATING = "minimax", "non-saturating"
LOGITS = (-10.0, -5.0, -2.0, 0.0, 2.0, 5.0)
THETAS = tuple(0.5 * i for i in range(17))
START, STEP_SIZE, STEPS = 8.0, 0.1, 200
_NODES = np.linspace(-12, 12, 1201)  # the trapezoidal rule on a Gaussian is exact to rounding
_WEIGHTS = np.exp(-(_NODES**2) / 2)
_WEIGHTS /= _WEIGHTS.sum()
_COLOURS = {MINIMAX: FAKE, NON_SATURATING: THIRD}


def logit_gradient(loss: str, logits: np.ndarray) -> np.ndarray:
    """The derivative of the generator's loss at each of `logits` (n,), by automatic differentiation: (n,)."""
    at = Tensor(logits.reshape(-1, 1))
    (slope,) = grad(losses.get(loss).generator(at), [at])
    return slope.numpy()[:, 0] * len(logits)


def theta_gradient(loss: str, theta: float) -> float:
    """The derivative of the generator's loss by theta, with the optimal discriminator for this theta held fixed."""
    at = Tensor([theta])
    logits = theta**2 / 2 - theta * (at + Tensor(_NODES))
    sign = {MINIMAX: 1.0, NON_SATURATING: -1.0}[loss]
    (slope,) = grad(ops.sum(ops.softplus(sign * logits) * Tensor(-sign * _WEIGHTS)), [at])
    return slope.item()


@lru_cache(maxsize=4)
def descent(loss: str) -> tuple[float, ...]:
    """theta before the first and after each of STEPS steps of gradient descent, with D optimal at every step."""
    thetas = [START]
    for _ in range(STEPS):
        thetas.append(thetas[-1] - STEP_SIZE * theta_gradient(loss, thetas[-1]))
    return tuple(thetas)


def section() -> Section:
    """Both losses as functions of the logit, and their effect on a generator far from the data."""
    shown = Numbers()
    titles = "logit l", "minimax, &minus;D", "non-saturating, &minus;(1 &minus; D)", "ratio, e<sup>&minus;l</sup>"
    slopes = table(titles, [_row(logit, shown) for logit in LOGITS])
    frames, captions = [_theta_picture(theta) for theta in THETAS], [_caption(theta, shown) for theta in THETAS]
    body = f"""
<p>In the zero-sum game the generator minimises log(1 &minus; D(G(z))). Goodfellow et al. (2014, section 3) warn that
this saturates early in training, when D rejects the samples with confidence, and let G maximise log D(G(z)) instead.
In terms of the logit l, with D = &sigma;(l) = 1 / (1 + e<sup>&minus;l</sup>), the derivatives are</p>
<p class="formula">minimax: d/dl log(1 &minus; &sigma;(l)) = &minus;&sigma;(l) = &minus;D<br>non-saturating: d/dl
(&minus;log &sigma;(l)) = &minus;&sigma;(&minus;l) = &minus;(1 &minus; D).</p>
<p>Their ratio is (1 &minus; D) / D = e<sup>&minus;l</sup>: the surer D is that a sample is fake (the more negative l),
the smaller the first derivative and the larger the second. Both have the same sign and the same fixed point.</p>
{figure(_logit_picture(), "Left: D is sure that the sample is fake; there the minimax loss is flat.")}
{slopes}
<h3>A generator far from the data</h3>
<p>The data are N(0, 1), the samples N(θ, 1), and the discriminator is always the optimal one, with the logit θ²/2
&minus; θx. Then everything is known: the minimax gradient by θ is that of 2 JSD (Goodfellow et al., 2014, theorem 1),
the non-saturating one that of KL(p<sub>g</sub> ‖ p<sub>data</sub>) &minus; 2 JSD (Arjovsky and Bottou, 2017, theorem
2.5), where the KL divergence is θ²/2. As θ moves away from the data, the minimax gradient first rises and then
vanishes.</p>
{slideshow("saturation", frames, captions, slider="distance θ", start=4)}
<p>Both generators start at θ = {START:g} and take {STEPS} steps of size {STEP_SIZE:g}. Under the minimax loss θ ends at
{shown("minimax: theta at the end", descent(MINIMAX)[-1], 4)}: it has hardly moved, although it is far from the data.
Under the non-saturating loss it ends at
{shown("non-saturating: theta at the end", descent(NON_SATURATING)[-1], 4)}.</p>
{figure(_descent_picture(), "θ over the steps of gradient descent, with the optimal discriminator for each θ.")}
"""
    title = "Saturation: why the generator does not minimise the minimax loss"
    return Section("saturation", title, body, shown.figures)


def _row(logit: float, shown: Numbers) -> list[str]:
    slopes = {loss: float(logit_gradient(loss, np.array([logit]))[0]) for loss in (MINIMAX, NON_SATURATING)}
    at = f"logit {logit:g}"
    return [
        f"{logit:g}".replace("-", "&minus;"),
        *(shown(f"{at}: {loss}", slope, 4) for loss, slope in slopes.items()),
        shown(f"{at}: ratio", slopes[NON_SATURATING] / slopes[MINIMAX], 4),
    ]


def _caption(theta: float, shown: Numbers) -> str:
    at = f"theta {theta:g}"
    return (
        f"θ = {theta:g}: the logit at the samples&rsquo; mean is {shown(f'{at}: logit', -(theta**2) / 2)}; gradient "
        f"by θ: minimax {shown(f'{at}: minimax', theta_gradient(MINIMAX, theta))}, "
        f"non-saturating {shown(f'{at}: non-saturating', theta_gradient(NON_SATURATING, theta))}"
    )


def _logit_picture() -> str:
    logits = np.linspace(-10, 10, 121)
    chart = Chart((-10, 10), (0, 1.05), title="|d loss / d logit|", x_label="logit l of a sample")
    for loss, colour in _COLOURS.items():
        chart.line(np.stack([logits, -logit_gradient(loss, logits)], axis=1), colour, label=loss)
    return picture(chart.svg(), "minimax: the sigmoid of the logit; non-saturating: that of minus the logit")


def _theta_picture(theta: float) -> str:
    x = np.linspace(-4, 12, 161)
    chart = Chart((-4, 12), (0, 1.05), title="data, samples, and D*", x_label="x")
    for mean, colour, label in ((0.0, REAL, "p_data = N(0, 1)"), (theta, FAKE, "p_g = N(θ, 1)")):
        chart.line(np.stack([x, np.exp(-((x - mean) ** 2) / 2) / math.sqrt(2 * math.pi)], axis=1), colour, label=label)
    probability = np.exp(-np.logaddexp(0, theta * x - theta**2 / 2))
    chart.line(np.stack([x, probability], axis=1), INK, label="D*(x)", dashed=True)
    gradients = Chart((0, START), (0, 8), title="gradient by θ", x_label="θ")
    gradients.line([(theta, 0), (theta, 8)], FAINT, width=1)
    for loss, colour in _COLOURS.items():
        gradients.line(_gradients(loss), colour, label=loss).dots([(theta, theta_gradient(loss, theta))], colour)
    return side_by_side(
        picture(chart.svg(), f"the two densities at theta = {theta:g}, and the optimal discriminator between them"),
        picture(gradients.svg(), f"the gradients of both losses over theta, now at {theta:g}"),
    )


@lru_cache(maxsize=4)
def _gradients(loss: str) -> np.ndarray:
    return np.array([(theta, theta_gradient(loss, theta)) for theta in np.linspace(0, START, 81)])


def _descent_picture() -> str:
    chart = Chart((0, STEPS), (0, START + 0.5), title="θ", x_label="step")
    for loss, colour in _COLOURS.items():
        chart.line(np.stack([np.arange(STEPS + 1), descent(loss)], axis=1), colour, label=loss)
    return picture(chart.svg(), "theta stays near 8 under the minimax loss and falls to 0 under the other")
