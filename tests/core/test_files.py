"""Irregular files are refused; writing leaves the old file or the new one; only leftovers are removed; strict JSON."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from minigan.core import files, strict_json
from minigan.core.errors import FileError, UsageError

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
needs_locks = pytest.mark.skipif(files.fcntl is None, reason="needs locks on files")


def test_an_ordinary_file_and_a_link_to_one_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        assert files.read_bytes(tmp_path / name, 3) == b"abc"
        with files.open_regular(tmp_path / name) as file:
            assert file.read() == b"abc"
    with pytest.raises(FileError, match="more than 2 bytes"):
        files.read_bytes(tmp_path / "file", 2)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(tmp_path / "nothing", 2)


@needs_pipes
def test_a_pipe_a_device_and_a_folder_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "pipe"), (Path("/dev/zero"), "device"), (tmp_path, "folder")):
        with pytest.raises(FileError, match=f"is a {kind}, expected an ordinary file"):
            files.read_bytes(path, 10)
        with pytest.raises(FileError, match="expected an ordinary file"):
            files.open_to_append(path)


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for opening in (files.open_regular, files.open_to_append):
        with pytest.raises(FileError, match="loop"):
            opening(tmp_path / "loop")


def test_reading_a_small_file_takes_little_memory_whatever_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    tracemalloc.start()
    assert files.read_bytes(tmp_path / "file", 1 << 40) == b"abc"
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_text_is_utf8(tmp_path):
    (tmp_path / "file").write_bytes(b"caf\xe9")
    with pytest.raises(FileError, match="not text in UTF-8"):
        files.read_text(tmp_path / "file", 100)


def test_appending_keeps_the_content_and_follows_no_link(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    with files.open_to_append(tmp_path / "file") as file:
        file.write(b"def")
    assert (tmp_path / "file").read_bytes() == b"abcdef"
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "nowhere").symlink_to("elsewhere")
    for name in ("link", "nowhere"):
        with pytest.raises(FileError, match="is a link"):
            files.open_to_append(tmp_path / name)
    assert (tmp_path / "file").read_bytes() == b"abcdef"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write into")
def test_require_writable_finds_a_folder_that_cannot_be_written(tmp_path):
    files.require_writable(tmp_path)
    files.require_writable(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    for place in (Path("/proc/self/here"), tmp_path / "file", tmp_path / "file" / "under"):
        with pytest.raises(UsageError, match="name another place"):
            files.require_writable(place)


def test_a_link_has_the_content_and_keeps_it_when_the_source_is_replaced(tmp_path, monkeypatch):
    first, other = tmp_path / "first", tmp_path / "folder" / "other"
    files.write_text(first, "old")
    files.link(first, other)
    files.link(first, other)  # once more, over itself
    files.write_text(first, "new")
    assert other.read_text() == "old"

    def no_links(*_: object) -> None:
        raise OSError("this file system has none")

    monkeypatch.setattr(os, "link", no_links)
    files.link(first, other)
    files.write_text(first, "newest")
    assert other.read_text() == "new"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["first", "folder", "other"]


HOLD = """
import sys, time
from pathlib import Path
from minigan.core import files
with files.atomic_path(Path(sys.argv[1])) as file, files.staging_folder(Path(sys.argv[2])) as folder:
    file.write_text("half")
    (folder / "inside").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@needs_locks
def test_leftovers_of_killed_writers_are_removed_and_no_other_files(tmp_path):
    own = [".notes.partial", ".run.abc.partial", ".a.minigan-0123456789abcdeX.partial", "b.partial"]
    for name in own:
        (tmp_path / name).write_text("mine")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "file", tmp_path / "folder"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    files.remove_leftovers(tmp_path)
    theirs = [path for path in tmp_path.iterdir() if path.name not in own]
    assert len(theirs) == 2
    assert all(map(files.is_temporary, theirs))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (tmp_path / ".link.minigan-0123456789abcdef.partial").symlink_to(own[0])
    with files.staging_folder(tmp_path / "another"):
        assert not any(path.exists() for path in theirs)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*own, ".link.minigan-0123456789abcdef.partial"])


def test_a_long_name_can_be_written(tmp_path):
    target = tmp_path / ("é" * 120)  # 240 bytes, of at most 255
    files.write_text(target, "long")
    assert target.read_text() == "long"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 50_000 + "]" * 50_000, "nested"),
        ("[" * 40 + "]" * 40, "nested"),
        ('{"a": Infinity}', "Infinity"),
        ("[NaN]", "NaN"),
        ("[1e999]", "out of range"),
        ("1" * 400, "400 digits"),
        ('{"a": 1, "a": 2}', "twice"),
        ("{", "line 1"),
        ("1 2", "Extra data"),
    ],
)
def test_json_that_is_not_strict_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        strict_json.parse(text)


def test_strict_json():
    text = '{"a": [1, -2.5, 1e-300, true, null, "\\u00e9"], "b": {"c": 18446744073709551615}}'
    assert strict_json.parse(text) == {"a": [1, -2.5, 1e-300, True, None, "é"], "b": {"c": 2**64 - 1}}
    nested = 1
    for _ in range(31):
        nested = [nested]
    assert strict_json.parse(str(nested)) == nested
