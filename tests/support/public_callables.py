"""Every public callable of minigan: the functions and classes that public modules list, and the methods of the classes.

What is asked of each docstring stands in tests/project/test_docstrings.py.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support.public_names import MODULES


@dataclass(frozen=True)
class PublicCallable:
    """A function, class or method as a user finds it: how it is written, itself, and the class that it belongs to."""

    name: str
    value: Any
    owner: type | None = None

    @property
    def docs(self) -> str:
        """Its docstring; a method without one has that of the method which it overrides."""
        return inspect.getdoc(self.value) or self._inherited()

    def _inherited(self) -> str:
        name = self.name.rpartition(".")[2]
        overridden = (vars(base).get(name) for base in (self.owner or object).__mro__[1:])
        return next((text for method in overridden if (text := inspect.getdoc(method) if method else None)), "")

    @property
    def docs_with_class(self) -> str:
        """Its docstring, with that of the class it belongs to, which may speak for all methods."""
        return self.docs if self.owner is None else f"{self.docs}\n{inspect.getdoc(self.owner)}"

    @property
    def raised(self) -> set[str]:
        """The exceptions X of the statements `raise X(...)` in its own code; a class's code is its constructor."""
        if getattr(self.value, "_is_protocol", False):
            return set()
        code = vars(self.value).get("__init__") if inspect.isclass(self.value) else self.value
        if not inspect.isfunction(code) or hasattr(code, "rule"):  # an operation: mg.ops says what all of them raise
            return set()
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
        except OSError:
            return set()  # the constructor of a dataclass, which has no source
        return {
            node.exc.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
            if node.exc.func.id[0].isupper()  # not a function that makes the exception
        } - {"NotImplementedError"}


def all_callables() -> Iterator[PublicCallable]:
    """Every one, once, under the first name by which a user finds it."""
    seen: set[int] = set()
    for shown, module in MODULES.items():
        imported = importlib.import_module(module)
        for name in sorted(imported.__all__):
            value = getattr(imported, name)
            if id(value) not in seen and (inspect.isclass(value) or inspect.isroutine(value)):
                seen.add(id(value))
                yield PublicCallable(f"{shown}.{name}", value)
                if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
                    yield from _methods(f"{shown}.{name}", value)


def _methods(shown: str, owner: type) -> Iterator[PublicCallable]:
    for name, value in vars(owner).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(function):
            yield PublicCallable(f"{shown}.{name}", function, owner)
