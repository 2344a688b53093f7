"""The study page, computed once for all tests that read it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from minigan.study import page
from minigan.study.section import Section


@functools.cache
def section(name: str) -> Section:
    """One of the page's sections."""
    return page.SECTIONS[name]()


@functools.cache
def whole() -> str:
    """The page as HTML."""
    return page.render([section(name) for name in page.SECTIONS])


class Figures(Mapping[str, float]):
    """The figures of a section, computed at the first access, since collecting tests must not train anything."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, figure: str) -> float:
        return section(self.name).figures[figure]

    def __iter__(self) -> Iterator[str]:
        return iter(section(self.name).figures)

    def __len__(self) -> int:
        return len(section(self.name).figures)
