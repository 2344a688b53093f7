"""Dry runs of a GAN's training: they tell which kernels it needs, so that these are compiled together.

See `minigan_kernels.compile_ahead`. A dry run works on a copy of the GAN, and its kernels compute nothing. It calls no
code from outside minigan, such as a layer or penalty of the user's own, which could print, count its calls or draw
random numbers: for such a GAN there is none, and its kernels are compiled one after another.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FunctionType, MethodType
from typing import Any

from minigan.autodiff.engine import recording
from minigan.core import backend
from minigan.gan.inputs import StepInputs
from minigan.gan.interface import GANInterface
from minigan.gan.replay import Replay
from minigan.nn import Module
from minigan_kernels import compile_ahead

_STEPS = 2  # packed weights are kept, and thus made by themselves, from their second use on
_KNOWN_PACKAGES = ("minigan", "minigan_kernels", "numpy", "cupy", "builtins", "weakref")


def announced_step(gan: GANInterface, inputs: StepInputs) -> AbstractContextManager[None]:
    """A context for a step of `gan` on `inputs`: the kernels that it lacks are compiled together."""

    def dry_run() -> None:
        if backend.recorder is not None or not _is_known([gan, inputs], {}):  # a recorder would record the dry run, too
            return
        twin, twin_inputs = copy.deepcopy((gan, inputs))  # in one call, because the inputs name layers of the GAN
        with recording(True):
            for _ in range(_STEPS):
                twin.run_step(twin_inputs)

    return compile_ahead.announced(dry_run)


def announced_training(gan: Any, batch: Callable[[], Any]) -> AbstractContextManager[None]:
    """A context for the first uses of `gan`, which is to be trained on batches such as `batch()`."""

    def dry_run() -> None:
        if not _is_known(gan, {}):
            return
        twin = copy.deepcopy(gan)
        first = batch()
        twin.sample(twin.latent(1, "samples"), first[1][:1] if isinstance(first, tuple) else None)
        twin.generator.train()  # the kernel that is missing may be one of a pass in evaluation mode, without a graph
        twin.discriminator.train()
        with recording(True):
            for _ in range(_STEPS):
                twin.train_step(batch())

    return compile_ahead.announced(dry_run)


def _is_known(x: Any, seen: dict[int, Any]) -> bool:
    """Whether the classes and functions of `x`, and of all that it refers to, are minigan's or of an array library."""
    if id(x) in seen or isinstance(x, (backend.Backend, Replay)):  # which are not copied
        return True
    seen[id(x)] = x
    definition = x if isinstance(x, (type, FunctionType)) else type(x)
    if definition.__module__.partition(".")[0] not in _KNOWN_PACKAGES:
        return False
    if isinstance(x, dict):
        return all(_is_known(value, seen) for value in x.values())
    if isinstance(x, (list, tuple)):
        return all(_is_known(value, seen) for value in x)
    if isinstance(x, MethodType):
        return _is_known([x.__self__, x.__func__], seen)
    if isinstance(x, FunctionType):
        cells = [cell.cell_contents for cell in x.__closure__ or ()]
        return all(_is_known(content, seen) and not isinstance(content, Module) for content in cells)  # is not copied
    return isinstance(x, type) or _is_known(getattr(x, "__dict__", {}), seen)
