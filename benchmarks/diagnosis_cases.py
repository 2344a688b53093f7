"""Runs for benchmarks/diagnosis.py: some in which something goes wrong, and some in which nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import recipes
from minigan.autodiff import Tensor, grad
from minigan.core import random
from minigan.data import mixtures, mnist
from minigan.gan import GAN, GradientObserver, losses, penalties
from minigan.gan.rules import Rules
from minigan.nn import Dense, LeakyReLU, Sequential
from minigan.optim import SGD, Adam, Optimizer

Data = Callable[[int], Tensor]  # the batch of a step


@dataclass(frozen=True)
class Run:
    """`make(seed)` gives a GAN and its data; `expected` is the name of what goes wrong, "" if nothing does."""

    name: str
    make: Callable[[int], tuple[GAN, Data]]
    steps: int
    expected: str = ""


class UserWrittenStep(GAN):
    """Algorithm 1 as users write it, with a method for each place where they make mistakes."""

    def train_step(self, real: Any, observe: GradientObserver | None = None) -> dict[str, Tensor]:
        """One step of each player."""
        fake = self.fakes(len(real))
        self.descend("discriminator", self.discriminator_loss(real, fake), observe)
        self.descend("generator", self.generator_loss(fake), observe)
        self.step += 1
        return {}

    def descend(self, player: str, loss: Tensor, observe: GradientObserver | None) -> None:
        """An update of a player."""
        optimizer: Optimizer = getattr(self, f"{player}_optimizer")
        gradients = grad(loss, optimizer.parameters)
        if observe is not None:
            observe(player, gradients)
        optimizer.step(gradients)

    def fakes(self, count: int) -> Tensor:
        """The generated examples."""
        return self.generator(self.latent(count, "train", self.step))

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """With the penalty, if there is one."""
        loss = self.loss.discriminator(self.discriminator(real), self.discriminator(fake))
        if self.penalty is None:
            return loss
        draws = random.generator(self.seed, "penalty", self.step)
        return self.with_penalty(loss, self.penalty(self.discriminator, real, fake, draws) * self.penalty_weight)

    def with_penalty(self, loss: Tensor, penalty: Tensor) -> Tensor:
        """Their sum."""
        return loss + penalty

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Of the fakes that the discriminator has seen."""
        return self.loss.generator(self.discriminator(fake))


class DetachedFakes(UserWrittenStep):
    """The fakes are copies of the numbers, through which no gradient passes."""

    def fakes(self, count: int) -> Tensor:
        return Tensor(super().fakes(count).data)


class DetachedLogits(UserWrittenStep):
    """The discriminator's loss is computed from copies of the logits."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        logits = (Tensor(self.discriminator(x).data) for x in (real, fake))
        return self.loss.discriminator(*logits)


class ClimbingGenerator(UserWrittenStep):
    """The generator maximises what it should minimise."""

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -super().generator_loss(fake)


class ClimbingCritic(UserWrittenStep):
    """The critic minimises mean real - mean fake: the paper's ascent, taken for a loss."""

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -super().discriminator_loss(real, fake)


class SubtractedPenalty(UserWrittenStep):
    """The penalty is subtracted, as if it were a reward."""

    def with_penalty(self, loss: Tensor, penalty: Tensor) -> Tensor:
        return loss - penalty


class MissingMinus(losses.NonSaturating):
    """A generator loss without its minus sign: log D instead of -log D."""

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        return -super().generator(fake_logits, real_logits)


def negative_gp(*arguments: Any) -> Tensor:
    """A user's own penalty, which is negative."""
    return -penalties.wgan_gp(*arguments)


def plane(
    seed: int,
    loss: str | losses.Loss = "non-saturating",
    *,
    rates: tuple[float, float] = (1e-3, 1e-3),
    beta1: float = 0.5,
    kind: type[GAN] = GAN,
    **options: Any,
) -> GAN:
    """Small networks for points in the plane; `rates` of the generator and the discriminator."""
    rng = random.generator(seed, "initial weights")
    generator = Sequential(Dense(8, 64, rng), LeakyReLU(0.2), Dense(64, 64, rng), LeakyReLU(0.2), Dense(64, 2, rng))
    discriminator = Sequential(Dense(2, 64, rng), LeakyReLU(0.2), Dense(64, 64, rng), LeakyReLU(0.2), Dense(64, 1, rng))
    return kind(
        generator,
        discriminator,
        losses.get(loss) if isinstance(loss, str) else loss,
        Adam(generator.parameters(), rates[0], beta1=beta1),
        Adam(discriminator.parameters(), rates[1], beta1=beta1),
        latent_size=8,
        seed=seed,
        **options,
    )


