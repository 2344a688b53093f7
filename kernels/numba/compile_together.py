"""Compiles several kernels at a time: this process and worker processes take them from one queue.

The queue is a pipe with one byte for each kernel, its number; whoever is free reads the next byte. Nothing comes back:
a worker leaves its kernels in the disk cache, from where this process loads them with all its checks. So a worker may
end at any time. What it has not finished is compiled when it is needed, as if there had been no workers.

A worker is a new Python process: a copy of this one (os.fork) would start a second sooner, but could inherit locks that
other threads hold, and does not exist on every system.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from minigan_kernels import notices
from minigan_kernels.compile_ahead import Kernel

_MOST = 255  # kernels, whose numbers fit into a byte and into the buffer of a pipe
_MOST_PROCESSES = 8  # each takes some 200 MB; the kernel that takes longest takes more than an eighth of all time
_PATIENCE = 10  # seconds for a worker to end when it is told to


def compile_together(kernels: Sequence[Kernel], compile_one: Callable[[str, np.dtype], None], processes: int) -> None:
    """Call `compile_one(name, dtype)` for each of `kernels`, in `processes` processes including this one.

    The kernels that take longest should come first. An exception of `compile_one` is dropped: it is raised again where
    the kernel is needed. With fewer than two kernels or processes nothing is done, nor in a program with Python
    embedded, of which workers would be further copies.
    """
    kernels = kernels[:_MOST]
    processes = min(processes, len(kernels), _MOST_PROCESSES)
    if processes < 2 or not _is_python(sys.executable):
        return
    notices.say(f"compiling {len(kernels)} kernels on this CPU, {processes} at a time (once; they are cached)")
    queue, end = os.pipe()
    os.write(end, bytes(range(len(kernels))))
    os.close(end)
    workers: list[subprocess.Popen] = []
    try:
        with suppress(OSError):  # no more processes can be started
            while len(workers) < processes - 1:
                workers.append(_start(queue, kernels))
        _take(queue, kernels, compile_one)
        for worker in workers:
            worker.wait()
        notices.Announcer.progress(len(kernels), len(kernels))
    finally:
        os.close(queue)
        _end(workers)


def _is_python(executable: str | None) -> bool:
    """Whether `executable` can be told what to run as Python can, by its name; it is empty or None if unknown."""
    return Path(executable or "").name.lower().startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


def _start(queue: int, kernels: Sequence[Kernel]) -> subprocess.Popen:
    """A worker that reads the numbers of `kernels` from `queue`."""
    folders = [folder for folder in sys.path if isinstance(folder, str)]  # imports ignore anything else, too
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, json.dumps([(name, str(dtype)) for name, dtype in kernels])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        stdin=queue,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _take(queue: int, kernels: Sequence[Kernel], compile_one: Callable[[str, np.dtype], None]) -> None:
    """Compile what nobody else has taken."""
    while number := os.read(queue, 1):
        notices.Announcer.progress(number[0], len(kernels))
        with suppress(Exception):
            compile_one(*kernels[number[0]])


def _end(workers: Sequence[subprocess.Popen]) -> None:
    """Let the workers remove their temporary files and end, and wait for that."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _work(kernels: Sequence[Kernel]) -> None:
    """Compile kernels in a worker, whose standard input is the queue."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one ends the others
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    notices.Announcer.say = staticmethod(lambda sentence: None)
    gc.disable()  # a worker lives for seconds
    from minigan_kernels.numba.kernels import compiled_kernels  # importing all kernels has filled it

    _take(0, kernels, lambda name, dtype: compiled_kernels[name].load(dtype))


if __name__ == "__main__":
    _work([(name, np.dtype(dtype)) for name, dtype in json.loads(sys.argv[1])])
