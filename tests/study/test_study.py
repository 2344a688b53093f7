"""The study page: every number that it shows against an independent computation, written out here in plain NumPy."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import study_page

from minigan import cli
from minigan.core import progress, random
from minigan.figures import svg
from minigan.figures.html_parts import number, printed, slideshow
from minigan.study import dirac, distances, invertible, page, saturation, two_gaussians
from minigan.study.section import Numbers, Section

Truths = dict[str, tuple[float, float]]  # a figure's true value, and how far off it may be


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.logaddexp(0, x)


# A network of Dense and LeakyReLU(0.2), by hand


class ByHand:
    def __init__(self, network) -> None:
        arrays = list(network.state().values())
        self.weights = [a.astype(np.float64) for a in arrays[::2]]
        self.biases = [a.astype(np.float64) for a in arrays[1::2]]

    def _layers(self, x):
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = x @ weight + bias
            yield x
            x = np.where(x > 0, x, 0.2 * x)
        yield x @ self.weights[-1] + self.biases[-1]

    def __call__(self, x):
        return list(self._layers(np.asarray(x, np.float64)))[-1][:, 0]

    def slopes(self, x):
        """The derivative of the output by each coordinate, (n, 2)."""
        g = np.ones((len(x), 1)) @ self.weights[-1].T
        for weight, before in zip(self.weights[-2::-1], list(self._layers(x))[-2::-1], strict=True):
            g = (g * np.where(before > 0, 1.0, 0.2)) @ weight.T
        return g


# Two Gaussians: the density of the samples by inverting each Monotone layer with a table, integrals over another grid


def p_data(x):
    return sum(np.exp(-((x - mean) ** 2).sum(1) / 2) for mean in (2, -2)) / (4 * math.pi)


def plane(reach: float, count: int):
    axis = (np.arange(count) + 0.5) / count * 2 * reach - reach
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), (2 * reach / count) ** 2


def monotone(layer, z):
    """The output of a Monotone layer for each coordinate, and its derivative."""
    height, steepness, offset = (layer.state()[k].astype(float) for k in ("height", "steepness", "offset"))
    tanh = np.tanh(z[..., None] * np.exp(steepness) + offset)
    return z + (softplus(height) * tanh).sum(-1), 1 + (softplus(height) * np.exp(steepness) * (1 - tanh**2)).sum(-1)


def of_dense(layer):
    return (layer.state()[k].astype(float) for k in ("weight", "bias"))


def forward(network, z):
    """G(z) and |det dG/dz|."""
    volume = np.ones(len(z))
    for layer in network.layers:
        if isinstance(layer, invertible.Monotone):
            z, steep = monotone(layer, z)
            volume = volume * steep.prod(1)
        else:
            weight, bias = of_dense(layer)
            z, volume = z @ weight + bias, volume * abs(np.linalg.det(weight))
    return z, volume


def p_g(network, x):
    """p_z(z) / |det dG/dz| at z = G^-1(x), each Monotone layer inverted by a table and one step of Newton's method."""
    z, table = x, np.linspace(-30, 30, 20_001)
    for layer in reversed(network.layers):
        if isinstance(layer, invertible.Monotone):
            values = monotone(layer, np.stack([table, table], axis=1))[0]
            found = np.stack([np.interp(z[:, i], values[:, i], table) for i in (0, 1)], axis=1)
            value, steep = monotone(layer, found)
            z = found - (value - z) / steep
        else:
            weight, bias = of_dense(layer)
            z = (z - bias) @ np.linalg.inv(weight)
    return np.exp(-(z**2).sum(1) / 2) / (2 * math.pi) / forward(network, z)[1]


def integrals(p, q, logits, cell):
    """V(D, G), V(D*, G), JSD, mean |D - D*| from densities (n,) at points of area `cell`, by their definitions."""
    p, q = np.maximum(p, 1e-300), np.maximum(q, 1e-300)
    middle = (p + q) / 2
    value = -(p * softplus(-logits) + q * softplus(logits))
    best = p * np.log(p / (p + q)) + q * np.log(q / (p + q))
    divergence = (p * np.log(p / middle) + q * np.log(q / middle)) / 2
    error = middle * abs(sigmoid(logits) - p / (p + q))
    return [float(part.sum() * cell) for part in (value, best, divergence, error)]


