"""Loads kernels from caches that are damaged in many ways, each in its own process, so that a crash is recorded too.

    python tests/support/damaged_cache.py FOLDER small 13      small functions, cached as kernels are; seconds
    python tests/support/damaged_cache.py FOLDER kernels 56    the kernels of a training step; minutes

The number is that of damaged files; kinds of damage and files are used in turn. Odd folders follow. Prints a line of
JSON for each: the damage, the exit code of the process, a hash of the numbers it computed, its notices, whether a
planted program ran, and the same for a second process that used the cache afterwards.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import itertools
import json
import os
import pickle
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import float32, float64, njit

import minigan_kernels
from minigan_kernels import checked_files
from minigan_kernels.numba import disk_cache

OTHERS = 65534  # nobody


def _square_plus(x, y):
    return x * x + y


def _difference(x, y):
    return x - y


def small() -> list[np.ndarray]:
    """The results of two small functions for fixed numbers."""
    results = []
    for function in map(njit, (_square_plus, _difference)):
        disk_cache.compile_or_load(function, (float64, float64), f"'{function.__name__}'")
        results.append(np.array([function(x, 0.3) for x in np.linspace(-1, 1, 7)]))
    return results


def kernels() -> list[np.ndarray]:
    """The results of the kernels of a training step of dense layers for fixed numbers."""
    table = minigan_kernels.table("numba", np)
    rng = np.random.default_rng(0)
    x, w, b, thin = (rng.standard_normal(shape).astype(np.float32) for shape in ((40, 30), (30, 50), (50,), (50, 1)))
    y = table["dense"](x, w, b, 0.2)
    g, sums = table["bias_act_grad"](y, y, 0.25)
    z, mean, variance = table["batch_norm"](g, b, b, 1e-3, 0.2)
    results = [y, g, sums, z, *table["batch_norm_grad"](g, z, b, b, mean, variance, 1e-3, 0.2)]
    logits = table["matmul"](z, thin, False, False)
    results += [logits, table["matmul"](z, logits, True, False), table["matmul"](logits, thin, False, True)]
    p, m, v = (np.zeros(50, np.float32) for _ in range(3))
    numbers = np.array([1, 0.02, 0.001, 0.001**-0.5])
    table["adam"](p, b, np.array([[0, 50]]), m, v, np.full(1, -1), numbers, 0.5, 0.999, 1e-8)
    return [*results, table["slope_gate"](y, z, 0.5), p, m, v]


COMPUTE = {"small": small, "kernels": kernels}


class _Plant:
    """Makes a folder when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def run_in_process(what: str, cache: Path, prepare: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Compute `what` with the cache at `cache` in a forked process; returns its exit code, hash of results, notices."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            notices: list[str] = []
            minigan_kernels.on_compile(notices.append)
            os.environ["MINIGAN_CACHE_DIR"] = str(cache)
            prepare()
            bits = hashlib.sha256(b"".join(array.tobytes() for array in COMPUTE[what]()))
            output = json.dumps({"bits": bits.hexdigest(), "said": notices}).encode()
        except BaseException as error:
            output = json.dumps({"error": repr(error)}).encode()
        os.write(writing, output)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"ended": os.waitstatus_to_exitcode(status), **(json.loads(answer) if answer else {})}


def cached_files(cache: Path) -> list[Path]:
    """The files of the cached kernels."""
    return sorted(cache.rglob("*.nbc"))


def _flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def _swap(path: Path, rng: np.random.Generator) -> None:
    other = next(file for file in cached_files(path.parent) if file != path)
    data = other.read_bytes()
    other.write_bytes(path.read_bytes())
    path.write_bytes(data)


def _plant(path: Path, *, behind: bytes = b"") -> None:
    path.write_bytes(behind + pickle.dumps(_Plant(path.parent.parent / "planted")))


def _replaced(path: Path, make: Callable[[], None]) -> None:
    path.unlink()
    make()


def _link(path: Path) -> None:
    target = path.with_suffix(".moved")
    path.rename(target)
    path.symlink_to(target)


