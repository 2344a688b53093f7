"""The table of a network's layers, with their outputs' shapes and numbers of parameters."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter

_BATCH = 2  # examples; batch norm needs two
_HEADER = ("", "layer", "output", "parameters")


@dataclass
class Row:
    """One Module of a network: `depth` says inside how many others it lies.

    output: the shape of its output, with n for the batch; of several outputs, all that differ; "" if it is unknown.
    parameters: the number of its own trainable numbers, without those of the Modules inside; None if it has Modules
    inside, and no numbers of its own. frozen: see `Module.frozen`.
    """

    name: str
    layer: str
    depth: int
    parameters: int | None
    frozen: bool
    outputs: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, str, str, str]:
        """What the table shows of it."""
        count = "" if self.parameters is None else f"{self.parameters:,}"
        layer = self.layer + " (frozen)" * self.frozen
        return "  " * self.depth + self.name, layer, ", ".join(self.outputs), count


@dataclass(frozen=True)
class Summary:
    """A table of a network's layers, with their outputs' shapes: `str` and `repr` are text, notebooks show HTML.

    title: the name of the network's class. rows: its Modules, in the order in which they were set. parameters: how many
    numbers are trained; frozen: how many more are frozen; other: how many its buffers hold, such as running statistics.
    """

    title: str
    rows: list[Row]
    parameters: int
    frozen: int
    other: int

    @property
    def total(self) -> str:
        """The numbers in one line."""
        frozen, other = (
            f"; frozen: {self.frozen:,}" * bool(self.frozen),
            f"; in buffers: {self.other:,}" * bool(self.other),
        )
        return f"parameters: {self.parameters:,}{frozen}{other}"

    def _table(self) -> list[tuple[str, ...]]:
        """The header and the rows, without the column of outputs if none is known."""
        table = [_HEADER, *(row.cells() for row in self.rows)]
        shown = [0, 1, 2, 3] if any(row.outputs for row in self.rows) else [0, 1, 3]
        return [tuple(cells[i] for i in shown) for cells in table]

    def __str__(self) -> str:
        table = self._table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for *cells, count in table:
            left = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
            lines.append(f"{left}  {count.rjust(widths[-1])}".rstrip())
        rule = "-" * max(map(len, [*lines, self.total]))
        return "\n".join([self.title, lines[0], rule, *lines[1:], rule, self.total])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        styles = ["white-space:pre;text-align:left"] * (len(self._table()[0]) - 1) + ["text-align:right"]
        lines = []
        for i, cells in enumerate(self._table()):
            tag = "td" if i else "th"
            parts = [f'<{tag} style="{s}">{html.escape(c)}</{tag}>' for s, c in zip(styles, cells, strict=True)]
            lines.append(f"<tr>{''.join(parts)}</tr>")
        caption = f"<caption>{html.escape(self.title)}: {self.total}</caption>"
        return f"<table>{caption}<thead>{lines[0]}</thead><tbody>{''.join(lines[1:])}</tbody></table>"


def summarize(network: Any, input_shapes: Sequence[tuple[int, ...]], dtype: np.dtype | None) -> Summary:
    """The Summary of the Module `network`, which computes an example of zeros with each of `input_shapes`, if any."""
    rows: dict[int, Row] = {}
    _add_rows(network, "", -1, rows, set())
    if input_shapes:
        inputs = [Tensor(np.zeros((_BATCH, *shape), dtype or "float32")) for shape in input_shapes]
        with _noting_outputs(network, rows):
            network(*inputs)
    shown = [row for row in rows.values() if row is not rows[id(network)] or row.parameters is not None]
    trained, all_parameters, other = (
        sum(item.size for item in items.values())
        for items in (network.trainable_parameters(), network.parameters(), network.buffers())
    )
    return Summary(type(network).__name__, shown, trained, all_parameters - trained, other)


def _add_rows(module: Any, name: str, depth: int, rows: dict[int, Row], seen: set[Parameter]) -> None:
    """Add the rows of `module` and of the Modules inside to `rows`, by id; `seen`: the Parameters counted before."""
    if id(module) in rows:
        return
    own = {item for _, item in module._contents() if isinstance(item, Parameter)} - seen
    seen |= own
    count, children = sum(item.size for item in own), list(module.children())
    layer = type(module).__name__ if children else repr(module)
    rows[id(module)] = Row(name, layer, max(depth, 0), count if count or not children else None, module._frozen)
    for child_name, child in children:
        _add_rows(child, child_name, depth + 1, rows, seen)


@contextlib.contextmanager
def _noting_outputs(network: Any, rows: dict[int, Row]) -> Iterator[None]:
    """A context in which the forward of every Module in `network` notes the shape of its output in its row."""
    modules = list(network.modules())

    def note(module: Any, y: Any) -> None:
        for part in y if isinstance(y, tuple) else (y,):
            text = _shape_text(part.shape)
            if text not in rows[id(module)].outputs:
                rows[id(module)].outputs.append(text)

    def noted(module: Any, forward: Callable[..., Tensor], fused: bool) -> Callable[..., Tensor]:
        def noting_forward(*inputs: Any) -> Tensor:
            try:
                y = forward(*inputs)
            except Exception as error:
                if not hasattr(error, "__notes__"):
                    error.add_note(f"... in layer '{rows[id(module)].name}' of the summary")
                raise
            for computed in (module, inputs[0]) if fused else (module,):
                note(computed, y)
            return y

        return noting_forward

    try:
        for module in modules:
            module.forward = noted(module, module.forward, fused=False)
            if hasattr(module, "forward_fused"):
                module.forward_fused = noted(module, module.forward_fused, fused=True)
        yield
    finally:
        for module in modules:
            vars(module).pop("forward", None)
            vars(module).pop("forward_fused", None)


def _shape_text(shape: tuple[int, ...]) -> str:
    """The shape, with n for the batch."""
    extents = ["n" if i == 0 and extent == _BATCH else str(extent) for i, extent in enumerate(shape)]
    return f"({', '.join(extents)}{',' * (len(extents) == 1)})"
