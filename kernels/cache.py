"""Where minigan keeps what it can make again: compiled kernels, downloaded data."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def cache_directory(name: str) -> Path:
    """The folder `name` inside minigan's cache, made if missing and certainly writable.

    `MINIGAN_CACHE_DIR` names the cache; else it is the platform's: `$XDG_CACHE_HOME` or `~/.cache` on Linux,
    `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. Where that cannot be written, a private folder
    in the temporary directory serves. Raises OSError if nothing can be written.
    """
    chosen, fallback = _chosen_root(), _fallback_root()
    if _is_writable(chosen, name):
        return chosen / name
    if _is_private(fallback) and _is_writable(fallback, name):
        return fallback / name
    raise OSError(
        f"no writable cache folder: tried {chosen} and {fallback}; set MINIGAN_CACHE_DIR to a folder you can write"
    )


def trusted_directory(name: str, first: Sequence[Path] = ()) -> tuple[Path | None, str]:
    """The folder `name` in a cache that nobody else can change, for what will be run when it is read back.

    The caches are tried in turn: those of `first`, minigan's (see `cache_directory`), the private folder in the
    temporary directory. Each folder from the cache down to `name` must belong to this user, and others must not be able
    to write to it. Returns the folder, None if there is none, and a clause that says what was wrong with one that was
    refused for this, or that none can be written; "" if nothing needs to be said.
    """
    fallback, problem = _fallback_root(), ""
    for root in (*first, _chosen_root(), fallback):
        wrong = _refusal(root, name)
        if not wrong and (root != fallback or _is_private(root)) and _is_writable(root, name):
            wrong = _refusal(root, name)  # also what has just been made, or somebody else was quicker to make
            if not wrong:
                return root / name, problem
        problem = problem or wrong
    return None, problem or "no cache folder can be written; set MINIGAN_CACHE_DIR to a folder that can"


def _refusal(root: Path, name: str) -> str:
    """Why the folder `name` in the cache `root` cannot be trusted, and what to do; "" if it can, or is not there."""
    for folder in _levels(root, name):
        with suppress(OSError):
            if problem := not_ours_alone(folder.stat()):
                return (
                    f"the cache folder {folder} {problem}, who could put programs there; make it yours alone (chown, "
                    "chmod go-w), or set MINIGAN_CACHE_DIR to another"
                )
    return ""


def not_ours_alone(found: os.stat_result) -> str:
    """What is wrong with a file or folder that another user could have changed: "belongs to ..."; "" if nothing is.

    The group may write if it is the user's own, as where new files are made so (umask 002): it has the user's name,
    and is that of no one else. On Windows, which has no such owners, nothing is refused.
    """
    if not hasattr(os, "getuid"):
        return ""
    if found.st_uid != os.getuid():
        return "belongs to another user"
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid)):
        return "can be written by other users"
    return ""


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


def _is_writable(root: Path, name: str) -> bool:
    """Make the folder `name` in `root`, both for this user alone if they are new, and try to write there."""
    # A `~` that could not be expanded would become a folder of that name in the working directory.
    if root.parts[:1] and root.parts[0].startswith("~"):
        return False
    try:
        for folder in _levels(root, name):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root / name):
            return True
    except OSError:
        return False


def _levels(root: Path, name: str) -> list[Path]:
    """`root`, and each folder from it down to `name`."""
    folder = root / name
    return [*(above for above in reversed(folder.parents) if above.is_relative_to(root)), folder]


def _is_own_group(number: int) -> bool:
    import grp  # Unix only
    import pwd

    try:
        group, user = grp.getgrgid(number), pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return user.pw_uid != 0 and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
