"""The study page, made once for all tests that look at it."""

from __future__ import annotations

import functools

from minigan.study import page
from minigan.study.section import Section


@functools.cache
def section(name: str) -> Section:
    """One of the page's sections."""
    return page.SECTIONS[name]()


@functools.cache
def whole() -> str:
    """The page."""
    return page.render([section(name) for name in page.SECTIONS])
