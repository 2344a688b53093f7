"""Show the backward pass of a real training step, operation by operation, from each player's loss to every weight."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from minigan import explain, recipes
from minigan.cli import explain_page, options
from minigan.cli.exit_codes import SUCCESS
from minigan.core import files
from minigan.core.errors import UsageError, did_you_mean
from minigan.explain import PLAYERS, Visit, Walk

_BOTH = "both"
_MAX_BATCH = 1_000  # the results of all operations of the step are kept in memory, in float64
_LEAST_WIDTH, _MOST_WIDTH = 40, 10_000
_LEGEND = """\
Each line is an operation, in the order of the backward pass: the norm of the cotangent g of its result y, the result,
the shapes of inputs and result, and the cotangent that each input gets. D and G are discriminator and generator. `sum`
and `mean` run over all axes but the last, n is the number of elements of x, z is y before the LeakyReLU of a layer that
includes one, and an input that was broadcast gets the sum over its copies. An input without a cotangent leads to no
weight that this loss trains."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan explain`."""
    parser.add_argument(
        "recipe", metavar="RECIPE", nargs="?", default=recipes.DEFAULT,
        help=f"one of 'minigan recipes', or a Python file of yours that defines one (default: {recipes.DEFAULT})",
    )  # fmt: skip
    parser.add_argument("--player", default=_BOTH, help=f"{', '.join(PLAYERS)} or {_BOTH} (default: {_BOTH})")
    parser.add_argument(
        "--batch", type=options.whole_number, default=4, help="number of real examples in the step (default: 4)"
    )
    parser.add_argument("--seed", type=options.whole_number, default=0, help="seed of all random draws (default: 0)")
    parser.add_argument(
        "--check", action="store_true", help="compare the gradient of each weight with finite differences"
    )
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="change a setting")
    parser.add_argument(
        "--width", metavar="COLUMNS", type=options.whole_number,
        help="break lines so that none is longer (default: the width of the terminal; in a file they stay whole)",
    )  # fmt: skip
    parser.add_argument(
        "--html", metavar="FILE.html", type=Path, help="write a page, on which each result is a link, instead of text"
    )
    parser.add_argument("--quiet", action="store_true", help="print the result and errors only")
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the backward pass of each player's loss."""
    _require_valid(arguments)
    options.choose_device("numpy", None, None, arguments.quiet)
    own_recipe = options.load_recipe_file(arguments.recipe if arguments.recipe.endswith(".py") else None)
    recipe, named_settings = own_recipe or recipes.get(arguments.recipe), options.parsed_settings(arguments)
    if "batch_size" in named_settings:
        raise UsageError("--set batch_size has no effect, because --batch sets the number of examples; use --batch.")
    changes = {**named_settings, "batch_size": arguments.batch}
    recipe.require_effect(named_settings, recipe.resolve(changes))
    # In float64, so that finite differences are accurate.
    gan = recipe.build(seed=arguments.seed, dtype="float64", **changes)
    count = arguments.batch * gan.rules.n_critic
    real = recipe.domain.example_batch(count, recipe.resolve(changes), seed=arguments.seed, dtype="float64")
    players = PLAYERS if arguments.player == _BOTH else (arguments.player,)
    walks = explain.walk_step(gan, real, players=players, check=arguments.check)
    title = f"{recipe.name}: one training step on {arguments.batch} examples, seed {arguments.seed}, in float64"
    if arguments.html:
        files.write_text(arguments.html, explain_page.page(title, " ".join(_LEGEND.split()), walks, gan.loss.name))
    if arguments.json:
        facts = {"recipe": recipe.name, "loss": gan.loss.name, "batch": arguments.batch, "seed": arguments.seed}
        options.print_json(facts | {"walks": [dataclasses.asdict(walk) for walk in walks]})
    elif arguments.html:
        options.print_line(f"Wrote {arguments.html}: {sum(len(walk.visits) for walk in walks):,} operations")
    else:
        width = _width(arguments)
        print("\n".join(_wrapped(title, width)) + "\n")
        print(_LEGEND if width is None else textwrap.fill(" ".join(_LEGEND.split()), width))
        for walk in walks:
            print()
            print("\n".join(_lines(walk, gan.loss.name, width)))
    return SUCCESS


