"""Compiled CUDA kernels in the cache: found again, never mistaken for others, never trusted when damaged."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigan_kernels import notices
from minigan_kernels.cuda import compiler, driver

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
SOURCES = {
    "one.cu": '// A kernel.\n#include "shared.cuh"\n#include "more.cuh"\nextern "C" __global__ void one() {}\n',
    "shared.cuh": "struct Shared {};\n",
    "more.cuh": '#include "shared.cuh"\n\nstruct More {};\n',
}


class Nvrtc:
    """CuPy's module nvrtc, with a compiler that turns a text into its checksum and refuses the word `mistake`."""

    def __init__(self, version: tuple[int, int] = (13, 0)) -> None:
        self.version = version
        self.compiled: list[str] = []
        self.programs: dict[int, tuple[str, str]] = {}
        self._numbers = itertools.count(1)

    class NVRTCError(RuntimeError):
        pass

    def getVersion(self) -> tuple[int, int]:  # noqa: N802, as CuPy calls it
        return self.version

    def createProgram(self, text: str, name: str, headers: tuple, names: tuple) -> int:  # noqa: N802
        number = next(self._numbers)
        self.programs[number] = text, name
        return number

    def compileProgram(self, program: int, options: tuple[str, ...]) -> None:  # noqa: N802
        text, name = self.programs[program]
        if "mistake" in text:
            raise self.NVRTCError("NVRTC_ERROR_COMPILATION (6)")
        self.compiled.append(name)
        self.options = options

    def getCUBIN(self, program: int) -> bytes:  # noqa: N802
        text, _ = self.programs[program]
        return hashlib.sha256(text.encode()).digest() + os.getpid().to_bytes(4, "little")

    def getProgramLog(self, program: int) -> str:  # noqa: N802
        name = self.programs[program][1]
        return f'{name}(3): warning: unused\n{name}(4): error: identifier "mistake" is undefined\n\n1 error detected.\n'

    def destroyProgram(self, program: int) -> None:  # noqa: N802
        del self.programs[program]


class Module:
    def load(self, content: bytes) -> None:
        self.content = content


@pytest.fixture
def nvrtc() -> Nvrtc:
    return Nvrtc()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    monkeypatch.setattr(notices.Announcer, "say", staticmethod(sentences.append))
    return sentences


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, nvrtc: Nvrtc, said: list, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of CUDA sources, in use, with an empty cache beside it."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name, text in SOURCES.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(compiler, "_HERE", folder)
    monkeypatch.setattr(
        driver, "cupy_module", lambda: SimpleNamespace(cuda=SimpleNamespace(nvrtc=nvrtc, Module=Module))
    )
    monkeypatch.setattr(driver, "architecture", lambda: "90")
    monkeypatch.setenv("MINIGAN_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    yield folder
    forget()


def forget() -> None:
    """As in a new process."""
    for function in (compiler.load_module, compiler._folder, compiler._say_once):
        function.cache_clear()


def compiled(dtype: np.dtype = FLOAT32, constants: compiler.Constants = ()) -> bytes:
    forget()
    content: bytes = compiler.load_module("one.cu", dtype, constants).content
    return content


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "cuda").glob("*.cubin"))


def test_headers_are_inserted_once_and_errors_name_the_right_lines() -> None:
    lines = compiler.full_source("one.cu", FLOAT32, (("TILE", 8),)).splitlines()
    assert lines[:3] == ["typedef float real;", "#define REAL_BYTES 4", "#define TILE 8"]
    assert "\n".join(lines).count("struct Shared") == 1
    where, number, found = "", 0, {}
    for line in lines[3:]:
        if line.startswith("#line"):
            number, where = int(line.split()[1]), line.split('"')[1]
        else:
            found[line] = where, number
            number += 1
    assert found["struct Shared {};"] == ("shared.cuh", 1)
    assert found["struct More {};"] == ("more.cuh", 3)
    assert found['extern "C" __global__ void one() {}'] == ("one.cu", 4)


def test_float64_is_double() -> None:
    assert compiler.full_source("one.cu", FLOAT64).startswith("typedef double real;\n#define REAL_BYTES 8\n")


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.complex64])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"kernels in one.cu work in float32 and float64, not in \w+$"):
        compiler.full_source("one.cu", np.dtype(dtype))


def test_a_source_is_compiled_once_and_then_read_from_the_cache(nvrtc: Nvrtc, said: list, tmp_path: Path) -> None:
    first = compiled()
    assert compiled() == first
    assert nvrtc.compiled == ["one.cu"]
    assert nvrtc.options == ("-std=c++17", "-ftz=false", "-arch=sm_90")
    assert said == ["minigan: compiling the CUDA kernels in one.cu for this GPU (once; they are cached)"]
    (path,) = cached(tmp_path)
    assert path.name.startswith("one-")
    assert not nvrtc.programs, "a program was not destroyed"


