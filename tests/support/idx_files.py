"""IDX files for tests: their bytes, random content, and folders of them."""

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
    """The header of an IDX file with the type `code`."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idx(array: np.ndarray) -> bytes:
    """`array`, uint8, as the bytes of an IDX file."""
    return header(*array.shape) + array.tobytes()


def random_images(count: int = 12, height: int = 5, width: int = 7) -> np.ndarray:
    """Images (count, height, width) uint8, the same for every call with the same arguments."""
    return np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)


def random_labels(count: int = 12) -> np.ndarray:
    """Labels (count,) uint8 from 0 to 9, the same for every call with the same `count`."""
    return np.random.default_rng(count).integers(0, 10, count, dtype=np.uint8)


def assert_one_sentence(error: pytest.ExceptionInfo[Exception], *mentions: str) -> None:
    """Assert that the message of `error` is one sentence in one line that has each of `mentions` in it."""
    message = str(error.value)
    assert "\n" not in message
    assert not re.search(r"\.\s+[A-Z]", message), f"more than one sentence: {message}"
    for mention in mentions:
        assert mention in message, message


@contextmanager
def peak_memory_below(limit: int) -> Iterator[None]:
    """A context that asserts that the block allocates less than `limit` bytes of Python memory at any time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak:,} bytes at the peak"


def fill(folder: Path, files: dict[str, np.ndarray]) -> Path:
    """`folder` with IDX files of arrays by name; a name that ends in .gz is compressed."""
    folder.mkdir(exist_ok=True)
    for name, array in files.items():
        (folder / name).write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))
    return folder
