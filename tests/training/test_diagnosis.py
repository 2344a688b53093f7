"""Statistics between steps, against closed forms; a diagnosis changes no bit of a run; which findings it reports."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import GAN, Tensor, grad
from minigan.gan import losses, penalties
from minigan.gan.rules import Rules
from minigan.nn import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Module,
    Reshape,
    Sequential,
    SpectralNorm,
    Tanh,
)
from minigan.optim import SGD, Adam
from minigan.training.diagnosis import Diagnosis
from minigan.training.findings import CONSECUTIVE_CHECKS
from minigan.training.gradient_agreement import GradientAgreement, GradientComparison
from minigan.training.statistics import ConstantDiscriminator, TrainingMonitor, TrainingStatistics

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from diagnosis import follow  # noqa: E402
from diagnosis_cases import FAILURES, HEALTHY, plane, points  # noqa: E402

sys.path.remove(str(BENCHMARKS))

SEED = 1000  # not the benchmark's
LATENT, BATCH = 3, 24


def _linear_gan(loss: str, **options: Any) -> GAN:
    """Both networks are linear: G(z) = z A + b, D(x) = x w + c, with numbers in float64."""
    rng = np.random.default_rng(4)
    generator = Sequential(Dense(LATENT, 2, rng)).astype("float64")
    discriminator = Sequential(Dense(2, 1, rng)).astype("float64")
    generator[0].bias.assign([3.0, -2.0])
    return GAN(
        generator,
        discriminator,
        losses.get(loss),
        SGD(generator.parameters(), 1e-3),
        SGD(discriminator.parameters(), 1e-3),
        latent_size=LATENT,
        seed=7,
        **options,
    )


def _reals(count: int = BATCH) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, 2))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([[math.dist(x, y) for y in b] for x in a])


def _measured(gan: GAN, real: np.ndarray) -> tuple[TrainingStatistics, np.ndarray]:
    fake = gan.generator(gan.latent(len(real), "diagnosis", gan.step)).numpy()
    return TrainingMonitor(gan).measure(Tensor(real)), fake


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# Statistics.


def test_distances_are_those_between_all_pairs() -> None:
    real = _reals()
    statistics, fake = _measured(_linear_gan("hinge"), real)
    among_reals, among_fakes, between = _distances(real, real), _distances(fake, fake), _distances(real, fake)
    pairs = BATCH * (BATCH - 1)
    reals_apart = among_reals.sum() / pairs
    nearest = (among_reals + np.diag(np.full(BATCH, np.inf))).min(axis=1).mean()
    assert statistics.diversity == pytest.approx(among_fakes.sum() / pairs / reals_apart, rel=1e-9)
    assert statistics.distance_to_data == pytest.approx(between.mean() / reals_apart, rel=1e-9)
    assert statistics.nearest_fake_distance == pytest.approx(
        (between.min(axis=1).mean() - nearest) / reals_apart, rel=1e-9
    )
    assert statistics.nearest_real_distance == pytest.approx(
        (between.min(axis=0).mean() - nearest) / reals_apart, rel=1e-9
    )


def test_the_sample_gradient_of_a_linear_critic_is_its_slope_over_its_mean_slope_on_the_way() -> None:
    gan, real = _linear_gan("wasserstein"), _reals()
    statistics, fake = _measured(gan, real)
    w = gan.discriminator[0].weight.numpy()[:, 0]
    gap = ((real.mean(axis=0) - fake.mean(axis=0)) @ w).item()
    distance = _distances(real, fake).mean()
    assert statistics.logit_gap == pytest.approx(gap, rel=1e-9)
    assert statistics.generator_loss_gap == pytest.approx(gap, rel=1e-9)
    assert statistics.lipschitz_bound == pytest.approx(gap / distance, rel=1e-9)
    assert statistics.sample_gradient == pytest.approx(
        np.linalg.norm(w) * distance / gap if gap > 0 else math.inf, rel=1e-9
    )
    assert statistics.discriminator_logit_gradient == pytest.approx(1.0)
    assert (
        statistics.discriminator_objective,
        statistics.constant_objective,
        statistics.objective_unit,
    ) == pytest.approx((-gap, 0.0, distance), rel=1e-9)
    assert not statistics.objective_is_bounded


def test_the_discriminator_logit_gradient_is_relative_to_a_constant_discriminator() -> None:
    gan, real = _linear_gan("non-saturating"), _reals()
    statistics, fake = _measured(gan, real)
    d_real, d_fake = (_sigmoid(gan.discriminator(Tensor(x)).numpy()) for x in (real, fake))
    over_that_of_constant = (1 - d_real).mean() + d_fake.mean()  # over 1/2 + 1/2
    assert statistics.discriminator_logit_gradient == pytest.approx(over_that_of_constant, rel=1e-9)
    assert statistics.discriminator_objective == pytest.approx(
        -np.log(d_real).mean() - np.log(1 - d_fake).mean(), rel=1e-9
    )
    assert statistics.constant_objective == pytest.approx(math.log(4))
    assert statistics.objective_is_bounded


@pytest.mark.parametrize(
    ("loss", "slope"),
    [
        ("minimax", lambda d: 2 * d),
        ("non-saturating", lambda d: 2 * (1 - d)),
        ("hinge", np.ones_like),
        ("wasserstein", np.ones_like),
    ],
)
def test_the_generator_logit_gradient_is_relative_to_a_constant_discriminator(loss: str, slope: Any) -> None:
    gan = _linear_gan(loss)
    statistics, fake = _measured(gan, _reals())
    assert statistics.generator_logit_gradient == pytest.approx(
        slope(_sigmoid(gan.discriminator(Tensor(fake)).numpy())).mean(), rel=1e-9
    )


@pytest.mark.parametrize(("name", "idle"), [("wgan-gp", 1.0), ("r1", 0.0), ("r2", 0.0), ("dragan", 1.0)])
def test_the_constant_objective_includes_the_penalty_of_slope_zero(name: str, idle: float) -> None:
    gan = _linear_gan("wasserstein", penalty=penalties.get(name), penalty_weight=3.0)
    statistics, _ = _measured(gan, _reals())
    slope = np.linalg.norm(gan.discriminator[0].weight.numpy())
    assert statistics.constant_objective == pytest.approx(3.0 * idle)
    assert statistics.penalty == pytest.approx(3.0 * (slope - 1) ** 2 if idle else 1.5 * slope**2, rel=1e-9)
    assert statistics.discriminator_objective == pytest.approx(-statistics.logit_gap + statistics.penalty, rel=1e-9)


CONSTANT_LOSSES = {
    "minimax": math.log(4), "non-saturating": math.log(4), "least-squares": 0.25, "hinge": 2.0, "wasserstein": 0.0,
    "relativistic-pairing": math.log(2), "relativistic-average": 2 * math.log(2),
}  # fmt: skip


@pytest.mark.parametrize("name", losses.LOSSES)
def test_the_loss_of_a_constant_discriminator_and_the_signs_of_its_slopes(name: str) -> None:
    constant = ConstantDiscriminator.of(losses.get(name))
    assert constant.loss == pytest.approx(CONSTANT_LOSSES[name])
    assert constant.real_slope < 0 < constant.fake_slope
    assert constant.generator_slope < 0


# Gradients that the optimisers receive.


def test_one_gradient_is_compared_with_those_expected() -> None:
    rng = np.random.default_rng(1)
    gradients = [[Tensor(rng.standard_normal(shape).astype("f")) for shape in ((2, 3), (3,))] for _ in range(2)]
    made = GradientComparison([-2 * g.data for g in gradients[0]], [g.data + 1 for g in gradients[0]])
    assert made.is_pending
    assert math.isnan(made.agreement().cosine)
    for some in gradients:
        made.compare(some)
        assert not made.is_pending
    given = np.concatenate([g.numpy().reshape(-1) for g in gradients[0]])
    cosine = (given @ (given + 1)) / np.linalg.norm(given) / np.linalg.norm(given + 1)
    assert made.agreement().cosine == pytest.approx(-1, abs=1e-6)
    assert made.agreement().cosine_penalty_subtracted == pytest.approx(cosine, abs=1e-6)
    assert not made.agreement().is_zero


@pytest.mark.parametrize("rules", [Rules(), Rules(n_critic=3), Rules(simultaneous=True)])
def test_a_step_calls_the_observer_before_each_update(rules: Rules) -> None:
    """With the gradients that the optimisers receive; a step with an observer computes the same as one without."""
    gans = [_vector_gan(rules=rules), _vector_gan(rules=rules)]
    observed: list[tuple[str, list[Tensor]]] = []
    received: list[list[Tensor]] = []
    for optimizer in (gans[0].discriminator_optimizer, gans[0].generator_optimizer):

        def step(gradients: Any, numbers: Any = None, own: Any = optimizer.step) -> None:
            received.append(gradients)
            own(gradients, numbers)

        optimizer.step = step  # type: ignore[method-assign]
    examples = _examples(_vector_gan(), 0)
    metrics = [
        gans[0].train_step(examples, lambda player, gradients: observed.append((player, gradients))),
        gans[1].train_step(examples),
    ]
    assert [player for player, _ in observed] == ["discriminator"] * rules.n_critic + ["generator"]
    assert [gradients for _, gradients in observed] == received
    for some, others in (metrics, [gan.state() for gan in gans]):
        for name, value in some.items():
            np.testing.assert_array_equal(
                *(x.numpy() if isinstance(x, Tensor) else x for x in (value, others[name])), err_msg=name
            )


def test_after_a_check_one_step_is_observed() -> None:
    gan = _linear_gan("hinge", rules=Rules(n_critic=2))
    diagnosis = Diagnosis(gan)
    assert diagnosis.gradient_observer() is None
    for _ in range(2):
        gan.train_step(_reals(), diagnosis.gradient_observer())
        diagnosis.check(_reals())
        assert diagnosis.gradient_observer() is not None
        gan.train_step(_reals(), diagnosis.gradient_observer())
        assert diagnosis.gradient_observer() is None


def _measured_after_a_step(monitor: TrainingMonitor, gan: GAN) -> TrainingStatistics:
    gan.train_step(_reals(), monitor.observe)
    return monitor.measure(Tensor(_reals()))


def test_the_received_gradient_is_that_of_the_next_step() -> None:
    """On the same real examples the discriminator receives the expected gradient, although its fakes are others."""
    gan = _linear_gan("non-saturating", penalty=penalties.r1, penalty_weight=50.0)
    gan.generator[0].weight.assign(np.zeros((LATENT, 2)))  # so that all fakes are alike
    monitor = TrainingMonitor(gan)
    monitor.measure(Tensor(_reals()))
    discriminator = _measured_after_a_step(monitor, gan).discriminator_gradient
    assert discriminator.cosine == pytest.approx(1, abs=1e-12)
    assert discriminator.cosine_penalty_subtracted < 0  # R1 weighs 50, and so outweighs the loss


@pytest.mark.parametrize("every", [1, 3])
def test_a_penalty_is_expected_where_the_next_step_computes_it(every: int) -> None:
    gan = _linear_gan("wasserstein", penalty=penalties.r1, penalty_weight=2.0, penalty_every=every)
    monitor = TrainingMonitor(gan)
    for _ in range(5):
        gan.generator[0].weight.assign(np.zeros((LATENT, 2)))  # so that all fakes are alike
        monitor.measure(Tensor(_reals()))
        given = _measured_after_a_step(monitor, gan).discriminator_gradient
        assert given.cosine == pytest.approx(1, abs=1e-12)
        assert math.isnan(given.cosine_penalty_subtracted) == bool((gan.step - 1) % every)


# A check changes nothing.


def _image_gan() -> GAN:
    """For images (n, 6, 6, 1), with every kind of layer whose buffers a pass changes."""
    rng = np.random.default_rng(2)
    generator = Sequential(Dense(LATENT, 36, rng), BatchNorm(36), LeakyReLU(0.2), Reshape(6, 6, 1), Tanh())
    discriminator = Sequential(
        SpectralNorm(Conv2d(1, 4, 3, rng), rng), LeakyReLU(0.2), Dropout(0.3, seed=1), Flatten(), Dense(64, 1, rng)
    )
    return _gan(generator, discriminator, "hinge", penalty=penalties.wgan_gp, ema_decay=0.9)


def _vector_gan(loss: str = "non-saturating", **options: Any) -> GAN:
    rng = np.random.default_rng(2)
    packing = options["rules"].packing if "rules" in options else 1
    generator = Sequential(Dense(LATENT, 9, rng), BatchNorm(9), LeakyReLU(0.2), Dense(9, 5, rng))
    return _gan(generator, Sequential(Dense(5 * packing, 8, rng), LeakyReLU(0.2), Dense(8, 1, rng)), loss, **options)


def _gan(generator: Module, discriminator: Module, loss: str, **options: Any) -> GAN:
    rates = Adam(generator.parameters(), 1e-3), Adam(discriminator.parameters(), 1e-3)
    return GAN(generator, discriminator, losses.get(loss), *rates, latent_size=LATENT, seed=7, **options)


def _examples(gan: GAN, step: int) -> np.ndarray:
    shape = gan.generator(gan.latent(2, "shape")).shape[1:]
    return np.random.default_rng([9, step]).uniform(-1, 1, (BATCH, *shape)).astype("f")


def _trained(gan: GAN, examples: list[np.ndarray], check_every: int) -> list[dict[str, np.ndarray]]:
    """The state and the metrics at the end, with a check every so many steps (0: none)."""
    diagnosis = Diagnosis(gan)
    for step, real in enumerate(examples, 1):
        metrics = gan.train_step(real, diagnosis.gradient_observer())
        if check_every and step % check_every == 0:
            diagnosis.check(examples[-1])
    return [gan.state(), {name: value.numpy() for name, value in metrics.items()}]


@pytest.mark.parametrize(
    "make",
    [
        _image_gan,
        _vector_gan,
        lambda: _vector_gan("relativistic-pairing", rules=Rules(packing=2, instance_noise=0.1)),
        lambda: _vector_gan("wasserstein", rules=Rules(n_critic=3, simultaneous=True), penalty=penalties.dragan),
    ],
)
def test_a_run_with_a_diagnosis_has_the_same_bits(make: Any) -> None:
    examples = [_examples(make(), step) for step in range(7)]
    for alone, diagnosed in zip(_trained(make(), examples, 0), _trained(make(), examples, 2), strict=True):
        assert alone.keys() == diagnosed.keys()
        for name, value in alone.items():
            np.testing.assert_array_equal(value, diagnosed[name], err_msg=name)


@pytest.mark.parametrize("penalty", [None, "zero-centred"])
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_loss_has_statistics(loss: str, penalty: str | None) -> None:
    gan = _vector_gan(loss, penalty=penalties.get(penalty) if penalty else None)
    monitor = TrainingMonitor(gan)
    for step in range(2):
        statistics = monitor.measure(Tensor(_examples(gan, step)))
        assert statistics.all_finite
        assert statistics.discriminator_logit_gradient > 0
        gan.train_step(_examples(gan, step), monitor.observe)
    assert not math.isnan(statistics.generator_gradient.cosine)


def test_statistics_on_a_device(standin: ModuleType, standin_kernels: str) -> None:
    mg.use("numpy", "reference")
    examples = [_examples(_vector_gan(), step) for step in range(4)]

    def statistics() -> list[TrainingStatistics]:
        gan = _vector_gan(penalty=penalties.wgan_gp)
        monitor, found = TrainingMonitor(gan), []
        for real in examples:
            with standin._standin.count_synchronisations() as waits:
                gan.train_step(real, monitor.observe if found else None)
            assert waits.count == 0  # a step waits for nothing, also while it is observed
            found.append(monitor.measure(Tensor(real)))
        return found

    expected = statistics()
    mg.use("cupy", standin_kernels)
    for on_device, on_host in zip(statistics(), expected, strict=True):
        assert _numbers(on_device) == pytest.approx(_numbers(on_host), rel=1e-4, nan_ok=True)


def _numbers(statistics: TrainingStatistics) -> list[float]:
    both = [
        *dataclasses.astuple(statistics.generator_gradient),
        *dataclasses.astuple(statistics.discriminator_gradient),
    ]
    return [value for value in (*vars(statistics).values(), *both) if isinstance(value, (int, float))]


# What is reported, and when.

HEALTHY_STATISTICS = TrainingStatistics(
    step=0, all_finite=True, diversity=1.0, distance_to_data=1.0, nearest_fake_distance=0.02,
    nearest_real_distance=0.02, logit_gap=0.5, lipschitz_bound=0.3, discriminator_logit_gradient=0.9,
    generator_loss_gap=0.2, sample_gradient=3.0, generator_logit_gradient=1.0, discriminator_objective=1.2,
    constant_objective=1.4, objective_unit=1.4, penalty=math.nan,
    generator_gradient=GradientAgreement(0.9), discriminator_gradient=GradientAgreement(0.9),
)  # fmt: skip


def _reported(monkeypatch: pytest.MonkeyPatch, *changes: dict[str, Any]) -> list[str]:
    """The names reported at each check, "" for none, if the statistics are HEALTHY_STATISTICS with these changes."""
    gan = _linear_gan("hinge")
    rows = iter(dataclasses.replace(HEALTHY_STATISTICS, step=step, **change) for step, change in enumerate(changes, 1))
    monkeypatch.setattr(TrainingMonitor, "measure", lambda self, real: next(rows))
    diagnosis, names = Diagnosis(gan), []
    for _ in changes:
        gan.train_step(_reals())
        names.append(", ".join(finding.name for finding in diagnosis.check(_reals())))
    return names


SURE = {"discriminator_logit_gradient": 0.005}


def test_nothing_is_reported_for_healthy_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _reported(monkeypatch, *[{}] * 5) == [""] * 5


def test_uncertain_findings_have_to_persist(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _reported(monkeypatch, SURE, SURE, {}, SURE, SURE, SURE, SURE)
    assert found[:-1] == [""] * 5 + ["saturated-discriminator"]


def test_a_finding_is_reported_again_only_after_it_has_gone_away(monkeypatch: pytest.MonkeyPatch) -> None:
    sure = [SURE] * CONSECUTIVE_CHECKS
    assert [i for i, name in enumerate(_reported(monkeypatch, *sure, {}, *sure)) if name] == [2]
    assert [i for i, name in enumerate(_reported(monkeypatch, *sure, *[{}] * 3, *sure)) if name] == [2, 8]


def test_causes_are_reported_and_not_consequences(monkeypatch: pytest.MonkeyPatch) -> None:
    both = SURE | {"sample_gradient": 1e-3, "diversity": 0.01}
    assert _reported(monkeypatch, *[both] * 4) == ["", "", "vanishing-gradient", ""]
    detached = both | {"generator_gradient": GradientAgreement(is_zero=True)}
    assert _reported(monkeypatch, detached, detached) == ["detached-generator", ""]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        # With minimax, also where the slope on the way to the data is as small.
        ("vanishing-gradient", SURE | {"generator_logit_gradient": 0.015}),
        ("saturated-discriminator", SURE | {"generator_logit_gradient": 2.0}),
        ("mode-collapse", {"diversity": 0.2}),
        ("mode-collapse", {"nearest_fake_distance": 0.5, "nearest_real_distance": 0.1}),
        ("exploding-gradient", {"discriminator_objective": 3.0}),
        ("generator-sign", {"generator_gradient": GradientAgreement(-0.9)}),
        ("discriminator-sign", {"discriminator_gradient": GradientAgreement(-0.9)}),
        ("penalty-sign", {"discriminator_gradient": GradientAgreement(-0.9, 0.9), "penalty": 5.0}),
        # A subtracted penalty makes the objective explode.
        (
            "penalty-sign",
            {"discriminator_gradient": GradientAgreement(-0.3, 0.9), "penalty": 5.0, "discriminator_objective": 3.0},
        ),
    ],
)
def test_each_finding_has_its_name(monkeypatch: pytest.MonkeyPatch, name: str, change: dict[str, Any]) -> None:
    assert _reported(monkeypatch, *[change] * CONSECUTIVE_CHECKS) == ["", "", name]


@pytest.mark.parametrize(
    "change",
    [
        {"nearest_fake_distance": 0.5, "nearest_real_distance": 0.5},  # samples beside the data, as early in training
        {"discriminator_objective": 1.5},  # a constant discriminator, and noise
        {"lipschitz_bound": 500.0},  # steep, but with a bounded objective
        # The noise of a batch.
        {"generator_gradient": GradientAgreement(-0.1), "discriminator_gradient": GradientAgreement(-0.1)},
        # A penalty too small to tell its sign.
        {"discriminator_gradient": GradientAgreement(0.9, 0.95), "penalty": 0.01},
    ],
)
def test_what_healthy_runs_do_is_no_finding(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    assert _reported(monkeypatch, *[change] * 4) == [""] * 4


ONE_SIDED = {"nearest_fake_distance": 0.6, "nearest_real_distance": 0.2}


def test_samples_of_growing_diversity_have_not_collapsed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _reported(monkeypatch, *[{"diversity": spread} for spread in (0.05, 0.1, 0.2)]) == [""] * 3
    assert _reported(monkeypatch, *[ONE_SIDED | {"diversity": spread} for spread in (0.3, 0.4, 0.5)]) == [""] * 3


def test_a_wandering_cluster_is_a_collapse_at_any_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, stretched = {"diversity": 0.2}, ONE_SIDED | {"diversity": 0.29}
    assert _reported(monkeypatch, cluster, stretched, cluster) == ["", "", "mode-collapse"]
    assert _reported(monkeypatch, stretched, cluster, stretched) == ["", "", "mode-collapse"]


def test_independent_findings_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A discriminator may be sure of samples whether or not they are all alike; its steps may overshoot, too."""
    both = SURE | {"generator_logit_gradient": 2.0, "diversity": 0.2}
    assert _reported(monkeypatch, *[both] * 4) == ["", "", "saturated-discriminator, mode-collapse", ""]
    collapsed = {"diversity": 0.2}
    found = _reported(monkeypatch, *[SURE] * 3, *[SURE | collapsed] * 3)
    assert found[2::3] == ["saturated-discriminator", "mode-collapse"]
    worse = both | {"discriminator_objective": 3.0}
    assert _reported(monkeypatch, *[worse] * 3)[2] == "exploding-gradient, saturated-discriminator, mode-collapse"


