"""Runs the tests of the CUDA kernels once for each planted mistake, in a process of its own, until one fails.

It is a plugin of pytest: the tests are collected once and compiled once, each source with all of its mistakes. A first
run, in which no mistake is at work, must pass; it notes which tests execute which of the places. Then each mistake has
a process, forked from this one, that runs the tests that execute its place, the shortest first.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from _pytest.runner import runtestprotocol

from cuda_mutation.sites import MOST_SITES, Site, Sites
from minigan_kernels.cache import cache_directory
from minigan_kernels.cuda import compiler

UNTOUCHED = ("ptx.cuh",)  # one instruction a function, and an emulation of each, which is part of the tests
_GRACE, _TIMES = 3.0, 10.0  # seconds; a test may take so much longer than in the first run
_FAILURES = 3  # after which the first run ends
_SHOWN = 1500  # characters of the report of a failed test
_SURVIVED, _FOUND, _BROKEN = 0, 10, 11  # exit codes of a mistake's process
_SWITCHES = f"int minigan_mutant; unsigned char minigan_reached[{MOST_SITES}];"


Tests = list[tuple[float, Any]]  # of pytest, each with its seconds in the first run


class Outcome(NamedTuple):
    """What became of a mistake: `how` is "wrong" (a test failed), "crash", "hang", "survived" or "never executed".

    tests: how many execute its place. test: the one that found it.
    """

    site: Site
    how: str
    tests: int
    test: str = ""

    @property
    def found(self) -> bool:
        """Whether the tests noticed it."""
        return self.how in ("wrong", "crash", "hang")


@dataclass
class _Process:
    """A process of its own for a mistake. In the memory that it shares is the index of the test that it runs."""

    number: int
    site: Site
    tests: Tests
    shared: mmap.mmap


class Switches:
    """The variables that the planted sources read, in a library whose symbols all others see."""

    def __init__(self) -> None:
        name = hashlib.sha256(_SWITCHES.encode()).hexdigest()[:16]
        path = cache_directory("cuda-mutants") / f"switches-{name}.so"
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                source, library = Path(folder, "switches.c"), Path(folder, "switches.so")
                source.write_text(_SWITCHES)
                subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
                os.replace(library, path)
        self._library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        self._mutant = ctypes.c_int.in_dll(self._library, "minigan_mutant")
        self._reached = (ctypes.c_ubyte * MOST_SITES).in_dll(self._library, "minigan_reached")

    def choose(self, mutant: int) -> None:
        """Let the mistake of this number be at work; 0 means none."""
        self._mutant.value = mutant

    def reached(self) -> tuple[set[int], set[int]]:
        """The numbers of the mistakes whose places were executed since the last call, and of those that mean nothing.

        A comparison of real numbers cannot let one less through.
        """
        values = bytes(self._reached)
        ctypes.memset(self._reached, 0, MOST_SITES)
        return tuple({number for number, value in enumerate(values) if value == kind} for kind in (1, 2))


class Plugin:
    """Runs the collected tests with every mistake in turn; then `outcomes` has an Outcome for each."""

    def __init__(self, workers: int, wanted: Callable[[Site], bool]) -> None:
        self.sites, self.switches = Sites(), Switches()
        self.workers, self.wanted = workers, wanted
        self.outcomes: list[Outcome] = []
        self.failures: list[str] = []
        self._found_some: dict[str, list[Any]] = {}  # by file the tests that found a mistake in it, the last one last

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's loop over the tests."""
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        full_source = compiler.full_source
        with mock.patch.object(
            compiler, "full_source", lambda *arguments: self.sites.planted(full_source(*arguments), UNTOUCHED)
        ):
            executing, meaningless = self._executing(session.items)
            if not self.failures:
                wanted = [(n, site) for n, site in self.sites if n not in meaningless and self.wanted(site)]
                self._require_survival_without_a_mistake(executing)
                self.outcomes = list(self._outcomes(wanted, executing))
        return True

    def _executing(self, items: list[Any]) -> tuple[dict[int, Tests], set[int]]:
        """For each mistake the tests that execute its place, with their seconds, the shortest first.

        The second set is of the mistakes that mean nothing where they are.
        """
        found: dict[int, Tests] = {}
        meaningless: set[int] = set()
        for done, (item, following) in enumerate(zip(items, [*items[1:], None], strict=True)):
            _say(done, len(items), "tests")
            self.switches.reached()
            self._run(item, following)  # compiles
            start = time.perf_counter()
            failures = self._run(item, following)
            seconds = time.perf_counter() - start
            self.failures += failures
            if len(self.failures) >= _FAILURES:
                break
            executed, nothing = self.switches.reached()
            meaningless |= nothing
            for number in executed:
                found.setdefault(number, []).append((seconds, item))
        return {number: sorted(tests, key=lambda test: test[0]) for number, tests in found.items()}, meaningless

    def _require_survival_without_a_mistake(self, executing: dict[int, Tests]) -> None:
        """Note a failure unless a process without a mistake survives the first test of every mistake."""
        first = {id(tests[0][1]): tests[0] for tests in executing.values()}
        outcome = self._next([self._forked(0, Site("", 0, 0, "none", "nothing"), list(first.values()))])
        if outcome.how != "survived":
            self.failures.append(f"a process without a mistake ended as if it had one: {outcome.how}, {outcome.test}")

    @staticmethod
    def _run(item: Any, following: Any) -> list[str]:
        """Run a test; what failed, as text."""
        reports = runtestprotocol(item, nextitem=following, log=False)
        return [f"{item.nodeid}\n{report.longreprtext[-_SHOWN:]}" for report in reports if report.failed]

    def _outcomes(self, wanted: list[tuple[int, Site]], executing: dict[int, Tests]) -> Iterator[Outcome]:
        running: list[_Process] = []
        for done, (number, site) in enumerate(wanted):
            _say(done, len(wanted), "mistakes")
            if number not in executing:
                yield Outcome(site, "never executed", 0)
                continue
            if len(running) == self.workers:
                yield self._next(running)
            # First the tests that have found a mistake in this file, the last one first.
            found_some = self._found_some.get(site.file, [])
            rank = {item.nodeid: -place for place, item in enumerate(found_some)}
            tests = sorted(executing[number], key=lambda test: (rank.get(test[1].nodeid, 1), test[0]))
            running.append(self._forked(number, site, tests))
        while running:
            yield self._next(running)

    def _forked(self, number: int, site: Site, tests: Tests) -> _Process:
        """Start the process of a mistake."""
        sys.stdout.flush()
        sys.stderr.flush()
        process = _Process(0, site, tests, mmap.mmap(-1, mmap.PAGESIZE))
        process.number = os.fork()
        if process.number:
            return process
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process
            self.switches.choose(number)
            for i, (seconds, item) in enumerate(tests):
                process.shared[:4] = i.to_bytes(4, "little")
                signal.setitimer(signal.ITIMER_REAL, _GRACE + _TIMES * seconds)
                if self._run(item, tests[i + 1][1] if i + 1 < len(tests) else None):
                    os._exit(_FOUND)
            os._exit(_SURVIVED)
        finally:
            os._exit(_BROKEN)

    def _next(self, running: list[_Process]) -> Outcome:
        """Wait for the next of the processes that ends."""
        child, status = os.wait()
        process = next(process for process in running if process.number == child)
        running.remove(process)
        code = os.waitstatus_to_exitcode(status)
        how = {_SURVIVED: "survived", _FOUND: "wrong", -signal.SIGALRM: "hang"}.get(code, "crash")
        if code == _BROKEN:
            self.failures.append(f"the process of a mistake could not run its tests: {process.site}")
        last = process.tests[int.from_bytes(process.shared[:4], "little")][1]
        process.shared.close()
        if how == "survived":
            return Outcome(process.site, how, len(process.tests))
        found_some = self._found_some.setdefault(process.site.file, [])
        found_some[:] = [item for item in found_some if item is not last] + [last]
        return Outcome(process.site, how, len(process.tests), last.nodeid)


def _say(done: int, count: int, what: str) -> None:
    if done % 100 == 0:
        print(f"{done} of {count} {what}", file=sys.stderr, flush=True)


def run(paths: list[Path], workers: int, wanted: Callable[[Site], bool]) -> Plugin:
    """Run the tests in `paths` with every mistake that is `wanted`; returns the plugin with its outcomes."""
    plugin = Plugin(workers, wanted)
    quietly = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:faulthandler"]
    code = pytest.main([*map(str, paths), *quietly, "-m", "not gpu"], plugins=[plugin])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        plugin.failures.append(f"pytest ended with {code!r}")
    return plugin
