"""Points of the plane, drawn for every batch from a distribution whose density is known."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.data.mixtures import Target

_DRAWS_FOR_SCALE = 10_000


class Points:
    """Points drawn from the distribution `target`.

    Networks get points / scale. If `scaled`, scale is the root mean square of all coordinates, estimated from 10,000
    fixed draws; otherwise it is 1. `sha256` identifies the distribution.
    """

    shape = (2,)

    def __init__(self, target: Target, *, scaled: bool = True) -> None:
        self.target, self.name, self.source = target, target.name, "minigan.data.mixtures"
        self.sha256 = hashlib.sha256(repr(target).encode()).hexdigest()
        drawn = target.sample(_DRAWS_FOR_SCALE, random.generator(0, "scale of points"))
        self.scale = math.sqrt(float((drawn**2).mean())) if scaled else 1.0

    def __str__(self) -> str:
        modes = len(self.target.modes)
        form = f"{modes} Gaussians" if modes else "one curve"
        return f"points of '{self.name}' ({form}, sigma {self.target.sigma:g})"

    def describe(self) -> dict[str, Any]:
        """The entry "data" of a run's config.json."""
        return {"name": self.name, "source": self.source, "distribution": repr(self.target), "sha256": self.sha256}

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Whether `recorded`, which `describe` returned, describes this distribution."""
        return bool(recorded.get("sha256") == self.sha256)

    def batch(self, count: int, seed: int, step: int, dtype: str) -> Tensor:
        """`count` points / scale, (count, 2), as a pure function of `seed` and `step`."""
        drawn = self.target.sample(count, random.generator(seed, "points", step)) / self.scale
        return Tensor(drawn.astype(dtype))
