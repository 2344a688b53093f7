"""Translation between two looks without pairs of examples: CycleGAN (Zhu et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.domains.looks import bold_negative, pencil_drawing
from minigan.domains.two_looks import TwoLooksDomain
from minigan.nn import Module
from minigan.ops import absolute, concatenate, mean
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings
from minigan.recipes.translation import PatchDiscriminator, UNet


class CycleGenerator(Module):
    """Both translators: pictures of A and B, joined along the channels, y = (a, b), to (F(b), G(a)).

    F translates from B to A, G from A to B (Zhu et al., 2017, section 3), so that calling this twice goes the whole
    cycle: to (F(G(a)), G(F(b))). The latent vector z has no effect. identity_weight: that of `identity_loss` in `term`.
    """

    def __init__(self, to_a: Module, to_b: Module, identity_weight: float = 0.0) -> None:
        self.to_a, self.to_b, self.identity_weight = to_a, to_b, identity_weight

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.translate(y)

    def translate(self, y: Tensor) -> Tensor:
        """(F(b), G(a)) for y = (a, b), both (n, H, W, 2 C)."""
        a, b = halves(y)
        return concatenate([self.to_a(b), self.to_b(a)], axis=-1)

    def cycle_loss(self, fake: Tensor, y: Tensor) -> Tensor:
        """The mean of |F(G(a)) - a| and |G(F(b)) - b| over all pixels: half of Zhu et al., 2017, equation 2.

        fake: (F(b), G(a)), the translations of y = (a, b), both (n, H, W, 2 C).
        """
        return mean(absolute(self.translate(fake) - y))

    def identity_loss(self, y: Tensor) -> Tensor:
        """The mean of |F(a) - a| and |G(b) - b| for y = (a, b): half of L_identity in Zhu et al., 2017, section 5.2.

        A translator should leave alone what has the right look already. Where both looks have their bright places in
        common, this rules out two translators that both make negatives, which the cycle cannot tell from right ones.
        """
        a, b = halves(y)
        return mean(absolute(self.translate(concatenate([b, a], axis=-1)) - y))

    def term(self, fake: Tensor, real: Tensor, condition: Tensor) -> Tensor:
        """cycle_loss + identity_weight * identity_loss, for the generator's objective."""
        cycle = self.cycle_loss(fake, condition)
        return cycle + self.identity_loss(condition) * self.identity_weight if self.identity_weight else cycle


class CycleDiscriminator(Module):
    """D(x, y): logits (n, h, w, 2) of patches of x = (a, b): of a as a picture of A, and of b as one of B."""

    def __init__(self, of_a: Module, of_b: Module) -> None:
        self.of_a, self.of_b = of_a, of_b

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = halves(x)
        return concatenate([self.of_a(a), self.of_b(b)], axis=-1)


def halves(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The first half of the channels of pictures (n, H, W, 2 C), and the second."""
    channels = pictures.shape[-1] // 2
    return pictures[..., :channels], pictures[..., channels:]


def _networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    to_a, to_b = (UNet(shape, shape[2], s["generator_widths"], rng) for _ in range(2))
    of_a, of_b = (PatchDiscriminator(shape, s["discriminator_widths"], rng) for _ in range(2))
    return CycleGenerator(to_a, to_b, s["identity_weight"]), CycleDiscriminator(of_a, of_b)


def _objective(s: Settings, generator: Any, discriminator: Module) -> dict[str, Any]:
    """Zhu et al., 2017, equation 3. A cycle_weight of 5 is their lambda of 10: cycle_loss is half of theirs, and the
    adversarial loss a quarter, as the mean over both looks of half the squared error."""
    return {"generator_term": generator.term, "generator_term_weight": s["cycle_weight"]}


def _recipe(
    name: str,
    summary: str,
    shape: tuple[int, int, int],
    look: Callable[[np.ndarray], np.ndarray],
    steps: int,
    settings: Settings,
) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        networks=_networks,
        settings={
            "latent_size": 1, "rate": 2e-3, "rate_schedule": "linear", "average": 0.99, "generator_widths": [32, 64],
            "discriminator_widths": [32, 64], "loss": "least-squares", "cycle_weight": 5.0, "image_size": 0,
            "channels": 0, "fit": "crop", **settings,
        },
        steps=steps,
        domain=TwoLooksDomain(shape, look=look),
        meanings={
            "cycle_weight": "what the mean absolute error of the way there and back is multiplied by",
            "identity_weight": "share of that for the error of pictures that have the right look already; 0: left out",
        },
        objective=_objective,
        fixed=("packing",),
    )  # fmt: skip


CYCLE_DIGITS = _recipe(
    "cycle-digits",
    "CycleGAN: from digits to bold black ones on white and back, learned without a single pair",
    (28, 28, 1),
    bold_negative,
    steps=1000,
    settings={"batch_size": 16, "identity_weight": 0.0},
)

STYLE_FACES = _recipe(
    "style-faces",
    "CycleGAN: from photographs to pencil drawings and back, learned without a single pair, for a folder of faces",
    (32, 32, 1),
    pencil_drawing,
    steps=1200,
    # After 380 steps the greys are on the right side with 0.3 to 0.5, and partly negatives with 0.1 or 0.
    settings={"batch_size": 8, "identity_weight": 0.3},
)
