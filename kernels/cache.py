"""The folder of minigan's cache, which holds compiled kernels and downloaded data."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def cache_directory(name: str) -> Path:
    """The folder `name` inside minigan's cache; it is created if missing, and known to be writable.

    The cache is the folder in `MINIGAN_CACHE_DIR`, or a folder `minigan` in the platform's cache: `$XDG_CACHE_HOME` or
    `~/.cache` on Linux, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. If that cannot be written, a private
    folder in the temporary directory is used. Raises OSError if neither can be written.
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
    """The folder `name` in a cache that no other user can change, for files that are executed when they are loaded.

    The caches are tried in this order: those in `first`, minigan's (see `cache_directory`), the private folder in the
    temporary directory. Each folder from the cache down to `name` must belong to this user, and other users must not be
    able to write to it. Returns (folder, problem). The folder is None if no cache can be used. The problem is a clause
    that says why a cache was refused, or that none can be written, and "" if there is nothing to report.
    """
    fallback, problem = _fallback_root(), ""
    for root in (*first, _chosen_root(), fallback):
        reason = _refusal(root, name)
        if not reason and (root != fallback or _is_private(root)) and _is_writable(root, name):
            reason = _refusal(root, name)  # check again: it was just created, perhaps by another user
            if not reason:
                return root / name, problem
        problem = problem or reason
    return None, problem or "no cache folder can be written; set MINIGAN_CACHE_DIR to a folder that can"


def _refusal(root: Path, name: str) -> str:
    """Why the folder `name` in the cache `root` cannot be trusted, and what to do; "" if it can, or does not exist."""
    for folder in _levels(root, name):
        with suppress(OSError):
            if problem := ownership_problem(folder.stat()):
                return (
                    f"the cache folder {folder} {problem}, who could store programs there that minigan would run; "
                    "make it private (chown, chmod go-w), or set MINIGAN_CACHE_DIR to another folder"
                )
    return ""


def ownership_problem(status: os.stat_result) -> str:
    """Why another user could have changed a file or folder, a predicate such as "belongs to ..."; "" if none could.

    Write permission for the group is accepted if it is the user's private group, as with umask 002: a group with the
    user's name and without other members. On Windows, which has no such owners, nothing is refused.
    """
    if not hasattr(os, "getuid"):
        return ""
    if status.st_uid != os.getuid():
        return "belongs to another user"
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid)):
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
    """Create `folder` for this user alone; False if it exists and others can change it.

    Another user may have created it first in the shared temporary directory; its content could not be trusted.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return True
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _is_writable(root: Path, name: str) -> bool:
    """Create the folder `name` in `root`, both private to this user if they are new, and try to write a file there."""
    # A `~` that could not be expanded would create a folder named `~` in the working directory.
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
    """All folders from `root` down to `root / name`."""
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
