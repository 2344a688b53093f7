"""The recipes on points of the plane."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import recipes


def test_the_plain_recipes_do_not_scale_points():
    assert recipes.get("grid-plain").domain.points.scale == 1
    assert recipes.get("grid").domain.points.scale == pytest.approx(np.sqrt(8 + 0.05**2), rel=0.02)


@pytest.mark.slow
def test_positions_are_uniform_on_a_square_and_the_network_displaces_them():
    gan = recipes.get("grid").build(dtype="float64")
    latent = gan.latent(40_000, "test")
    moved = gan.generator(latent).numpy()
    last = list(gan.generator.parameters().values())[-2]
    assert last.shape == (96, 2)
    last.assign(np.zeros(last.shape))
    places = gan.generator(latent).numpy()
    assert np.abs(places).max() <= np.sqrt(3)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose([(places**2).mean(), (places**4).mean()], [1, 9 / 5], rtol=0.02)
    assert 0.01 < np.abs(moved - places).mean() < 0.5  # at first only a little