def truths_of_a_snapshot(snapshot) -> list[float]:
    x, cell = plane(12.0, 150)
    return integrals(p_data(x), p_g(snapshot.generator, x), ByHand(snapshot.discriminator)(x), cell)


def mean_gradient_norm(snapshot) -> float:
    latent = random.generator(two_gaussians.SEED, "shown").standard_normal((70, 2), dtype=np.float32)
    x = forward(snapshot.generator, latent.astype(float))[0]
    network = ByHand(snapshot.discriminator)
    return float(np.hypot(*(sigmoid(-network(x))[:, None] * network.slopes(x)).T).mean())


def two_gaussians_truths() -> Truths:
    truths: Truths = {}
    x, cell = plane(15.0, 333)
    q = np.exp(-(x**2).sum(1) / 8) / (8 * math.pi)
    for snapshot in two_gaussians.frozen_discriminator():
        value, best, _, error = integrals(p_data(x), q, ByHand(snapshot.discriminator)(x), cell)
        truths[f"frozen, step {snapshot.step}: V(D, G)"] = value, 1e-4
        truths[f"frozen, step {snapshot.step}: mean |D - D*|"] = error, 1e-4
        truths |= {"frozen: V(D*, G)": (best, 1e-9), "frozen: mean |D - D*|": (error, 1e-4)}
    for snapshot in two_gaussians.train():
        value, best, divergence, error = truths_of_a_snapshot(snapshot)
        at = f"step {snapshot.step}"
        truths[f"{at}: V(D, G)"], truths[f"{at}: V(D*, G)"] = (value, 2e-4), (best, 1e-6)
        truths[f"{at}: JSD"], truths[f"{at}: mean |D - D*|"] = (divergence, 1e-6), (error, 2e-4)
        truths[f"{at}: mean length of the arrows"] = mean_gradient_norm(snapshot), 1e-5
    return truths | {
        "end: V(D, G)": (value, 2e-4),
        "end: V(D*, G)": (best, 1e-6),
        "end: 2 JSD - log 4": (2 * divergence - math.log(4), 1e-6),
        "end: |V(D*, G) - (2 JSD - log 4)|": (0.0, 1e-6),
        "end: -log 4": (-2 * math.log(2), 1e-15),
    }


# Saturation: integrals over the line by the trapezoidal rule, and derivatives by differences


LINE = np.linspace(-20, 30, 20_001)


def twice_jsd(theta):
    p, q = (np.maximum(np.exp(-((LINE - m) ** 2) / 2) / math.sqrt(2 * math.pi), 1e-300) for m in (0, theta))
    both = p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))
    return float(both.sum() * (LINE[1] - LINE[0]))


def twice_jsd_slope(theta):
    """To fourth order."""
    h = 1e-2
    near, far = (twice_jsd(theta + k * h) - twice_jsd(theta - k * h) for k in (1, 2))
    return (8 * near - far) / (12 * h)


def descended(slope: Callable[[float], float]) -> float:
    theta = 8.0
    for _ in range(200):
        theta -= 0.1 * slope(theta)
    return theta


def saturation_truths() -> Truths:
    truths: Truths = {}
    for logit in saturation.LOGITS:
        d = 1 / (1 + math.exp(-logit))
        truths[f"logit {logit:g}: minimax"] = -d, 1e-12
        truths[f"logit {logit:g}: non-saturating"] = -(1 - d), 1e-12
        truths[f"logit {logit:g}: ratio"] = math.exp(-logit), 1e-8
    for theta in saturation.THETAS:
        truths[f"theta {theta:g}: logit"] = math.log(math.exp(-(theta**2) / 2)), 1e-12
        truths[f"theta {theta:g}: minimax"] = twice_jsd_slope(theta), 1e-8
        truths[f"theta {theta:g}: non-saturating"] = theta - twice_jsd_slope(theta), 1e-8
    return truths | {
        "minimax: theta at the end": (descended(twice_jsd_slope), 1e-6),
        "non-saturating: theta at the end": (descended(lambda theta: theta - twice_jsd_slope(theta)), 1e-6),
    }


