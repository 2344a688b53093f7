"""The public names: all are documented, and docs/api.md and docs/glossary.md list them."""

from __future__ import annotations

import importlib
import re

import pytest
from support import public_names
from support.public_names import MODULES

FEWER_THAN = 10  # names that are not the field's

every_module = pytest.mark.parametrize("module", MODULES.values())


@every_module
def test_a_public_module_lists_its_names(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("_")]


@every_module
def test_every_public_name_has_a_docstring(module: str) -> None:
    assert importlib.import_module(module).__doc__
    assert not [name for name, summary in public_names.of_module(module) if not summary]


@every_module
def test_first_lines_are_sentences(module: str) -> None:
    """They end as a sentence does, and fit on a line of the page."""
    summaries = dict(public_names.of_module(module))
    assert not {name: text for name, text in summaries.items() if not re.search(r"[.?:!)]$", text)}


def test_the_page_is_up_to_date() -> None:
    shown = public_names.PAGE.read_text(encoding="utf-8")
    assert shown == public_names.page(), "run: python tests/support/public_names.py"


def test_few_names_are_not_the_fields() -> None:
    """The glossary gives the reason for each, and each is public indeed."""
    rows = re.findall(r"^\| `(mg\.[\w.]+)` \| (.+) \|$", public_names.GLOSSARY.read_text(encoding="utf-8"), re.M)
    assert 0 < len(rows) < FEWER_THAN
    public = {f"{shown}.{name}" for shown, module in MODULES.items() for name, _ in public_names.of_module(module)}
    for name, reason in rows:
        assert name in public, f"{name} is not public"
        assert len(reason.split()) > 3


def test_a_missing_docstring_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = importlib.import_module(MODULES["mg.losses"])
    monkeypatch.setattr(losses.get, "__doc__", None)
    assert public_names.summary(losses, "get") == ""
