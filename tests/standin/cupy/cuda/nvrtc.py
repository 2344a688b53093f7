"""`cupy.cuda.nvrtc`: the compiler. It makes a shared library for the CPU, where NVRTC makes a cubin for a GPU."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass, field
from functools import cache

from cupy import _shim

_STATUS = {3: "NVRTC_ERROR_INVALID_INPUT", 5: "NVRTC_ERROR_INVALID_OPTION", 6: "NVRTC_ERROR_COMPILATION"}
_STATUS |= {4: "NVRTC_ERROR_INVALID_PROGRAM", 2: "NVRTC_ERROR_PROGRAM_CREATION_FAILURE"}
_OPTION = re.compile(r"-(std=c\+\+(11|14|17|20)|ftz=(true|false)|fmad=(true|false)|arch=sm_\d+[af]?|-?lineinfo)")


class NVRTCError(RuntimeError):
    """An error that the compiler returned; `status` is its number."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"{_STATUS[status]} ({status})")


@dataclass
class _Program:
    source: str
    name: str
    cubin: bytes | None = None
    log: list[str] = field(default_factory=list)


_programs: dict[int, _Program] = {}
_handles = itertools.count(1)


@cache
def getVersion() -> tuple[int, int]:
    """A version that changes with the shim, so that no kernel compiled with another one is found in a cache."""
    return 13, int(hashlib.sha256(_shim.identity()).hexdigest()[:8], 16)


def createProgram(src: str, name: str, headers: tuple[str, ...], include_names: tuple[str, ...]) -> int:
    """A handle for the program `src`, to be compiled; `name` is its name in messages."""
    if headers or include_names:
        raise NotImplementedError("the stand-in compiles one text without headers")
    handle = next(_handles)
    _programs[handle] = _Program(src, name)
    return handle


def compileProgram(prog: int, options: tuple[str, ...]) -> None:
    """Compile. Raises NVRTCError; `getProgramLog` says why."""
    program = _program(prog)
    for option in options:
        if not _OPTION.fullmatch(option):
            program.log.append(f"error: unrecognized option {option} found")
            raise NVRTCError(5)
    try:
        program.cubin = _shim.compile_source(program.source, program.name)
    except (RuntimeError, ValueError, FileNotFoundError) as error:  # the last one without g++
        program.log.append(f"error: {error}")
        raise NVRTCError(6) from error


def getProgramLog(prog: int) -> str:
    """What the compiler said."""
    return "\n".join(_program(prog).log)


def getCUBIN(prog: int) -> bytes:
    """The compiled code."""
    cubin = _program(prog).cubin
    if cubin is None:
        raise NVRTCError(4)
    return cubin


def destroyProgram(prog: int) -> None:
    """Forget a program."""
    _program(prog)
    del _programs[prog]


def _program(handle: int) -> _Program:
    if handle not in _programs:
        raise NVRTCError(4)
    return _programs[handle]
