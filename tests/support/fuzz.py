"""Damaged files and odd command lines, from a seed: whatever `minigan` is given must end with its codes and sentences.

    python tests/support/fuzz.py --count 20000 --seed 1     # as many inputs, on every kind in turn
    python tests/support/fuzz.py --seed 1 --only 417        # one of them again, with what it printed

Each input is a folder and a command line, both a pure function of (seed, index). The command runs in this process.
`complaint` says what is wrong with how it ended: an exception, a hang, no sentence, raw control characters, or a
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

os.environ["MINIGAN_DEBUG"] = "1"  # an exception nobody thought of is raised, not told in a sentence

_BUSY_SECONDS, _SECONDS = 20, 120  # longer is a hang: the slowest inputs compute for a second; on a busy machine more
_CLOCKS = ((signal.ITIMER_PROF, signal.SIGPROF, _BUSY_SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, _SECONDS))
_MORE_MEMORY = 3 << 30  # than at the start: what asks for more gets a MemoryError, as on a small machine
_CONTROL = [chr(code) for code in range(32) if chr(code) not in "\n\r\t"] + ["\x7f", "\x9b", "\u202e", "\u2066"]


class Hang(BaseException):
    """The command took too long."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or the exception that came out of it, and what it printed."""

    code: Any
    error: BaseException | None
    out: str
    err: str


class Fuzzer:
    """Runs inputs in folders of its own below `folder`, made from originals that it makes first."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.originals = folder / "originals"
        self.originals.mkdir()
        make_originals(self.originals)

    def kind(self, index: int) -> str:
        """The kind of input `index`."""
        return list(KINDS)[index % len(KINDS)]

    def complaint(self, index: int, *, show: bool = False) -> str | None:
        """What is wrong with the way input `index` ends; None if nothing is."""
        rng = random.Random(f"{self.seed} {index}")
        here = self.folder / "a" / "b"  # so that .. is ours too
        here.mkdir(parents=True)
        try:
            with contextlib.chdir(here):
                arguments = KINDS[self.kind(index)](rng, here, self.originals)
                before = digest(here.parent)
                started = time.perf_counter()
                ended = run(arguments, ascii_only=rng.random() < 0.3, contours=rng.random() < 0.2)
                seconds = time.perf_counter() - started
                found = judged(arguments, ended, before, digest(here.parent))
        finally:
            shutil.rmtree(here.parent, ignore_errors=True)
        if show:
            print(f"arguments {arguments!r}\ncode {ended.code!r} after {seconds:.2f} s\n{ended.out}\n{ended.err}")
            if ended.error is not None:
                traceback.print_exception(ended.error)
        if found is None:
            return None
        return f"input {index} of seed {self.seed} ({self.kind(index)}), {_cut(repr(arguments), 400)}: {found}"


def run(arguments: list[str], *, ascii_only: bool, contours: bool) -> Ended:
    """Run `minigan` with `arguments` in this process, as on a terminal that knows ASCII only or any character.

    contours: draw those of points too, which takes as long as ten inputs.
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
    return Ended(code, error, *printed)


def judged(arguments: list[str], ended: Ended, before: str, after: str) -> str | None:
    """What is wrong with the way the command ended."""
    if ended.error is not None:
        return _in_one_line(ended.error)
    if ended.code not in (0, 1, 2):
        return f"exit code {ended.code!r}"
    if "Traceback" in ended.out + ended.err:
        return f"it printed a traceback: {_cut(ended.out + ended.err, 2000)}"
    if raw := [character for character in _CONTROL if character in ended.out + ended.err]:
        return f"it printed the control character {raw[0]!r}: {_cut(ended.err or ended.out, 400)!r}"
    if ended.code == 0:
        return None
    last = ended.err.rstrip().splitlines()[-1:] or [""]
    said = last[0].rpartition("\r")[2]
    if not (said.startswith("minigan: ") and said[-1] in ".?!") and arguments and "usage: " not in ended.out:
        return f"it ended with {ended.code} and no sentence: {_cut(ended.err, 400)!r}"
    if len(ended.err) > 20_000:
        return f"it printed {len(ended.err):,} characters: {_cut(ended.err, 400)!r}"
    # What diverges has trained for a while: its run stays.
    if before != after and "minigan: step " not in ended.err:
        return f"it refused and changed the folder: {_cut(said, 400)!r}"
    return None


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """No network, not much more memory than now, and an end to what hangs."""

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
        signal.setitimer(clock, seconds, 1.0)  # again and again: something may catch it
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
    """Of the names, types and bytes of all that lies in `folder`."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        found.update(f"{os.fsencode(path)!r} {stat.S_IFMT(kind)} ".encode())
        if stat.S_ISREG(kind):
            found.update(hashlib.sha256(path.read_bytes()).digest())
        elif stat.S_ISLNK(kind):
            found.update(os.readlink(os.fsencode(path)))
    return found.hexdigest()


def _in_one_line(error: BaseException) -> str:
    """The error and where in minigan it came from."""
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
    parser.add_argument("--only", type=int, help="this input alone, and show what it printed")
    parser.add_argument("--kind", choices=list(KINDS), help="inputs of this kind alone")
    arguments = parser.parse_args()
    started, found, tried = time.perf_counter(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), arguments.seed)
        which = range(arguments.count) if arguments.only is None else [arguments.only]
        for index in which:
            if arguments.kind in (None, fuzzer.kind(index)):
                tried += 1
                if (complaint := fuzzer.complaint(index, show=arguments.only is not None)) is not None:
                    found += 1
                    print(complaint, flush=True)
    print(f"{tried:,} inputs, {found} complaints, {time.perf_counter() - started:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
