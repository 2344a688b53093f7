"""The folder of a run: where its files are, how it is created, and how it is rewound to an earlier step."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minigan.core import files
from minigan.core.errors import CheckpointError, FileError, UsageError, did_you_mean
from minigan.training import checkpoint, metrics_csv, metrics_file

_STEP = r"step_(\d{6}|[1-9]\d{6,17})"  # exactly as minigan writes it, so that files of others are left alone
_SAMPLE = re.compile(_STEP + r"\.png")
_CHECKPOINT = re.compile(_STEP + r"\.safetensors")
_DROPPED = re.compile(r"dropped-\d+(-\d+)?")


class RunFolder:
    """The files of a run in `path`:

    config.json, checkpoint.safetensors (the last), checkpoints/step_*.safetensors (earlier ones), metrics.jsonl,
    metrics.csv (the same as a table, with wall times), samples/step_*.png, weights/step_*.safetensors (of the
    generator, if they are exported), samples.gif, losses.png, the artefacts of the domain, such as contours.png,
    report.html, and scores.json, the last evaluation, with its pictures. dropped-STEP/, laid out in the same way, holds
    what was recorded after the step to which a resumed run was rewound, but for metrics.csv, report and evaluations.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.table = self.path / "metrics.csv"
        self.samples = self.path / "samples"
        self.weights = self.path / "weights"
        self.animation = self.path / "samples.gif"
        self.curves = self.path / "losses.png"
        self.scores = self.path / "scores.json"
        self.report = self.path / "report.html"
        self._lock = self.path / ".lock"

    def sample_path(self, step: int) -> Path:
        """The file for the samples of `step`."""
        return self.samples / f"step_{step:06d}.png"

    def sample_paths(self) -> list[Path]:
        """The files of samples that exist, in the order of their steps."""
        return list(_by_step(self.samples, _SAMPLE).values())

    def earlier_path(self, step: int) -> Path:
        """The file for the checkpoint of `step` when it is no longer the last."""
        return self.checkpoints / f"step_{step:06d}.safetensors"

    def earlier_paths(self) -> dict[int, Path]:
        """The files of earlier checkpoints that exist, by step."""
        return _by_step(self.checkpoints, _CHECKPOINT)

    def weights_path(self, step: int) -> Path:
        """The file for the exported weights of `step`."""
        return self.weights / f"step_{step:06d}.safetensors"

    def weights_paths(self) -> dict[int, Path]:
        """The files of exported weights that exist, by step."""
        return _by_step(self.weights, _CHECKPOINT)

    def create(self, fill: Callable[[RunFolder], None], *, numbered: bool = False) -> RunFolder:
        """Create the folder with what `fill` writes into it, and return it; it appears completely or not at all.

        If the path is taken, `numbered` uses the first free one of path-2, path-3, ...; without it UsageError is
        raised. An empty folder is filled where it is, since it may be a mount point; if that fails, it is emptied.
        """
        if self.path.exists() and not numbered:
            self._fill_in_place(fill)
            return self
        with files.staging_folder(Path(os.path.abspath(self.path))) as staging:  # absolute: "." has no name
            fill(RunFolder(staging))
            for place in _numbered(self.path) if numbered else [self.path]:
                if _move(staging, place):
                    return RunFolder(place)
        raise self._taken_error()

    def _fill_in_place(self, fill: Callable[[RunFolder], None]) -> None:
        self._require_empty()
        with files.locked_folder(self.path) as locked:
            if locked is False:  # another process is filling it
                raise self._taken_error()
            self._require_empty()
            files.remove_leftovers(self.path)
            try:
                fill(self)
            except BaseException:
                for name in (self.config, self.checkpoint):
                    name.unlink(missing_ok=True)
                raise

    def require_free(self) -> None:
        """Raise UsageError unless `create` can make the folder here: the path is free and can be written to."""
        if os.path.lexists(self.path):
            self._require_empty()
        files.require_writable(self.path)

    def _require_empty(self) -> None:
        if not self.is_free():
            raise self._taken_error()

    def is_free(self) -> bool:
        """Whether the path is a folder in which nothing is, but for what a killed process left behind."""
        return self.path.is_dir() and all(self._may_be_replaced(path) for path in self.path.iterdir())

    def _may_be_replaced(self, path: Path) -> bool:
        """Whether a process that was killed while it filled the folder left `path` behind."""
        if path == self.checkpoint and not os.path.lexists(self.config):
            with suppress(CheckpointError):
                return checkpoint.read_metadata(path).step == 0  # written before the configuration, and untrained
        return path == self._lock or files.is_temporary(path)

    def _taken_error(self) -> UsageError:
        if os.path.isfile(self.config):
            return UsageError(
                f"{self.path} already exists; go on with its run (minigan train --resume {self.path}) "
                "or choose another folder with --out."
            )
        return UsageError(f"{self.path} already exists and is not an empty folder; choose another one with --out.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context in which no other process can train into this folder; raises UsageError if one already does.

        The lock ends with the process, however that ends. On systems without file locks none is taken.
        """
        with files.open_to_append(self._lock) as file:
            if files.take_lock(file.fileno()) is False:
                raise UsageError(f"another process is training into {self.path}; wait for it, or stop it.")
            yield

    def require_regular_files(self) -> None:
        """Raise CheckpointError if a path that the run would write to is a link, a pipe or anything else that a run
        does not create."""
        written = [
            self.config,
            self.checkpoint,
            self.metrics,
            self.table,
            self.scores,
            self._lock,
            *self.sample_paths(),
        ]
        for path in [*written, *self.earlier_paths().values(), *self.weights_paths().values()]:
            if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
                raise CheckpointError(f"{path} is not an ordinary file, as a run creates it; replace it by one.")
        for path in (self.samples, self.checkpoints, self.weights):
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                raise CheckpointError(f"{path} is not a folder, as a run creates it; replace it by one.")

    def append(self, rows: list[metrics_file.Row], seconds: list[float]) -> None:
        """Add `rows`, recorded so many seconds of training after the start, and flush them to the disk."""
        metrics_file.append(self.metrics, rows)
        metrics_csv.append(self.table, rows, seconds)

    def seconds_so_far(self) -> float:
        """The seconds of training from the start of the run to its last row; 0 if they are not recorded."""
        return metrics_csv.seconds_so_far(self.table)

    def rows(self) -> list[metrics_file.Row]:
        """The metrics recorded so far; raises CheckpointError if the file holds anything else."""
        return metrics_file.read(self.metrics)

    def rewind(self, step: int, source: Path) -> Path | None:
        """Rewind to `step`, the step of the checkpoint `source`: what was recorded later is moved into dropped-STEP.

        Returns that folder, or None if nothing was recorded later. If this is interrupted, the run can still be
        resumed, from the same checkpoint or a later one.
        """
        for folder in (self.path, self.samples, self.checkpoints, self.weights):
            files.remove_leftovers(folder)
        rows = self.rows()
        late_rows = [row for row in rows if row["step"] > step]
        late = [path for at, path in _by_step(self.samples, _SAMPLE).items() if at > step]
        for by_step in (self.earlier_paths(), self.weights_paths()):
            late += [path for at, path in by_step.items() if at > step]
        dropped = self._new_dropped(step) if late or late_rows or source != self.checkpoint else None
        if dropped:
            if source != self.checkpoint:
                if os.path.lexists(self.checkpoint):  # it may be missing
                    files.link(self.checkpoint, dropped.checkpoint)
                files.link(source, self.checkpoint)
            if late_rows:
                metrics_file.write(dropped.metrics, late_rows)
            for path in late:
                target = dropped.path / path.relative_to(self.path)
                target.parent.mkdir(exist_ok=True)
                files.replace(path, target)
        earlier_rows = [row for row in rows if row["step"] <= step]
        if late_rows or not self.metrics.exists() or _last_line_is_incomplete(self.metrics):
            metrics_file.write(self.metrics, earlier_rows)
        metrics_csv.rewrite(self.table, earlier_rows)
        return dropped.path if dropped else None

    def _new_dropped(self, step: int) -> RunFolder:
        for place in _numbered(self.path / f"dropped-{step}"):
            with suppress(FileExistsError):
                place.mkdir()
                return RunFolder(place)
        raise AssertionError  # there is always a free number

    def remove_repeated(self) -> None:
        """Remove from the folders dropped-STEP what the run has meanwhile recorded again, bit for bit.

        Each step is a pure function of the state before it, so after a crash a resumed run records everything again.
        """
        recorded = self.rows()
        for entry in sorted(self.path.iterdir()):
            if _DROPPED.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
                self._remove_repeated_from(RunFolder(entry), recorded)

    def _remove_repeated_from(self, dropped: RunFolder, recorded: list[metrics_file.Row]) -> None:
        for folder in (dropped.path, dropped.samples, dropped.checkpoints, dropped.weights):
            files.remove_leftovers(folder)
        recorded_by_step = {row["step"]: row for row in recorded}
        with suppress(CheckpointError):  # a file that somebody edited stays
            if all(recorded_by_step.get(row["step"]) == row for row in dropped.rows()):
                dropped.metrics.unlink(missing_ok=True)
        for path in [*dropped.sample_paths(), *dropped.earlier_paths().values(), *dropped.weights_paths().values()]:
            if _have_same_content(path, self.path / path.relative_to(dropped.path)):
                path.unlink()
        if any(
            _have_same_content(dropped.checkpoint, path) for path in [self.checkpoint, *self.earlier_paths().values()]
        ):
            dropped.checkpoint.unlink()
        for folder in (dropped.samples, dropped.checkpoints, dropped.weights, dropped.path):
            with suppress(OSError):  # not empty, or not there
                folder.rmdir()


def open_run(path: Path) -> RunFolder:
    """The run in `path`; raises CheckpointError, naming the nearest folder, if there is none."""
    folder = RunFolder(path)
    if not os.path.lexists(folder.config):
        siblings = [p.name for p in folder.path.parent.glob("*") if os.path.isfile(p / "config.json")]
        hint = did_you_mean(folder.path.name, siblings) if siblings else "minigan train makes one."
        raise CheckpointError(f"there is no run in {path} (no config.json); {hint}")
    return folder


def first_free_path(path: Path) -> Path:
    """The first free path of `path`, path-2, path-3, ..."""
    return next(place for place in _numbered(path) if not os.path.lexists(place))


def _numbered(path: Path) -> Iterator[Path]:
    """path, path-2, path-3, ..."""
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))


def _move(source: Path, place: Path) -> bool:
    """Rename the folder `source` to `place` unless that is taken; returns whether it was renamed.

    The rename is atomic: if two processes try, one fails.
    """
    try:
        if os.path.lexists(place):
            return False
        files.replace(source, place)
    except OSError:
        if os.path.lexists(place):  # an empty folder would have been replaced
            return False
        raise
    return True


def _by_step(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """The files in `folder` whose names match `pattern`, by the step in their names, in ascending order."""
    matches = [
        (m, path) for path in (folder.iterdir() if folder.is_dir() else ()) if (m := pattern.fullmatch(path.name))
    ]
    return dict(sorted((int(match[1]), path) for match, path in matches))


def _last_line_is_incomplete(path: Path) -> bool:
    """Whether the process was killed while it wrote the last line."""
    with files.open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return size > 0 and file.read(1) != b"\n"


def _have_same_content(path: Path, other: Path) -> bool:
    """Whether both paths are files with the same content."""
    try:
        with files.open_regular(path) as one, files.open_regular(other) as two:
            while True:
                chunk = one.read(1 << 20)
                if chunk != two.read(1 << 20):
                    return False
                if not chunk:
                    return True
    except (OSError, FileError):
        return False
