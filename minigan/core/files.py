"""Reading files of unknown origin safely, and writing files so that a crash leaves the old or the new one, complete.

Only regular files of bounded size are read: a device could be endless, and a pipe could block. A file that is opened to
append is not reached through a link. A file that is replaced is first written beside its target under a temporary name,
in a form that only minigan uses. Its writer locks it, so that leftovers of killed writers can be distinguished from
files in use, and removed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from minigan.core.errors import FileError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\..*\.minigan-[0-9a-f]{16}\.partial")
_NAME_LENGTH = 40  # characters of the target's name in a temporary name: file systems limit names to 255 bytes
_CHUNK_BYTES = 1 << 20
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # opening a pipe without a writer would block
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: Path) -> IO[bytes]:
    """Open `path`, a regular file or a link to one, to read bytes.

    Raises FileError if it is a folder, a pipe, a device or a socket, or cannot be read; FileNotFoundError if there is
    no such file.
    """
    return _open(path, os.O_RDONLY, "rb")


def open_to_append(path: Path) -> IO[bytes]:
    """Open the file `path` to append bytes; create it if there is none.

    Raises FileError if it is no regular file, is a link, or cannot be written.
    """
    if os.path.islink(path):
        raise FileError(f"{path} is a link, expected an ordinary file; put one in its place.")
    return _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NOFOLLOW, "ab")


def _open(path: Path, flags: int, mode: str) -> IO[bytes]:
    try:
        handle = os.open(path, flags | _NONBLOCK | _BINARY, 0o666)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if os.path.lexists(path) and not os.path.isfile(path):
            with suppress(OSError):  # `stat` fails for a dangling link
                raise _not_regular_error(path, os.stat(path).st_mode) from None
        raise FileError(f"{path} cannot be opened ({getattr(error, 'strerror', None) or error}).") from None
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        raise _not_regular_error(path, kind)
    return os.fdopen(handle, mode)


def _not_regular_error(path: Path, mode: int) -> FileError:
    kinds = {stat.S_ISDIR: "folder", stat.S_ISFIFO: "pipe", stat.S_ISSOCK: "socket"}
    kind = next((name for is_kind, name in kinds.items() if is_kind(mode)), "device")
    return FileError(f"{path} is a {kind}, expected an ordinary file; name one.")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The content of the regular file `path`.

    Raises FileError if it has more than `max_bytes`, else as `open_regular`.
    """
    chunks, remaining = [], max_bytes + 1
    with open_regular(path) as file:
        while remaining and (chunk := file.read(min(remaining, _CHUNK_BYTES))):  # `read(n)` allocates n bytes at once
            chunks.append(chunk)
            remaining -= len(chunk)
    if not remaining:
        raise FileError(f"{path} holds more than {max_bytes:,} bytes, expected at most that; is it the right file?")
    return b"".join(chunks)


def read_text(path: Path, max_bytes: int) -> str:
    """The content of the text file `path`. Raises FileError if it is not UTF-8; else as `read_bytes`."""
    try:
        return read_bytes(path, max_bytes).decode("utf-8")
    except UnicodeDecodeError:
        raise FileError(f"{path} is not text in UTF-8, expected that; is it the right file?") from None


def require_writable(folder: Path) -> None:
    """Raise UsageError unless files can be created in `folder` or, if it does not exist, in its first existing parent.

    The temporary file that tests this is removed at once.
    """
    existing = Path(os.path.abspath(folder))
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not os.path.isdir(existing):
        raise UsageError(f"{existing} is no folder, so nothing can be written into it; name another place.")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UsageError(f"nothing can be written into {existing} ({error.strerror}); name another place.") from None


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A context with the path of a temporary file beside `target`, which it flushes to disk and renames over `target`.

    On any exception the temporary file is removed and `target` stays as it was.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked_temporary(target, _create_file) as temporary:
        try:
            yield temporary
            _flush_to_disk(temporary)
            replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """A context with the path of a new folder beside `target`, for the caller to fill and rename.

    If it is not renamed, the folder is removed at the end. Leftovers of killed processes beside it are removed first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    with _locked_temporary(target, os.mkdir) as temporary:
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def identity(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and modification time of the file, which identify its version; None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def write_text(target: Path, text: str) -> None:
    """Write `text` (UTF-8) to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def replace(source: Path, target: Path) -> None:
    """Rename `source` over `target`, and flush the folder to disk."""
    os.replace(source, target)
    with suppress(OSError):  # some network file systems cannot flush a folder; the file has been replaced nevertheless
        _flush_to_disk(target.parent)


def link(source: Path, target: Path) -> None:
    """Make `target` a second name (hard link) of the file `source`, or a copy where the file system has no hard links.

    A file that `target` names is replaced. Files are only replaced, never changed in place, so that a change of one
    name does not change the other.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(target)
    try:
        os.link(source, temporary)
    except OSError:
        with atomic_path(target) as copy:
            shutil.copyfile(source, copy)
        return
    try:
        replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)  # renaming one hard link over another of the same file does nothing


def is_temporary(path: Path) -> bool:
    """Whether the name of `path` has the form of the temporary names of `atomic_path` and `staging_folder`."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose writers have been killed, and nothing else.

    On systems without file locks they cannot be distinguished from files in use, so nothing is removed.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(path := Path(entry.path)) and not entry.is_symlink():
                _remove_unless_locked(path)


def _remove_unless_locked(path: Path) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | _NONBLOCK | _NOFOLLOW)
        try:
            if take_lock(handle):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            os.close(handle)


def take_lock(handle: int) -> bool | None:
    """Lock an open file or folder until it is closed or the process ends; returns whether that succeeded.

    False if another process holds the lock, None if the system has no file locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def locked_folder(folder: Path) -> Iterator[bool | None]:
    """A context in which `folder` is locked; yields what `take_lock` returns."""
    if fcntl is None:
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield take_lock(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked_temporary(target: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A context with the path of a new file or folder beside `target`, made by `make` and locked."""
    while True:
        path = _temporary_path(target)
        make(path)
        if fcntl is None:  # Windows, which cannot rename an open file
            yield path
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            # Between `make` and the lock, another process may have removed it as a leftover.
            if take_lock(handle) is not False and os.path.exists(path):
                yield path
                return
        finally:
            os.close(handle)


def _temporary_path(target: Path) -> Path:
    return target.with_name(f".{target.name[:_NAME_LENGTH]}.minigan-{secrets.token_hex(8)}.partial")


def _create_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _flush_to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder to flush it; its file system journals renames
    # Windows flushes only files opened for writing; folders can only be opened for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
