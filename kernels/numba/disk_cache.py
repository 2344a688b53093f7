"""Compiled kernels on disk: used only if they are ours, whole, and what was asked for; else compiled again.

A file holds the machine code of one function for one signature, as Numba pickles it, behind a checksum:

    SHA-256 of (identity, content)          32 bytes
    content                                 the pickle

Unpickling runs what a pickle says, and machine code is not looked at before it runs. So nothing is unpickled before
the bytes at hand, read once, have been found to be those that were written: the file is an ordinary one that belongs to
this user and that nobody else may change, in folders of which the same holds, and the checksum is right. The identity
is that of the kernels' sources, of the function, its signature and the CPU; it makes the checksum wrong in a file that
took the place of another. Whoever may write to the files of this user could as well change minigan itself: no checksum
helps against that.

Whatever is doubtful is removed and compiled again. What cannot be kept, as the folder is full or cannot be trusted, is
compiled for this process alone. Numba's own cache, which does none of this, is not used.
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
from minigan_kernels.cache import not_ours_alone, trusted_directory
from minigan_kernels.numba.cpu import vector_bytes

_CHECKSUM = hashlib.sha256().digest_size


def compile_or_load(function: Any, signature: tuple, what: str) -> None:
    """Make `function` ready for arguments of the types `signature`; `what` names it in notices, as a kernel."""
    folder = _folder()
    if folder is None:
        notices.say(f"compiling the kernel {what} on this CPU (it is not kept)")
    else:
        function._cache = _Kept(folder, function, what)
    function.compile(signature)


class _Kept(caching.NullCache):
    """What Numba's dispatcher of a function asks for machine code before it compiles, and gives it to afterwards."""

    def __init__(self, folder: Path, function: Any, what: str) -> None:
        self._folder, self._what = folder, what
        self._name = f"{function.py_func.__module__}.{function.py_func.__qualname__}"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function, None if none can be trusted. Numba gives its types, and what it compiles for."""
        target_context.refresh()
        path, identity = self._place(signature, target_context.codegen())
        try:
            content = _read(path, identity)
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(content))
        except FileNotFoundError:
            notices.say(f"compiling the kernel {self._what} on this CPU (once; it is kept)")
        except Exception as error:  # whatever is wrong with it, a new one is right
            with suppress(OSError):
                path.unlink()
            notices.say(f"compiling the kernel {self._what} again: what was kept cannot be used ({_reason(error)})")
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what was compiled, if that is possible."""
        try:
            if result.lifted or result.library.has_dynamic_globals:
                raise ValueError("its machine code holds addresses of this process")
            path, identity = self._place(signature, result.codegen)
            _write(path, identity, serialize.dumps(result._reduce()))
        except Exception as error:  # no place, or a Numba that is made differently
            _say_once(f"not every compiled kernel can be kept in {self._folder} ({_reason(error)})")

    def _place(self, signature: Any, codegen: Any) -> tuple[Path, bytes]:
        """The file, and the identity of what it should hold."""
        identity = f"{self._folder.name} {self._name} {signature!r} {codegen.magic_tuple()!r}".encode()
        name = re.sub(r"\W+", "-", self._name.removeprefix("minigan_kernels.numba."))
        return self._folder / f"{name}-{hashlib.sha256(identity).hexdigest()[:16]}.nbc", identity


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _checksum(identity: bytes, content: bytes) -> bytes:
    return hashlib.sha256(len(identity).to_bytes(8, "little") + identity + content).digest()


def _read(path: Path, identity: bytes) -> bytes:
    """The content of the file at `path`; raises OSError or ValueError unless it is to be trusted."""
    # No link is followed, and a pipe does not block.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no ordinary file")
        if problem := not_ours_alone(found):
            raise ValueError(f"it {problem}")
        with open(handle, "rb", closefd=False) as file:
            whole = file.read()
    finally:
        os.close(handle)
    if whole[:_CHECKSUM] != _checksum(identity, whole[_CHECKSUM:]):
        raise ValueError("its checksum is wrong")
    return whole[_CHECKSUM:]


_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


def _write(path: Path, identity: bytes, content: bytes) -> None:
    """Put a file in place all at once: others may do the same at this moment."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # for this user alone
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
    """Where compiled kernels are kept; None, after a notice, if no folder can be used.

    Its name holds a fingerprint of all kernel sources, as Numba's inner functions are compiled into those that call
    them.
    """
    fingerprint = hashlib.sha256(f"{sys.version} numba {numba.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        fingerprint.update(source.read_bytes())
    name = f"kernels/{fingerprint.hexdigest()[:16]}-{vector_bytes() * 8}bit"
    numbas_own = os.environ.get("NUMBA_CACHE_DIR")
    folder, problem = trusted_directory(name, [Path(numbas_own) / "minigan"] if numbas_own else [])
    if problem:
        _say_once(f"{problem}; compiled kernels are {f'kept in {folder}' if folder else 'not kept'}")
    return folder


_say_once = lru_cache(notices.say)
