"""Everything numerical in a training step passes through the forward of a primitive or through a kernel.

A step moves nothing between host and device, and does not synchronise: its inputs are drawn, and uploaded, before it.
The tests run steps on the stand-in for CuPy, which reports every array function called; the call stack tells where.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import numpy as np
import pytest
from support import cupy_standin

import minigan as mg
from minigan import autodiff, ops, recipes
from minigan.autodiff import Tensor, engine
from minigan.core import random
from minigan.gan import GAN
from minigan.gan.batches import Batch, as_batch
from minigan.nn import (
    AveragePool2d,
    BatchNorm,
    Dense,
    Flatten,
    FourierFeatures,
    Maxout,
    MaxPool2d,
    Module,
    Reshape,
    Sequential,
    Upsample2d,
)
from minigan.selftest.recipes import enlarge, examples, narrowed
from minigan.selftest.sampler import Sampler
from minigan_kernels import reference

ROOT = Path(__file__).resolve().parents[2]
STANDIN = cupy_standin.FOLDER

MOVES = {"minigan/core/backend.py", "minigan/autodiff/engine.py"}
"""Files of Tensor(...) and asarray; an upload is attributed to their caller."""

SMALL = {"generator_widths": [5, 4], "discriminator_widths": [4, 5]}
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "wgan-gp": ("ring-plain", SMALL | {"loss": "wasserstein", "penalty": "wgan-gp", "n_critic": 3}),
    "wgan": (
        "ring-plain",
        SMALL | {"loss": "wasserstein", "n_critic": 5, "weight_limit": 0.05, "optimizer": "rmsprop"},
    ),
    "dragan": (
        "ring-plain",
        SMALL | {"penalty": "dragan+r1", "penalty_every": 3, "penalty_anneal": 0.5, "penalty_end": 0.1},
    ),
    "zero-centred": ("ring-plain", SMALL | {"penalty": "zero-centred", "packing": 2, "simultaneous": 1}),
    "unrolled": ("ring-plain", SMALL | {"unroll_steps": 3, "packing": 2}),
    "smoothed": (
        "ring-plain",
        SMALL | {"label_smoothing": 0.1, "instance_noise": 0.2, "rate_schedule": "cosine", "optimizer": "sgd"},
    ),
    "clipped": ("ring-plain", SMALL | {"loss": "least-squares", "gradient_limit": 0.1, "average": 0.9, "n_critic": 2}),
    "minimax": ("ring-plain", SMALL | {"loss": "minimax", "penalty": "r1+r2", "penalty_every": 2, "simultaneous": 1}),
    "spectral": ("mnist-mlp-sigmoid", SMALL | {"spectral_norm": 1, "loss": "hinge"}),
    "spectral-conv": ("mnist-dcgan", {"spectral_norm": 1, "loss": "relativistic-average"}),
    "relativistic-pairing": ("mnist-mlp", {"loss": "relativistic-pairing"}),
    "dropout-r2": ("mnist-mlp-sigmoid", SMALL | {"penalty": "r2", "unroll_steps": 1}),
}


def _allowed_code() -> frozenset[CodeType]:
    """The code of every forward of a primitive and of every kernel."""
    modules = [
        engine,
        *(importlib.import_module(f"minigan.ops.{m.name}") for m in pkgutil.walk_packages(ops.__path__)),
    ]
    found = {kernel.__code__ for kernel in reference.KERNELS}
    for value in (value for module in modules for value in vars(module).values()):
        if isinstance(getattr(value, "rule", None), autodiff.Rule):
            held = dict(zip(value.__code__.co_freevars, value.__closure__, strict=True))
            found.add(held["forward"].cell_contents.__code__)
    return frozenset(found)


ALLOWED_CODE = _allowed_code()


def _callers() -> Iterator[FrameType]:
    """The stack frames that led to the current call of the device, the innermost first."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(STANDIN):
            yield frame
        frame = frame.f_back


