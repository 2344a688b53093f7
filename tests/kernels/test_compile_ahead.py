"""Kernels compiled together: what a dry run finds out, how processes share the work, and what remains of a failure."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from support.environment import needs_numba, skip_unless_exhaustive

from minigan_kernels import compile_ahead, notices

pytestmark = needs_numba
F32 = np.dtype(np.float32)
KERNELS = [(f"kernel {i}", F32) for i in range(6)]


def _note_two() -> None:
    assert compile_ahead.note("first", F32)
    assert compile_ahead.note("second", F32)
    assert compile_ahead.note("first", F32)


def test_a_dry_run_is_made_once_for_announced_work_only() -> None:
    assert compile_ahead.needed() == []
    with compile_ahead.announced(_note_two):
        assert compile_ahead.needed() == [("first", F32), ("second", F32)]
        assert compile_ahead.needed() == []
    assert not compile_ahead.note("later", F32)


def test_the_work_announced_first_counts() -> None:
    with compile_ahead.announced(_note_two), compile_ahead.announced(lambda: pytest.fail("the inner one")):
        assert len(compile_ahead.needed()) == 2


def test_an_error_in_a_dry_run_ends_the_list() -> None:
    def fail() -> None:
        _note_two()
        raise ValueError("arbitrary numbers")

    with compile_ahead.announced(fail):
        assert len(compile_ahead.needed()) == 2
    assert not compile_ahead.note("later", F32)


def test_warnings_of_a_dry_run_are_dropped(recwarn: pytest.WarningsRecorder) -> None:
    def warn() -> None:
        warnings.warn("arbitrary numbers", stacklevel=1)
        _note_two()

    with compile_ahead.announced(warn):
        assert len(compile_ahead.needed()) == 2
    assert not recwarn


def test_other_threads_compute_during_a_dry_run() -> None:
    answers = []

    def dry_run() -> None:
        other = threading.Thread(target=lambda: answers.append(compile_ahead.note("theirs", F32)))
        other.start()
        other.join()
        _note_two()

    with compile_ahead.announced(dry_run):
        assert [name for name, _ in compile_ahead.needed()] == ["first", "second"]
    assert answers == [False]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> object:
    module = importlib.import_module("minigan_kernels.numba.compile_together")
    monkeypatch.setattr(notices.Announcer, "say", staticmethod(lambda sentence: None))
    return module


def _workers(module: object, monkeypatch: pytest.MonkeyPatch, program: str) -> list[subprocess.Popen]:
    """The workers that will have been started, each of which runs `program` instead of compiling."""
    started: list[subprocess.Popen] = []

    def start(queue: int, kernels: object) -> subprocess.Popen:
        worker = subprocess.Popen([sys.executable, "-S", "-c", program], stdin=queue, stdout=subprocess.PIPE)
        started.append(worker)
        return worker

    monkeypatch.setattr(module, "_start", start)
    return started


def _read(workers: list[subprocess.Popen]) -> bytes:
    output = b""
    for worker in workers:
        assert worker.returncode is not None, "a worker is still running, or a zombie"
        assert worker.stdout is not None
        output += worker.stdout.read()
        worker.stdout.close()
    return output


TAKE_ALL = "import os\nwhile b := os.read(0, 1): os.write(1, b)"


def test_every_kernel_is_compiled_once(together: object, monkeypatch: pytest.MonkeyPatch) -> None:
    workers, own = _workers(together, monkeypatch, TAKE_ALL), []
    together.compile_together(KERNELS, lambda name, dtype: own.append(name), 3)  # type: ignore[attr-defined]
    others = [KERNELS[number][0] for number in _read(workers)]
    assert len(workers) == 2
    assert sorted(own + others) == [name for name, _ in KERNELS]


@pytest.mark.parametrize(("count", "processes"), [(1, 4), (0, 4), (6, 1)])
def test_no_worker_is_started_for_what_one_process_can_do(
    count: int, processes: int, together: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = _workers(together, monkeypatch, TAKE_ALL)
    together.compile_together(KERNELS[:count], lambda *_: pytest.fail("not asked for"), processes)  # type: ignore[attr-defined]
    assert workers == []


def test_a_worker_that_is_killed_leaves_only_its_kernel(together: object, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_itself = "import os, signal\nos.write(1, os.read(0, 1))\nos.kill(os.getpid(), signal.SIGKILL)"
    workers, own = _workers(together, monkeypatch, kill_itself), []

    def compile_one(name: str, dtype: np.dtype) -> None:
        workers[0].wait()  # the worker has taken one kernel before this process takes its second
        own.append(name)

    together.compile_together(KERNELS, compile_one, 2)  # type: ignore[attr-defined]
    lost = [KERNELS[number][0] for number in _read(workers)]
    assert len(lost) == 1
    assert sorted(own + lost) == [name for name, _ in KERNELS]


def test_workers_that_cannot_be_started_are_done_without(together: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no more processes")

    own: list[str] = []
    monkeypatch.setattr(together, "_start", refuse)
    together.compile_together(KERNELS, lambda name, dtype: own.append(name), 4)  # type: ignore[attr-defined]
    assert own == [name for name, _ in KERNELS]


@pytest.mark.parametrize("executable", [None, "", "/usr/bin/blender", "my app.exe"])
def test_a_program_with_python_in_it_is_not_started_again(
    executable: str | None, together: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "_start", lambda *_: pytest.fail("a worker was started"))
    monkeypatch.setattr(sys, "executable", executable)
    together.compile_together(KERNELS, lambda name, dtype: pytest.fail("compiled"), 3)  # type: ignore[attr-defined]


def test_a_kernel_that_cannot_be_compiled_leaves_its_error_to_where_it_is_needed(
    together: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, dtype: np.dtype) -> None:
        own.append(name)
        raise ValueError(name)

    own: list[str] = []
    workers = _workers(together, monkeypatch, "")
    together.compile_together(KERNELS, fail, 2)  # type: ignore[attr-defined]
    _read(workers)
    assert own == [name for name, _ in KERNELS]


def test_an_interrupt_ends_the_workers(together: object, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = _workers(together, monkeypatch, "import time\ntime.sleep(100)")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together.compile_together(KERNELS, interrupt, 3)  # type: ignore[attr-defined]
    assert _read(workers) == b""
    assert len(workers) == 2


PROGRAM = """
import sys
import numpy as np
import minigan_kernels
from minigan_kernels import compile_ahead
table, started, (announce,) = minigan_kernels.table("numba", np), [], sys.argv[1:]
module = sys.modules["minigan_kernels.numba.compile_together"]
start = module._start
module._start = lambda *arguments: started.append(1) or start(*arguments)

