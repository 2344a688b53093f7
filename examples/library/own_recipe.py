"""A recipe of your own for the command line: `minigan train own_recipe.py`, with --set, pictures, resume, diagnosis."""

from minigan import nn
from minigan.domains import PointDomain
from minigan.recipes import Recipe


def networks(settings, shape, rng):
    """The generator, latent vectors to points, and the discriminator, points to logits, for points of `shape`."""
    width = settings["width"]
    generator = nn.mlp([settings["latent_size"], width, width, shape[0]], rng=rng)
    return generator, nn.mlp([shape[0], width, width, 1], rng=rng)


RECIPE = Recipe(
    name="moons-wide",
    summary="eight Gaussians on a ring, by networks of one width (a setting)",
    networks=networks,
    settings={"width": 128, "latent_size": 8, "batch_size": 256, "rate": 1e-3, "penalty": "r1", "penalty_weight": 1.0},
    steps=2000,
    domain=PointDomain("ring"),
)