def points(target: str, seed: int, batch: int = 128, scale: float = 1.0, shift: float = 0.0) -> Data:
    """Points of a target, at unit root mean square, then scaled and shifted."""
    shape = mixtures.get(target)
    unit = np.sqrt((shape.sample(10_000, np.random.default_rng(0)) ** 2).mean())

    def draw(step: int) -> Tensor:
        drawn = shape.sample(batch, random.generator(seed, "data", step)) / unit
        return Tensor((drawn * scale + shift).astype(np.float32))

    return draw


def digits(recipe: str, seed: int, **settings: Any) -> tuple[GAN, Data]:
    """A recipe and the embedded digits."""
    chosen = recipes.get(recipe)
    gan = chosen.build(seed=seed, **settings)
    batch = chosen.resolve(settings)["batch_size"]
    domain = chosen.domain
    return gan, mnist.embedded().batches(
        batch, labels=False, seed=seed, value_range=domain.value_range, flat=domain.flat
    )


def bytes_for_pixels(seed: int) -> tuple[GAN, Data]:
    """Digits from 0 to 255 for a generator that ends in tanh."""
    gan, data = digits("mnist-mlp", seed)
    return gan, lambda step: data(step) * 127.5 + 127.5


def rebuilt_generator(seed: int) -> tuple[GAN, Data]:
    """The generator was built again after its optimiser had been made."""
    gan = plane(seed)
    gan.generator = plane(seed + 1).generator
    return gan, points("ring", seed)


def with_gradient_descent(gan: GAN, rate: float) -> GAN:
    """`gan` with plain gradient descent for both players."""
    gan.generator_optimizer = SGD(gan.generator.parameters(), rate)
    gan.discriminator_optimizer = SGD(gan.discriminator.parameters(), rate)
    return gan


def _failing(name: str, expected: str, steps: int, make: Callable[[int], GAN], **data: Any) -> Run:
    target = data.pop("target", "ring")
    return Run(name, lambda seed: (make(seed), points(target, seed, **data)), steps, expected)


_GP: dict[str, Any] = {"penalty": penalties.wgan_gp, "penalty_weight": 1.0}
_R1: dict[str, Any] = {"penalty": penalties.r1, "penalty_weight": 1.0}
_FAR: dict[str, Any] = {"shift": 10.0}  # data far from the generator's samples, so that they are easy to tell apart

