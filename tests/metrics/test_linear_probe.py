"""The linear classifier on features solves its normal equations; features of layers are the maxima of cells."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import Tensor, nn
from minigan.core.errors import UsageError
from minigan.metrics import linear_probe
from minigan.metrics.layer_features import convolution_features
from minigan.metrics.linear_probe import fit_linear_probe
from minigan.metrics.supervised import predicted_classes, train_classifier

RNG = np.random.default_rng(0)
SHAPES = {"more features than examples": (12, 20), "more examples than features": (40, 7)}
STRENGTH = 3.0


def problem(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(1).standard_normal(shape), np.arange(shape[0]) % 3


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_weights_solve_the_normal_equations(shape: tuple[int, int]) -> None:
    features, labels = problem(shape)
    probe = fit_linear_probe(features, labels, STRENGTH)
    x, y = features - features.mean(axis=0), np.eye(3)[labels]
    expected = np.linalg.solve(x.T @ x + STRENGTH * np.eye(shape[1]), x.T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(probe.weights, expected, atol=1e-12)
    np.testing.assert_allclose(probe.bias, y.mean(axis=0))
    np.testing.assert_array_equal(
        probe.predict(features), (x @ expected + y.mean(axis=0)).argmax(axis=1), "the class with the largest score"
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_error_when_left_out_is_that_of_fits_without_each_example(shape: tuple[int, int]) -> None:
    """The centre moves with the example that is left out, so that each fit has means of its own."""
    features, labels = problem(shape)
    x, y = features - features.mean(axis=0), np.eye(3)[labels]
    u, s = linear_probe._left_singular(x)
    residue = y - y.mean(axis=0)
    found = linear_probe._left_out_error(u, s, u.T @ residue, residue, STRENGTH)
    errors = []
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        mean, bias = features[others].mean(axis=0), y[others].mean(axis=0)
        centred = features[others] - mean
        weights = np.linalg.solve(centred.T @ centred + STRENGTH * np.eye(shape[1]), centred.T @ (y[others] - bias))
        errors.append(y[i] - (features[i] - mean) @ weights - bias)
    assert found == pytest.approx((np.array(errors) ** 2).mean(), rel=1e-9)


def test_the_strength_is_chosen_by_the_error_when_left_out() -> None:
    """Labels that follow one of many features need little regularisation; random ones need a lot."""
    features = RNG.standard_normal((60, 80))
    features[:, 0] *= 30
    learnable = fit_linear_probe(features, (features[:, 0] > 0).astype(int)).strength
    assert learnable < fit_linear_probe(features, RNG.integers(2, size=60)).strength


def test_a_feature_that_is_constant_changes_nothing() -> None:
    features, labels = problem((12, 5))
    with_constant = np.concatenate([features, np.ones((12, 1))], axis=1)
    one, two = (fit_linear_probe(x, labels, STRENGTH) for x in (features, with_constant))
    np.testing.assert_allclose(two.weights[:5], one.weights, atol=1e-10)
    np.testing.assert_allclose(two.weights[5], 0, atol=1e-10)


@pytest.mark.parametrize(
    ("features", "labels", "strength"),
    [
        (np.zeros((4, 2)), np.zeros(4, int), None),
        (np.zeros((4, 2)), np.arange(3), None),
        (np.zeros(4), np.arange(4), None),
        (np.zeros((4, 2)), np.arange(4), 0.0),
    ],
    ids=["one class", "another number of labels", "no table", "no regularisation"],
)
def test_what_cannot_be_fitted_is_refused(features: np.ndarray, labels: np.ndarray, strength: float | None) -> None:
    with pytest.raises(UsageError, match="expected"):
        fit_linear_probe(features, labels, strength)


def test_features_are_the_maxima_of_cells_after_each_convolutions_activation() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 4, 0, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(2, 3, 4, 1, stride=2, padding=1, bias=False), nn.BatchNorm(3), nn.ReLU(),
        nn.Flatten(), nn.Dense(147, 1, 2),
    )  # fmt: skip
    x = RNG.standard_normal((3, 28, 28, 1)).astype(np.float32)
    found = convolution_features(network, x)
    assert found.shape == (3, 16 * (2 + 3))
    first = network.eval()[:2](Tensor(x)).numpy()
    cells = [first[:, a:b, c:d].max(axis=(1, 2)) for a, b in EDGES for c, d in EDGES]
    np.testing.assert_array_equal(found[:, :32], np.stack(cells, axis=1).reshape(3, -1))


EDGES = [(0, 3), (3, 7), (7, 10), (10, 14)]


def test_a_classifier_learns_what_its_batches_say() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((200, 2)).astype(np.float32), np.arange(200) % 2
    x[:, 0] += 4 * y
    network, seen = nn.Sequential(nn.Dense(2, 8, 0), nn.ReLU(), nn.Dense(8, 2, 1)), []
    train_classifier(
        network, lambda step: (Tensor(x), Tensor(y.astype(np.float32))), 60, rate=0.05,
        progress=lambda step, steps: seen.append((step, steps)),
    )  # fmt: skip
    assert (predicted_classes(network, x) == y).mean() > 0.95
    assert seen == [(1, 60), (51, 60), (60, 60)]
    assert network.training, "the mode is restored"
