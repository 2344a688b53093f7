"""Points drawn for batches from a known distribution."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.data import mixtures
from minigan.data.points import Points
from minigan.metrics.modes import score_samples


def test_batches_follow_the_distribution_at_unit_scale_and_depend_on_seed_and_step_only():
    data = Points(mixtures.get("grid"))
    batch = data.batch(50_000, 3, 7, "float64").numpy()
    assert np.sqrt((batch**2).mean()) == pytest.approx(1, rel=0.01)
    assert score_samples(batch * data.scale, data.target).high_quality == pytest.approx(0.9889, abs=0.002)
    np.testing.assert_array_equal(batch, data.batch(50_000, 3, 7, "float64").numpy())
    assert not np.array_equal(batch, data.batch(50_000, 3, 8, "float64").numpy())


def test_different_distributions_have_different_digests():
    prints = {Points(target).sha256 for target in (*mixtures.TARGETS.values(), mixtures.ring(sigma=0.02))}
    assert len(prints) == len(mixtures.TARGETS) + 1
