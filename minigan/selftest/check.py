"""Checks cases on every array library, with every implementation that has one of the kernels that they use."""

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
    """The result of one case on one array library with one implementation of the kernels.

    report: the report of the gradient check; None if the case raised an error, which `problem` then describes.
    unsupported: whether the error says that the implementation does not support the computation.
    """

    case: Case
    implementation: Implementation
    seconds: float
    report: Report | None = None
    problem: str = ""
    unsupported: bool = False

    @property
    def failed(self) -> bool:
        """Whether the derivative is wrong, the check gave no verdict, or an error other than `unsupported` occurred."""
        return not self.unsupported if self.report is None else not self.report.ok

    @property
    def details(self) -> str:
        """The report in full, or the problem."""
        return self.problem if self.report is None else str(self.report)


@dataclass(frozen=True)
class CaseResult:
    """The results of one case; `skipped_kernels`: the implementations that have none of the kernels that it uses."""

    results: list[CheckResult]
    skipped_kernels: list[Implementation]


def check(case: Case, implementations: Iterable[Implementation], order: int | None = None, seed: int = 0) -> CaseResult:
    """Check the case on each of `implementations` that has a kernel for one of the case's operations.

    The reference has a kernel for every operation. It must be the first of the implementations for an array library,
    because the kernels that the case uses on it decide which other implementations are checked.
    """
    results: list[CheckResult] = []
    skipped = []
    used: set[str] | None = None  # the case's kernels; None if it failed on the reference: others may still pass
    for implementation in implementations:
        available = minigan_kernels.table(implementation.kernels, implementation.backend.xp).keys()
        if implementation.kernels != REFERENCE and used is not None and not used & available:
            skipped.append(implementation)
            continue
        with recording_kernel_names(implementation) as names:
            results.append(_check_on(implementation, case, order, seed))
        if implementation.kernels == REFERENCE:
            used = None if results[-1].report is None else names
    return CaseResult(results, skipped)


@contextlib.contextmanager
def recording_kernel_names(implementation: Implementation) -> Iterator[set[str]]:
    """A context that uses the kernels of `implementation`; yields the set of the names of all kernels used in it."""
    recording = _RecordingBackend(implementation.backend.name, implementation.backend.xp)
    with backend.using(recording, implementation.kernels):
        yield recording.kernel_names


class _RecordingBackend(Backend):
    def __init__(self, name: str, xp: Any) -> None:
        super().__init__(name, xp)
        self.kernel_names: set[str] = set()

    def kernel(self, operation: str) -> Callable[..., Any]:
        self.kernel_names.add(operation)
        return super().kernel(operation)


def _check_on(implementation: Implementation, case: Case, order: int | None, seed: int) -> CheckResult:
    start = time.perf_counter()
    try:
        report = case.check(order, seed)
    except NotImplementedError as error:
        return CheckResult(
            case, implementation, time.perf_counter() - start, problem=_describe(error), unsupported=True
        )
    except Exception as error:  # a wrong derivative may raise any error: that is a finding, too
        if backend.device_problem(error):
            raise  # no derivative is wrong; the GPU would fail in the other cases, too
        return CheckResult(case, implementation, time.perf_counter() - start, problem=_describe(error))
    return CheckResult(case, implementation, time.perf_counter() - start, report)


def _describe(error: Exception) -> str:
    """The error in one line, with the notes that say where it happened."""
    return " ".join(f"{type(error).__name__}: {error} {' '.join(getattr(error, '__notes__', ()))}".split())