FAILURES = [
    _failing("ring, generator twenty times as fast: a clump that wanders", "mode-collapse", 1500,
             lambda s: plane(s, rates=(2e-3, 1e-4))),
    _failing("grid, hinge, generator ten times as fast", "mode-collapse", 1000,
             lambda s: plane(s, "hinge", rates=(2e-2, 2e-3)), target="grid"),
    Run("digits, all learning rates a hundredfold", lambda s: digits("mnist-mlp", s, rate=2e-2), 1000,
        "saturated-discriminator"),
    _failing("far ring, slow generator, fast discriminator", "saturated-discriminator", 600,
             lambda s: plane(s, rates=(1e-5, 5e-3)), **_FAR),
    _failing("far ring, minimax, slow generator", "vanishing-gradient", 600,
             lambda s: plane(s, "minimax", rates=(1e-5, 5e-3)), **_FAR),
    _failing("far ring, minimax, five updates of the discriminator", "vanishing-gradient", 600,
             lambda s: plane(s, "minimax", rates=(1e-4, 1e-3), rules=Rules(n_critic=5)), batch=640, **_FAR),
    _failing("ring, Wasserstein critic without a constraint", "exploding-gradient", 800,
             lambda s: plane(s, "wasserstein", rules=Rules(n_critic=5)), batch=640),
    _failing("ring, gradient descent at rate 5", "exploding-gradient", 300,
             lambda s: with_gradient_descent(plane(s), 5.0)),
    _failing("ring, fakes detached", "detached-generator", 300, lambda s: plane(s, kind=DetachedFakes)),
    _failing("far ring, minimax, fakes detached", "detached-generator", 300,
             lambda s: plane(s, "minimax", kind=DetachedFakes), **_FAR),
    _failing("ring, logits detached", "detached-discriminator", 300, lambda s: plane(s, kind=DetachedLogits)),
    Run("ring, optimiser of an earlier generator", rebuilt_generator, 300, "wrong-parameters"),
    Run("digits from 0 to 255, tanh", bytes_for_pixels, 100, "data-range"),
    _failing("ring, penalty with a negative weight", "penalty-sign", 300,
             lambda s: plane(s, "wasserstein", penalty=penalties.wgan_gp, penalty_weight=lambda step: -1.0)),
    _failing("ring, a negative penalty", "penalty-sign", 300,
             lambda s: plane(s, "wasserstein", penalty=negative_gp)),
    _failing("ring, R1 subtracted in a step of one's own", "penalty-sign", 600,
             lambda s: plane(s, kind=SubtractedPenalty, **_R1)),
    _failing("grid, R1 subtracted, hinge", "penalty-sign", 600,
             lambda s: plane(s, "hinge", kind=SubtractedPenalty, **_R1), target="grid"),
    _failing("ring, the generator climbs, non-saturating", "generator-sign", 600,
             lambda s: plane(s, kind=ClimbingGenerator)),
    _failing("ring, the generator climbs, hinge", "generator-sign", 600,
             lambda s: plane(s, "hinge", kind=ClimbingGenerator)),
    _failing("ring, a loss of the generator without its minus", "generator-sign", 300,
             lambda s: plane(s, MissingMinus())),
    _failing("ring, critic's ascent taken for a loss", "discriminator-sign", 600,
             lambda s: plane(s, "wasserstein", kind=ClimbingCritic)),
]  # fmt: skip


def _games() -> Iterator[tuple[str, Callable[[int], GAN], int]]:
    """(name, GAN, updates of the discriminator in a step)."""
    soft: dict[str, Any] = {"penalty": penalties.r1, "penalty_weight": 0.1}
    for loss in ("minimax", "non-saturating", "least-squares", "relativistic-pairing"):
        yield loss, lambda s, loss=loss: plane(s, loss), 1
    for loss in ("non-saturating", "hinge", "relativistic-average"):
        yield f"{loss}, R1", lambda s, loss=loss: plane(s, loss, **soft), 1
    dragan: dict[str, Any] = {"penalty": penalties.dragan, "penalty_weight": 0.1, "rates": (3e-4, 1e-3)}
    yield "non-saturating, DRAGAN", lambda s: plane(s, **dragan), 1
    yield "non-saturating, R1 every 4 steps", lambda s: plane(s, **soft, penalty_every=4), 1
    yield "wasserstein, GP", lambda s: plane(s, "wasserstein", rules=Rules(n_critic=3), **_GP), 3


def _healthy() -> Iterator[Run]:
    for target in ("ring", "grid", "two-gaussians", "swiss-roll"):
        for name, make, updates in _games():
            yield Run(
                f"{target}, {name}",
                lambda s, t=target, m=make, n=updates: (m(s), points(t, s, 128 * n)),  # type: ignore[misc]
                600,
            )
    for number in range(3):
        yield Run(f"digits, mnist-mlp {number}", lambda s, i=number: digits("mnist-mlp", s + i), 600)
    for loss in ("minimax", "hinge", "least-squares"):
        yield Run(f"digits, mnist-mlp, {loss}", lambda s, loss=loss: digits("mnist-mlp", s, loss=loss), 600)
    yield Run("digits, mnist-mlp-sigmoid", lambda s: digits("mnist-mlp-sigmoid", s), 600)
    for number in range(3):
        yield Run(f"digits, mnist-dcgan {number}", lambda s, i=number: digits("mnist-dcgan", s + i), 300)


HEALTHY = list(_healthy())