# Distances: other points on the lines, and networks by hand


def transported(theta: float) -> float:
    """W1 of six points on each line: the least mean distance over all pairings."""
    heights = (np.arange(6) + 0.5) / 6
    pairings = np.array(list(itertools.permutations(range(6))))
    return float(np.hypot(theta, heights - heights[pairings]).mean(axis=1).min())


def histogram_jsd(theta: float) -> float:
    """JSD of the two lines seen through bins of width 0.05 about each multiple of it."""
    p, q = (np.histogram([at] * 10, bins=np.arange(-0.025, 3, 0.05))[0] / 10 for at in (0.0, theta))
    middle = (p + q) / 2
    return sum(float((a[a > 0] * np.log(a[a > 0] / middle[a > 0])).sum()) for a in (p, q)) / 2


def distances_truths() -> Truths:
    nodes, weights = np.polynomial.legendre.leggauss(300)
    heights, weights = (nodes[:, None] + 1) / 2, weights / 2
    truths: Truths = {"log 2": (-math.log(0.5), 1e-15)}
    for learned in distances.train():
        at, theta = f"theta {learned.theta:g}", learned.theta
        d, f = ByHand(learned.discriminator), ByHand(learned.critic)
        real, fake = (np.concatenate([np.full_like(heights, x), heights], axis=1) for x in (0.0, theta))
        value = -(weights @ (softplus(-d(real)) + softplus(d(fake))))
        difference = float(weights @ (f(real) - f(fake)))
        across = np.concatenate([real * (1 - s) + fake * s for s in np.linspace(0, 1, 61)])
        steepest = float(np.hypot(*f.slopes(across).T).max())
        bound = difference / steepest
        truths |= {
            f"{at}: JSD": (histogram_jsd(theta), 1e-12),
            f"{at}: JSD learned": (float(value + math.log(4)) / 2, 1e-5),
            f"{at}: W1": (transported(theta), 1e-12),
            f"{at}: difference": (difference, 1e-4),
            f"{at}: steepest slope": (steepest, 5e-3),
            f"{at}: bound": (bound, 1e-2),
            f"{at}: error": (bound - transported(theta), 1e-2),
        }
        if theta:
            minimax = float(weights @ (-sigmoid(d(fake)) * d.slopes(fake)[:, 0]))
            truths[f"{at}: minimax gradient"] = minimax, 1e-3
            truths[f"{at}: Wasserstein gradient"] = float(weights @ -f.slopes(fake)[:, 0]), 1e-3
    return truths


# The Dirac-GAN: Jacobians written down, and the gradients of every method by hand


H = dirac.STEP_SIZE
# a, c, d of the Jacobian [[a, c], [-c, d]]; (dL_G/dtheta, dL_D/dpsi) for the three pairs of losses, and the terms that
# methods add to the latter.
NOISE, NOISE_WEIGHT = np.polynomial.hermite_e.hermegauss(64)
NOISE_WEIGHT = NOISE_WEIGHT / NOISE_WEIGHT.sum()


def minimax(t, s):
    return -s * sigmoid(s * t), t * sigmoid(s * t)


def non_saturating(t, s):
    return -s * sigmoid(-s * t), t * sigmoid(s * t)


def wasserstein(t, s):
    return -s, t


def noisy(t, s):
    of_real, of_fake = sigmoid(-s * NOISE), sigmoid(s * (t + NOISE))
    return -s * NOISE_WEIGHT @ of_fake, NOISE_WEIGHT @ (-NOISE * of_real + (t + NOISE) * of_fake)


def with_consensus(t, s):
    d = sigmoid(s * t)
    pull, far = 0.3 * d * d, 0.3 * d * d * (1 - d) * (t * t + s * s)
    push, turn = minimax(t, s)
    return push + pull * t + far * s, turn + pull * s + far * t


def with_r1(gradients, gamma):
    return lambda t, s: (gradients(t, s)[0], gradients(t, s)[1] + gamma * s)


def with_gradient_penalty(t, s):
    return -s, t + (abs(s) - 1) * np.sign(s)


