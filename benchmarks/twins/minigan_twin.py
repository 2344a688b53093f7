"""minigan's own `GAN.train_step`, autodiff included, with the interface of the peers."""

from __future__ import annotations

from typing import Any

from twins.arrays import Results, parameters


class MiniganTwin:
    """See `make_twin`; the other implementations receive the same noise from it."""

    def __init__(self, gan: Any, real: Any) -> None:
        self.gan, self.real = gan, real

    def step(self) -> None:
        self.gan.train_step(self.real)

    def latents(self, count: int) -> list[Any]:
        """The noise of the first `count` steps."""
        return [self.gan.latent(len(self.real), "train", step).data for step in range(count)]

    def losses_and_gradients(self) -> Results:
        """Those of the next step, exactly as `train_step` computes them, but without any update."""
        optimizers = {"discriminator": self.gan.discriminator_optimizer, "generator": self.gan.generator_optimizer}
        gradients_of: dict[str, list[Any]] = {}
        for player, optimizer in optimizers.items():
            optimizer.step = lambda gradients, numbers=None, player=player: gradients_of.update({player: gradients})
        try:
            losses = self.gan.train_step(self.real)
        finally:
            for optimizer in optimizers.values():
                del optimizer.step
            self.gan.step -= 1
        results = {f"{player} gradients": [g.numpy() for g in gradients] for player, gradients in gradients_of.items()}
        return results | {f"{player} loss": [losses[f"{player}_loss"].numpy()] for player in optimizers}

    def weights(self) -> Results:
        players = {"discriminator": self.gan.discriminator, "generator": self.gan.generator}
        return {f"{player} weights": parameters(network) for player, network in players.items()}
