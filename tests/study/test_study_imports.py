"""The study page is built on minigan's public names only, as a user's program would be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STUDY = Path(__file__).resolve().parents[2] / "minigan" / "study"
FILES = sorted(STUDY.glob("*.py"))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Every part of every imported module's path, and every name imported from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)


def attributes_of_others(tree: ast.AST) -> Iterator[str]:
    """Every attribute that is read from anything but `self` or `cls`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not is_own:
                yield node.attr


def private(names: Iterator[str]) -> set[str]:
    return {name for name in names if name.startswith("_") and not (name.startswith("__") and name.endswith("__"))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_and_attributes_are_public(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert private(imported_names(tree)) == set()
    assert private(attributes_of_others(tree)) == set()


def test_private_names_would_be_found() -> None:
    tree = ast.parse("from minigan._hidden import shown\nfrom minigan.gan import _Step\nshown._cache\nself._own\n")
    assert private(imported_names(tree)) == {"_hidden", "_Step"}
    assert private(attributes_of_others(tree)) == {"_cache"}
