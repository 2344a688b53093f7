"""Nearest neighbours agree with a direct search, also where rounding could exchange them."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.metrics import nearest as module
from minigan.metrics.nearest import nearest


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 22])
@pytest.mark.parametrize("kind", ["bytes", "floats", "close"])
def test_they_are_those_of_a_direct_search(kind, at_once, monkeypatch):
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    if kind == "bytes":
        samples, examples = (rng.integers(0, 256, (n, 4, 3, 1), dtype=np.uint8) for n in (5, 40))
    else:
        samples, examples = (rng.standard_normal((n, 6)) for n in (5, 40))
    if kind == "close":  # far from 0 compared with their distances
        samples, examples = 1000 + samples * 1e-3, 1000 + examples * 1e-3
    places, distances = nearest(samples, examples, 3)
    difference = examples[None].astype(float) - samples[:, None].astype(float)
    direct = np.sqrt((difference**2).reshape(5, 40, -1).mean(axis=2))
    np.testing.assert_array_equal(places, np.argsort(direct, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(distances, np.sort(direct, axis=1)[:, :3], rtol=1e-12)


def test_a_copy_is_found_at_distance_zero():
    examples = np.random.default_rng(2).integers(0, 256, (30, 28, 28, 1), dtype=np.uint8)
    places, distances = nearest(examples[[7, 29, 0]], examples, 2)
    assert places[:, 0].tolist() == [7, 29, 0]
    assert (distances[:, 0] == 0).all() and (distances[:, 1] > 0).all()


def test_of_equal_examples_the_first_comes_first():
    places, _ = nearest(np.zeros((1, 2)), np.ones((6, 2)), 6)
    assert places.tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(("shape", "count"), [((3, 5), 1), ((3, 4), 0), ((3, 4), 4)])
def test_what_cannot_be_compared_is_refused(shape, count):
    with pytest.raises(ValueError, match="expected the same shape"):
        nearest(np.zeros((2, 4)), np.zeros(shape), count)