def _file(frame: FrameType) -> str | None:
    """The file of a frame, relative to the repository; None for code from elsewhere."""
    path = Path(frame.f_code.co_filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None


class Escapes:
    """Counts the calls of the device outside of primitives and kernels, by "file:line function"."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self.calls = 0

    def __call__(self, name: str) -> None:
        self.calls += 1
        callers = list(_callers())
        if not any(frame.f_code in ALLOWED_CODE for frame in callers):
            skipped = MOVES if name == "upload" else set()
            file, line = next((file, f.f_lineno) for f in callers if (file := _file(f)) and file not in skipped)
            self.found[f"{file}:{line} {name}"] += 1


@pytest.fixture
def on_the_device(standin: ModuleType) -> ModuleType:
    mg.use("cupy", "reference")
    return standin._standin


def _gan(recipe: str, changes: dict[str, Any]) -> tuple[GAN, list[Batch]]:
    """A GAN and the data of two steps; in these a lazy penalty and the moving average are due."""
    chosen = recipes.get(recipe)
    gan = chosen.build(**narrowed(chosen) | changes)
    sampler = Sampler(1, "escapes", "float32")
    enlarge(gan, sampler)
    gan.step = 9
    drawn = [examples(chosen, sampler, 4 * gan.rules.n_critic) for _ in range(2)]
    return gan, [as_batch(batch, np.dtype("float32")) for batch in drawn]


def _escapes(device: ModuleType, gan: GAN, batches: list[Batch]) -> Escapes:
    escapes = Escapes()
    for real in batches:
        inputs = gan.draw(real)
        with device.count_synchronisations() as synchronisations, device.observed(escapes):
            gan.run_step(inputs)
        gan.step += 1
        assert synchronisations.count == 0
    assert escapes.calls > 100
    return escapes


@pytest.mark.parametrize("name", [*recipes.RECIPES, *RULES])
def test_nothing_numerical_escapes(name: str, on_the_device: ModuleType) -> None:
    assert _escapes(on_the_device, *_gan(*RULES.get(name, (name, {})))).found == {}


class OtherLayers(Module):
    """A discriminator of images (n, 6, 6, 1) with the layers that no recipe has."""

    def __init__(self, rng: np.random.Generator, last: Module | None = None) -> None:
        self.pools = Sequential(AveragePool2d(3, stride=1, padding=1), MaxPool2d(2), Flatten())
        self.features = Sequential(FourierFeatures(9, 3, rng), Dense(15, 8, rng), Maxout(2), BatchNorm(4).eval())
        self.last = last or Dense(4, 1, rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(self.pools(x)))


def _gan_of_other_layers(last: Module | None = None) -> tuple[GAN, list[Tensor]]:
    rng = np.random.default_rng(7)
    generator = Sequential(Dense(2, 9, rng), BatchNorm(9), Reshape(3, 3, 1), Upsample2d())
    discriminator = OtherLayers(rng, last)
    optimizers = [mg.optim.SGD(network.parameters(), 0.1) for network in (generator, discriminator)]
    gan = GAN(generator, discriminator, mg.losses.get("least-squares"), *optimizers, latent_size=2)
    return gan, [Tensor(rng.standard_normal((4, 6, 6, 1)).astype(np.float32))]


@pytest.mark.slow
def test_nothing_escapes_from_other_layers(on_the_device: ModuleType) -> None:
    assert _escapes(on_the_device, *_gan_of_other_layers()).found == {}


class RawArithmetic(Dense):
    """A layer that computes on raw arrays in its forward."""

    def forward(self, x: Tensor) -> Tensor:
        scale = Tensor(abs(x.data).max() + 1.0)
        return super().forward(x / scale)


def test_an_escape_is_reported_by_file_and_line(on_the_device: ModuleType) -> None:
    found = list(_escapes(on_the_device, *_gan_of_other_layers(RawArithmetic(4, 1, np.random.default_rng(1)))).found)
    line = inspect.getsourcelines(RawArithmetic.forward)[1] + 1
    assert found == [f"tests/gan/test_step_is_pure.py:{line} {name}" for name in ("absolute", "max", "add")]


def test_raw_arithmetic_in_a_derivative_escapes(on_the_device: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def vjp(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return Tensor(g.data * y.data)

    monkeypatch.setattr(ops.exp.rule, "vjps", (vjp,))
    escapes, x = Escapes(), Tensor([1.0, 2.0])
    y = ops.sum(ops.exp(x))
    with on_the_device.observed(escapes):
        autodiff.grad(y, [x])
    line = inspect.getsourcelines(vjp)[1] + 1
    assert list(escapes.found) == [f"tests/gan/test_step_is_pure.py:{line} multiply"]


def test_an_upload_is_reported(on_the_device: ModuleType) -> None:
    escapes = Escapes()
    with on_the_device.observed(escapes):
        ops.exp(np.ones(3))
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert list(escapes.found) == [f"tests/gan/test_step_is_pure.py:{line} upload"]


@pytest.mark.parametrize("step", [0, 7, 2**64 - 1])
def test_a_random_stream_is_determined_by_its_key_and_counter(step: int) -> None:
    """As in Salmon et al., 2011: NumPy's Philox, given key and counter directly."""
    key = np.array([2**64 - 3, zlib.crc32(b"latent/train")], np.uint64)
    expected = np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, step], np.uint64)))
    found = random.generator(2**64 - 3, "latent/train", step)
    assert found.standard_normal(9).tobytes() == expected.standard_normal(9).tobytes()
    assert copy.deepcopy(found).standard_normal(9).tobytes() == expected.standard_normal(9).tobytes()
