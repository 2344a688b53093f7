"""IDX files that may be damaged or hostile are read or refused."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.idx_files import assert_one_sentence, header, idx, peak_memory_below, random_images, random_labels

from minigan.core.errors import DataError
from minigan.data.idx import read_idx, read_shape


@pytest.mark.parametrize("filename", ["images.idx", "images.gz", "notes.txt", "no-suffix"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
@pytest.mark.parametrize("shape", [(9,), (4, 3), (3, 5, 7), (2, 3, 4, 5)])
def test_idx_round_trip_whatever_the_name(
    tmp_path: Path, filename: str, pack: Callable[[bytes], bytes], shape: tuple[int, ...]
) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / filename
    path.write_bytes(pack(idx(array)))
    assert read_shape(path) == shape
    np.testing.assert_array_equal(read_idx(path), array)
    assert read_idx(path).dtype == np.uint8


def damaged_checksum() -> bytes:
    packed = bytearray(gzip.compress(idx(random_images())))
    packed[-6] ^= 0xFF  # the last eight bytes are the CRC-32 and the length
    return bytes(packed)


def damaged_stream() -> bytes:
    packed = bytearray(gzip.compress(idx(random_images(100))))
    packed[12:40] = b"\xff" * 28
    return bytes(packed)


GOOD = idx(random_images())
HOSTILE = {
    "empty": (b"", "is empty"),
    "empty gzip": (gzip.compress(b""), "is empty"),
    "text": (b"label,pixel0,pixel1\n", "not an IDX file"),
    "three bytes": (b"\0\0\x08", "not an IDX file"),
    "png in gzip": (gzip.compress(b"\x89PNG\r\n\x1a\n"), "not an IDX file"),
    "float elements": (header(1, 1, 1, code=0x0D) + b"\0" * 4, "float32"),
    "int32 elements": (header(1, code=0x0C) + b"\0" * 4, "int32"),
    "unknown element type": (header(1, 1, 1, code=0x42) + b"\0", "0x42"),
    "no dimensions": (header() + b"\0", "0 dimensions"),
    "too many dimensions": (header(*[1] * 33) + b"\0", "33 dimensions"),
    "header cut short": (header(12, 5, 7)[:9], "within its header"),
    "zero dimension": (header(12, 0, 7), "above zero"),
    "over the limit": (header(1 << 20, 1 << 10, 1 << 10), "at most 1,073,741,824"),
    "product beyond 64 bits": (header(*[0xFFFFFFFF] * 3), "at most 1,073,741,824"),
    "product wraps to zero": (header(*[1 << 16] * 4), "at most 1,073,741,824"),
    "truncated": (GOOD[:-1], "truncated"),
    "truncated in gzip": (gzip.compress(GOOD[:-1]), "truncated"),
    "header only": (header(12, 5, 7), "truncated"),
    "trailing byte": (GOOD + b"\0", "goes on after"),
    "trailing byte in gzip": (gzip.compress(GOOD + b"\0"), "goes on after"),
    "trailing byte after gzip": (gzip.compress(GOOD) + b"!", "damaged gzip"),
    "gzip magic only": (b"\x1f\x8b", "damaged gzip"),
    "gzip cut short": (gzip.compress(GOOD)[:-12], "damaged gzip"),
    "gzip without its checksum": (gzip.compress(GOOD)[:-8], "damaged gzip"),
    "gzip of a wrong checksum": (damaged_checksum(), "damaged gzip"),
    "gzip of broken content": (damaged_stream(), "damaged gzip"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_idx_is_one_clear_error(tmp_path: Path, case: str) -> None:
    content, expected = HOSTILE[case]
    path = tmp_path / "hostile-idx3-ubyte"
    path.write_bytes(content)
    with peak_memory_below(4 << 20), pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), expected)


def test_every_truncation_and_every_flipped_byte_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    for packed in (idx(random_labels(20)), gzip.compress(idx(random_labels(20)), mtime=0)):
        for length in range(len(packed)):
            path.write_bytes(packed[:length])
            with pytest.raises(DataError):
                read_idx(path)
        for position in range(len(packed)):
            mutated = bytearray(packed)
            mutated[position] ^= 0xFF
            path.write_bytes(mutated)
            try:
                read_idx(path)
            except DataError as error:
                assert str(path) in str(error)


@pytest.mark.slow
def test_gzip_bomb_that_declares_little_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(1, 28, 28) + bytes(128 << 20), compresslevel=1))
    with peak_memory_below(4 << 20), pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), "goes on after the 784 bytes")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_file_that_declares_much_and_holds_little_takes_little_memory(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "boast"
    path.write_bytes(pack(header(1_000_000, 32, 32) + bytes(10)))
    with peak_memory_below(4 << 20), pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), "declares 1,024,000,000 bytes", "holds 10")


def test_max_bytes_is_inclusive(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(idx(random_labels(10)))
    assert read_idx(path, max_bytes=10).shape == (10,)
    with pytest.raises(DataError, match="at most 9"):
        read_idx(path, max_bytes=9)


def test_folder_missing_file_and_special_file_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_idx(tmp_path)
    assert_one_sentence(error, str(tmp_path), "is a folder")
    with pytest.raises(DataError) as error:
        read_idx(tmp_path / "absent")
    assert_one_sentence(error, str(tmp_path / "absent"), "does not exist")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError) as error:
            read_idx(tmp_path / "pipe")
        assert_one_sentence(error, "pipe", "not a regular file")


def test_unreadable_file_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(GOOD)

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))  # chmod does not stop the superuser

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), "Permission denied")
