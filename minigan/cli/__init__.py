"""The command `minigan`: each subcommand is a module with `add_arguments(parser)` and `run(arguments)`.

The first line of the module's docstring is the subcommand's help. All that takes time to import is imported inside
`main`, where an interrupt is handled.
"""

from __future__ import annotations

import sys

from minigan.cli.exit_codes import INTERRUPTED

TYPE_CHECKING = False  # as in `typing`, without the time that its import takes
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `minigan` with `arguments` (the process's own if None) and return the exit code (see minigan.cli.exit_codes).

    With MINIGAN_DEBUG in the environment an unexpected exception is raised, instead of reported in a sentence.
    """
    try:
        from minigan.cli import program

        return program.run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        print("minigan: interrupted.", file=sys.stderr)
        return INTERRUPTED
