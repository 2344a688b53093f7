"""How mkdocstrings shows minigan's docstrings, which are prose and formulas and no Markdown.

Names in `backquotes` are shown as code; what Markdown would take as
mark-up, such as the stars of x * y * z, as it is.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_CODE = re.compile(r"(`[^`\n]+`)")
_MARKUP = re.compile(r"[\\*_<&\[\]]")


class ShowAsWritten(griffe.Extension):
    """Escapes docstrings, and shows an operation as it is called: without the backend, which its forward gets."""

    def on_instance(self, *, obj: griffe.Object, **rest: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = escaped(obj.docstring.value)

    def on_function_instance(self, *, func: griffe.Function, **rest: Any) -> None:
        """Called for each function."""
        if any(str(d.value).startswith(("primitive", "engine.primitive")) for d in func.decorators):
            func.parameters = griffe.Parameters(*list(func.parameters)[1:])
            for parameter in func.parameters:
                parameter.annotation = "Tensor" if parameter.annotation is not None else None
            func.returns = "Tensor"
            func.decorators = []


def escaped(text: str) -> str:
    """Markdown that shows `text` as it is, but for code: in backquotes, or indented by four spaces."""
    return "\n".join(line if line.startswith("    ") else _escaped_line(line) for line in text.split("\n"))


def _escaped_line(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(part if part.startswith("`") else _MARKUP.sub(_as_it_is, part) for part in parts)


def _as_it_is(character: re.Match[str]) -> str:
    return {"<": "&lt;", "&": "&amp;"}.get(character[0], f"\\{character[0]}")
