"""Writes the files of a run on a thread of its own, while the training goes on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType

_MOST_WAITING = 16  # calls; the arrays that they hold are a few MB, but for those of a checkpoint


class FileWriter:
    """A thread that makes calls one after the other, in the order in which they are submitted.

    So the files of a run change in the order in which the training asks for it, and a crash leaves those of an earlier
    moment. After a call that fails no further one is made, and `submit`, `wait` or the end of the context raises its
    exception.

    A context manager, which can be entered several times. The thread lives in the context. At its end all calls have
    been made; if it ends by Ctrl-C or another exception that is no Exception, the calls that have not begun are
    dropped. Calls see the context variables, such as `np.errstate`, as they were when the context was entered.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards the fields below
        self._waiting: deque[Callable[[], object]] = deque()
        self._submitted = self._finished = 0  # numbers of calls; dropped ones count as finished
        self._closed = False
        self._failure: BaseException | None = None

    def __enter__(self) -> FileWriter:
        self._closed, self._failure = False, None
        self._thread = threading.Thread(target=copy_context().run, args=(self._make_calls,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            if kind is not None and not issubclass(kind, Exception):
                self._drop_waiting()
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

    def submit(self, call: Callable[[], object]) -> int:
        """Have `call` made, and return its number; waits while many others have not been made."""
        with self._changed:
            self._wait_until(lambda: self._submitted - self._finished < _MOST_WAITING)
            self._waiting.append(call)
            self._submitted += 1
            self._changed.notify_all()
            return self._submitted

    def wait(self, number: int | None = None) -> None:
        """Wait until the call of this number has been made; None: all that were submitted."""
        with self._changed:
            last = self._submitted if number is None else number
            self._wait_until(lambda: self._finished >= last)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._failure is not None or condition())
        if self._failure is not None:
            raise self._failure

    def _make_calls(self) -> None:
        """What the thread does."""
        while (call := self._next_call()) is not None:
            failure = _failure_of(call)
            del call  # it may hold large arrays
            with self._changed:
                self._finished += 1
                if failure is not None:
                    self._failure = failure
                    self._drop_waiting()
                self._changed.notify_all()

    def _next_call(self) -> Callable[[], object] | None:
        """Wait for the next call; None if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else None

    def _drop_waiting(self) -> None:
        self._finished += len(self._waiting)
        self._waiting.clear()


def _failure_of(call: Callable[[], object]) -> BaseException | None:
    """Make the call, and return the exception that it raises."""
    try:
        call()
    except BaseException as error:  # raised again in the thread of the training
        return error
    return None
