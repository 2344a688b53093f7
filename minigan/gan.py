"""A GAN: a generator, a discriminator, and the game they play (Goodfellow et al., 2014, Algorithm 1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import backend, random
from minigan.autodiff import Tensor, grad, no_grad
from minigan.losses import Loss
from minigan.nn import BatchNorm, Module
from minigan.ops import concatenate
from minigan.optim import Optimizer
from minigan.state import require_fit


class GAN:
    """Two networks, a loss, and an optimiser for each; `step` counts the training steps taken.

    generator: latent (batch, latent_size) to data; discriminator: data to logits (batch, 1). Latent vectors are
    standard normal draws, a pure function of (seed, purpose, step).
    """

    def __init__(
        self,
        generator: Module,
        discriminator: Module,
        loss: Loss,
        generator_optimizer: Optimizer,
        discriminator_optimizer: Optimizer,
        *,
        latent_size: int,
        seed: int = 0,
    ) -> None:
        self.generator, self.discriminator, self.loss = generator, discriminator, loss
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.latent_size, self.seed = latent_size, seed
        self.step = 0
        # Batch norm ties the examples of a batch together; without it reals and fakes can share one pass.
        self._judge_together = not any(isinstance(module, BatchNorm) for module in discriminator.modules())

    def train_step(self, real: Any) -> dict[str, Tensor]:
        """One step of the discriminator and one of the generator, on a batch of real data.

        As in Algorithm 1 with k = 1, except that both players see the same fakes: that spares the generator a
        second pass, and each player's gradient keeps its expectation. Returns scalars on the device, which nothing
        has read yet: "discriminator_loss", "generator_loss", "real_score" = mean D(x), "fake_score" = mean D(G(z)),
        the scores as the discriminator gave them before its update.
        """
        real = real if isinstance(real, Tensor) else Tensor(real)
        fake = self.generator(self.latent(len(real), "train", self.step))
        metrics = self._update_discriminator(real, fake) | self._update_generator(fake)
        self.step += 1
        return metrics

    def _update_discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Descend the discriminator's loss. No gradient goes through G: it is not asked for."""
        logits = self._judge(real, fake)
        loss = self.loss.discriminator(*logits)
        self.discriminator_optimizer.step(grad(loss, self.discriminator_optimizer.parameters))
        return {"discriminator_loss": Tensor(loss), "real_score": _score(logits[0]), "fake_score": _score(logits[1])}

    def _update_generator(self, fake: Tensor) -> dict[str, Tensor]:
        """Descend the generator's loss. D's weights get no gradient: it is not asked for."""
        loss = self.loss.generator(self.discriminator(fake))
        self.generator_optimizer.step(grad(loss, self.generator_optimizer.parameters))
        return {"generator_loss": Tensor(loss)}  # a new Tensor: the loss itself would keep the whole graph in memory

    def _judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if not self._judge_together:
            return self.discriminator(real), self.discriminator(fake)
        logits = self.discriminator(concatenate([real, fake]))
        return logits[: len(real)], logits[len(real) :]

    def first_bad_gradient(self) -> tuple[int, str] | None:
        """(step, parameter) of the first gradient that was not finite, None if all were; waits for the device."""
        found = []
        # In the order of a step: the discriminator learns first.
        for name, optimizer in (
            ("discriminator", self.discriminator_optimizer),
            ("generator", self.generator_optimizer),
        ):
            if bad := optimizer.first_bad_gradient():
                found.append((bad[0], f"{name}.{bad[1]}"))
        return min(found, key=lambda bad: bad[0]) if found else None

    def latent(self, count: int, purpose: str, step: int = 0) -> Tensor:
        """`count` latent vectors (count, latent_size): standard normal, a pure function of (seed, purpose, step)."""
        dtype = self.generator_optimizer.parameters[0].dtype
        draw = random.generator(self.seed, f"latent/{purpose}", step).standard_normal(
            (count, self.latent_size), dtype=dtype.type
        )
        return Tensor(draw)

    def sample(self, latent: Any) -> Tensor:
        """What the generator makes of `latent` (count, latent_size), in use mode: running statistics, no dropout."""
        before = [(module, module.training) for module in self.generator.modules()]
        self.generator.eval()
        try:
            with no_grad():
                return self.generator(latent)
        finally:
            for module, training in before:
                module.training = training

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, copied to the host, by name."""
        state = {"step": np.asarray(self.step, np.int64)}
        for prefix, part in self._parts().items():
            state |= {f"{prefix}.{name}": value for name, value in part.state().items()}
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take what `state` gave; raises ValueError, and changes nothing, unless all of it fits."""
        require_fit(self.state(), state)
        for prefix, part in self._parts().items():
            names = [name for name in state if name.startswith(f"{prefix}.")]
            part.load_state({name.removeprefix(f"{prefix}."): state[name] for name in names})
        self.step = int(state["step"])

    def _parts(self) -> dict[str, Module | Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def _score(logits: Tensor) -> Tensor:
    """mean D = mean sigmoid(logits), for people to watch: outside any graph, so by the shortest formula.

    It is exact where it matters to them: tanh saturates where sigmoid is within a rounding of 0 or 1.
    """
    tanh = backend.of(logits.data).xp.tanh
    return Tensor(tanh(logits.data * 0.5).sum() * (0.5 / logits.size) + 0.5)
