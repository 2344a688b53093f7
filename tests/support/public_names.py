"""Every public name of minigan with the first line of its docstring, as docs/api.md shows them.

`python tests/support/public_names.py` writes that page anew.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"
GLOSSARY = ROOT / "docs" / "glossary.md"

# How a user writes each public module, and where it lies.
MODULES = {
    "mg": "minigan",
    "mg.ops": "minigan.ops",
    "mg.nn": "minigan.nn",
    "mg.optim": "minigan.optim",
    "mg.schedules": "minigan.optim.schedules",
    "mg.losses": "minigan.gan.losses",
    "mg.penalties": "minigan.gan.penalties",
    "mg.gan": "minigan.gan",
    "mg.recipes": "minigan.recipes",
    "mg.data": "minigan.data",
    "mg.figures": "minigan.figures",
    "mg.domains": "minigan.domains",
    "mg.metrics": "minigan.metrics",
    "mg.training": "minigan.training",
    "mg.report": "minigan.report",
    "mg.export": "minigan.export",
    "mg.checking": "minigan.checking",
    "mg.selftest": "minigan.selftest",
    "mg.autodiff": "minigan.autodiff",
    "mg.errors": "minigan.core.errors",
}

HEADER = """# Public names

`import minigan as mg` gives these names. Whatever is not listed here may change without notice.
`python tests/support/public_names.py` writes this page from the docstrings; a test fails where it is out of date.
"""


class Name(NamedTuple):
    """A public name, and the first line of its docstring ("" if it has none)."""

    name: str
    summary: str


def of_module(module: str) -> list[Name]:
    """The names that a module lists in `__all__`, in alphabetical order."""
    imported = importlib.import_module(module)
    return [Name(name, summary(imported, name)) for name in sorted(imported.__all__, key=str.lower)]


def summary(module: ModuleType, name: str) -> str:
    """The first sentence of the docstring of `name`; that of a constant is the string below its assignment."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        text = inspect.getdoc(value) or ""
    else:
        text = _constant_docs(module).get(name, "")
    first = re.split(r"\n\s*\n", text)[0]
    return re.sub(r"\s+", " ", first).strip()


def _constant_docs(module: ModuleType) -> dict[str, str]:
    docs: dict[str, str] = {}
    for source in _sources(module):
        body = ast.parse(source.read_text(encoding="utf-8")).body
        for node, following in itertools.pairwise(body):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docs |= {t.id: inspect.cleandoc(str(following.value.value)) for t in targets if isinstance(t, ast.Name)}
    return docs


def _sources(module: ModuleType) -> Iterator[Path]:
    assert module.__file__ is not None
    path = Path(module.__file__)
    yield from sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]


def page() -> str:
    """docs/api.md, as it should be."""
    parts = [HEADER]
    for shown, module in MODULES.items():
        about = summary_of_module(module)
        rows = [f"| `{shown}.{name}` | {_in_a_table(text)} |" for name, text in of_module(module)]
        parts.append("\n".join([f"## `{shown}`", "", about, "", "| name | what it is |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def _in_a_table(text: str) -> str:
    return text.replace("|", "\\|")


def summary_of_module(module: str) -> str:
    """The first line of a module's docstring."""
    return (importlib.import_module(module).__doc__ or "").strip().split("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