DAMAGES: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "emptied": lambda path, rng: os.truncate(path, 0),
    "cut in half": lambda path, rng: os.truncate(path, path.stat().st_size // 2),
    "one bit": _flip,
    "one bit of the checksum": lambda path, rng: path.write_bytes(b"\x01" + path.read_bytes()[1:]),
    "garbage": lambda path, rng: path.write_bytes(rng.bytes(5000)),
    "longer": lambda path, rng: path.write_bytes(path.read_bytes() + b"\0"),
    "swapped": _swap,
    "a pickle": lambda path, rng: _plant(path),
    "a pickle behind the old checksum": lambda path, rng: _plant(path, behind=path.read_bytes()[:32]),
    "a folder": lambda path, rng: _replaced(path, path.mkdir),
    "a pipe": lambda path, rng: _replaced(path, lambda: os.mkfifo(path)),
    "a link": lambda path, rng: _link(path),
    "writable by others": lambda path, rng: path.chmod(0o666),
}


def _damaged(what: str, fresh: Path, count: int, scratch: Path) -> Iterator[dict[str, Any]]:
    files = len(cached_files(fresh))
    for i, (name, damage) in zip(range(count), itertools.cycle(DAMAGES.items()), strict=False):
        cache = scratch / f"damaged {i}"
        shutil.copytree(fresh, cache)
        damage(cached_files(cache)[i % files], np.random.default_rng(i))
        result = run_in_process(what, cache)
        is_folder = name == "a folder"  # minigan leaves a folder where it is, so a second process would compile again
        again = {"bits": result["bits"], "said": []} if is_folder else run_in_process(what, cache)
        yield {"damage": name, **result, "planted": any(cache.rglob("planted")), "again": again}


def _poisoned(what: str, cache: Path) -> None:
    """Make a cache of planted programs with valid checksums, as somebody who may write there could."""

    def prepare() -> None:
        write, content = checked_files.write, pickle.dumps(_Plant(cache / "planted"))
        checked_files.write = lambda path, identity, _: write(path, identity, content)

    run_in_process(what, cache, prepare)


def _odd_folders(what: str, scratch: Path) -> Iterator[dict[str, Any]]:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    def no_temporary_folder() -> None:
        tempfile.tempdir = str(scratch / "nowhere")

    def another_temporary_folder() -> None:
        tempfile.tempdir = str(scratch)

    yield {
        "damage": "full",
        **run_in_process(what, scratch / "full", full),
        "files": len(list(scratch.glob("full/*/*/.*"))),
    }
    (scratch / "obstacle").write_text("a file where a folder is needed")
    yield {"damage": "no folder", **run_in_process(what, scratch / "obstacle", no_temporary_folder)}
    _poisoned(what, scratch / "poisoned")
    for name, spoil in _SPOILT.items():
        cache = scratch / name
        shutil.copytree(scratch / "poisoned", cache)
        spoil(cache)
        result = run_in_process(what, cache, another_temporary_folder)
        yield {"damage": name, **result, "planted": (scratch / "poisoned" / "planted").exists()}


def _given_away(path: Path) -> None:
    if os.getuid() == 0:
        os.chown(path, OTHERS, OTHERS)
    else:
        path.chmod(0o777)


def _each(cache: Path, spoil: Callable[[Path], None]) -> None:
    for path in cached_files(cache):
        spoil(path)


_SPOILT: dict[str, Callable[[Path], None]] = {
    "others write to the cache": lambda cache: cache.chmod(0o777),
    "others write to a folder of it": lambda cache: cached_files(cache)[0].parent.chmod(0o777),
    "others write to the files": lambda cache: _each(cache, lambda path: path.chmod(0o666)),
    "the cache of another": _given_away,
    "a folder of another": lambda cache: _given_away(cached_files(cache)[0].parent),
    "files of another": lambda cache: _each(cache, _given_away),
    "nobody could have meddled": lambda cache: None,  # last: this shows that the plant would have worked
}


def _at_once(what: str, cache: Path, count: int) -> list[dict[str, Any]]:
    """The results of `count` processes that start together, with an empty cache."""
    threads = concurrent.futures.ThreadPoolExecutor(count)
    return list(threads.map(lambda _: run_in_process(what, cache), range(count)))


def main(folder: str, what: str, count: str) -> None:
    scratch = Path(folder)
    fresh = scratch / "fresh"
    njit(_difference).compile((float32, float32))  # so that not every process has to initialise the compiler
    for result in _at_once(what, fresh, 3):
        print(json.dumps({"damage": "three first runs at once", **result}), flush=True)
    print(json.dumps({"damage": "none", **run_in_process(what, fresh)}), flush=True)
    for result in itertools.chain(_damaged(what, fresh, int(count), scratch), _odd_folders(what, scratch)):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
