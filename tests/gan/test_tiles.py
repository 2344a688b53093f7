"""A large picture is enlarged piece by piece as if it were in one pass."""

from __future__ import annotations

import numpy as np

from minigan import recipes
from minigan.gan.tiles import enlarged
from minigan.recipes.super_resolution import reach


def test_tiles_with_the_reach_of_the_network_give_the_whole():
    settings = {"blocks": 1, "generator_widths": [4, 3], "scale": 4}
    gan = recipes.get("mnist-sr").build(dtype="float64", **settings)
    rng = np.random.default_rng(0)
    for parameter in gan.generator.parameters().values():
        parameter.assign(rng.standard_normal(parameter.shape) / 3)
    picture = rng.uniform(-1, 1, (23, 31, 1))
    whole = gan.sample(np.zeros((1, 1)), picture[None]).numpy()[0]
    assert whole.shape == (92, 124, 1)
    np.testing.assert_allclose(enlarged(gan, picture, 4, reach(settings), tile=7), whole, rtol=1e-9)
    too_little = enlarged(gan, picture, 4, reach(settings) - 3, tile=7)
    assert abs(too_little - whole).max() > 1e-6