# Data without a distance between them.


def _on_one_example(loss: str, example: list[float], **options: Any) -> tuple[TrainingStatistics, GAN, np.ndarray]:
    gan, real = _linear_gan(loss, **options), np.tile(example, (BATCH, 1))
    return TrainingMonitor(gan).measure(Tensor(real)), gan, real


@pytest.mark.parametrize("example", [[1.0, 1.0], [0.1, 0.7]])  # the mean of many 0.1 is not 0.1 in floating point
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_ratio_to_the_distance_of_equal_data_is_nan(loss: str, example: list[float]) -> None:
    statistics, gan, real = _on_one_example(loss, example)
    assert all(
        map(
            math.isnan,
            (
                statistics.diversity,
                statistics.distance_to_data,
                statistics.nearest_fake_distance,
                statistics.nearest_real_distance,
            ),
        )
    )
    distance = _distances(real, gan.generator(gan.latent(BATCH, "diagnosis", 0)).numpy()).mean()
    assert statistics.lipschitz_bound == pytest.approx(
        statistics.logit_gap / distance, rel=1e-9
    )  # the distance to the fakes is not 0
    assert statistics.all_finite and statistics.sample_gradient > 0


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_generator_of_the_only_example_there_is_has_nothing_wrong(loss: str) -> None:
    """Nor has the best discriminator, which cannot tell real from fake."""
    gan, real = _linear_gan(loss), np.tile([0.1, 0.7], (BATCH, 1))
    gan.generator[0].weight.assign(np.zeros((LATENT, 2)))
    gan.generator[0].bias.assign([0.1, 0.7])
    best_score = 0.5 if loss == "least-squares" else 0.0
    gan.discriminator[0].bias.assign(best_score - real[0] @ gan.discriminator[0].weight.numpy())
    statistics = TrainingMonitor(gan).measure(Tensor(real))
    assert all(
        map(
            math.isnan,
            (
                statistics.diversity,
                statistics.distance_to_data,
                statistics.nearest_fake_distance,
                statistics.lipschitz_bound,
                statistics.sample_gradient,
            ),
        )
    )
    assert math.isnan(statistics.objective_unit) or statistics.objective_is_bounded
    diagnosis = Diagnosis(gan)
    for gan.step in range(1, CONSECUTIVE_CHECKS + 2):
        gan.generator_optimizer.steps, gan.discriminator_optimizer.steps = gan.step, gan.step
        assert diagnosis.check(real) == []


