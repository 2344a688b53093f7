"""A disk cache of compiled kernels that loads a file only if it is intact, private to this user and the right one.

A file holds the machine code of one function for one signature, as Numba pickles it, with a checksum: see
`minigan_kernels.checked_files`. Loading a pickle can execute arbitrary code, so nothing is unpickled before the file
and the folders above it have been verified. The identity of a file names the kernels' sources, the function, its
signature and the CPU.

A file that fails a check is removed, and the kernel is compiled again. A kernel that cannot be stored, because the
folder is full or cannot be trusted, is compiled for this process only. Numba's own cache makes none of these checks and
is not used.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, compiler, serialize
from numba.core.registry import cpu_target

from minigan_kernels import checked_files, notices
from minigan_kernels.cache import trusted_directory
from minigan_kernels.numba.cpu import vector_bytes


def compile_or_load(function: Any, signature: tuple, what: str, say: Callable[[str], None] = notices.say) -> None:
    """Load `function` for arguments of the types `signature`, or compile it.

    `what` is its name in messages; `say` gets the message that it is compiled, if nothing is wrong with its file.
    """
    folder = _folder()
    if folder is None:
        say(f"compiling the kernel {what} on this CPU (it will not be cached)")
    else:
        function._cache = _FileCache(folder, function, what, say)
    function.compile(signature)


def is_cached_or_cannot_be(function: Any, signature: tuple) -> bool:
    """Whether there is a file for `function`, which may be damaged, or no cache where one could be stored."""
    folder = _folder()
    return folder is None or _FileCache(folder, function, "", notices.say).path(signature).exists()


class _FileCache(caching.NullCache):
    """The cache of one function: Numba's dispatcher calls `load_overload` before it compiles, `save_overload` after."""

    def __init__(self, folder: Path, function: Any, what: str, say: Callable[[str], None]) -> None:
        self._folder, self._what, self._say = folder, what, say
        self._name = f"{function.py_func.__module__}.{function.py_func.__qualname__}"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function for the types `signature` and the CPU of `target_context`, or None to compile it."""
        target_context.refresh()
        path, identity = self._path_and_identity(signature, target_context.codegen())
        try:
            content = checked_files.read(path, identity)
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(content))
        except FileNotFoundError:
            self._say(f"compiling the kernel {self._what} on this CPU (once; it is cached)")
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
            checked_files.write(path, identity, serialize.dumps(result._reduce()))
        except Exception as error:  # no space, or a Numba version with other internals
            _say_once(f"some compiled kernels cannot be cached in {self._folder} ({_reason(error)})")

    def path(self, signature: Any) -> Path:
        """The path of the file for the types `signature` and this CPU."""
        return self._path_and_identity(signature, cpu_target.target_context.codegen())[0]

    def _path_and_identity(self, signature: Any, codegen: Any) -> tuple[Path, bytes]:
        """The path of the file, and the identity of its content."""
        identity = f"{self._folder.name} {self._name} {signature!r} {codegen.magic_tuple()!r}".encode()
        name = re.sub(r"\W+", "-", self._name.removeprefix("minigan_kernels.numba."))
        return self._folder / f"{name}-{hashlib.sha256(identity).hexdigest()[:16]}.nbc", identity


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


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
