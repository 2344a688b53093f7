"""Where minigan keeps what it can make again: compiled kernels, downloaded data."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path


def cache_directory(name: str) -> Path:
    """The folder `name` inside minigan's cache, made if missing and certainly writable.

    `MINIGAN_CACHE_DIR` names the cache; else it is the platform's: `$XDG_CACHE_HOME` or `~/.cache` on Linux,
    `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. Where that cannot be written, a private folder
    in the temporary directory serves. Raises OSError if nothing can be written.
    """
    chosen, fallback = _chosen_root(), _fallback_root()
    if _is_writable(chosen / name):
        return chosen / name
    if _is_private(fallback) and _is_writable(fallback / name):
        return fallback / name
    raise OSError(
        f"no writable cache folder: tried {chosen} and {fallback}; set MINIGAN_CACHE_DIR to a folder you can write"
    )


def _chosen_root() -> Path:
    chosen = os.environ.get("MINIGAN_CACHE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen))
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "minigan"


def _fallback_root() -> Path:
    user = getattr(os, "getuid", lambda: "user")()
    return Path(tempfile.gettempdir()) / f"minigan-{user}"


def _is_private(folder: Path) -> bool:
    """Make `folder` for us alone. In the shared temporary directory somebody else may have made it first: what lies
    there could not be trusted."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _is_writable(folder: Path) -> bool:
    # A `~` that could not be expanded would become a folder of that name in the working directory.
    if folder.parts[:1] and folder.parts[0].startswith("~"):
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
