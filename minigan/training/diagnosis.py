"""Diagnoses faults in the training of a GAN from statistics measured between steps, and names likely remedies.

minigan.training.statistics measures, minigan.training.findings says which values are a fault. The class here remembers
the last checks, since several in a row have to agree, and the findings that it has reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.gan import GAN, GradientObserver
from minigan.gan.batches import Batch, as_batch, parts
from minigan.training.diagnosis_state import DiagnosisState
from minigan.training.findings import (
    CONSECUTIVE_CHECKS,
    certain_mistakes,
    idle_players,
    persistent_findings,
    players,
    without_consequences,
)
from minigan.training.statistics import TrainingMonitor


@dataclass(frozen=True)
class Finding:
    """A fault in the training.

    name: such as "mode-collapse". step: at which it was reported. sentence: the observation with its number, and the
    likely remedy.
    """

    name: str
    step: int
    sentence: str


class Diagnosis:
    """Checks a GAN between its steps, every hundred or so, and reports each finding once until it has gone away.

    It changes nothing that training depends on: a run with it has the same bits as a run without. Pass its observer to
    every step: `gan.train_step(real, diagnosis.gradient_observer())`. With its `state` in the checkpoint, a resumed run
    reports the same findings as one that never stopped.
    """

    def __init__(self, gan: GAN) -> None:
        self._gan, self._monitor = gan, TrainingMonitor(gan)
        self._memory = DiagnosisState()

    def check(self, real: Any) -> list[Finding]:
        """The new findings at this step, mostly none, with a batch as `train_step` takes it, x (n, ...) or (x, y).

        Causes come first, and findings that follow from others are left out. Waits for the device. A second check at
        the same step returns nothing.
        """
        memory, step = self._memory, self._gan.step
        previous_step = memory.history[-1].step if memory.history else 0
        if step == previous_step:
            return []
        batch = self._as_batch(real)
        now = self._monitor.measure(batch)
        memory.history = [*memory.history, now][-CONSECUTIVE_CHECKS:]
        findings = dict(
            [
                *certain_mistakes(self._gan, self._monitor.constant_discriminator, now, parts(batch)[0]),
                *idle_players(self._gan, now, memory.updates, step - previous_step),
                *persistent_findings(memory.history),
            ]
        )
        memory.updates = [optimizer.steps for _, optimizer, _ in players(self._gan)]
        self._forget_absent_findings(findings)
        causes = without_consequences(findings).items()
        new = [Finding(name, step, sentence) for name, sentence in causes if name not in memory.checks_absent]
        memory.checks_absent |= dict.fromkeys((finding.name for finding in new), 0)
        return new

    def gradient_observer(self) -> GradientObserver | None:
        """The observer for the next step's gradients; None once both players' were observed after a check."""
        return self._monitor.observe if self._monitor.awaits_gradients else None

    def _forget_absent_findings(self, findings: dict[str, str]) -> None:
        """Forget the reported findings that have gone away, so that they are reported again if they come back.

        A finding needs CONSECUTIVE_CHECKS checks in a row to come, and as many that disagree to go: since one that
        disagrees makes it absent from CONSECUTIVE_CHECKS checks, it is then absent from 2 * CONSECUTIVE_CHECKS - 1.
        """
        before = self._memory.checks_absent.items()
        absent = {name: 0 if name in findings else checks + 1 for name, checks in before}
        self._memory.checks_absent = {
            name: checks for name, checks in absent.items() if checks < 2 * CONSECUTIVE_CHECKS - 1
        }

    def state(self) -> dict[str, np.ndarray]:
        """What is remembered, as arrays by name (see DiagnosisState), none before the first check.

        Waits for the device.
        """
        self._memory.inner_products = self._monitor.inner_products()
        return self._memory.to_arrays()

    def load_state(self, state: Mapping[str, np.ndarray], real: Callable[[int], Any]) -> None:
        """Restore what `state` returned, for the same GAN at the same step; without arrays, forget everything.

        real: a function from a step to the batch that `check` got at that step. If the last check was at this very
        step, its batch is measured again, since the next gradients of the optimisers are compared with it. Raises
        ValueError, and changes nothing, unless all of the state fits.
        """
        self._memory = DiagnosisState.from_arrays(state, self._gan.step)
        self._monitor.load_inner_products(self._memory.inner_products)
        history = self._memory.history
        if history and history[-1].step == self._gan.step:
            self._monitor.measure(self._as_batch(real(self._gan.step)))

    def _as_batch(self, batch: Any) -> Batch:
        return as_batch(batch, self._gan.generator_optimizer.parameters[0].dtype)
