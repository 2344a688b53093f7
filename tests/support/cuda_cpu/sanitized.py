"""Run one launch under a sanitizer, in a program of its own: ThreadSanitizer finds races, AddressSanitizer accesses
outside of arrays, and UndefinedBehaviorSanitizer, which comes with the latter, what C++ leaves undefined.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import build, run

MAX_THREADS = 4096  # of a launch: each is a thread of the operating system
SANITIZERS = {"thread": "ThreadSanitizer", "address": "AddressSanitizer"}

_ENVIRONMENT = {
    "TSAN_OPTIONS": "history_size=2 report_thread_leaks=0 atexit_sleep_ms=0",
    "ASAN_OPTIONS": "detect_leaks=0 detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=0",
}
_NO_RANDOM_ADDRESSES = ("setarch", "-R")  # older ThreadSanitizers cannot start with many random bits in addresses


@dataclass(frozen=True)
class Finding:
    """What was found, such as "data race" or "heap-buffer-overflow", and the line of the source where."""

    kind: str
    line: int | None


@dataclass(frozen=True)
class Report:
    """The result of `run_sanitized`: what was found, the whole text, and the contents of the arrays afterwards.

    `arrays` holds one for each argument that was an array, and is empty if the launch was stopped.
    """

    findings: list[Finding]
    text: str
    arrays: list[np.ndarray] = field(default_factory=list)


def run_sanitized(
    text: str,
    kernel: str,
    grid: int | tuple[int, ...],
    block: int | tuple[int, ...],
    arguments: Sequence[Any],
    *,
    name: str = "kernel.cu",
    sanitizer: str = "thread",
    shared_bytes: int = 0,
    timeout: float = 120.0,
) -> Report:
    """Run a kernel of the CUDA source `text` once, with `arguments` as `Library.launch` takes them (no pointers).

    The arrays are copied; those that share memory go on sharing it. For an array that is not row-major the kernel gets
    the address of its first element, and the memory from its lowest to its highest element. A launch that does not end
    in `timeout` seconds is a finding. Raises ValueError for more threads than 4,096, and what `build.compile` and
    `Library.launch` raise.
    """
    checked = run.Library(build.compile(text, name)).kernels[kernel]
    extents = checked.extents(grid, block)
    if (threads := math.prod(extents)) > MAX_THREADS:
        raise ValueError(f"{threads:,} threads of the kernel {kernel}, and a sanitizer runs up to {MAX_THREADS:,}")
    memory = _Memory(arguments)
    packed = _packed(checked, extents, shared_bytes, arguments, memory)
    program = build.compile(text, name, sanitizer)
    with tempfile.TemporaryDirectory() as folder:
        launch, result = Path(folder) / "launch", Path(folder) / "result"
        launch.write_bytes(packed)
        output, ended = _execute([str(program), str(launch), str(result)], timeout)
        contents = result.read_bytes() if result.exists() else None
    findings = _findings(output, Path(name).name)
    if not ended:
        findings.append(Finding("time-out", None))
    arrays = [memory.copy_of(a, contents) for a in arguments if isinstance(a, np.ndarray) and contents is not None]
    return Report(findings, output, arrays)


@cache
def problem(sanitizer: str) -> str | None:
    """Why the sanitizer cannot be used here, or None: the compiler lacks it, or its programs do not start."""
    if build.compiler() is None:
        return "g++ on Linux is missing"
    text = 'extern "C" __global__ void nothing(int* out) { *out = 1; }'
    try:
        report = run_sanitized(text, "nothing", 1, 1, [np.zeros(1, np.int32)], sanitizer=sanitizer, timeout=60)
    except RuntimeError as error:
        return f"{SANITIZERS[sanitizer]} cannot be used: {error}"
    if report.findings or not report.arrays:
        return f"{SANITIZERS[sanitizer]} does not run here: {report.text[:200]}"
    return None


class _Memory:
    """The memory of the arrays among `arguments`: the ranges of addresses that they occupy, overlapping ones joined."""

    def __init__(self, arguments: Sequence[Any]) -> None:
        self.ranges: list[tuple[int, int]] = []
        for low, high in sorted(_bounds(a) for a in arguments if isinstance(a, np.ndarray)):
            if self.ranges and low < self.ranges[-1][1]:
                self.ranges[-1] = self.ranges[-1][0], max(high, self.ranges[-1][1])
            else:
                self.ranges.append((low, high))

    def place_of(self, array: np.ndarray) -> tuple[int, int]:
        """(the index of the array's range, the position of its first element in there, in bytes)."""
        low, high = _bounds(array)
        index = next(i for i, (start, end) in enumerate(self.ranges) if start <= low and high <= end)
        return index, array.ctypes.data - self.ranges[index][0]

    def copy_of(self, array: np.ndarray, contents: bytes) -> np.ndarray:
        """The array as it is in `contents`, which holds one range after another."""
        index, offset = self.place_of(array)
        start = sum(high - low for low, high in self.ranges[:index]) + offset
        return np.ndarray(array.shape, array.dtype, contents, start if array.size else 0, array.strides)


def _bounds(array: np.ndarray) -> tuple[int, int]:
    """The addresses of the array's first byte and of the byte after its last one."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return (low, high) if array.size else (array.ctypes.data, array.ctypes.data)


def _packed(kernel: run.Kernel, extents: Any, shared_bytes: int, arguments: Sequence[Any], memory: _Memory) -> bytes:
    """The launch as threads.cpp reads it."""
    name = kernel.name.encode()
    parts = [struct.pack("=Q", len(name)), name, struct.pack("=6I", *extents)]
    parts.append(struct.pack("=QQ", shared_bytes, len(memory.ranges)))
    for low, high in memory.ranges:
        parts += [struct.pack("=Q", high - low), ctypes.string_at(low, high - low)]
    values = kernel.convert([_as_row_major(argument) for argument in arguments])
    parts.append(struct.pack("=Q", len(values)))
    for argument, parameter, value in zip(arguments, kernel.parameters, values, strict=True):
        if isinstance(argument, np.ndarray):
            index, offset = memory.place_of(argument)
            parts.append(struct.pack("=QQ", 1 + index, offset))
        elif parameter.is_pointer and value:
            raise ValueError(f"a sanitizer takes arrays, not addresses, for {parameter.name}")
        else:
            parts.append(struct.pack(f"=Q{parameter.packed}", 0, value))
    return b"".join(parts)


def _as_row_major(argument: Any) -> Any:
    """An empty array of the same type in place of one that is not row-major, which would be refused."""
    is_array = isinstance(argument, np.ndarray)
    return np.empty(0, argument.dtype) if is_array and not argument.flags.c_contiguous else argument


def _execute(command: list[str], timeout: float) -> tuple[str, bool]:
    """What the program prints, and whether it ended."""
    environment = os.environ | _ENVIRONMENT
    try:
        output = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout).stderr
    except subprocess.TimeoutExpired as error:
        text = error.stderr or b""
        return (text.decode(errors="replace") if isinstance(text, bytes) else text), False
    if "unexpected memory mapping" in output and command[0] != _NO_RANDOM_ADDRESSES[0] and shutil.which("setarch"):
        return _execute([*_NO_RANDOM_ADDRESSES, *command], timeout)
    return output, True


_FINDINGS = re.compile(
    r"(?:WARNING|ERROR|FATAL): (?:Thread|Address)Sanitizer: (?!memory layout)(?P<kind>[\w -]+?)(?: on| \(|:|$)"
    r"|^(?P<file>[\w./-]+):(?P<line>\d+):\d+: runtime error: (?P<undefined>.*)$"
    r"|^cuda_cpu: (?P<failed>.*)$",
    re.MULTILINE,
)


def _findings(output: str, name: str) -> list[Finding]:
    """The findings in what a sanitizer printed; `name` is the file whose lines are reported."""
    frame = re.compile(rf"^ *#\d+ .*\b{re.escape(name)}:(\d+)", re.MULTILINE)
    place = re.compile(rf"\b{re.escape(name)}:(\d+)")
    findings = []
    for match in _FINDINGS.finditer(output):
        found = frame.search(output, match.end()) if match["kind"] else place.search(match[0])
        kind = match["kind"] or match["undefined"] or match["failed"]
        findings.append(Finding(kind, int(found[1]) if found else None))
    return findings
