"""Runs a command, and turns every exception into a sentence on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path

from minigan.cli.exit_codes import FAILURE, INTERRUPTED, USAGE_ERROR
from minigan.cli.interrupt import exit_on_interrupt
from minigan.cli.streams import OutputError, robust_streams
from minigan.core.errors import MiniganError, UsageError, one_line


def run(arguments: list[str]) -> int:
    """Run `minigan` with `arguments` and return the exit code; see `minigan.cli.main`."""
    with robust_streams():
        return _run_and_report(arguments)


def _run_and_report(arguments: list[str]) -> int:
    try:
        return _parse_and_run(arguments)
    except UsageError as error:
        return _report(error, USAGE_ERROR)
    except (MiniganError, OutputError) as error:
        return _report(error, FAILURE)
    except BrokenPipeError:  # the reader of the output has ended (`minigan recipes | head -1`)
        return FAILURE
    except OSError as error:
        return _report(_os_error_sentence(error), FAILURE)
    except MemoryError as error:
        problem = _device_problem(error, arguments)
        return _report(problem or "there is not enough memory; choose a smaller batch or network.", FAILURE)
    except KeyboardInterrupt:
        return _report("interrupted.", INTERRUPTED)
    except Exception as error:
        if problem := _device_problem(error, arguments):
            return _report(problem, FAILURE)
        if os.environ.get("MINIGAN_DEBUG"):
            raise
        if problem := _user_code_problem(error):
            return _report(problem, FAILURE)
        return _report(_unexpected_error_sentence(error), FAILURE)


def _parse_and_run(arguments: list[str]) -> int:
    with exit_on_interrupt():
        from minigan.cli import parser
    try:
        return parser.run(arguments)
    finally:  # also after --help and --version, which raise SystemExit
        sys.stdout.flush()  # here, where a failure is reported


def _device_problem(error: BaseException, arguments: list[str]) -> str | None:
    """What has gone wrong on a GPU and what to do, as a clause; None if the error is not about one."""
    from minigan.core import backend  # imported by now if the command got as far as to use a GPU

    problem = backend.device_problem(error)
    if problem is None or arguments[:1] != ["train"]:
        return problem
    return f"{problem} (a run goes on with train --resume RUN)"


def _user_code_problem(error: Exception) -> str | None:
    """What the code of a recipe of the user's has raised, with the line; None if it has raised nothing."""
    from minigan import recipes
    from minigan.core import user_file

    paths = [Path(path) for path in recipes.loaded_files()]
    return next((user_file.problem_in(path, error) for path in paths if user_file.last_line(path, error)[0]), None)


def _report(problem: object, code: int) -> int:
    sentence = one_line(str(problem).strip())
    ending = "" if sentence.endswith((".", "?", "!")) else "."
    print(f"minigan: {sentence}{ending}", file=sys.stderr)
    return code


def _os_error_sentence(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}; free some space, then try again (a run goes on with train --resume RUN)."
    return f"{error.strerror or error}{where}; check that the path exists and may be written."


def _unexpected_error_sentence(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    problem = f"{type(error).__name__}: {error}".rstrip(" :.")
    return (
        f"unexpected error: {problem} ({os.path.basename(last.filename)}, line {last.lineno}); "
        "please report it with the command and, from MINIGAN_DEBUG=1, the traceback."
    )
