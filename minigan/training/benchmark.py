"""How long a training step takes: reference networks, and a clock that takes turns among them.

One training step is one step of the discriminator and one of the generator (see `GAN.train_step`), with the update
of both and fresh latent noise. `benchmarks/train_step.py` times the same networks in other libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigan.core import backend, random
from minigan.core.errors import UsageError, did_you_mean
from minigan.gan import GAN
from minigan.gan.losses import NonSaturating
from minigan.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
    init,
)
from minigan.optim import Adam

RATE, BETA1 = 2e-4, 0.5
MOST_SECONDS = 3600
"""The longest that each network is timed: the figures have settled long before."""

_SLOPE = 0.2
_FIRST_STEPS = 5  # untimed: kernels compile, and minigan records a step and compares its first replay with a plain one
_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 12
_UNTIMED_STEPS, _UNTIMED_SECONDS = 5, 0.5  # at most, after each change of turn: threads wake, caches fill
_WARM_UP_SHARE = 0.1  # of the timed seconds
_DCGAN_NORM: dict[str, Any] = {"momentum": 0.9, "eps": 1e-5}
_DCGAN_WEIGHTS: dict[str, Any] = {"initializer": init.dcgan_normal}
# A kernel of 4 x 4 with these halves a picture, or doubles it.
_TIMES_TWO: dict[str, Any] = {"stride": 2, "padding": 1, **_DCGAN_WEIGHTS}


def toy(dtype: str = "float32") -> tuple[GAN, Any]:
    """Points in the plane: G 2-128-128-2, D 2-128-128-1, batch 256."""
    rng = random.generator(0, "bench/toy")
    generator = Sequential(
        Dense(2, 128, rng), LeakyReLU(_SLOPE), Dense(128, 128, rng), LeakyReLU(_SLOPE), Dense(128, 2, rng)
    )
    discriminator = Sequential(
        Dense(2, 128, rng), LeakyReLU(_SLOPE), Dense(128, 128, rng), LeakyReLU(_SLOPE), Dense(128, 1, rng)
    )
    return _game(generator, discriminator, rng.standard_normal((256, 2)), latent_size=2, dtype=dtype)


def mlp(dtype: str = "float32") -> tuple[GAN, Any]:
    """Images of 28 x 28 as vectors: G 100-256-512-1024-784 with batch norm, D 784-512-256-1, batch 64."""
    rng = random.generator(0, "bench/mlp")
    generator = Sequential(
        Dense(100, 256, rng), LeakyReLU(_SLOPE),
        Dense(256, 512, rng), BatchNorm(512, eps=0.8), LeakyReLU(_SLOPE),
        Dense(512, 1024, rng), BatchNorm(1024, eps=0.8), LeakyReLU(_SLOPE),
        Dense(1024, 784, rng), Tanh(),
    )  # fmt: skip
    discriminator = Sequential(
        Dense(784, 512, rng), LeakyReLU(_SLOPE), Dense(512, 256, rng), LeakyReLU(_SLOPE), Dense(256, 1, rng)
    )
    return _game(generator, discriminator, rng.uniform(-1, 1, (64, 784)), latent_size=100, dtype=dtype)


def dcgan28(dtype: str = "float32") -> tuple[GAN, Any]:
    """Grey images of 28 x 28, batch 64. G: dense to 7 x 7 x 128, up to 14 x 14 x 64, up to 28 x 28. D: the way back."""
    rng = random.generator(0, "bench/dcgan28")
    generator = Sequential(
        Dense(100, 7 * 7 * 128, rng, **_DCGAN_WEIGHTS), BatchNorm(7 * 7 * 128, **_DCGAN_NORM), LeakyReLU(_SLOPE),
        Reshape(7, 7, 128),
        ConvTranspose2d(128, 64, 4, rng, **_TIMES_TWO), BatchNorm(64, **_DCGAN_NORM), LeakyReLU(_SLOPE),
        ConvTranspose2d(64, 1, 4, rng, **_TIMES_TWO), Tanh(),
    )  # fmt: skip
    discriminator = Sequential(
        Conv2d(1, 64, 4, rng, **_TIMES_TWO), LeakyReLU(_SLOPE),
        Conv2d(64, 128, 4, rng, **_TIMES_TWO), BatchNorm(128, **_DCGAN_NORM), LeakyReLU(_SLOPE),
        Flatten(), Dense(7 * 7 * 128, 1, rng, **_DCGAN_WEIGHTS),
    )  # fmt: skip
    return _game(generator, discriminator, rng.uniform(-1, 1, (64, 28, 28, 1)), latent_size=100, dtype=dtype)


def dcgan64(dtype: str = "float32") -> tuple[GAN, Any]:
    """Colour images of 64 x 64, batch 64: Radford et al., 2016, figure 1, with 64 to 512 channels, half of theirs."""
    rng = random.generator(0, "bench/dcgan64")
    whole: dict[str, Any] = {"bias": False, **_DCGAN_WEIGHTS}  # a kernel as large as its picture
    times_two: dict[str, Any] = {"bias": False, **_TIMES_TWO}
    generator = Sequential(
        Reshape(1, 1, 100),
        ConvTranspose2d(100, 512, 4, rng, **whole), BatchNorm(512, **_DCGAN_NORM), ReLU(),
        ConvTranspose2d(512, 256, 4, rng, **times_two), BatchNorm(256, **_DCGAN_NORM), ReLU(),
        ConvTranspose2d(256, 128, 4, rng, **times_two), BatchNorm(128, **_DCGAN_NORM), ReLU(),
        ConvTranspose2d(128, 64, 4, rng, **times_two), BatchNorm(64, **_DCGAN_NORM), ReLU(),
        ConvTranspose2d(64, 3, 4, rng, **times_two), Tanh(),
    )  # fmt: skip
    discriminator = Sequential(
        Conv2d(3, 64, 4, rng, **times_two), LeakyReLU(_SLOPE),
        Conv2d(64, 128, 4, rng, **times_two), BatchNorm(128, **_DCGAN_NORM), LeakyReLU(_SLOPE),
        Conv2d(128, 256, 4, rng, **times_two), BatchNorm(256, **_DCGAN_NORM), LeakyReLU(_SLOPE),
        Conv2d(256, 512, 4, rng, **times_two), BatchNorm(512, **_DCGAN_NORM), LeakyReLU(_SLOPE),
        Conv2d(512, 1, 4, rng, **whole), Flatten(),
    )  # fmt: skip
    return _game(generator, discriminator, rng.uniform(-1, 1, (64, 64, 64, 3)), latent_size=100, dtype=dtype)


NETWORKS: dict[str, Callable[..., tuple[GAN, Any]]] = {"toy": toy, "mlp": mlp, "dcgan28": dcgan28, "dcgan64": dcgan64}
"""Each makes (a fresh GAN, a batch of real data for it); the same at every call."""


def build(name: str, dtype: str = "float32") -> tuple[GAN, Any]:
    """(GAN, real batch) of the network called `name`; raises UsageError, naming the nearest, if there is none."""
    try:
        maker = NETWORKS[name]
    except KeyError:
        raise UsageError(f"there is no benchmark network '{name}'; {did_you_mean(name, NETWORKS)}") from None
    return maker(dtype)


def measure(names: Iterable[str], *, seconds: float = 3.0) -> dict[str, dict[str, float]]:
    """Milliseconds per training step of each named network, from about `seconds` of timed steps (at least 5) for each.

    Gives for each name "median_ms", "q1_ms" and "q3_ms" (the quartiles) and "steps", the number of steps timed.
    Compilation and the first steps are not counted.
    Raises UsageError for an unknown name or seconds out of bounds, before anything is timed.
    """
    steps = {name: _training_step(*build(name)) for name in names}
    rounds = timed_rounds(steps, seconds=seconds)
    return {name: summary(times) for name, times in rounds.items()}


def timed_rounds(
    steps: Mapping[str, Callable[[], Any]],
    *,
    seconds: float,
    pause: float = 0.0,
) -> dict[str, list[list[float]]]:
    """The duration in seconds of calls of each step, in rounds in which each has a turn.

    Taking turns spreads whatever else the machine does evenly over all of them. Each turn starts with `pause`
    seconds of sleep, in which the spinning threads of the one before come to rest, and some untimed calls. Slow steps
    get fewer rounds and untimed calls, so that the whole takes not much longer than `seconds` for each of them.
    """
    if not 0 < seconds <= MOST_SECONDS:
        raise UsageError(
            f"the seconds to measure for must be a number above 0 and at most {MOST_SECONDS:,}, not {seconds}."
        )
    lasts: dict[str, float] = {}
    for name, step in steps.items():
        for _ in range(_FIRST_STEPS):
            step()
        lasts[name] = max(min(_call_for(step, seconds * _WARM_UP_SHARE)), 1e-9)  # a coarse clock may say 0
    rounds = _within(_FEWEST_ROUNDS, seconds / max(lasts.values(), default=1.0), _MOST_ROUNDS)
    times: dict[str, list[list[float]]] = {name: [] for name in steps}
    for turn in range(rounds):
        for name in _rotated(list(steps), turn):
            time.sleep(pause)
            for _ in range(_within(0, _UNTIMED_SECONDS / lasts[name], _UNTIMED_STEPS)):
                steps[name]()
            times[name].append(_call_for(steps[name], seconds / rounds))
    return times


def summary(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median and quartiles, in milliseconds, of the durations of all rounds, and how many there are."""
    durations = np.concatenate([np.asarray(durations) for durations in rounds]) * 1e3
    q1, median, q3 = np.percentile(durations, [25, 50, 75])
    return {"median_ms": float(median), "q1_ms": float(q1), "q3_ms": float(q3), "steps": durations.size}


