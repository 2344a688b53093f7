"""Where minigan keeps what it can make again: compiled kernels, downloaded data."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def cache_directory(name: str) -> Path:
    """The folder `name` inside minigan's cache, made if missing and certainly writable.

    `MINIGAN_CACHE_DIR` names the cache; else it is the platform's: `$XDG_CACHE_HOME` or `~/.cache` on Linux,
    `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. Where that cannot be written, a private folder
    in the temporary directory serves.
    """
    for root in (_chosen_root(), _fallback_root()):
        folder = root / name
        if _is_writable(folder):
            return folder
    raise OSError(
        f"no writable cache folder: tried {_chosen_root()} and {_fallback_root()}; "
        "set MINIGAN_CACHE_DIR to a folder you can write"
    )


def _chosen_root() -> Path:
    if chosen := os.environ.get("MINIGAN_CACHE_DIR"):
        return Path(chosen).expanduser()
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


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return False  # somebody else's folder: what lies in it cannot be trusted
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
