"""A disk cache of compiled kernels that loads a file only if it is intact, private to this user and the right one.

A file holds the machine code of one function for one signature, as Numba pickles it, after a checksum:

    SHA-256 of (identity, content)          32 bytes
    content                                 the pickle

Loading a pickle can execute arbitrary code, and so does running the machine code in it. So nothing is unpickled before
the bytes, which are read once, have been verified: the file is a regular file that belongs to this user and that other
users cannot change, the same holds for the folders above it, and the checksum is right. The identity names the kernels'
sources, the function, its signature and the CPU; because of it the checksum is wrong in a file that was put in the
place of another. No checksum protects against someone who can write this user's files: they could as well change
minigan itself.

A file that fails a check is removed, and the kernel is compiled again. A kernel that cannot be stored, because the
folder is full or cannot be trusted, is compiled for this process only. Numba's own cache makes none of these checks and
is not used.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import stat
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, compiler, serialize

from minigan_kernels import notices
from minigan_kernels.cache import ownership_problem, trusted_directory
from minigan_kernels.numba.cpu import vector_bytes

_CHECKSUM = hashlib.sha256().digest_size  # bytes


def compile_or_load(function: Any, signature: tuple, what: str) -> None:
    """Load `function` for arguments of the types `signature`, or compile it; `what` is its name in messages."""
    folder = _folder()
    if folder is None:
        notices.say(f"compiling the kernel {what} on this CPU (it will not be cached)")
    else:
        function._cache = _FileCache(folder, function, what)
    function.compile(signature)


class _FileCache(caching.NullCache):
    """The cache of one function: Numba's dispatcher calls `load_overload` before it compiles, `save_overload` after."""

    def __init__(self, folder: Path, function: Any, what: str) -> None:
        self._folder, self._what = folder, what
        self._name = f"{function.py_func.__module__}.{function.py_func.__qualname__}"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function for the types `signature` and the CPU of `target_context`, or None to compile it."""
        target_context.refresh()
        path, identity = self._path_and_identity(signature, target_context.codegen())
        try:
            content = _read(path, identity)
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(content))
        except FileNotFoundError:
            notices.say(f"compiling the kernel {self._what} on this CPU (once; it is cached)")
        except Exception as error:  # whatever is wrong with the file, compiling again repairs it
            with suppress(OSError):
                path.unlink()
            notices.say(f"compiling the kernel {self._what} again: its cache file cannot be used ({_reason(error)})")
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Store the compiled function; if that fails, report it once."""
        try:
            if result.lifted or result.library.has_dynamic_globals:
                raise ValueError("its machine code holds addresses of this process")
            path, identity = self._path_and_identity(signature, result.codegen)
            _write(path, identity, serialize.dumps(result._reduce()))
        except Exception as error:  # no space, or a Numba version with other internals
            _say_once(f"some compiled kernels cannot be cached in {self._folder} ({_reason(error)})")

    def _path_and_identity(self, signature: Any, codegen: Any) -> tuple[Path, bytes]:
        """The path of the file, and the identity of its content."""
        identity = f"{self._folder.name} {self._name} {signature!r} {codegen.magic_tuple()!r}".encode()
        name = re.sub(r"\W+", "-", self._name.removeprefix("minigan_kernels.numba."))
        return self._folder / f"{name}-{hashlib.sha256(identity).hexdigest()[:16]}.nbc", identity


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _checksum(identity: bytes, content: bytes) -> bytes:
    return hashlib.sha256(len(identity).to_bytes(8, "little") + identity + content).digest()


def _read(path: Path, identity: bytes) -> bytes:
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


_BINARY = getattr(os, "O_BINARY", 0)  # without it Windows translates line ends


def _write(path: Path, identity: bytes, content: bytes) -> None:
    """Write the file atomically, because another process may write it at the same time."""
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


@lru_cache
def _folder() -> Path | None:
    """The folder for compiled kernels; None, after a message, if no folder can be used.

    Its name contains a hash of the sources of all kernels, because Numba compiles inner functions into their callers: a
    change in one file may change the machine code of kernels in others.
    """
    fingerprint = hashlib.sha256(f"{sys.version} numba {numba.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        fingerprint.update(source.read_bytes())
    name = f"kernels/{fingerprint.hexdigest()[:16]}-{vector_bytes() * 8}bit"
    numba_cache = os.environ.get("NUMBA_CACHE_DIR")
    folder, problem = trusted_directory(name, [Path(numba_cache) / "minigan"] if numba_cache else [])
    if problem:
        _say_once(f"{problem}; compiled kernels are {f'cached in {folder}' if folder else 'not cached'}")
    return folder


_say_once = lru_cache(notices.say)