def _game(
    generator: Module, discriminator: Module, real: np.ndarray, *, latent_size: int, dtype: str
) -> tuple[GAN, Any]:
    """The GAN of both networks with its optimisers, and the real batch on the backend in use."""
    gan = GAN(
        generator.astype(dtype),
        discriminator.astype(dtype),
        NonSaturating(),
        Adam(generator.parameters(), RATE, beta1=BETA1),
        Adam(discriminator.parameters(), RATE, beta1=BETA1),
        latent_size=latent_size,
    )
    return gan, backend.current().asarray(real.astype(dtype))


def _training_step(gan: GAN, real: Any) -> Callable[[], float]:
    def step() -> float:
        # Reading what was computed last waits for everything before it: on a GPU the step is over only then.
        return gan.train_step(real)["fake_score"].item()

    return step


def _call_for(step: Callable[[], Any], seconds: float) -> list[float]:
    """Call `step` until `seconds` are over, at least once; how long each call took."""
    durations: list[float] = []
    before = start = time.perf_counter()
    while before - start < seconds or not durations:
        step()
        now = time.perf_counter()
        durations.append(now - before)
        before = now
    return durations


def _within(least: int, count: float, most: int) -> int:
    return max(least, min(most, int(count)))


def _rotated(items: list[str], places: int) -> list[str]:
    places %= max(len(items), 1)
    return items[places:] + items[:places]
