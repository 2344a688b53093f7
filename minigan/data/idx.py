"""Reading IDX, the array format of the MNIST family, from untrusted files.

An IDX file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian uint32, and
then the elements in row-major order. Many files are gzip-compressed, which is detected by content, whatever the name.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from minigan.core.errors import DataError

MAX_BYTES = 1 << 30
"""The default limit of `read_idx`: 1 GiB, about twenty times MNIST."""

GZIP_MAGIC = b"\x1f\x8b"

_UNSIGNED_BYTE = 0x08
_OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_MAX_DIMENSIONS = 32  # the limit of the oldest supported NumPy
_CHUNK_BYTES = 1 << 20


def read_idx(path: Path, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The uint8 array in the IDX file `path`, raw or gzip-compressed, in the shape that the file declares.

    At most the declared elements and one more byte are read or decompressed, and memory grows only as elements are
    read, so neither a wrong header nor a gzip bomb can exhaust it.

    Raises DataError if `path` cannot be read, is not an IDX file of unsigned bytes, declares more than
    `max_bytes`, holds fewer or more bytes than it declares, or is damaged.
    """
    path = Path(path)
    with _opened(path) as stream:
        shape = _read_header(stream, path)
        size = math.prod(shape)
        if size > max_bytes:
            raise DataError(
                f"{path} declares {size:,} bytes of data {shape}, expected at most {max_bytes:,}; "
                "use a smaller file, or raise max_bytes if the size is right"
            )
        content = _read_up_to(stream, size)
        if len(content) < size:
            raise DataError(
                f"{path} is truncated: it declares {size:,} bytes of data {shape} and holds {len(content):,}; "
                "fetch or copy it again"
            )
        # Reading past the last element also makes gzip verify its checksum.
        if stream.read(1):
            raise DataError(
                f"{path} goes on after the {size:,} bytes of data {shape} that it declares, expected it to end there; "
                "fetch or copy it again"
            )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_shape(path: Path) -> tuple[int, ...]:
    """The shape that the IDX file `path` declares; only its header is read.

    Raises DataError if `path` cannot be read or has no valid header of an IDX file of unsigned bytes.
    """
    path = Path(path)
    with _opened(path) as stream:
        return _read_header(stream, path)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """A stream of the decompressed bytes of `path`; errors while reading become DataError."""
    try:
        _require_regular_file(path)
        with path.open("rb") as raw:
            compressed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            raw.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield unpacked
            else:
                yield raw
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); fetch or copy it again") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path} cannot be read ({reason}), expected a readable IDX file; check the path") from error


def _require_regular_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder, expected an IDX file; name a file in it")
    if path.exists():
        raise DataError(f"{path} is not a regular file, expected an IDX file; copy its content to a file first")
    raise DataError(f"{path} does not exist, expected an IDX file; check the path")


def _read_header(stream: io.BufferedIOBase, path: Path) -> tuple[int, ...]:
    magic = stream.read(4)
    if not magic:
        raise DataError(f"{path} is empty, expected an IDX file; fetch or copy it again")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(
            f"{path} is not an IDX file: it begins with the bytes {magic.hex(' ')}, expected 00 00 08 and the number "
            "of dimensions; name a file in that format"
        )
    _check_type(magic[2], path)
    return _read_dimensions(stream, magic[3], path)


def _check_type(code: int, path: Path) -> None:
    if code == _UNSIGNED_BYTE:
        return
    if code in _OTHER_TYPES:
        raise DataError(
            f"{path} is an IDX file of {_OTHER_TYPES[code]} (type code 0x{code:02x}), expected unsigned bytes "
            "(0x08); convert it first"
        )
    raise DataError(
        f"{path} is not an IDX file: its type code is 0x{code:02x}, expected 0x08 for unsigned bytes; "
        "name a file in that format"
    )


def _read_dimensions(stream: io.BufferedIOBase, count: int, path: Path) -> tuple[int, ...]:
    if not 1 <= count <= _MAX_DIMENSIONS:
        raise DataError(
            f"{path} declares {count} dimensions, expected 1 to {_MAX_DIMENSIONS}; name an IDX file of images or labels"
        )
    packed = stream.read(4 * count)
    if len(packed) < 4 * count:
        raise DataError(
            f"{path} is truncated: it ends within its header, expected {count} dimensions; fetch or copy it again"
        )
    shape = tuple(int(size) for size in np.frombuffer(packed, dtype=">u4"))
    if 0 in shape:
        raise DataError(f"{path} declares the shape {shape}, expected every dimension above zero; use another file")
    return shape


def _read_up_to(stream: io.BufferedIOBase, size: int) -> bytearray:
    content = bytearray()
    while len(content) < size:
        chunk = stream.read(min(_CHUNK_BYTES, size - len(content)))
        if not chunk:
            break
        content += chunk
    return content