def work():
    x, running = np.linspace(-1, 1, 40, dtype=np.float32), np.zeros(40, np.float32)
    gated = table["slope_gate"](x, x, 0.5)
    table["update_running_statistics"](running, x, 0.9)
    return gated.tobytes().hex() + running.tobytes().hex()

def announced_work():
    with compile_ahead.announced(work):
        return work()

print(announced_work() if announce == "announced" else work(), len(started))
"""


def _run(cache: Path, announce: str) -> tuple[str, int, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "MINIGAN_"))}
    environment |= {"MINIGAN_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, announce],
        env=environment, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    bits, workers = done.stdout.split()
    return bits, int(workers), done.stderr


@skip_unless_exhaustive
def test_processes_compile_the_same_kernels_as_one(tmp_path: Path) -> None:
    bits, workers, said = _run(tmp_path / "together", "announced")
    assert workers == 1
    assert said.count("\n") == 2  # the loop over threads, and all others
    assert "compiling 2 kernels on this CPU, 2 at a time (once; they are cached)" in said
    assert _run(tmp_path / "together", "announced") == (bits, 0, "")
    assert _run(tmp_path / "alone", "not announced")[:2] == (bits, 0)
    names = [{path.name for path in (tmp_path / cache).rglob("*.nbc")} for cache in ("together", "alone")]
    assert names[0] == names[1]
    assert len(names[0]) == 3


@pytest.mark.slow
def test_the_worker_process_compiles_what_is_in_its_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("minigan_kernels.numba.compile_together")
    monkeypatch.setenv("MINIGAN_CACHE_DIR", str(tmp_path))
    queue, end = os.pipe()
    os.write(end, b"\1")
    os.close(end)
    worker = module._start(queue, [("slope_gate", F32), ("update_running_statistics", F32)])
    os.close(queue)
    assert worker.wait(100) == 0
    assert [path.name.partition("-")[0] for path in sorted(tmp_path.rglob("*.nbc"))] == [
        "moving_average",
        "parallel_for",
    ]


def test_a_dry_run_leaves_the_scratch_memory_of_the_kernel_that_is_missing_alone() -> None:
    """A kernel that is found missing may have been called with scratch memory, which a dry run takes for itself."""
    jit, memory = (importlib.import_module(f"minigan_kernels.numba.{name}") for name in ("jit", "memory"))
    (mine,) = memory.scratch(F32, (8,))
    mine[:] = 7

    def dry_run() -> None:
        (its,) = memory.scratch(F32, (8,))
        its[:] = np.nan

    with compile_ahead.announced(dry_run):
        jit._compile_needed()
    np.testing.assert_array_equal(mine, np.full(8, 7, np.float32))
    assert memory.scratch(F32, (8,))[0] is mine
