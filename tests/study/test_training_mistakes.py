"""The section on training mistakes: closed forms, gradients by hand, and results that support each statement."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from support import study_page

from minigan import Tensor, grad, ops
from minigan.checking import Verdict
from minigan.gan import losses
from minigan.study import training_mistakes
from minigan.study.training_mistakes import BLENDED_SPREAD, MISTAKES, TARGET, VARIANTS, train

pytestmark = pytest.mark.slow
FIGURES = study_page.Figures("one-wrong-line")
RNG = np.random.default_rng(5)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -700, 700)))


def logit_slopes(name: str, real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of D's loss in this variant by the logits of real points and of fakes; D is the identity."""
    x, y = Tensor(real.reshape(-1, 1)), Tensor(fake.reshape(-1, 1))
    loss = VARIANTS[name].discriminator(lambda points: points, x, y)
    if VARIANTS[name].accumulates:
        loss = loss + VARIANTS[name].generator(lambda points: points, y)
    return tuple(g.numpy()[:, 0] for g in grad(loss, [x, y]))  # type: ignore[return-value]


# The numbers.


def nearest(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angles = np.arange(8) * math.pi / 4
    distances = np.hypot(*(samples[:, None, :] - np.stack([np.cos(angles), np.sin(angles)], axis=1)).transpose(2, 0, 1))
    return distances.argmin(axis=1), distances.min(axis=1) <= 0.3


def backward(weights: list[np.ndarray], x: np.ndarray, pull: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Of a network of dense layers with LeakyReLU(0.2) between them: d by its weights and d by x, by hand."""
    inputs, layers = [x], list(zip(weights[::2], weights[1::2], strict=True))
    for place, (w, b) in enumerate(layers):
        a = inputs[-1] @ w + b
        inputs.append(a if place == len(layers) - 1 else np.where(a > 0, a, 0.2 * a))
    found: list[np.ndarray] = []
    for place in reversed(range(len(layers))):
        found = [inputs[place].T @ pull, pull.sum(0), *found]
        pull = pull @ layers[place][0].T
        if place:
            pull = pull * np.where(inputs[place] > 0, 1.0, 0.2)
    return found, pull


def output(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    for place, (w, b) in enumerate(layers):
        x = x @ w + b
        x = x if place == len(layers) - 1 else np.where(x > 0, x, 0.2 * x)
    return x


def cosines(seed: int) -> dict[str, float]:
    """The cosine of every variant, with derivatives by hand in float64."""
    of_g, of_d = (
        [w.numpy().astype(np.float64) for w in n.parameters().values()] for n in training_mistakes.networks(seed)
    )
    x, z = (
        p.numpy().astype(np.float64)
        for p in (training_mistakes.reals(128, "train"), training_mistakes.latents(128, "train"))
    )
    fake = output(of_g, z)
    blend = 0.7 * x + 0.3 * fake

    def by_d(*parts: tuple[np.ndarray, float, float]) -> np.ndarray:
        """d by D's weights of mean a softplus(-l) + b softplus(l) over points, for each of the parts (points, a, b)."""
        total = 0.0
        for points, a, b in parts:
            d = sigmoid(output(of_d, points))
            gradients, _ = backward(of_d, points, (b * d - a * (1 - d)) / len(points))
            total = total + np.concatenate([g.ravel() for g in gradients])
        return np.asarray(total)

    d = sigmoid(output(of_d, fake))
    _, at_fake = backward(of_d, fake, -(1 - d) / len(fake))
    by_g = np.concatenate([g.ravel() for g in backward(of_g, z, at_fake)[0]])
    right = by_d((x, 1, 0), (fake, 0, 1))
    pairs = {
        "right": (right, right), "minimax": (right, right), "sign": (by_g, -by_g),
        "uncleared minimax": (right, by_d((x, 1, 0))), "uncleared": (right, by_d((x, 1, 0), (fake, 1, 1))),
        "blend": (right, by_d((blend, 1, 0), (fake, 0, 1))), "minus": (right, by_d((x, 1, 0), (fake, 0, -1))),
        "fakes": (right, by_d((fake[:64], 1, 0), (fake[64:], 0, 1))),
    }  # fmt: skip
    return {name: a @ b / math.sqrt((a @ a) * (b @ b)) for name, (a, b) in pairs.items()}


def expected() -> dict[str, float]:
    """Every figure of the section, from the results' points and logits, or from theory."""
    found = {"2 log 2": math.log(4), "uncleared: best D at equilibrium": 2 / 3}
    others = cosines(training_mistakes.OTHER_SEED)
    for name, cosine in cosines(training_mistakes.SEED).items():
        result = train(name)
        modes, near = nearest(result.samples)
        right = np.concatenate([result.real_logits > 0, result.fake_logits < 0])
        found |= {
            f"{name}: modes": len(set(modes[near])),
            f"{name}: high quality, %": 100 * near.mean(),
            f"{name}: accuracy of D, %": 100 * right.mean(),
            f"{name}: D(x)": sigmoid(result.real_logits).mean(),
            f"{name}: D(G(z))": sigmoid(result.fake_logits).mean(),
            f"{name}: cosine": cosine,
            f"{name}: cosine with other weights": others[name],
        }
    for name in ("right", "blend"):
        # The data have radius 1, and sigma 0.1 in each coordinate.
        found[f"{name}: spread"] = math.sqrt(np.mean(train(name).variances) / (1 + 2 * 0.1**2))
    for name in ("sign", "uncleared minimax"):
        found[f"{name}: farthest sample"] = max(map(abs, train(name).samples.ravel()))
    logits = train("fakes").fake_logits
    found["fakes: loss of D"] = -np.log(sigmoid(logits) * sigmoid(-logits)).mean()
    powers = 0.7 * 0.3 ** np.arange(60)
    found["blend: predicted spread"] = math.sqrt((powers**2).sum())
    return found


def test_every_figure_is_what_it_is_called() -> None:
    wanted = expected()
    learned = {name for name in FIGURES if "mean error" in name}  # see the tests of the blend
    assert FIGURES.keys() == wanted.keys() | learned
    assert {name: FIGURES[name] for name in wanted} == pytest.approx(wanted, rel=2e-5, abs=2e-5)


def test_every_figure_is_in_the_body_and_nothing_else() -> None:
    assert {
        float(value) for value in re.findall(r'<data value="([^"]+)">', study_page.section(FIGURES.name).body)
    } == set(FIGURES.values())


# What the text says.


def test_the_right_lines_find_all_modes() -> None:
    for name in ("right", "minimax"):
        assert FIGURES[f"{name}: modes"] == 8
        assert FIGURES[f"{name}: high quality, %"] > 55
        assert abs(FIGURES[f"{name}: D(G(z))"] - 0.5) < 0.1
    assert abs(FIGURES["right: spread"] - 1) < 0.1
    result = train("right")  # the last of the steps whose fakes were measured is not far from the end
    assert result.variances.shape == (500,)
    assert math.sqrt(result.variances[-1]) == pytest.approx(math.sqrt(result.samples.var(axis=0).sum()), rel=0.15)


def test_a_wrong_sign_drives_the_samples_away() -> None:
    assert FIGURES["sign: high quality, %"] < 1
    assert FIGURES["sign: farthest sample"] > 100
    assert FIGURES["sign: accuracy of D, %"] > 99


def test_uncleared_gradients_cancel_under_minimax() -> None:
    real, fake = RNG.normal(size=(2, 6))
    of_real, of_fake = logit_slopes("uncleared minimax", real, fake)
    np.testing.assert_allclose(of_real, -(1 - sigmoid(real)) / 6)
    np.testing.assert_allclose(of_fake, 0, atol=1e-17)
    # Hundreds away; but one of 2,500 may pass by a mode, as for one of ten roundings of the weights.
    assert FIGURES["uncleared minimax: high quality, %"] < 1
    assert FIGURES["uncleared minimax: farthest sample"] > 50


def test_uncleared_gradients_move_the_equilibrium_to_two_thirds() -> None:
    real, fake = RNG.normal(size=(2, 6))
    of_real, of_fake = logit_slopes("uncleared", real, fake)
    np.testing.assert_allclose(of_fake, (2 * sigmoid(fake) - 1) / 6)
    np.testing.assert_allclose(of_real, -(1 - sigmoid(real)) / 6)
    p, q = RNG.uniform(0.1, 2, (2, 5))  # densities at a point: the best D makes the sum of its pulls 0
    best = (p + q) / (p + 2 * q)
    np.testing.assert_allclose(p * -(1 - best) + q * (2 * best - 1), 0, atol=1e-15)
    assert FIGURES["uncleared: modes"] == 8
    assert abs(FIGURES["uncleared: D(x)"] - 2 / 3) < 0.04
    assert abs(FIGURES["uncleared: D(G(z))"] - 2 / 3) < 0.04


def test_the_blend_of_two_gaussians_is_the_one_named() -> None:
    points = RNG.normal(scale=2, size=(50, 2))
    to_blend, to_data = training_mistakes.optimal_discriminators(points)

    def density(centre: float, variance: float) -> np.ndarray:
        away = (points[:, 0] - centre) ** 2 + points[:, 1] ** 2
        return np.exp(-away / (2 * variance)) / (2 * math.pi * variance)

    x, y = RNG.normal((-1, 0), 1, (200_000, 2)), RNG.normal((1, 0), 1, (200_000, 2))
    blend = 0.7 * x + 0.3 * y
    np.testing.assert_allclose(blend.mean(axis=0), (-0.4, 0), atol=0.01)
    np.testing.assert_allclose(np.cov(blend.T), 0.58 * np.eye(2), atol=0.01)
    p_blend, p_data, p_g = density(-0.4, 0.58), density(-1, 1), density(1, 1)
    np.testing.assert_allclose(to_blend, p_blend / (p_blend + p_g), rtol=1e-10)
    np.testing.assert_allclose(to_data, p_data / (p_data + p_g), rtol=1e-10)


def test_the_discriminator_learns_the_optimum_for_the_blend() -> None:
    alone = training_mistakes.blended_discriminator()
    assert (
        FIGURES["blend: mean error against the blend"],
        FIGURES["blend: mean error against the data"],
    ) == alone.errors
    assert alone.errors[0] < 0.035
    assert alone.errors[1] > 1.5 * alone.errors[0]
    middle = np.abs(alone.x) < 1.5
    assert np.abs(alone.learned - alone.optimal_for_blend)[middle].max() < 0.1
    assert np.abs(alone.learned - alone.optimal_for_data)[middle].max() > 0.15


def test_the_generator_of_the_blend_is_narrower_as_predicted() -> None:
    """Iterating G = 0.7 X + 0.3 G' from anything ends at 0.734 of the data's spread; so does training."""
    samples = RNG.normal(size=(100_000, 2))
    for _ in range(20):
        samples = 0.7 * TARGET.sample(len(samples), RNG) + 0.3 * RNG.permutation(samples)
    data = TARGET.sample(100_000, RNG)
    assert math.sqrt(samples.var(axis=0).sum() / data.var(axis=0).sum()) == pytest.approx(BLENDED_SPREAD, abs=0.005)
    assert FIGURES["blend: spread"] == pytest.approx(BLENDED_SPREAD, abs=0.03)
    assert abs(FIGURES["blend: D(x)"] - 0.5) < 0.05
    assert abs(FIGURES["blend: D(G(z))"] - 0.5) < 0.05


def test_a_minus_for_fakes_rewards_calling_them_real() -> None:
    real, fake = RNG.normal(size=(2, 6))
    np.testing.assert_allclose(logit_slopes("minus", real, fake)[1], -sigmoid(fake) / 6)
    assert FIGURES["minus: D(G(z))"] > 0.99
    assert FIGURES["minus: high quality, %"] < 30


def test_fakes_with_both_labels_leave_the_data_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = RNG.normal(size=(2, 6))
    of_real, of_fake = logit_slopes("fakes", real, fake)
    _, exchanged = logit_slopes("fakes", real, np.roll(fake, 3))
    np.testing.assert_array_equal(of_real, 0)
    # Half of the batch has either label, so each half's mean is over 3, and 2n is 6 here.
    np.testing.assert_allclose((of_fake + np.roll(exchanged, 3)) / 2, (2 * sigmoid(fake) - 1) / 6)
    assert abs(FIGURES["fakes: D(G(z))"] - 0.5) < 0.05
    assert FIGURES["fakes: loss of D"] == pytest.approx(2 * math.log(2), abs=0.1)
    # Where the samples end is chance: over ten roundings of the weights 0% to 26% of them came near a mode. What holds
    # for any of them: other data leave the same bits, and not so under the right line.
    monkeypatch.setattr(training_mistakes, "STEPS", 20)
    before = {name: train.__wrapped__(name).samples for name in ("fakes", "right")}
    reals = training_mistakes.reals
    monkeypatch.setattr(training_mistakes, "reals", lambda *arguments: reals(*arguments) + 5.0)
    np.testing.assert_array_equal(train.__wrapped__("fakes").samples, before["fakes"])
    assert not np.array_equal(train.__wrapped__("right").samples, before["right"])


def test_the_cosine_says_more_of_the_draw_than_of_the_mistake() -> None:
    for kind in ("cosine", "cosine with other weights"):
        assert FIGURES[f"sign: {kind}"] == pytest.approx(-1)
    assert FIGURES["minus: cosine"] < -0.9
    assert FIGURES["minus: cosine with other weights"] > 0.3
    assert FIGURES["fakes: cosine"] > 0.95
    assert FIGURES["fakes: cosine with other weights"] < 0.8


def test_the_checker_finds_each_mistake_and_passes_the_right_gradient() -> None:
    reports = training_mistakes.checks()
    assert reports.keys() == {mistake.name for mistake in MISTAKES}
    assert all(report.verdict is Verdict.FAIL for report in reports.values())
    causes = {"sign": "sign", "uncleared minimax": "detached", "minus": "sign", "fakes": "detached", "blend": ""}
    assert {name: report.cause for name, report in reports.items()} == causes
    assert reports["fakes"].name == "real"
    assert reports["uncleared minimax"].name == reports["minus"].name == reports["sign"].name == "fake"


def test_the_right_lines_are_the_librarys() -> None:
    loss, real, fake = losses.get("non-saturating"), *(Tensor(RNG.normal(size=(4, 1))) for _ in range(2))
    same = lambda points: points  # noqa: E731
    assert VARIANTS["right"].discriminator(same, real, fake).item() == loss.discriminator(real, fake).item()
    assert VARIANTS["right"].generator(same, fake).item() == loss.generator(fake).item()
    assert VARIANTS["minimax"].generator(same, fake).item() == losses.get("minimax").generator(fake).item()
    assert VARIANTS["sign"].generator(same, fake).item() == -ops.mean_softplus(fake, -1).item()
