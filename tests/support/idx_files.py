"""IDX files for tests: what they hold, and folders of them."""

from __future__ import annotations

import gzip
import re
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

UNSIGNED_BYTE = 0x08


def header(*shape: int, code: int = UNSIGNED_BYTE) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idx(array: np.ndarray) -> bytes:
    return header(*array.shape) + array.tobytes()


def random_images(count: int = 12, height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)


def random_labels(count: int = 12) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 10, count, dtype=np.uint8)


def assert_one_sentence(error: pytest.ExceptionInfo[Exception], *mentions: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert not re.search(r"\.\s+[A-Z]", message), f"more than one sentence: {message}"
    for mention in mentions:
        assert mention in message, message


@contextmanager
def peak_memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak:,} bytes at the peak"


def fill(folder: Path, files: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in files.items():
        (folder / name).write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))
    return folder
