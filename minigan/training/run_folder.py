"""The folder of a run: what lies where, and the record of metrics."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minigan import files
from minigan.errors import CheckpointError, UsageError, did_you_mean

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SAMPLE = re.compile(r"step_(\d+)\.png")


class RunFolder:
    """The files of a run in `path`:

    config.json, checkpoint.safetensors, metrics.jsonl, samples/step_*.png, samples.gif, losses.png, and of points
    also contours.png.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.samples = self.path / "samples"
        self.film = self.path / "samples.gif"
        self.curves = self.path / "losses.png"
        self.contours = self.path / "contours.png"

    def sample_path(self, step: int) -> Path:
        """Where the samples of `step` belong."""
        return self.samples / f"step_{step:06d}.png"

    def sample_paths(self) -> list[Path]:
        """The samples there are, by step."""
        return sorted((p for p in self.samples.glob("step_*.png") if _SAMPLE.fullmatch(p.name)), key=_step_of)

    def create(self, fill: Callable[[RunFolder], None]) -> None:
        """Make the folder with what `fill` writes into it; it appears whole or not at all.

        Raises UsageError if there is something in its place. An empty folder is filled where it is, for it may be a
        mount point; should that fail, it is emptied again.
        """
        if self.path.exists():
            self._require_empty()
            try:
                fill(self)
            except BaseException:
                for name in (self.config, self.checkpoint):
                    name.unlink(missing_ok=True)
                raise
            return
        target = Path(os.path.abspath(self.path))  # has a name even where the path is "."
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = tempfile.mkdtemp(prefix=f".{target.name}.", suffix=files.TEMPORARY_SUFFIX, dir=target.parent)
        try:
            fill(RunFolder(Path(draft)))
            os.chmod(draft, 0o777 & ~files.UMASK)  # mkdtemp makes folders private
            os.rename(draft, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _require_empty(self) -> None:
        if not self.path.is_dir() or any(self.path.iterdir()):
            raise UsageError(
                f"{self.path} already exists; go on with its run (minigan train --resume {self.path}) "
                "or choose another folder with --out."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training into this folder; raises UsageError if one does.

        The lock goes with the process, however that ends. Where there are no locks, none is taken.
        """
        if fcntl is None:
            yield
            return
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"another process is training into {self.path}; wait for it, or stop it.") from None
            except OSError:
                pass  # this file system has no locks
            yield

    def rewind(self, step: int) -> None:
        """Forget what was recorded after `step`, and whatever a killed writer left behind."""
        files.remove_partial_files(self.path)
        for sample in self.sample_paths():
            if _step_of(sample) > step:
                sample.unlink()
        kept = [line for line in self._lines() if _is_row_until(line, step)]
        files.write_text(self.metrics, "".join(kept))

    def append(self, row: dict[str, Any]) -> None:
        """Add a row to the metrics, and see it to the disk."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """The metrics recorded so far."""
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        if not self.metrics.exists():
            return []
        return self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)


def open_run(path: Path) -> RunFolder:
    """The run in `path`; raises CheckpointError, naming the nearest folder, if there is none."""
    folder = RunFolder(path)
    if not os.path.isfile(folder.config):  # unlike Path.is_file, it takes "not permitted" for no
        siblings = [p.name for p in folder.path.parent.glob("*") if os.path.isfile(p / "config.json")]
        hint = did_you_mean(folder.path.name, siblings) if siblings else "minigan train makes one."
        raise CheckpointError(f"there is no run in {path} (no config.json); {hint}")
    return folder


def next_free(parent: Path, name: str) -> Path:
    """`parent/name`, or `parent/name-2` and so on where that is taken."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def _step_of(sample: Path) -> int:
    return int(sample.stem.removeprefix("step_"))


def _is_row_until(line: str, step: int) -> bool:
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False  # the torn end of a killed run