def _width(arguments: argparse.Namespace) -> int | None:
    """The largest number of columns of a line; None for no limit."""
    if arguments.width is None and sys.stdout.isatty():
        return max(_LEAST_WIDTH, shutil.get_terminal_size().columns)
    width: int | None = arguments.width
    return width


def _wrapped(text: str, width: int | None, indent: str = "") -> list[str]:
    """`text` in lines of at most `width` columns; all but the first are indented further."""
    if width is None:
        return [indent + text]
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=f"{indent}  ") or [""]


def _require_valid(arguments: argparse.Namespace) -> None:
    if arguments.player not in (*PLAYERS, _BOTH):
        raise UsageError(
            f"there is no player '{arguments.player}'; {did_you_mean(arguments.player, (*PLAYERS, _BOTH))}"
        )
    if not 1 <= arguments.batch <= _MAX_BATCH:
        raise UsageError(f"--batch must be a whole number from 1 to {_MAX_BATCH:,}, not {arguments.batch}.")
    if not 0 <= arguments.seed < 2**63:
        raise UsageError(f"--seed must be a whole number of at least 0 and below 2**63, not {arguments.seed}.")
    if arguments.width is not None and not _LEAST_WIDTH <= arguments.width <= _MOST_WIDTH:
        raise UsageError(
            f"--width must be a whole number from {_LEAST_WIDTH} to {_MOST_WIDTH:,}, not {arguments.width}."
        )
    if arguments.html is not None:
        if arguments.html.suffix.lower() != ".html":
            raise UsageError(f"--html takes the name of a file that ends in .html, not '{arguments.html}'.")
        options.require_output_file(arguments.html, "--html")


def _lines(walk: Walk, loss: str, width: int | None) -> Iterator[str]:
    yield from _wrapped(f"THE LOSS OF THE {walk.player.upper()} ({loss}) is {walk.loss:.6g}", width)
    yield ""
    rows = [_row(visit) for visit in walk.visits]
    if width is not None:
        yield from _narrow_lines(walk, rows, width)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for visit, (norm, operation, shapes, back) in zip(walk.visits, rows, strict=True):
        yield f"{norm:>{widths[0]}}  {operation:<{widths[1]}}  {shapes:<{widths[2]}}  {back}"
        for arrival in visit.arrivals:
            yield f"{'':>{widths[0]}}    => {explain_page.arrival_text(arrival)}"
    definitions = dict.fromkeys(definition for visit in walk.visits for definition in visit.where)
    if definitions:
        yield ""
        yield f"where {', '.join(definitions)}"


def _narrow_lines(walk: Walk, rows: list[tuple[str, str, str, str]], width: int) -> Iterator[str]:
    """An operation in several lines, none longer than `width`."""
    for visit, (norm, operation, shapes, back) in zip(walk.visits, rows, strict=True):
        yield from _wrapped(f"{norm}  {operation}", width)
        for part in filter(None, [shapes, *back.split("; ")]):
            yield from _wrapped(part, width, "    ")
        for arrival in visit.arrivals:
            yield from _wrapped(f"=> {explain_page.arrival_text(arrival)}", width, "    ")
    if definitions := dict.fromkeys(definition for visit in walk.visits for definition in visit.where):
        yield ""
        yield from _wrapped(f"where {', '.join(definitions)}", width)


def _row(visit: Visit) -> tuple[str, str, str, str]:
    operands = ", ".join([
        *(f"{part.name}: {part.source}" for part in visit.inputs), *(f"{name}: {text}" for name, text in visit.settings)
    ])  # fmt: skip
    shapes = f"{', '.join(str(part.shape) for part in visit.inputs)} -> {visit.shape}"
    back = "; ".join(f"to {part.name}: {part.back}" for part in visit.inputs if part.back is not None)
    return f"|g| {visit.norm:.3g}", f"{visit.result} = {visit.operation}({operands})", shapes, back
