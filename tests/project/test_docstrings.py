"""What a user reads about each public name: in help(), in an editor, and in the reference on the site."""

from __future__ import annotations

import inspect
import pydoc
import re

import pytest
from support.public_callables import PublicCallable, all_callables
from support.public_names import MODULES

import minigan as mg

CALLABLES = list(all_callables())

# Such as (batch, height, width, channels); or it says that any shape will do, or along which axes it works.
_SHAPE = re.compile(r"\([^()]*,[^()]*\)|\bax[ei]s\b|\bshapes?\b|\belement|`ops\.", re.I)


def undocumented(item: PublicCallable) -> str | None:
    """What is missing in its docstring, None if nothing is."""
    if not item.docs.strip():
        return "it has no docstring"
    if missing := sorted(name for name in item.raised if name not in item.docs_with_class):
        return f"its code raises {', '.join(missing)}, its docstring does not say when"
    shaped = item.name.startswith(("mg.nn.", "mg.ops.")) and item.owner is None and not _is_elementwise(item)
    if shaped and not _SHAPE.search(item.docs):
        return "its docstring says nothing about shapes"
    return None


def _is_elementwise(item: PublicCallable) -> bool:
    """These take any shapes that broadcast; the docstring of mg.ops says so for all of them."""
    return item.value.__module__ == "minigan.ops.elementwise"


def test_every_public_callable_says_what_it_is_its_shapes_and_what_it_raises() -> None:
    assert len(CALLABLES) > 300, "they were not found"
    problems = {item.name: problem for item in CALLABLES if (problem := undocumented(item))}
    assert not problems
    assert "broadcast" in str(mg.ops.__doc__)


def test_what_is_missing_is_seen() -> None:
    def nothing(x: int) -> None: ...

    def raises(x: int) -> None:
        """Something for x."""
        if x:
            raise ValueError("x")

    def says_so(x: int) -> None:
        """Something for x. Raises ValueError unless x is 0."""
        if x:
            raise ValueError("x")

    assert undocumented(PublicCallable("mg.data.nothing", nothing)) == "it has no docstring"
    assert "ValueError" in str(undocumented(PublicCallable("mg.data.raises", raises)))
    assert undocumented(PublicCallable("mg.data.says_so", says_so)) is None
    assert "shapes" in str(undocumented(PublicCallable("mg.nn.says_so", says_so)))


def test_help_begins_with_each_name_on_a_line() -> None:
    text = pydoc.plaintext.document(mg)
    about = text[: text.index("PACKAGE CONTENTS")]
    for name in mg.__all__:
        assert len(re.findall(rf"^ +{name}  +\S.*[.?]$", about, re.M)) == 1, f"help(mg) does not explain {name}"


def test_dir_lists_public_names_only() -> None:
    names = [name for name in dir(mg) if not name.startswith("__")]
    modules = {shown.partition(".")[2] for shown in MODULES} - {""}
    assert set(mg.__all__) | modules <= set(names)
    for name in names:
        assert inspect.getdoc(getattr(mg, name)), name


@pytest.mark.parametrize("name", ["tanh", "leaky_relu", "matmul", "sum"])
def test_an_operation_shows_how_it_is_called(name: str) -> None:
    parameters = list(inspect.signature(getattr(mg.ops, name)).parameters.values())
    assert parameters[0].name in {"x", "a"}
    assert not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
