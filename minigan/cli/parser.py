"""The command line of `minigan`: parses the arguments and runs the subcommand."""

from __future__ import annotations

import argparse
import importlib
import re
from typing import Any, NoReturn

from minigan import __version__
from minigan.cli.exit_codes import USAGE_ERROR
from minigan.cli.interrupt import exit_on_interrupt
from minigan.core.errors import UsageError, did_you_mean
from minigan.core.synonyms import meant

COMMANDS = {
    "train": "Train a GAN by a recipe, or resume a run.",
    "sample": "Draw samples from a trained run, as a picture or as numbers.",
    "evaluate": "Measure a run's samples: pictures with a classifier of its data, points against the distribution of "
    "its data.",
    "translate": "Translate a picture, or each in a folder, with a trained run from one look to another.",
    "upscale": "Enlarge a picture, or each in a folder, with a trained run of super-resolution.",
    "inpaint": "Fill a hole in a picture, or in each in a folder, with a trained run.",
    "report": "Write one HTML page about a run: settings, curves, samples, evaluation, gradients.",
    "export": "Write a run's networks for other libraries: safetensors, ONNX, and a model card.",
    "recipes": "List the recipes and their settings.",
    "explain": "Show the backward pass of a real training step, operation by operation, from each player's loss to "
    "every weight.",
    "gradcheck": "Check every derivative in minigan, or your own, against finite differences.",
    "study": "Write one HTML page, to be read offline, that demonstrates claims about GANs with checked numbers.",
    "bench": "Time a training step of the benchmark networks.",
    "info": "Show what this machine offers: versions, backends, kernels, threads, folders.",
}
"""What each subcommand does, as its help and the docstring of its module say."""
_MODULES = {"recipes": "list_recipes"}  # of the subcommands whose module has another name


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.color = False  # Python 3.14 would colour the help, and the streams would show its codes as escapes

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'.")


class _CommandParser(_Parser):
    """The parser of a subcommand, which imports the subcommand only when it is to parse something."""

    command: str

    def complete(self) -> None:
        """Import the subcommand, and add its options."""
        if self.get_default("run") is not None:
            return
        with exit_on_interrupt():
            module = importlib.import_module(f"minigan.cli.{_MODULES.get(self.command, self.command)}")
        module.add_arguments(self)
        self.set_defaults(run=module.run, subparser=self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse, and --switch=true or --switch=false for an option without a value."""
        self.complete()
        options = {option: action for action in self._actions for option in action.option_strings}
        rest, switches = [], {}
        for argument in args or []:
            option, equals, text = argument.partition("=")
            action, value = options.get(option), _SWITCHED.get(text.lower())
            if equals and value is not None and isinstance(action, argparse._StoreTrueAction):
                switches[action.dest] = value
            else:
                rest.append(argument)
        parsed, unknown = super().parse_known_args(rest, namespace)
        for name, value in switches.items():
            setattr(parsed, name, value)
        return parsed, unknown


_SWITCHED = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
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
        raise UsageError(f"'{subparser.prog}' does not know '{unknown[0]}'; {_hint(unknown[0], subparser)}")
    if not known.command:
        raise UsageError(f"no command was given; known: {', '.join(COMMANDS)}.")
    code: int = known.run(known)
    return code


def _hint(wrong: str, parser: argparse.ArgumentParser) -> str:
    """What an unknown argument may mean: an option, or a setting, which is given with --set."""
    word = wrong.partition("=")[0]
    options = [option for action in parser._actions for option in action.option_strings]
    if "--set" in options and word.startswith("-") and not meant(word, options):
        from minigan.recipes.settings import MEANINGS  # imported by now: commands with settings need it

        if setting := meant(word, MEANINGS):
            return f"did you mean '--set {setting}=...'?"
    return did_you_mean(word, options)


def make_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = _Parser(prog="minigan", description="Generative adversarial networks from scratch.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minigan {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_CommandParser)
    for name, summary in COMMANDS.items():
        subparsers.add_parser(name, help=summary, description=summary, allow_abbrev=False).command = name
    return parser
