"""`cupy.cuda.Graph`: captured work, launched as one piece."""

from __future__ import annotations

from typing import Any

from cupy._capture import Capture
from cupy._counters import record_work
from cupy._device import current
from cupy.cuda import runtime


class Graph:
    """The work that a stream captured. It does not own the memory that it reads and writes."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        raise NotImplementedError(
            "currently this class cannot be initiated by the user and must be created via stream capture"
        )

    def launch(self, stream: Any = None) -> None:
        """Execute the work. Raises CUDARuntimeError if some of its memory has been given back to the device."""
        if any(segment.released for segment in self._segments):
            raise runtime.CUDARuntimeError(700)
        capture = current.capture if stream is None else stream._noted_by()
        record_work("graph")
        if capture is None:
            self._run()
        else:
            capture.note_graph(self._run, self._segments)

    def upload(self, stream: Any = None) -> None:
        """Prepare the graph on the device."""

    def _run(self) -> None:
        for segment in self._segments:
            segment.note_launch()
        for work in self._work:
            work()


def from_capture(capture: Capture) -> Graph:
    """The graph of what was captured."""
    graph = object.__new__(Graph)
    graph._capture = capture  # kept alive, as what lies in its memory is known by it
    graph._work, graph._segments = tuple(capture.work), list(capture.segments.values())
    return graph
