"""A fuzzer: damaged files and odd command lines, on which `minigan` must end with its exit codes and sentences.

    PYTHONPATH=tests python -m support.fuzz --count 20000 --seed 1   # 20,000 inputs, of every kind in turn
    PYTHONPATH=tests python -m support.fuzz --seed 1 --only 417      # one of them again, with what it printed

Each input is a folder and a command line, both a pure function of (seed, index). The command runs in this process.
`failure_of` says what is wrong with its outcome: an exception, a hang, no sentence, raw control characters, or a
refused command that changed something.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import random
import resource
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from support.fuzz_inputs import KINDS, Brake, make_originals

os.environ["MINIGAN_DEBUG"] = "1"  # an unexpected exception is raised, instead of reported in a sentence

_BUSY_SECONDS, _SECONDS = 20, 120  # limits of CPU time and of real time: the slowest inputs compute for about a second
_CLOCKS = ((signal.ITIMER_PROF, signal.SIGPROF, _BUSY_SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, _SECONDS))
_MORE_MEMORY = 3 << 30  # bytes beyond those at the start; more causes a MemoryError, as on a small machine
_CONTROL = [chr(code) for code in range(32) if chr(code) not in "\n\r\t"] + ["\x7f", "\x9b", "\u202e", "\u2066"]


class Hang(BaseException):
    """The command took too long."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command: its exit code, or the exception that it raised, and what it printed."""

    code: Any
    error: BaseException | None
    out: str
    err: str


