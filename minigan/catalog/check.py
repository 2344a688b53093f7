"""Check cases on every implementation of the kernels: where it serves, and nowhere twice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigan_kernels
from minigan import backend
from minigan.backend import Backend
from minigan.catalog.case import Case
from minigan.checking import Report

REFERENCE = "reference"


@dataclass(frozen=True)
class Outcome:
    """What a case came to on one implementation: a report, or the `problem` that kept it from having one.

    unable: whether the problem is that the implementation does not claim to do such a thing.
    """

    case: Case
    implementation: str
    seconds: float
    report: Report | None = None
    problem: str = ""
    unable: bool = False

    @property
    def failed(self) -> bool:
        """Whether the derivative is wrong, could not be judged, or could not be computed though it should."""
        return not self.unable if self.report is None else not self.report.ok

    @property
    def account(self) -> str:
        """The report in full, or the problem."""
        return self.problem if self.report is None else str(self.report)


@dataclass(frozen=True)
class Checked:
    """The outcomes of a case, and the implementations that have no kernel for anything it does."""

    outcomes: list[Outcome]
    left_to_reference: list[str]


def at_hand() -> tuple[list[str], dict[str, str]]:
    """(the implementations that can be used here, why each of the others cannot)."""
    reasons = {name: minigan_kernels.unavailable(name) for name in minigan_kernels.IMPLEMENTATIONS}
    available = [name for name, reason in reasons.items() if reason is None]
    return available, {name: reason for name, reason in reasons.items() if reason is not None}


def check(case: Case, implementations: list[str], order: int | None = None, seed: int = 0) -> Checked:
    """The case on the reference, and on each other implementation that has a kernel for something the case does."""
    with listening(REFERENCE) as heard:
        outcomes = [_outcome(case, REFERENCE, order, seed)]
    left = []
    for name in implementations:
        if name == REFERENCE:
            continue
        if outcomes[0].report is None or heard & minigan_kernels.table(name, np).keys():
            with listening(name):
                outcomes.append(_outcome(case, name, order, seed))
        else:
            left.append(name)
    return Checked(outcomes, left)


@contextlib.contextmanager
def listening(implementation: str) -> Iterator[set[str]]:
    """Serve NumPy arrays from `implementation`, and note the names of the kernels that are asked for."""
    before = [backend.by_type[np.ndarray], backend.current()]
    listener = _Listener("numpy", np)
    backend.use(listener, implementation)
    try:
        yield listener.heard
    finally:
        for room in before:
            backend.use(room, room.kernels)


class _Listener(Backend):
    def __init__(self, name: str, xp: Any) -> None:
        super().__init__(name, xp)
        self.heard: set[str] = set()

    def kernel(self, operation: str) -> Callable[..., Any]:
        self.heard.add(operation)
        return super().kernel(operation)


def _outcome(case: Case, implementation: str, order: int | None, seed: int) -> Outcome:
    start = time.perf_counter()
    try:
        report = case.check(order, seed)
    except NotImplementedError as error:
        return Outcome(case, implementation, time.perf_counter() - start, problem=_in_words(error), unable=True)
    except Exception as error:  # a derivative may be so wrong that it cannot be computed: that is a finding too
        return Outcome(case, implementation, time.perf_counter() - start, problem=_in_words(error))
    return Outcome(case, implementation, time.perf_counter() - start, report)


def _in_words(error: Exception) -> str:
    """The error in one line, with the notes that say where it happened."""
    return " ".join(f"{type(error).__name__}: {error} {' '.join(getattr(error, '__notes__', ()))}".split())
