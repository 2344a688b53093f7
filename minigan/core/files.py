"""Reading files that may be anything, and writing files so that a crash leaves the old one or the new, never a half.

What is read is an ordinary file of bounded size: no device without end, no pipe to wait for. What is written to in
place is never reached through a link. What is replaced is written beside it first, under a temporary name that only
minigan gives and that is locked as long as its writer lives, so that what killed writers left behind can be removed.
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
_NAME_KEPT = 40  # characters of a name in its temporary one: file systems limit names to 255 bytes
_PART = 1 << 20  # bytes read at once
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would be waited for
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BYTES = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: Path) -> IO[bytes]:
    """`path`, an ordinary file or a link to one, opened to read bytes.

    Raises FileError for a folder, a pipe, a device or a socket, and where it cannot be read; FileNotFoundError where
    there is nothing.
    """
    return _opened(path, os.O_RDONLY, "rb")


def open_to_append(path: Path) -> IO[bytes]:
    """`path` opened to write bytes at its end, made if it is not there; what it holds stays.

    Raises FileError unless it is an ordinary file that can be written: a link is not followed.
    """
    if os.path.islink(path):
        raise FileError(f"{path} is a link, expected an ordinary file; put one in its place.")
    return _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, "ab")


def _opened(path: Path, flags: int, mode: str) -> IO[bytes]:
    try:
        handle = os.open(path, flags | _NO_WAITING | _BYTES, 0o666)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if os.path.lexists(path) and not os.path.isfile(path):
            with suppress(OSError):  # a link that leads nowhere has no kind
                raise _not_ordinary(path, os.stat(path).st_mode) from None
        raise FileError(f"{path} cannot be opened ({getattr(error, 'strerror', None) or error}).") from None
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        raise _not_ordinary(path, kind)
    return os.fdopen(handle, mode)


def _not_ordinary(path: Path, mode: int) -> FileError:
    kinds = {stat.S_ISDIR: "folder", stat.S_ISFIFO: "pipe", stat.S_ISSOCK: "socket"}
    kind = next((name for is_kind, name in kinds.items() if is_kind(mode)), "device")
    return FileError(f"{path} is a {kind}, expected an ordinary file; name one.")


def read_bytes(path: Path, at_most: int) -> bytes:
    """What the ordinary file `path` holds; raises FileError for anything else or more than `at_most` bytes, else as
    `open_regular`."""
    parts, left = [], at_most + 1
    with open_regular(path) as file:
        while left and (part := file.read(min(left, _PART))):  # `read` takes as much memory as it is asked for
            parts.append(part)
            left -= len(part)
    if not left:
        raise FileError(f"{path} holds more than {at_most:,} bytes, expected at most that; is it the right file?")
    return b"".join(parts)


def read_text(path: Path, at_most: int) -> str:
    """What the text file `path` holds, as `read_bytes`; raises FileError also if it is not UTF-8."""
    try:
        return read_bytes(path, at_most).decode("utf-8")
    except UnicodeDecodeError:
        raise FileError(f"{path} is not text in UTF-8, expected that; is it the right file?") from None


def require_writable(folder: Path) -> None:
    """Raise UsageError unless files can be made in `folder` or, where there is none, in the one that it would be in.

    It leaves nothing behind: the file that tries it has no name, or one for a moment only.
    """
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not os.path.isdir(place):
        raise UsageError(f"{place} is no folder, so nothing can be written into it; name another place.")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(f"nothing can be written into {place} ({error.strerror}); name another place.") from None


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is flushed to disk and renamed over `target`.

    On any exception the temporary file is removed and `target` is left as it was.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _draft(target, _make_file) as temporary:
        try:
            yield temporary
            _flush_to_disk(temporary)
            replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, to be filled and renamed; it is removed if it was not.

    What killed processes left of theirs, in the same place, is removed first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    with _draft(target, os.mkdir) as temporary:
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` (UTF-8) to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def replace(source: Path, target: Path) -> None:
    """Rename `source` over `target`, and see that to the disk."""
    os.replace(source, target)
    with suppress(OSError):  # some network file systems cannot flush a folder; the new file is in place
        _flush_to_disk(target.parent)


def link(source: Path, target: Path) -> None:
    """Make the file `source` appear as `target` too, in place of what is there, without writing it again if the file
    system knows hard links. Files are only ever replaced, never changed, so each name keeps its content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
    try:
        os.link(source, temporary)
    except OSError:
        with atomic_path(target) as copy:
            shutil.copyfile(source, copy)
        return
    try:
        replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)  # renaming a name of a file over another name of it does nothing


def is_temporary(path: Path) -> bool:
    """Whether `path` has a name that only `atomic_path` and `staging_folder` give."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left behind in `folder`, and nothing that anybody else put or holds there.

    Where there are no locks, nothing tells a dead writer from a live one, and all of it stays.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_temporary(path := Path(entry.path)) and not entry.is_symlink():
                _remove_unless_held(path)


def _remove_unless_held(path: Path) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | _NO_WAITING | _NO_LINK)
        try:
            if take_lock(handle):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            os.close(handle)


def take_lock(handle: int) -> bool | None:
    """Lock an open file or folder until it is closed or the process ends: False if another process holds the lock,
    None if there are no locks here."""
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
    """A context in which the folder is locked: False if another process has locked it, None if there are no locks."""
    if fcntl is None:
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield take_lock(handle)
    finally:
        os.close(handle)


@contextmanager
def _draft(target: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """The path of a new file or folder beside `target`, locked meanwhile."""
    while True:
        path = _temporary(target)
        make(path)
        if fcntl is None:  # and Windows renames nothing that is open
            yield path
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            # Between `make` and the lock somebody who tidies up may have taken it for a leftover.
            if take_lock(handle) is not False and os.path.exists(path):
                yield path
                return
        finally:
            os.close(handle)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name[:_NAME_KEPT]}.minigan-{secrets.token_hex(8)}.partial")


def _make_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _flush_to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder for flushing; its rename is journalled
    # Windows flushes only what is open for writing; a folder opens only for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
