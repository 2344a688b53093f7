"""Arguments for the optimisers' kernels: parameters in one buffer, and the numbers of a step."""

from __future__ import annotations

import numpy as np


class FlatArrays:
    """Many parameters of odd sizes in one buffer, with gaps, and their gradients."""

    def __init__(self, sizes: list[int], dtype: str, slots: int, seed: int = 9) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype, self.sizes = dtype, sizes
        starts = np.cumsum([0, *(-(-s // 16) * 16 + 16 for s in sizes)])
        self.bounds = np.array([(a, a + s) for a, s in zip(starts, sizes, strict=False)], np.int64)
        self.p = self.rng.standard_normal(int(starts[-1])).astype(dtype)
        self.slots = [np.zeros_like(self.p) for _ in range(slots)]
        self.first_bad = np.full(len(sizes), -1, np.int64)

    def gradients(self) -> list[np.ndarray]:
        """New random gradients, one for each parameter."""
        return [self.rng.standard_normal(s).astype(self.dtype) for s in self.sizes]

    def in_place(self, gradients: list[np.ndarray]) -> np.ndarray:
        """All gradients in one buffer, in the places of their parameters, with zeros in the gaps."""
        g = np.zeros_like(self.p)
        for (a, b), gradient in zip(self.bounds, gradients, strict=True):
            g[a:b] = gradient
        return g

    def gaps(self) -> np.ndarray:
        """Whether each place of the buffer belongs to no parameter."""
        inside = np.zeros(self.p.size, bool)
        for a, b in self.bounds:
            inside[a:b] = True
        return ~inside


SETTINGS: dict[str, tuple[float, ...]] = {
    "adam": (0.01, 0.5, 0.999, 1e-8), "sgd": (0.01, 0.9), "rmsprop": (0.01, 0.9, 1e-8),
}  # fmt: skip


def numbers_of(name: str, step: int, rate: float, *decays: float) -> np.ndarray:
    """The numbers of a step that the kernel called `name` takes: those that change from step to step."""
    if name != "adam":
        return np.array([step, rate])
    correction = 1 - decays[1] ** step
    return np.array([step, rate / (1 - decays[0] ** step), correction, correction**-0.5])
