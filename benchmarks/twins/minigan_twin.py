"""minigan itself, seen as the peers are: its own `GAN.train_step`, autodiff included."""

from __future__ import annotations

from typing import Any

from twins.make import Evidence, parameters


class MiniganTwin:
    """See `make_twin`; its noise is its own, and the others are given the same."""

    def __init__(self, gan: Any, real: Any) -> None:
        self.gan, self.real = gan, real

    def step(self) -> None:
        self.gan.train_step(self.real)

    def latents(self, count: int) -> list[Any]:
        """The noise of the first `count` steps."""
        return [self.gan.latent(len(self.real), "train", step).data for step in range(count)]

    def losses_and_gradients(self) -> Evidence:
        """Of the step to come, exactly as `train_step` computes them, which then updates nothing."""
        optimizers = {"discriminator": self.gan.discriminator_optimizer, "generator": self.gan.generator_optimizer}
        seen: dict[str, list[Any]] = {}
        for player, optimizer in optimizers.items():
            optimizer.step = lambda gradients, player=player: seen.update({player: gradients})
        try:
            said = self.gan.train_step(self.real)
        finally:
            for optimizer in optimizers.values():
                del optimizer.step
            self.gan.step -= 1
        evidence = {f"{player} gradients": [g.numpy() for g in gradients] for player, gradients in seen.items()}
        return evidence | {f"{player} loss": [said[f"{player}_loss"].numpy()] for player in optimizers}

    def weights(self) -> Evidence:
        players = {"discriminator": self.gan.discriminator, "generator": self.gan.generator}
        return {f"{player} weights": parameters(network) for player, network in players.items()}
