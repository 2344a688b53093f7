"""Files of compiled code in the cache, loaded only if they are intact, private to this user and the right ones.

    SHA-256 of (identity, content)          32 bytes
    content

Loading such a file may execute what is in it. So nothing is used before the bytes, which are read once, have been
verified: the file is a regular file that belongs to this user and that other users cannot change, and the checksum is
right. The identity says what the file was made for; because of it the checksum is wrong in a file that was put in the
place of another. No checksum protects against someone who can write this user's files: they could as well change
minigan itself.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from minigan_kernels.cache import ownership_problem

_CHECKSUM = hashlib.sha256().digest_size  # bytes
_BINARY = getattr(os, "O_BINARY", 0)  # without it Windows translates line ends


def read(path: Path, identity: bytes) -> bytes:
    """The content of the file at `path`; raises OSError or ValueError if the file cannot be trusted."""
    # The flags keep the call from following a symbolic link and from blocking on a pipe.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if problem := ownership_problem(status):
            raise ValueError(f"it {problem}")
        with open(handle, "rb", closefd=False) as file:
            stored = file.read()
    finally:
        os.close(handle)
    if stored[:_CHECKSUM] != _checksum(identity, stored[_CHECKSUM:]):
        raise ValueError("its checksum is wrong")
    return stored[_CHECKSUM:]


def write(path: Path, identity: bytes, content: bytes) -> None:
    """Write the file atomically, because another process may write it at the same time. Raises OSError."""
    # mkstemp creates a file that only this user can read and write.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(_checksum(identity, content) + content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _checksum(identity: bytes, content: bytes) -> bytes:
    return hashlib.sha256(len(identity).to_bytes(8, "little") + identity + content).digest()