class Fuzzer:
    """Runs inputs in a folder below `folder`; they are damaged copies of files that it makes first."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.originals = folder / "originals"
        self.originals.mkdir()
        make_originals(self.originals)

    def kind(self, index: int) -> str:
        """The kind of input `index`."""
        return list(KINDS)[index % len(KINDS)]

    def complaint(self, index: int, *, show: bool = False) -> str | None:
        """What is wrong with the outcome of input `index`, for people to read; None if nothing is."""
        rng = random.Random(f"{self.seed} {index}")
        here = self.folder / "a" / "b"  # so that .. belongs to the fuzzer too
        here.mkdir(parents=True)
        try:
            with contextlib.chdir(here):
                arguments = KINDS[self.kind(index)](rng, here, self.originals)
                before = digest(here.parent)
                started = time.perf_counter()
                outcome = run(arguments, ascii_only=rng.random() < 0.3, contours=rng.random() < 0.2)
                seconds = time.perf_counter() - started
                failure = failure_of(arguments, outcome, before, digest(here.parent))
        finally:
            shutil.rmtree(here.parent, ignore_errors=True)
        if show:
            print(f"arguments {arguments!r}\ncode {outcome.code!r} after {seconds:.2f} s\n{outcome.out}\n{outcome.err}")
            if outcome.error is not None:
                traceback.print_exception(outcome.error)
        if failure is None:
            return None
        return f"input {index} of seed {self.seed} ({self.kind(index)}), {_cut(repr(arguments), 400)}: {failure}"


def run(arguments: list[str], *, ascii_only: bool, contours: bool) -> Outcome:
    """Run `minigan` with `arguments` in this process, as on a terminal for ASCII only or for any character.

    contours: whether runs of points draw contours, which takes as long as ten inputs.
    """
    from minigan import cli

    encoding = "ascii" if ascii_only else "utf-8"
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    err = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    code, error = None, None
    with mock.patch("sys.stdout", out), mock.patch("sys.stderr", err), _limited(), Brake(contours):
        try:
            code = cli.main(arguments)
        except SystemExit as stopped:  # --help
            code = stopped.code
        except BaseException as raised:
            error = raised
    printed = []
    for stream in (out, err):
        stream.flush()
        printed.append(stream.detach().getvalue().decode("utf-8", "replace"))
    return Outcome(code, error, *printed)


def failure_of(arguments: list[str], outcome: Outcome, before: str, after: str) -> str | None:
    """What is wrong with the outcome of a command; None if nothing is.

    before, after: digests of the folder.
    """
    if outcome.error is not None:
        return _in_one_line(outcome.error)
    if outcome.code not in (0, 1, 2):
        return f"exit code {outcome.code!r}"
    if "Traceback" in outcome.out + outcome.err:
        return f"it printed a traceback: {_cut(outcome.out + outcome.err, 2000)}"
    if raw := [character for character in _CONTROL if character in outcome.out + outcome.err]:
        return f"it printed the control character {raw[0]!r}: {_cut(outcome.err or outcome.out, 400)!r}"
    if outcome.code == 0:
        return None
    last = outcome.err.rstrip().splitlines()[-1:] or [""]
    sentence = last[0].rpartition("\r")[2]
    if not (sentence.startswith("minigan: ") and sentence[-1] in ".?!") and arguments and "usage: " not in outcome.out:
        return f"it ended with {outcome.code} and no sentence: {_cut(outcome.err, 400)!r}"
    if len(outcome.err) > 20_000:
        return f"it printed {len(outcome.err):,} characters: {_cut(outcome.err, 400)!r}"
    # A training that diverges leaves its run.
    if before != after and "minigan: step " not in outcome.err:
        return f"it refused and changed the folder: {_cut(sentence, 400)!r}"
    return None


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """A context without network, with limited memory, and in which a hang raises Hang."""

    def stop(number: int, frame: Any) -> None:
        computing = number == signal.SIGPROF
        raise Hang(
            f"still {'computing' if computing else 'waiting'} after {_BUSY_SECONDS if computing else _SECONDS} s"
        )

    def no_network(*arguments: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no network in these tests")

    limits = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    previous = {number: signal.signal(number, stop) for _, number, _ in _CLOCKS}
    for clock, _, seconds in _CLOCKS:
        signal.setitimer(clock, seconds, 1.0)  # repeatedly, since the command may catch the exception
    resource.setrlimit(resource.RLIMIT_AS, (in_use + _MORE_MEMORY, limits[1]))
    try:
        with mock.patch("socket.getaddrinfo", no_network):
            yield
    finally:
        for clock, number, _ in _CLOCKS:
            signal.setitimer(clock, 0)
            signal.signal(number, previous[number])
        resource.setrlimit(resource.RLIMIT_AS, limits)


def digest(folder: Path) -> str:
    """A digest of the names, types and bytes of everything in `folder`."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        total.update(f"{os.fsencode(path)!r} {stat.S_IFMT(kind)} ".encode())
        if stat.S_ISREG(kind):
            total.update(hashlib.sha256(path.read_bytes()).digest())
        elif stat.S_ISLNK(kind):
            total.update(os.readlink(os.fsencode(path)))
    return total.hexdigest()


def _in_one_line(error: BaseException) -> str:
    """The error, and the last place in minigan that its traceback names."""
    own = [
        f for f in traceback.extract_tb(error.__traceback__) if "/minigan/" in f.filename or "/kernels/" in f.filename
    ]
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "outside"
    return f"{type(error).__name__} from {where}: {_cut(str(error), 300)}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def main() -> int:
    """Try many inputs, and print each complaint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this input alone, and show what it printed")
    parser.add_argument("--kind", choices=list(KINDS), help="run inputs of this kind alone")
    arguments = parser.parse_args()
    started, complaints, tried = time.perf_counter(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), arguments.seed)
        which = range(arguments.count) if arguments.only is None else [arguments.only]
        for index in which:
            if arguments.kind in (None, fuzzer.kind(index)):
                tried += 1
                if (complaint := fuzzer.complaint(index, show=arguments.only is not None)) is not None:
                    complaints += 1
                    print(complaint, flush=True)
    print(f"{tried:,} inputs, {complaints} complaints, {time.perf_counter() - started:.0f} s")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
