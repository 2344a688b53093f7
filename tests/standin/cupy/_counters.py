"""Totals of the transfers the stand-in has seen, and a context manager that reads off their growth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ._device import current


@dataclass
class Transfers:
    """Number of host waits for the device (`synchronisations`) and of host-to-device copies (`uploads`)."""

    synchronisations: int = 0
    uploads: int = 0


_totals = Transfers()
_observers: list[Callable[[str], None]] = []


def record_work(name: str) -> None:
    """Note that the device is to compute, copy or fill something, by the function `name`; views are no work."""
    for observe in _observers:
        observe(name)


def record_synchronisation() -> None:
    """Note that the host has to wait for the device. Raises CUDARuntimeError if the current stream captures."""
    if current.capture is not None:
        current.capture.refuse()
    _totals.synchronisations += 1


def record_upload() -> None:
    """Note one copy from host memory to device memory. Raises CUDARuntimeError if the current stream captures."""
    if current.capture is not None:
        current.capture.refuse()
    _totals.uploads += 1
    record_work("upload")


class SynchronisationCount:
    """The growth of the totals since this object was made, up to now or up to `stop`."""

    def __init__(self) -> None:
        self._start = Transfers(_totals.synchronisations, _totals.uploads)
        self._end: Transfers | None = None

    def stop(self) -> None:
        """Freeze the count, so that what happens after the `with` block does not change it."""
        self._end = Transfers(_totals.synchronisations, _totals.uploads)

    @property
    def count(self) -> int:
        """Device-to-host synchronisations."""
        return (self._end or _totals).synchronisations - self._start.synchronisations

    @property
    def uploads(self) -> int:
        """Host-to-device copies."""
        return (self._end or _totals).uploads - self._start.uploads


@contextmanager
def count_synchronisations() -> Iterator[SynchronisationCount]:
    """Count synchronisations (`.count`) and uploads (`.uploads`) inside the block; blocks may nest."""
    counted = SynchronisationCount()
    try:
        yield counted
    finally:
        counted.stop()


@contextmanager
def observed(observe: Callable[[str], None]) -> Iterator[None]:
    """Call `observe(name)` for each piece of work of the device inside the block, uploads ("upload") included."""
    _observers.append(observe)
    try:
        yield
    finally:
        _observers.remove(observe)
