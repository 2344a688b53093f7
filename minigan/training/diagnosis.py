"""What goes wrong in the training of a GAN, told from what can be measured between its steps, with the likely remedy.

What is measured: see minigan.training.statistics; what it means: minigan.training.findings. Here it is remembered, for
what several looks have to agree on, and so that nothing is told twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core.state import require_fit
from minigan.gan import GAN, Observe
from minigan.training.findings import LOOKS, NAMES, by_looks, detached, mistakes, players, without_consequences
from minigan.training.statistics import GIVEN, NUMBERS, Observer, Signs

_TOLD = "told."


@dataclass(frozen=True)
class Finding:
    """`name`: such as "mode-collapse"; `sentence`: what is seen, with its number, and the likely remedy."""

    name: str
    step: int
    sentence: str


class Diagnosis:
    """Looks at a GAN between its steps, every hundred or so, and says what goes wrong, once until it has gone away.

    It changes nothing that training depends on: a run with it has the same bits as one without. Every step
    takes its observer: `gan.train_step(real, diagnosis.gradient_observer())`. With its `state` in the checkpoint, a run
    that is resumed is told the same as one that never stopped.
    """

    def __init__(self, gan: GAN) -> None:
        self._gan, self._observer = gan, Observer(gan)
        self._looks: deque[Signs] = deque(maxlen=LOOKS)
        self._absent: dict[str, int] = {}  # what was told, and for how many looks it has not been seen
        self._updates = [0 for _ in players(gan)]  # that each had made at the last look

    def check(self, real: Any) -> list[Finding]:
        """What is found at this step, with a batch of real data (n, ...) as `train_step` takes it; mostly nothing.

        Causes come first, and what follows from another finding is left out. Waits for the device. A second look at
        the same step finds nothing.
        """
        step, before = self._gan.step, self._last_step
        if step == before:
            return []
        real = real if isinstance(real, Tensor) else Tensor(real)
        now = self._observer.measure(real)
        self._looks.append(now)
        seen = dict(
            [
                *mistakes(self._gan, self._observer.undecided, now, real),
                *detached(self._gan, now, self._updates, step - before),
                *by_looks(list(self._looks)),
            ]
        )
        self._updates = [optimizer.steps for _, optimizer, _ in players(self._gan)]
        self._forget_what_has_gone(seen)
        told = [Finding(n, step, said) for n, said in without_consequences(seen).items() if n not in self._absent]
        self._absent |= dict.fromkeys((finding.name for finding in told), 0)
        return told

    def gradient_observer(self) -> Observe | None:
        """What is to be told of the next step's gradients; None once both players' were told after a look."""
        return self._observer.observe if self._observer.is_due else None

    def _forget_what_has_gone(self, seen: dict[str, str]) -> None:
        """Going takes as many looks in a row as coming: one that disagrees hides a finding for LOOKS looks."""
        absent = {name: 0 if name in seen else looks + 1 for name, looks in self._absent.items()}
        self._absent = {name: looks for name, looks in absent.items() if looks < 2 * LOOKS - 1}

    @property
    def _last_step(self) -> int:
        """Step of the last look, 0 before the first."""
        return self._looks[-1].step if self._looks else 0

    def state(self) -> dict[str, np.ndarray]:
        """What is remembered, as arrays by name, none before the first look; waits for the device.

        looks: the signs of each, (looks, numbers) float64. updates: of each player up to the last look, (2,) int64.
        told.NAME: for how many looks what was told has not been seen, int64. heard.generator and heard.discriminator:
        see Observer.state.
        """
        if not self._looks:
            return {}
        return {
            "looks": np.array([signs.numbers() for signs in self._looks]),
            "updates": np.array(self._updates, np.int64),
            **{f"{_TOLD}{name}": np.array(looks, np.int64) for name, looks in sorted(self._absent.items())},
            **self._observer.state(),
        }

    def load_state(self, state: Mapping[str, np.ndarray], real: Callable[[int], Any]) -> None:
        """Take what `state` gave, of a diagnosis of the same GAN at the same step; of no arrays, forget everything.

        real: the data that the look at a step was given. If the last look was at this very step, they are measured
        again: what the optimisers are given next is held against it. Raises ValueError, and changes nothing, unless all
        of it fits.
        """
        looks, updates, absent = _parsed(state, self._gan.step) if state else ([], [0 for _ in self._updates], {})
        self._looks, self._updates, self._absent = deque(looks, LOOKS), updates, absent
        self._observer.load_state(state)
        if looks and looks[-1].step == self._gan.step:
            batch = real(self._gan.step)
            self._observer.measure(batch if isinstance(batch, Tensor) else Tensor(batch))


def _parsed(state: Mapping[str, np.ndarray], step: int) -> tuple[list[Signs], list[int], dict[str, int]]:
    """The looks, the updates, and what was told; raises ValueError unless the state is one, of a GAN at `step`."""
    require_fit(_like(state), state)
    steps = state["looks"][:, 0]
    whole = np.isfinite(steps).all() and (steps == np.floor(steps)).all()
    if not (whole and (np.diff(steps, prepend=0) > 0).all() and steps[-1] <= step):
        raise ValueError(f"looks is of the steps {steps.tolist()}, expected whole numbers that rise, at most to {step}")
    counts = {name: int(value) for name, value in state.items() if name.startswith(_TOLD)}
    if min([*counts.values(), *state["updates"]], default=0) < 0:
        raise ValueError("updates and told count something, expected no number below 0")
    absent = {name.removeprefix(_TOLD): count for name, count in counts.items()}
    return [Signs.of_numbers(row) for row in state["looks"].tolist()], state["updates"].tolist(), absent


def _like(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of the names, shapes and types of a state with as many looks and so on as `state`, if there can be."""

    def rows(name: str, least: int, most: int) -> int:
        given = state.get(name, np.empty(0))
        return min(max(len(given) if given.ndim else 0, least), most)

    return {
        "looks": np.empty((rows("looks", 1, LOOKS), NUMBERS)),
        "updates": np.empty(2, np.int64),
        **{f"{_TOLD}{name}": np.empty((), np.int64) for name in sorted(NAMES) if f"{_TOLD}{name}" in state},
        **{name: np.empty((rows(name, 0, most), 3)) for name, most in GIVEN.items()},
    }