def test_data_of_one_example_lead_to_the_right_finding() -> None:
    """A discriminator that is sure of everything, and a generator that hardly moves."""
    gan, real = plane(SEED, rates=(1e-6, 5e-2)), np.full((BATCH, 2), 3.0, np.float32)
    diagnosis, names = Diagnosis(gan), []
    for _ in range(4):
        for _ in range(20):
            gan.train_step(real)
        names += [finding.name for finding in diagnosis.check(real)]
    assert names == ["saturated-discriminator"]


def test_a_sample_that_is_not_finite_is_reported_also_for_one_example() -> None:
    gan = _linear_gan("hinge")
    gan.generator[0].bias.assign([math.nan, 0.0])
    gan.step = 1
    gan.generator_optimizer.steps = gan.discriminator_optimizer.steps = 1
    (finding,) = Diagnosis(gan).check(np.ones((BATCH, 2)))
    assert finding.name == "exploding-gradient" and "not finite" in finding.sentence
    assert "minigan train --resume RUN --checkpoint STEP" in finding.sentence


def test_an_optimiser_without_updates_is_reported() -> None:
    class Forgetful(GAN):
        def train_step(self, real: Any, observe: Any = None) -> dict[str, Tensor]:
            loss = self.loss.discriminator(self.discriminator(Tensor(real)), Tensor(np.zeros((len(real), 1))))
            self.discriminator_optimizer.step(grad(loss, self.discriminator_optimizer.parameters))
            self.step += 1
            return {}

    gan = _linear_gan("hinge")
    gan.__class__ = Forgetful
    diagnosis = Diagnosis(gan)
    assert diagnosis.check(_reals()) == []  # no step was received
    gan.train_step(_reals())
    (finding,) = diagnosis.check(_reals())
    assert (finding.name, finding.step) == ("detached-generator", 1)
    assert "no update in 1 steps" in finding.sentence
    assert diagnosis.check(_reals()) == []


# Whole runs; benchmarks/diagnosis.py has all of them.

SHORT = [run for run in FAILURES if run.steps <= 300]


@pytest.mark.slow
@pytest.mark.parametrize("run", SHORT, ids=lambda run: run.name)
def test_a_failure_is_named(run: Any) -> None:
    found = follow(run, SEED)
    assert [finding.name for finding in found][:1] == [run.expected]
    assert "\n" not in found[0].sentence


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ring, non-saturating", "grid, relativistic-pairing", "swiss-roll, wasserstein, GP"])
def test_nothing_is_reported_for_a_healthy_run(name: str) -> None:
    (run,) = [run for run in HEALTHY if run.name == name]
    assert follow(dataclasses.replace(run, steps=400), SEED) == []


def test_the_benchmarks_data_are_scaled() -> None:
    real = points("grid", SEED, batch=20_000)(0).numpy()
    assert (real**2).mean() == pytest.approx(1, rel=0.02)
    assert plane(SEED).latent_size == 8