BY_HAND = {
    "minimax": (minimax, (0, 0.5, 0)),
    "non-saturating": (non_saturating, (0, 0.5, 0)),
    "Wasserstein": (wasserstein, (0, 1, 0)),
    "Wasserstein, clipped at 0.3": (wasserstein, (0, 1, 0)),
    "WGAN-GP, gamma 1": (with_gradient_penalty, None),
    "instance noise, sigma 1": (noisy, (0, 0.5, -0.5)),
    "R1, gamma 0.3": (with_r1(minimax, 0.3), (0, 0.5, -0.3)),
    "R1, critical, gamma 1": (with_r1(minimax, 1.0), (0, 0.5, -1)),
    "R2, gamma 0.3": (with_r1(minimax, 0.3), (0, 0.5, -0.3)),
    "non-saturating + R1, gamma 0.3": (with_r1(non_saturating, 0.3), (0, 0.5, -0.3)),
    "Wasserstein + R1, gamma 0.3": (with_r1(wasserstein, 0.3), (0, 1, -0.3)),
    "consensus, gamma 0.3": (with_consensus, (-0.075, 0.5, -0.075)),
}


def reach_by_hand(gradients, alternating: bool, clip: float) -> float:
    theta, psi, radii = 1.0, 1.0, [math.sqrt(2)]
    for _ in range(1000):
        new_psi = float(np.clip(psi - H * gradients(theta, psi)[1], -clip, clip))
        theta -= H * gradients(theta, new_psi if alternating else psi)[0]
        psi = new_psi
        radii.append(math.hypot(theta, psi))
    return max(radii[-250:])


def in_words(name: str, eigenvalues) -> Truths:
    """The figures of two eigenvalues as the page gives them; a general solver halves the digits of a double one."""
    first, second = sorted(eigenvalues, key=lambda e: (e.imag, e.real), reverse=True)
    if abs(first.imag) > 1e-6:
        imaginary: Truths = {f"{name}, imaginary part": (first.imag, 1e-9)}
        return imaginary | ({f"{name}, real part": (first.real, 1e-9)} if abs(first.real) > 1e-9 else {})
    real: Truths = {f"{name}, real part": (first.real, 1e-6)}
    return real | ({f"{name}, second": (second.real, 1e-6)} if abs(first - second) > 1e-6 else {})


def dirac_truths() -> Truths:
    truths: Truths = {}
    for name, (gradients, entries) in BY_HAND.items():
        for rule in ("simultaneous", "alternating"):
            at = f"{name}, {rule}"
            reach = reach_by_hand(gradients, rule == "alternating", 0.3 if "clipped" in name else math.inf)
            truths[f"{at}: reach"] = reach, 1e-9 + 1e-6 * reach
            if entries is None:
                continue
            a, c, d = entries
            jacobian = np.array([[a, c], [-c, d]], dtype=float)
            generator, discriminator = (np.eye(2) + H * np.diag(rows) @ jacobian for rows in ([1, 0], [0, 1]))
            step = generator @ discriminator if rule == "alternating" else np.eye(2) + H * jacobian
            truths |= in_words(f"{name}: J", np.linalg.eigvals(jacobian).astype(complex))
            truths |= in_words(f"{at}: step", np.linalg.eigvals(step).astype(complex))
            truths[f"{at}: size"] = float(abs(np.linalg.eigvals(step)).max()), 1e-6
    return truths


TRUTHS = {
    "two-gaussians": two_gaussians_truths,
    "saturation": saturation_truths,
    "distances": distances_truths,
    "dirac": dirac_truths,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHS)
def test_every_number_is_true(name):
    figures, truths = study_page.section(name).figures, TRUTHS[name]()
    assert set(figures) == set(truths)
    wrong = {k: (figures[k], true) for k, (true, bar) in truths.items() if not abs(figures[k] - true) <= bar}
    assert not wrong


# What the claims need, beyond true numbers


@pytest.mark.slow
def test_a_discriminator_alone_comes_to_the_best_one():
    for seed in (two_gaussians.SEED, 1):
        assert two_gaussians.frozen_discriminator(seed)[-1].error <= 0.02


@pytest.mark.slow
def test_the_value_ends_at_minus_log_4():
    figures = study_page.section("two-gaussians").figures
    assert abs(figures["end: V(D, G)"] + math.log(4)) <= 0.02
    assert abs(figures["end: V(D*, G)"] + math.log(4)) <= 0.02
    assert figures["end: |V(D*, G) - (2 JSD - log 4)|"] <= 1e-6


