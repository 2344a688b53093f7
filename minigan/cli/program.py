"""How each way in which a command may end is told."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from minigan.cli.exit_codes import FAILURE, INTERRUPTED, USAGE_ERROR
from minigan.cli.interrupt import exit_on_interrupt
from minigan.cli.streams import OutputError, usable_streams
from minigan.core.errors import MiniganError, UsageError, one_line


def run(arguments: list[str]) -> int:
    """Run `minigan` with `arguments` and return the exit code; see `minigan.cli.main`."""
    with usable_streams():
        return _code_of(arguments)


def _code_of(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except UsageError as error:
        return _say(error, USAGE_ERROR)
    except (MiniganError, OutputError) as error:
        return _say(error, FAILURE)
    except BrokenPipeError:  # whoever read our output has gone (`minigan recipes | head -1`)
        return FAILURE
    except OSError as error:
        return _say(_explain(error), FAILURE)
    except MemoryError:
        return _say("there is not enough memory; choose a smaller batch or network.", FAILURE)
    except KeyboardInterrupt:
        return _say("interrupted.", INTERRUPTED)
    except Exception as error:
        if os.environ.get("MINIGAN_DEBUG"):
            raise
        return _say(_unforeseen(error), FAILURE)


def _run(arguments: list[str]) -> int:
    with exit_on_interrupt():
        from minigan.cli import parser
    try:
        return parser.run(arguments)
    finally:  # --help and --version raise SystemExit
        sys.stdout.flush()  # here, where it is understood if that fails


def _say(problem: object, code: int) -> int:
    sentence = one_line(str(problem).strip())
    ending = "" if sentence.endswith((".", "?", "!")) else "."
    print(f"minigan: {sentence}{ending}", file=sys.stderr)
    return code


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}; free some space, then try again (a run goes on with train --resume RUN)."
    return f"{error.strerror or error}{where}; check that the path exists and may be written."


def _unforeseen(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    problem = f"{type(error).__name__}: {error}".rstrip(" :.")
    return (
        f"unexpected error: {problem} ({os.path.basename(last.filename)}, line {last.lineno}); "
        "please report it with the command and, from MINIGAN_DEBUG=1, the traceback."
    )
