"""A Python file of the user: it is imported as Python runs a program, and its errors are shown with its line."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from minigan.core.errors import MiniganError, UsageError


def load_module(path: Path) -> ModuleType:
    """The module that the file `path` defines; as for a program, modules in the same folder can be imported.

    Raises UsageError if there is no such file or it is not a Python file, MiniganError, with its line, if it fails.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}; check the path.")
    if path.suffix != ".py":
        raise UsageError(f"{path} is not a Python file; name one that ends in .py.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    assert spec is not None  # since its name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    load = spec.loader.exec_module
    call(path, lambda: load(module))
    return module


def call(path: Path, function: Callable[[], Any]) -> Any:
    """What `function` returns; raises MiniganError with one sentence and the line if the code of the file fails.

    Errors of minigan, and TypeErrors and ValueErrors that were not raised in the file, pass.
    """
    try:
        return function()
    except (MiniganError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        where = Path(error.filename).name if error.filename else f"{path}"
        where += f", line {error.lineno}" if error.lineno else ""
        raise MiniganError(f"{path} cannot be read as Python ({where}: {error.msg}); mend it and try again.") from error
    except BaseException as error:  # some libraries derive their exceptions from it
        if last_line(path, error)[0] is None and isinstance(error, (TypeError, ValueError)):
            raise
        raise MiniganError(problem_in(path, error)) from error


def problem_in(path: Path, error: BaseException) -> str:
    """A sentence on `error`, which the code of the file `path` raised, with the line."""
    line, place = last_line(path, error)
    where = f"{path}, line {line}, in {place}" if line else f"{path}"
    if isinstance(error, SystemExit):
        return f"the code of {where} ends the program, so nothing was done; let it return."
    problem = " ".join(f"{type(error).__name__}: {error}".rstrip(" :").split())
    return f"the code of {where} raised {problem}; mend it and try again."


def last_line(path: Path, error: BaseException) -> tuple[int | None, str]:
    """The last line of the file in the traceback, and its function; None if the file is not in the traceback."""
    own = str(path.resolve())
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    if not frames:
        return None, ""
    last = frames[-1]
    return last.lineno, "the file itself" if last.name == "<module>" else last.name
