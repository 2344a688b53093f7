"""Announces that kernels are compiled: in one line, which on a terminal has a bar and goes away."""

from __future__ import annotations

import re
import sys
from typing import Any

import minigan_kernels
from minigan.core import progress

_USUAL = re.compile(
    r"minigan: compiling (?:the kernel '(\w+)'(?: for \w+)?|\d+ kernels) on this CPU.*\((?:once|it will)"
)
_TITLE = "compiling kernels (once; they are cached)"
_WITH_BAR = "{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}{postfix}"
_WITHOUT = "{desc}: {n_fmt}, {elapsed}{postfix}"


class _Notice:
    def __init__(self) -> None:
        self._bar: Any = None
        self._said = False

    def say(self, sentence: str) -> None:
        """Announce a kernel; of those that are compiled one by one, a log gets only the first sentence."""
        usual = _USUAL.match(sentence)
        if not usual or not _on_terminal():
            if not (usual and self._said):
                progress.write(sentence)
            self._said = self._said or usual is not None
        elif usual[1]:
            self._show(usual[1], None)

    def progress(self, done: int, total: int) -> None:
        """Of `total` kernels that are compiled together `done` are, or are about to be."""
        if _on_terminal():
            self._show("", total)
            self._bar.update(done - self._bar.n)
            if done == total:
                self.finish()

    def finish(self) -> None:
        """Remove the line from the terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, name: str, total: int | None) -> None:
        if self._bar is not None and self._bar.total != total:
            self.finish()
        if self._bar is None:
            form = _WITH_BAR if total else _WITHOUT
            self._bar = progress.bar(False, total=total, desc=_TITLE, leave=False, bar_format=form)
        if name:
            self._bar.set_postfix_str(name, refresh=False)
            self._bar.update()


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


_notice = _Notice()


def announce(quiet: bool) -> None:
    """Announce kernels that will be compiled, unless `quiet`."""
    global _notice
    _notice = _Notice()
    if quiet:
        minigan_kernels.on_compile(lambda sentence: None)
    else:
        minigan_kernels.on_compile(_notice.say, _notice.progress)


def finish() -> None:
    """Remove the line from the terminal: what follows is no compiling."""
    _notice.finish()
