"""What the command lines of the benchmark scripts have in common."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import isa
from machine import RequestError

Facts = dict[str, Any]
SUCCESS, FAILURE, USAGE_ERROR = 0, 1, 2  # exit codes


class DisagreementError(Exception):
    """An implementation computes something else than minigan: the exit code is FAILURE, and nothing is timed."""


def words(text: str) -> list[str]:
    """The different words of "one,two"."""
    return list(dict.fromkeys(filter(None, text.split(","))))


def add_arguments(parser: argparse.ArgumentParser, peers: tuple[str, ...], default: tuple[str, ...]) -> None:
    """--threads and --json, and --peers if there are any."""
    if peers:
        which = f"of {','.join(peers)} ({','.join(default)})"
        parser.add_argument("--peers", type=words, default=list(default), metavar="NAMES", help=which)
    parser.add_argument("--threads", type=int, metavar="N", help="threads for everybody (all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")


def add_networks(parser: argparse.ArgumentParser, networks: tuple[str, ...]) -> None:
    which = f"of {','.join(networks)} (all)"
    parser.add_argument("--networks", type=words, default=list(networks), metavar="NAMES", help=which)


def add_isa(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--isa", choices=isa.NAMES, default="native", help="vector instructions for everybody (native)")


def parsed(parser: argparse.ArgumentParser, arguments: list[str] | None, peers: tuple[str, ...]) -> argparse.Namespace:
    """The parsed arguments; invalid ones end the program with a sentence and the exit code USAGE_ERROR."""
    options = parser.parse_args(arguments)
    if not getattr(options, "networks", True):
        parser.error("--networks takes one or more names, separated by commas")
    if peers and (not options.peers or set(options.peers) - set(peers)):
        parser.error(f"--peers takes one or more of {', '.join(peers)}, separated by commas")
    if options.threads is not None and options.threads < 1:
        parser.error("--threads must be at least 1")
    if not getattr(options, "seconds", 1) > 0:
        parser.error("--seconds must be above 0")
    return options


def carry_out(run: Callable[[argparse.Namespace], Facts], report: Callable[[Facts], str], options: Any) -> int:
    """Run, print the report, write the JSON file; returns the exit code."""
    try:
        facts = run(options)
    except RequestError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except DisagreementError as error:
        print(error, file=sys.stderr)
        return FAILURE
    print(report(facts))
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    return SUCCESS
