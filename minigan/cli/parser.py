"""The command line of `minigan`: parses the arguments and runs the subcommand."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from minigan import __version__
from minigan.cli import bench, evaluate, explain, gradcheck, info, list_recipes, sample, study, train
from minigan.cli.exit_codes import USAGE_ERROR
from minigan.core.errors import UsageError, did_you_mean

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
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.color = False  # Python 3.14 would colour the help, and the streams would show its codes as escapes

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'.")


_OPTION_WITHOUT_VALUE = re.compile(r"-[^=]*=--")


def run(arguments: list[str]) -> int:
    """Run the subcommand that `arguments` name and return its exit code; raises UsageError for invalid arguments."""
    parser = make_parser()
    if not arguments:
        parser.print_help()
        return USAGE_ERROR
    for argument in arguments:
        if "\0" in argument:
            raise UsageError(f"'{argument}' holds a zero byte, which no name and no number can have; leave it out.")
        if _OPTION_WITHOUT_VALUE.fullmatch(argument):  # argparse before Python 3.13 fails on it
            raise UsageError(
                f"'{argument}' gives no value, because '--' ends the options; write a value after the '='."
            )
    first = arguments[0]
    if not first.startswith("-") and first not in COMMANDS:
        raise UsageError(f"there is no command '{first}'; {did_you_mean(first, COMMANDS)}")
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        subparser = known.subparser if known.command else parser
        options = [option for action in subparser._actions for option in action.option_strings]
        raise UsageError(f"'{subparser.prog}' does not know '{unknown[0]}'; {did_you_mean(unknown[0], options)}")
    if not known.command:
        raise UsageError(f"no command was given; known: {', '.join(COMMANDS)}.")
    code: int = known.run(known)
    return code


def make_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = _Parser(prog="minigan", description="Generative adversarial networks from scratch.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minigan {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().partition("\n")[0]
        subparser = subparsers.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run, subparser=subparser)
    return parser
