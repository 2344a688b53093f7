"""`cupy.cuda.stream`: streams, which execute at once or note their work for a graph, and events.

There is one queue and everything is executed when it is asked for, so streams wait for nothing; what is modelled is
what CUDA refuses.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

from cupy._capture import Capture
from cupy._counters import record_synchronisation
from cupy._device import DEVICE_ID, current
from cupy.cuda import graph, runtime

_HANDLES = itertools.count(2)  # 0 and 1 are the default streams
_capturing: list[Stream] = []


class Stream:
    """A queue of work. As a context, it is the current stream inside."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        if not null:
            runtime.require_device()
        self.ptr = 0 if null else 1 if ptds else next(_HANDLES)
        self.device_id = -1 if null or ptds else DEVICE_ID
        self.is_non_blocking = non_blocking
        self._capture: Capture | None = None
        self._before: list[Stream] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.ptr == self.ptr

    def __hash__(self) -> int:
        return self.ptr

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __enter__(self) -> Stream:
        self._before.append(get_current_stream())
        return self.use()

    def __exit__(self, *exception: object) -> None:
        self._before.pop().use()

    def use(self) -> Stream:
        """Make this the current stream of the thread."""
        current.stream, current.capture = self, self._noted_by()
        return self

    def _noted_by(self) -> Any:
        """What notes or refuses the work of this stream; None: it is executed."""
        if self.ptr == 0 and not all(stream.is_non_blocking for stream in _capturing):
            return _Implicit()
        return self._capture

    @property
    def done(self) -> bool:
        self._refuse_if_capturing()
        return True

    def synchronize(self) -> None:
        """Wait for all work of the stream."""
        self._refuse_if_capturing()
        record_synchronisation()

    def _refuse_if_capturing(self) -> None:
        if self._capture is not None:
            self._capture.refuse()

    def record(self, event: Event | None = None) -> Event:
        """Record an event on the stream."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let the stream wait for an event."""

    def begin_capture(self, mode: int | None = None) -> None:
        """Note the work of the stream from now on instead of executing it."""
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._capture is not None:
            raise runtime.CUDARuntimeError(900)
        self._capture = Capture(runtime.streamCaptureModeRelaxed if mode is None else mode)
        _capturing.append(self)
        self._tell()

    def end_capture(self) -> graph.Graph:
        """The graph of the work noted since `begin_capture`. Raises CUDARuntimeError if something was refused."""
        if self._capture is None:
            raise runtime.CUDARuntimeError(401)
        capture, self._capture = self._capture, None
        _capturing.remove(self)
        self._tell()
        if capture.invalidated:
            raise runtime.CUDARuntimeError(901)
        return graph.from_capture(capture)

    def _tell(self) -> None:
        """Let the thread know whether its current stream captures."""
        current.capture = get_current_stream()._noted_by()

    def is_capturing(self) -> bool:
        """Whether the stream notes its work."""
        return self._capture is not None


class _Implicit:
    """Refuses work on the default stream while a stream that waits for it captures."""

    mode = runtime.streamCaptureModeRelaxed

    def refuse(self, *_: Any) -> None:
        for stream in _capturing:
            stream._capture.invalidated = True
        raise runtime.CUDARuntimeError(906)

    require_capturable = note = note_graph = refuse


Stream.null = Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    """The current stream of the thread."""
    if current.stream is None:
        runtime.require_device()
        current.stream = Stream.null
    return current.stream


def capturing() -> list[Stream]:
    """The streams that note their work."""
    return _capturing


class Event:
    """A point in the work of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        runtime.require_device()
        if interprocess and not disable_timing:
            raise ValueError("Timing must be disabled for interprocess events")
        self._timed = not disable_timing
        self._time: float | None = None
        self._captured: Capture | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Record the event on a stream, by default the current one."""
        self._captured = (stream or get_current_stream())._capture
        self._time = time.perf_counter()

    def synchronize(self) -> None:
        """Wait for the event."""
        if self._captured is not None:
            self._captured.refuse()
        record_synchronisation()

    @property
    def done(self) -> bool:
        if self._captured is not None:
            self._captured.refuse()
        return True


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """The milliseconds between two events."""
    if not (start_event._timed and end_event._timed) or start_event._time is None or end_event._time is None:
        raise runtime.CUDARuntimeError(400)
    return 1000 * (end_event._time - start_event._time)


def synchronise_device() -> None:
    """Wait for all work of the device, as no capture allows."""
    for stream in _capturing:
        stream._refuse_if_capturing()
    record_synchronisation()
