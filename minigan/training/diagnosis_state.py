"""The state of a diagnosis as arrays by name: the only module that knows their names in a checkpoint.

In a checkpoint each name follows the prefix "diagnosis." (checkpoint.DIAGNOSIS_PREFIX).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from minigan.core.state_check import require_matching_state
from minigan.training.findings import CONSECUTIVE_CHECKS, FINDING_NAMES
from minigan.training.statistics import ROW_LENGTH, TrainingStatistics

_HISTORY = "looks"
_UPDATES = "updates"
_REPORTED = "told."  # before the name of a finding
_INNER_PRODUCTS = {"generator": "heard.generator", "discriminator": "heard.discriminator"}
_MAX_EXPECTED = {"generator": 1, "discriminator": 2}  # gradients with which the received one is compared


@dataclass
class DiagnosisState:
    """What a diagnosis remembers between checks.

    history: the statistics of the last checks, none before the first. updates: how many updates each player's optimiser
    had made at the last check, the generator's first. checks_absent: for each reported finding, by name, in how
    many checks in a row it has been absent. inner_products: see TrainingMonitor.inner_products.
    """

    history: list[TrainingStatistics] = field(default_factory=list)
    updates: list[int] = field(default_factory=lambda: [0, 0])
    checks_absent: dict[str, int] = field(default_factory=dict)
    inner_products: dict[str, np.ndarray] = field(default_factory=dict)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As arrays by name, none before the first check.

        looks: (checks, numbers) float64, a row of TrainingStatistics each. updates: (2,) int64. told.NAME: () int64,
        checks_absent of that finding. heard.generator, heard.discriminator: (k, 3) float64, the inner products.
        """
        if not self.history:
            return {}
        absent = sorted(self.checks_absent.items())
        return {
            _HISTORY: np.array([statistics.to_row() for statistics in self.history]),
            _UPDATES: np.array(self.updates, np.int64),
            **{f"{_REPORTED}{name}": np.array(checks, np.int64) for name, checks in absent},
            **{_INNER_PRODUCTS[player]: products for player, products in self.inner_products.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], step: int) -> DiagnosisState:
        """The inverse of `to_arrays`; raises ValueError unless it is a state of a GAN at `step`."""
        if not arrays:
            return cls()
        require_matching_state(_expected_like(arrays), arrays)
        steps = arrays[_HISTORY][:, 0]
        whole = np.isfinite(steps).all() and (steps == np.floor(steps)).all()
        if not (whole and (np.diff(steps, prepend=0) > 0).all() and steps[-1] <= step):
            raise ValueError(
                f"{_HISTORY} is of the steps {steps.tolist()}, expected whole numbers that rise, at most to {step}"
            )
        counts = {name: int(value) for name, value in arrays.items() if name.startswith(_REPORTED)}
        if min([*counts.values(), *arrays[_UPDATES]], default=0) < 0:
            raise ValueError(f"{_UPDATES} and {_REPORTED}* are counts, expected no number below 0")
        return cls(
            [TrainingStatistics.from_row(row) for row in arrays[_HISTORY].tolist()],
            arrays[_UPDATES].tolist(),
            {name.removeprefix(_REPORTED): count for name, count in counts.items()},
            {player: arrays[name] for player, name in _INNER_PRODUCTS.items()},
        )


def _expected_like(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays with the names, shapes and types of a valid state, with as many rows as `arrays` have, within limits."""

    def rows(name: str, least: int, most: int) -> int:
        array = arrays.get(name, np.empty(0))
        return min(max(len(array) if array.ndim else 0, least), most)

    reported = [f"{_REPORTED}{name}" for name in sorted(FINDING_NAMES)]
    return {
        _HISTORY: np.empty((rows(_HISTORY, 1, CONSECUTIVE_CHECKS), ROW_LENGTH)),
        _UPDATES: np.empty(2, np.int64),
        **{name: np.empty((), np.int64) for name in reported if name in arrays},
        **{name: np.empty((rows(name, 0, _MAX_EXPECTED[player]), 3)) for player, name in _INNER_PRODUCTS.items()},
    }
