"""The command `minigan`: which subcommand runs, and how each way of ending is told.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from minigan import __version__
from minigan.commands import bench, evaluate, explain, gradcheck, info, list_recipes, sample, study, train
from minigan.commands.options import FAILED, INTERRUPTED, WRONG_USE
from minigan.errors import MiniganError, UsageError, did_you_mean

COMMANDS = {
    "train": train,
    "sample": sample,
    "evaluate": evaluate,
    "recipes": list_recipes,
    "explain": explain,
    "gradcheck": gradcheck,
    "study": study,
    "bench": bench,
    "info": info,
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `minigan` with `arguments` (the process's own if None) and return the exit code."""
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except UsageError as error:
        return _say(error, WRONG_USE)
    except MiniganError as error:
        return _say(error, FAILED)
    except BrokenPipeError:
        # Whoever read our output has gone (`minigan recipes | head -1`). Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _say(_explain(error), FAILED)
    except MemoryError:
        return _say("there is not enough memory; choose a smaller batch or network.", FAILED)
    except KeyboardInterrupt:
        return _say("interrupted.", INTERRUPTED)


def _run(arguments: list[str]) -> int:
    parser = _parser()
    if not arguments:
        parser.print_help()
        return WRONG_USE
    first = arguments[0]
    if not first.startswith("-") and first not in COMMANDS:
        raise UsageError(f"there is no command '{first}'; {did_you_mean(first, COMMANDS)}")
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        known_here = known.subparser if known.command else parser
        options = [option for action in known_here._actions for option in action.option_strings]
        raise UsageError(f"'{known_here.prog}' does not know '{unknown[0]}'; {did_you_mean(unknown[0], options)}")
    if not known.command:
        raise UsageError(f"no command was given; known: {', '.join(COMMANDS)}.")
    code = known.run(known)
    sys.stdout.flush()  # here, where a reader that has gone is understood
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="minigan", description="Generative adversarial networks from scratch.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minigan {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().partition("\n")[0]
        subparser = subparsers.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run, subparser=subparser)
    return parser


def _say(problem: object, code: int) -> int:
    sentence = str(problem).strip()
    ending = "" if sentence.endswith((".", "?", "!")) else "."
    print(f"minigan: {sentence}{ending}", file=sys.stderr)
    return code


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}; free some space, then try again (a run goes on with train --resume RUN)."
    return f"{error.strerror or error}{where}; check that the path exists and may be written."
