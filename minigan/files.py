"""Writing files so that a crash leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minigan.errors import UsageError

TEMPORARY_SUFFIX = ".partial"

# Read once, at import: it can only be read by setting it, which other threads would notice.
UMASK = os.umask(0)
os.umask(UMASK)


def require_writable(folder: Path) -> None:
    """Raise UsageError unless files can be made in `folder` or, where there is none, in the one that it would be in."""
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
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=TEMPORARY_SUFFIX, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~UMASK)  # mkstemp makes files private; results are ordinary files
        os.replace(temporary, target)
        with suppress(OSError):  # some network file systems cannot flush a folder; the new file is in place
            _flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` (UTF-8) to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_partial_files(directory: Path) -> None:
    """Remove what writers that were killed left behind in `directory` and its folders."""
    for leftover in directory.rglob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder for flushing; its rename is journalled
    # Windows flushes only what is open for writing; a folder opens only for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
