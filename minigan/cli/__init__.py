"""The command `minigan`: each subcommand is a file with `add_arguments(parser)` and `run(arguments)`.

The first line of its docstring is its help. Everything is imported inside `main`, where an interrupt is handled.
"""

from __future__ import annotations

import sys

from minigan.cli.exit_codes import INTERRUPTED

TYPE_CHECKING = False  # that of `typing`, without the time that its import takes
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `minigan` with `arguments` (the process's own if None) and return the exit code.

    It is 0 done, 1 failed, 2 wrong use, 130 interrupted. With MINIGAN_DEBUG in the environment an exception that
    nothing foresees is raised, not told in a sentence.
    """
    try:
        from minigan.cli import program

        return program.run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        print("minigan: interrupted.", file=sys.stderr)
        return INTERRUPTED
