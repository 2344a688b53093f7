"""Check cases on every array library with every implementation of its kernels: where it serves, and nowhere twice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import minigan_kernels
from minigan.checking import Report
from minigan.core import backend
from minigan.core.backend import Backend, Implementation
from minigan.selftest.case import Case
from minigan_kernels import REFERENCE


@dataclass(frozen=True)
class CheckResult:
    """What a case came to on an array library with some kernels: a report, or the `problem` that kept it from one.

    unsupported: whether the problem is that the implementation does not claim to do such a thing.
    """

    case: Case
    pair: Implementation
    seconds: float
    report: Report | None = None
    problem: str = ""
    unsupported: bool = False

    @property
    def failed(self) -> bool:
        """Whether the derivative is wrong, could not be judged, or could not be computed though it should."""
        return not self.unsupported if self.report is None else not self.report.ok

    @property
    def details(self) -> str:
        """The report in full, or the problem."""
        return self.problem if self.report is None else str(self.report)


@dataclass(frozen=True)
class CaseResult:
    """The outcomes of a case, and the pairs whose kernels serve nothing that it does."""

    results: list[CheckResult]
    skipped_kernels: list[Implementation]


def check(case: Case, pairs: Iterable[Implementation], order: int | None = None, seed: int = 0) -> CaseResult:
    """The case on each of `pairs` that has a kernel for something the case does.

    The reference has one for everything. It must come first of the kernels for an array library: what is asked of it
    tells whether the others would serve.
    """
    outcomes: list[CheckResult] = []
    left = []
    asked: set[str] | None = None  # None where the case went wrong on the reference: then on the others it may not
    for pair in pairs:
        own = minigan_kernels.table(pair.kernels, pair.backend.xp).keys()
        if pair.kernels != REFERENCE and asked is not None and not asked & own:
            left.append(pair)
            continue
        with noting_kernels(pair) as heard:
            outcomes.append(_outcome(case, pair, order, seed))
        if pair.kernels == REFERENCE:
            asked = None if outcomes[-1].report is None else heard
    return CaseResult(outcomes, left)


@contextlib.contextmanager
def noting_kernels(pair: Implementation) -> Iterator[set[str]]:
    """Serve the arrays of a library from the kernels of `pair`, and note the names of those that are asked for."""
    listener = _Listener(pair.backend.name, pair.backend.xp)
    with backend.using(listener, pair.kernels):
        yield listener.heard


class _Listener(Backend):
    def __init__(self, name: str, xp: Any) -> None:
        super().__init__(name, xp)
        self.heard: set[str] = set()

    def kernel(self, operation: str) -> Callable[..., Any]:
        self.heard.add(operation)
        return super().kernel(operation)


def _outcome(case: Case, pair: Implementation, order: int | None, seed: int) -> CheckResult:
    start = time.perf_counter()
    try:
        report = case.check(order, seed)
    except NotImplementedError as error:
        return CheckResult(case, pair, time.perf_counter() - start, problem=_in_words(error), unsupported=True)
    except Exception as error:  # a derivative may be so wrong that it cannot be computed: that is a finding too
        return CheckResult(case, pair, time.perf_counter() - start, problem=_in_words(error))
    return CheckResult(case, pair, time.perf_counter() - start, report)


def _in_words(error: Exception) -> str:
    """The error in one line, with the notes that say where it happened."""
    return " ".join(f"{type(error).__name__}: {error} {' '.join(getattr(error, '__notes__', ()))}".split())