@pytest.mark.slow
def test_the_critic_learns_the_distance_and_the_discriminator_only_that_there_is_one():
    for learned in distances.train()[1:]:
        assert learned.difference == pytest.approx(learned.theta * (1 + learned.theta / 20), rel=0.1)
        # Of any critic this is a bound. How near it comes hangs on the steepest of thousands of slopes, and that on
        # rounding: at theta = 2 it was 1.10 to 1.22.
        assert 0.85 * learned.theta <= learned.bound <= 1.01 * learned.theta
        assert math.log(2) - 0.02 <= learned.divergence <= math.log(2)
        assert learned.generator_gradients[0] < 0.1 < 0.9 < learned.generator_gradients[1]
    assert abs(distances.train()[0].divergence) <= 0.01


def test_the_density_of_a_generator_is_that_of_its_samples():
    network = invertible.generator(2, 3, random.generator(3, "density"))
    z = random.generator(3, "latent").standard_normal((500, 2))
    x, volume = forward(network, z)
    expected = -(z**2).sum(1) / 2 - math.log(2 * math.pi) - np.log(volume)
    assert np.allclose(invertible.log_density(network, x), expected, rtol=0, atol=1e-11)
    assert np.allclose(network(z.astype(np.float32)).numpy(), x, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_training_is_the_same_every_time():
    again = [two_gaussians.train.__wrapped__(5, 50) for _ in range(2)]
    assert [m.value for m in again[0]] == [m.value for m in again[1]]
    assert [m.step for m in again[0]] == [0, 50]


# The page


@pytest.mark.slow
@pytest.mark.parametrize("name", page.SECTIONS)
def test_every_figure_is_shown_and_every_shown_number_is_a_figure(name):
    made = study_page.section(name)
    shown = re.findall(r'<data value="([^"]*)">([^<]*)</data>', made.body)
    assert made.name == name and made.figures
    assert {float(value) for value, _ in shown} <= set(made.figures.values())
    if name in TRUTHS:  # others show some of theirs within drawings, which their own tests read
        assert {float(value) for value, _ in shown} == set(made.figures.values())
    for value, words in shown:
        digits, power = words.partition(".")[2].partition("e")[::2]
        bar = 0.05 * abs(float(value)) if power else 0.5000001 * 10.0 ** -len(digits)
        assert float(words.replace("\N{MINUS SIGN}", "-").replace(",", "")) == pytest.approx(
            float(value), abs=bar, rel=0
        )


class Balanced(HTMLParser):
    """Refuses what is closed before it was opened, never closed, or points elsewhere; collects ids."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert len(given) == len(attrs), f"{tag} has an attribute twice"
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[key] for key in ("src", "href", "xlink:href", "action", "data") if key in given]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.mark.slow
def test_the_page_is_whole_and_stands_alone():
    text = study_page.whole()
    parser = Balanced()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert {link for link in parser.links if link.startswith("#")} <= {f"#{name}" for name in parser.ids}
    assert all(link.startswith(("#", "data:")) for link in parser.links)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest", text)
    assert len(text.encode("utf-8")) <= 10_000_000
    assert [name for name in page.SECTIONS if f'<section id="{name}">' not in text] == []


def test_a_parser_that_sees_unbalanced_tags():
    with pytest.raises(AssertionError):
        Balanced().feed("<p><b></p></b>")


def test_numbers_are_printed_as_people_write_them():
    minus = "\N{MINUS SIGN}"
    shown = [printed(v, 3) for v in (1.23456, -0.5, 0.0, -0.0, 1234.5, 0.00123, -1.5e-9, math.inf)]
    assert shown == [
        "1.235",
        f"{minus}0.500",
        "0.000",
        "0.000",
        "1,234.500",
        f"1.2e{minus}3",
        f"{minus}1.5e{minus}9",
        "inf",
    ]
    assert number(0.1, 2) == '<data value="0.1">0.10</data>'


def test_a_number_has_one_value():
    numbers = Numbers()
    assert numbers("a", 1.0) == numbers("a", 1.0) == number(1.0)
    with pytest.raises(ValueError, match="its own name"):
        numbers("a", 2.0)


def test_a_slideshow_has_a_caption_for_each_frame():
    assert slideshow("a", ["x", "y"], ["1", "2"], start=1).count(" hidden") == 1
    for frames, captions in (([], []), (["x"], ["1", "2"])):
        with pytest.raises(ValueError, match="one for each"):
            slideshow("a", frames, captions)


def test_ticks_are_round_and_within():
    assert svg.ticks((0, 3000)) == [0, 500, 1000, 1500, 2000, 2500, 3000]
    assert np.allclose(svg.ticks((-1.5, -1.0)), [-1.5, -1.4, -1.3, -1.2, -1.1, -1.0])
    assert svg.ticks((-6, 6)) == [-6, -4, -2, 0, 2, 4, 6]


def drawn(made: svg.Chart, tag: str) -> list[list[float]]:
    """The numbers in the paths within the axes, from 0 at the left and the bottom to 1 at the right and the top."""
    inside = re.search(r'<svg x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)" viewBox=.*?>(.*?)</svg>', made.svg())
    x, y, width, height = map(float, inside.groups()[:4])
    paths = [np.array(re.findall(r"-?[\d.]+", d), float) for d in re.findall(tag + ' d="(.*?)"', inside[5])]
    return [np.round(((p.reshape(-1, 2) - (x, y + height)) / (width, -height)), 2).tolist() for p in paths]


def test_lines_and_contours_lie_where_they_should():
    axes = svg.Chart((-1, 3), (10, 20))
    assert drawn(axes.line([(-1, 10), (3, 20), (1, 10)], "red"), "path") == [[[0, 0], [1, 1], [0.5, 0]]]
    x, y = np.linspace(-1, 3, 5), np.linspace(10, 20, 6)
    contour = svg.Chart((-1, 3), (10, 20)).contours(x, y, x[:, None] + 0 * y, [0.0], "red")
    assert {u for (path,) in [drawn(contour, "path")] for u, _ in path} == {0.25}


def test_the_heat_has_its_cells_in_place():
    made = svg.Chart((0, 1), (0, 1)).heat(np.array([[0.0, 0.5, 0.5], [0.5, 0.5, 1.0]]))  # two columns, three rows
    data = base64.b64decode(re.search(r"base64,([^\"]+)", made.svg())[1])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert pixels.shape == (3, 2, 3)
    assert pixels[2, 0, 0] > pixels[2, 0, 2] + 100  # orange at the left below
    assert pixels[0, 1, 2] > pixels[0, 1, 0] + 100  # blue at the right above
    assert (pixels[0, 0] == 255).all() and (pixels[1] == 255).all()


# The command


@pytest.fixture
def one_section(monkeypatch):
    """A page of one short section, so that the command can be tried at once."""
    short = Section("short", "Short & sweet", f"<p>{number(0.5)}</p>", {"half": 0.5})
    monkeypatch.setattr(page, "SECTIONS", {"short": lambda: short})


@pytest.mark.usefixtures("one_section")
def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out.startswith("Wrote study.html: 1 sections, 1 numbers")
    assert "Short &amp; sweet" in Path("study.html").read_text(encoding="utf-8")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    assert cli.main(["study", "--json", "--out", "other.html"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said == {
        "out": "other.html",
        "bytes": Path("other.html").stat().st_size,
        "sections": {"short": {"half": 0.5}},
    }
    assert "study" in captured.err


@pytest.mark.parametrize(("out", "part"), [(".", "is a folder"), ("nowhere/study.html", "no folder nowhere")])
def test_a_place_that_cannot_be_is_refused_before_the_work(out, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page, "SECTIONS", {"never": lambda: pytest.fail("it began")})
    assert cli.main(["study", "--out", out]) == 2
    assert part in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_study_leaves_what_was_there(tmp_path, capsys, monkeypatch):
    def interrupted() -> Section:
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "SECTIONS", {"short": interrupted})
    old = tmp_path / "study.html"
    old.write_text("old", encoding="utf-8")
    assert cli.main(["study", "--out", str(old)]) == 130
    assert capsys.readouterr().out == ""
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("study.html", "old")]
