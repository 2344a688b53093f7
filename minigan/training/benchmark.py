"""Times training steps of four reference networks, in rounds in which each network has a turn.

A training step is one update of the discriminator and one of the generator on new latent vectors (see
`GAN.train_step`). `benchmarks/train_step.py` times the same networks in other libraries.
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

LEARNING_RATE, BETA1 = 2e-4, 0.5
MAX_SECONDS = 3600
"""Upper limit of the time for each network; the figures converge long before."""

_SLOPE = 0.2
_FIRST_STEPS = 5  # not timed: kernels compile, and a step is recorded and its first replay compared with a plain run
_MIN_ROUNDS, _MAX_ROUNDS = 5, 12
_UNTIMED_STEPS, _UNTIMED_SECONDS = 5, 0.5  # at most, at the start of each turn: threads wake up, caches fill
_WARM_UP_FRACTION = 0.1  # of the timed seconds
_DCGAN_NORM: dict[str, Any] = {"momentum": 0.9, "eps": 1e-5}
_DCGAN_WEIGHTS: dict[str, Any] = {"initializer": init.dcgan_normal}
# A 4 x 4 convolution with these settings halves the height and width of an image; a transposed one doubles them.
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
    return _gan_and_batch(generator, discriminator, rng.standard_normal((256, 2)), latent_size=2, dtype=dtype)


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
    return _gan_and_batch(generator, discriminator, rng.uniform(-1, 1, (64, 784)), latent_size=100, dtype=dtype)


def dcgan28(dtype: str = "float32") -> tuple[GAN, Any]:
    """Grey images of 28 x 28, batch 64. G: dense to 7 x 7 x 128, then 14 x 14 x 64, then 28 x 28. D: the reverse."""
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
    return _gan_and_batch(generator, discriminator, rng.uniform(-1, 1, (64, 28, 28, 1)), latent_size=100, dtype=dtype)


def dcgan64(dtype: str = "float32") -> tuple[GAN, Any]:
    """Colour images of 64 x 64, batch 64: Radford et al., 2016, figure 1, with half of its channels, 64 to 512."""
    rng = random.generator(0, "bench/dcgan64")
    whole: dict[str, Any] = {"bias": False, **_DCGAN_WEIGHTS}  # a kernel of the size of the image
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
    return _gan_and_batch(generator, discriminator, rng.uniform(-1, 1, (64, 64, 64, 3)), latent_size=100, dtype=dtype)


NETWORKS: dict[str, Callable[..., tuple[GAN, Any]]] = {"toy": toy, "mlp": mlp, "dcgan28": dcgan28, "dcgan64": dcgan64}
"""Functions of a dtype that return (GAN, batch of real data), with the same numbers at every call."""


def build(name: str, dtype: str = "float32") -> tuple[GAN, Any]:
    """(GAN, real batch) of the network called `name`; raises UsageError, naming the nearest, if there is none."""
    try:
        make = NETWORKS[name]
    except KeyError:
        raise UsageError(f"there is no benchmark network '{name}'; {did_you_mean(name, NETWORKS)}") from None
    return make(dtype)


def measure(names: Iterable[str], *, seconds: float = 3.0) -> dict[str, dict[str, float]]:
    """Milliseconds per training step of each named network, from about `seconds` of timed steps (at least 5) for each.

    Returns for each name "median_ms", the quartiles "q1_ms" and "q3_ms", and "steps", the number of timed steps.
    Compilation and the first steps are not timed.
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
    """The durations in seconds of calls of each step, as a list of rounds for each; in a round every step has a turn.

    Turns spread the machine's other load evenly over all steps. Each turn starts with `pause` seconds of sleep, in
    which the spinning threads of the previous step come to rest, and with some calls that are not timed. Slow steps get
    fewer rounds and fewer untimed calls, so that the total is not much longer than `seconds` for each step.
    """
    if not 0 < seconds <= MAX_SECONDS:
        raise UsageError(
            f"the seconds to measure for must be a number above 0 and at most {MAX_SECONDS:,}, not {seconds}."
        )
    duration: dict[str, float] = {}
    for name, step in steps.items():
        for _ in range(_FIRST_STEPS):
            step()
        duration[name] = max(min(_call_for(step, seconds * _WARM_UP_FRACTION)), 1e-9)  # a coarse clock may say 0
    rounds = _clamp(_MIN_ROUNDS, seconds / max(duration.values(), default=1.0), _MAX_ROUNDS)
    times: dict[str, list[list[float]]] = {name: [] for name in steps}
    for turn in range(rounds):
        for name in _rotate(list(steps), turn):
            time.sleep(pause)
            for _ in range(_clamp(0, _UNTIMED_SECONDS / duration[name], _UNTIMED_STEPS)):
                steps[name]()
            times[name].append(_call_for(steps[name], seconds / rounds))
    return times


def summary(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median and quartiles, in milliseconds, of the durations of all rounds, and the number of durations."""
    durations = np.concatenate([np.asarray(durations) for durations in rounds]) * 1e3
    q1, median, q3 = np.percentile(durations, [25, 50, 75])
    return {"median_ms": float(median), "q1_ms": float(q1), "q3_ms": float(q3), "steps": durations.size}


def _gan_and_batch(
    generator: Module, discriminator: Module, real: np.ndarray, *, latent_size: int, dtype: str
) -> tuple[GAN, Any]:
    """A GAN of both networks with Adam, and the real batch on the backend in use."""
    gan = GAN(
        generator.astype(dtype),
        discriminator.astype(dtype),
        NonSaturating(),
        Adam(generator.parameters(), LEARNING_RATE, beta1=BETA1),
        Adam(discriminator.parameters(), LEARNING_RATE, beta1=BETA1),
        latent_size=latent_size,
    )
    return gan, backend.current().asarray(real.astype(dtype))


def _training_step(gan: GAN, real: Any) -> Callable[[], None]:
    library = backend.current()

    def step() -> None:
        gan.train_step(real)
        library.synchronize()  # a GPU has only been told what to do; the step ends when it has done that

    return step


def _call_for(step: Callable[[], Any], seconds: float) -> list[float]:
    """Call `step` for `seconds`, at least once; returns the duration of each call."""
    durations: list[float] = []
    before = start = time.perf_counter()
    while before - start < seconds or not durations:
        step()
        now = time.perf_counter()
        durations.append(now - before)
        before = now
    return durations


def _clamp(minimum: int, count: float, maximum: int) -> int:
    return max(minimum, min(maximum, int(count)))


def _rotate(items: list[str], count: int) -> list[str]:
    count %= max(len(items), 1)
    return items[count:] + items[:count]
