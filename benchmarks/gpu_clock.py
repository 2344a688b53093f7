"""Times calls on a GPU, by turns, with CUDA events, each after the second-level cache has been overwritten."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

FLUSH_BYTES = 256 * 2**20  # several times the second-level cache of any GPU: 60 MB on an H200


class Timed(NamedTuple):
    """A call and the library that it belongs to, which has streams and events of its own: "cupy", "torch", "jax"."""

    library: str
    call: Callable[[], Any]


class CupyClock:
    """Times what runs on CuPy's current stream."""

    def __init__(self, flush_bytes: int) -> None:
        import cupy

        self._cuda = cupy.cuda
        self._flush = cupy.empty(flush_bytes // 4, cupy.float32)

    def milliseconds(self, call: Callable[[], Any]) -> float:
        """The time of one call on the device; its launches wait behind the overwriting of the cache."""
        start, end = self._cuda.Event(), self._cuda.Event()
        self._flush.fill(0)
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(self._cuda.get_elapsed_time(start, end))


class TorchClock:
    """Times what runs on PyTorch's current stream."""

    def __init__(self, flush_bytes: int) -> None:
        import torch

        self._cuda = torch.cuda
        self._flush = torch.empty(flush_bytes // 4, device="cuda")

    def milliseconds(self, call: Callable[[], Any]) -> float:
        """See CupyClock."""
        start, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        self._flush.zero_()
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))


class JaxClock:
    """Times on the host until the result is there: JAX shows neither its streams nor events."""

    def __init__(self, flush_bytes: int) -> None:
        import jax

        self._wait = jax.block_until_ready

    def milliseconds(self, call: Callable[[], Any]) -> float:
        """The time from the first launch to the result."""
        start = time.perf_counter()
        self._wait(call())
        return (time.perf_counter() - start) * 1e3


_CLOCKS = {"cupy": CupyClock, "torch": TorchClock, "jax": JaxClock}


def measure(
    calls: Mapping[str, Timed], *, seconds: float, repeat: int = 1, flush_bytes: int = FLUSH_BYTES
) -> dict[str, dict[str, float]]:
    """Median and quartiles in milliseconds of each call, which take turns for about `seconds` for each.

    repeat: how often a call is called within one measurement, of which the mean counts. Compiling and the first two
    calls are not timed. The result for a name has "median_ms", "q1_ms", "q3_ms" and "count".
    """
    clocks = {library: _CLOCKS[library](flush_bytes) for library in {timed.library for timed in calls.values()}}
    repeated = {name: Timed(timed.library, _repeated(timed.call, repeat)) for name, timed in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for timed in repeated.values():
        for _ in range(2):
            clocks[timed.library].milliseconds(timed.call)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds * len(calls) or min(map(len, times.values())) < 3:
        for name, timed in repeated.items():
            times[name].append(clocks[timed.library].milliseconds(timed.call) / repeat)
    return {name: _summary(values) for name, values in times.items()}


def _repeated(call: Callable[[], Any], count: int) -> Callable[[], Any]:
    def several() -> Any:
        for _ in range(count - 1):
            call()
        return call()

    return several if count > 1 else call


def _summary(milliseconds: list[float]) -> dict[str, float]:
    q1, median, q3 = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return {"median_ms": median, "q1_ms": q1, "q3_ms": q3, "count": len(milliseconds)}