def test_in_one_process_a_module_is_loaded_once() -> None:
    assert compiler.load_module("one.cu", FLOAT32) is compiler.load_module("one.cu", FLOAT32)


def test_several_forms_of_a_source_are_announced_once(said: list) -> None:
    compiler.load_module("one.cu", FLOAT32)
    compiler.load_module("one.cu", FLOAT64)
    assert len(said) == 1


def test_whatever_changes_the_code_gives_a_new_file(
    sources: Path, nvrtc: Nvrtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CuPy's own cache does not know a source's headers: one that has changed would go unnoticed."""
    contents = [compiled(), compiled(FLOAT64), compiled(FLOAT32, (("TILE", 8),)), compiled(FLOAT32, (("TILE", 16),))]
    (sources / "shared.cuh").write_text("struct Shared { int changed; };\n")
    contents.append(compiled())
    assert len(set(contents)) == 5
    nvrtc.version = (13, 1)
    compiled()
    monkeypatch.setattr(driver, "architecture", lambda: "120")
    compiled()
    monkeypatch.setattr(compiler, "OPTIONS", (*compiler.OPTIONS, "-lineinfo"))
    compiled()
    assert len(cached(tmp_path)) == len(nvrtc.compiled) == 8


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "another kernel's", "a folder", "a link"])
def test_a_damaged_file_is_compiled_again(damage: str, nvrtc: Nvrtc, said: list, tmp_path: Path) -> None:
    compiled(FLOAT64)
    (other,) = cached(tmp_path)
    right = compiled()
    (path,) = set(cached(tmp_path)) - {other}
    content = path.read_bytes()
    path.unlink()
    match damage:
        case "cut":
            path.write_bytes(content[:-1])
        case "one bit":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "empty":
            path.write_bytes(b"")
        case "another kernel's":
            path.write_bytes(other.read_bytes())
        case "a folder":
            path.mkdir()
        case "a link":
            path.symlink_to(other)
    said.clear()
    assert compiled() == right
    (sentence,) = (text for text in said if "again" in text)
    assert sentence.startswith("minigan: compiling the CUDA kernels in one.cu again: their cache file cannot be used (")
    count = len(nvrtc.compiled)
    if damage != "a folder":  # which cannot be replaced by a file: compiled at each start, with a message
        assert compiled() == right
        assert len(nvrtc.compiled) == count


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs Unix's permissions")
def test_a_file_that_others_can_write_is_not_trusted(nvrtc: Nvrtc, tmp_path: Path) -> None:
    compiled()
    (path,) = cached(tmp_path)
    path.chmod(0o666)
    compiled()
    assert len(nvrtc.compiled) == 2
    assert not path.stat().st_mode & 0o022


def test_without_a_cache_folder_kernels_are_compiled_all_the_same(
    nvrtc: Nvrtc, said: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "trusted_directory", lambda name: (None, "no cache folder can be written"))
    assert compiled()
    assert said == [
        "minigan: no cache folder can be written; compiled CUDA kernels are not cached",
        "minigan: compiling the CUDA kernels in one.cu for this GPU (they will not be cached)",
    ]


def test_a_full_disk_is_said_once(said: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiler.checked_files, "write", full)
    compiler.load_module("one.cu", FLOAT32)
    compiler.load_module("one.cu", FLOAT64)
    (sentence,) = (text for text in said if "cannot be cached" in text)
    assert sentence.startswith("minigan: some compiled CUDA kernels cannot be cached in /")
    assert sentence.endswith("(No space left on device)")


def test_a_compile_error_is_one_sentence_and_caches_nothing(sources: Path, nvrtc: Nvrtc, tmp_path: Path) -> None:
    (sources / "one.cu").write_text("mistake\n")
    with pytest.raises(RuntimeError) as caught:
        compiled()
    assert str(caught.value) == (
        "NVRTC cannot compile one.cu with -std=c++17 -ftz=false -arch=sm_90: one.cu(4): error: "
        'identifier "mistake" is undefined'
    )
    assert not cached(tmp_path)
    assert not nvrtc.programs, "a program was not destroyed"


def _compile_in_a_new_process(barrier: Any, results: Any) -> None:
    barrier.wait()
    results.put(compiled()[:32])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path: Path, nvrtc: Nvrtc) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_compile_in_a_new_process, args=(barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(found)) == 1
    assert compiled()[:32] == found[0]
    assert not nvrtc.compiled, "this process found no usable file"
    assert [path.suffix for path in (tmp_path / "cache" / "cuda").iterdir()] == [".cubin"], "something was left behind"
