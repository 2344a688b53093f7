"""The code blocks of README and docs, and what they print.

`python tests/support/documentation.py` writes the outputs that this machine prints into the pages, where they changed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "benchmarks" / "README.md", ROOT / "examples" / "README.md"]
PROGRAM_FIRST_LINE = "# examples/"  # of a block that shows a program of examples/, as it is

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_PROGRAM = re.compile(r"`(?:python )?(examples/[\w/.]+)`[^`]*$")  # the last thing named before an output
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language ("" if none is named), its text, and its place in the page."""

    language: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Example:
    """A block that is a program's output: the output, and what the program prints now."""

    expected: Block
    printed: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    matches = _FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(match[1], match[2], match.start(2), match.end(2)) for match in matches]


def shell_commands(page: Path) -> Iterator[str]:
    """Each line of the page's shell blocks, split where one command follows another."""
    for block in blocks(page):
        if block.language == "sh":
            for line in block.text.splitlines():
                yield from (part.strip() for part in line.split("&&") if part.strip())


def run_python(page: Path) -> tuple[list[dict[str, Any]], list[Example]]:
    """Run the page's Python blocks, those of one section (##) one after another in the same namespace.

    Blocks that show a program of examples/ are left out: that file is run by tests of its own.

    Returns the namespaces, and the outputs shown beside what is printed. The output of a block is the block without a
    language that follows it directly.
    """
    text, page_blocks = page.read_text(encoding="utf-8"), blocks(page)
    sections: dict[int, dict[str, Any]] = {}
    examples = []
    for i, block in enumerate(page_blocks):
        if block.language != "python" or block.text.startswith(PROGRAM_FIRST_LINE):
            continue
        names = sections.setdefault(text.count("\n## ", 0, block.start), {"__name__": "documentation"})
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block.text, f"{page.name}, a code block", "exec"), names)
        following = page_blocks[i + 1] if i + 1 < len(page_blocks) else None
        if following and not following.language and not text[block.end + 3 : following.start - 4].strip():
            examples.append(Example(following, out.getvalue()))
    return list(sections.values()), examples


def run_programs(page: Path) -> list[Example]:
    """Run the programs in examples/ whose output a block of text shows; the program is named just before it."""
    text = page.read_text(encoding="utf-8")
    examples = []
    for block in blocks(page):
        program = _PROGRAM.search(text[: block.start].rsplit("```", 1)[0].rstrip().rsplit("\n\n", 1)[-1])
        if block.language == "text" and program:
            examples.append(Example(block, _run_file(ROOT / program[1])))
    return examples


def _run_file(path: Path) -> str:
    if path.is_dir():
        done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True, env=os.environ)
        return done.stdout
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(str(path), run_name="__main__")
    return out.getvalue()


def shown_programs(page: Path) -> list[tuple[Block, str]]:
    """Each block that shows a program of examples/, with the text that it should have."""
    shown = [block for block in blocks(page) if block.language == "python"]
    return [
        (block, f"{first}\n{(ROOT / first.removeprefix('# ')).read_text(encoding='utf-8')}")
        for block in shown
        if (first := block.text.split("\n", 1)[0]).startswith(PROGRAM_FIRST_LINE)
    ]


def difference(example: Example) -> str | None:
    """How the printed output differs from the shown one beyond rounding; None if it does not.

    Words must be the same. Numbers of eight digits and more are results: they must agree to six digits. Others are
    error bars, orders and counts of evaluations, which rounding moves: they must agree within a third.
    """
    shown, printed = example.expected.text, example.printed
    if _NUMBER.sub("0", shown).split() != _NUMBER.sub("0", printed).split():
        return f"the page shows\n{shown}\nbut the program prints\n{printed}"
    for here, there in zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True):
        ours, theirs = (float(number.replace(",", "")) for number in (here, there))
        is_bar = "e-" in here and len(here) < 8
        allowed = 1e-6 if len(here.strip("+-0.")) >= 8 else 1 / 3
        if not is_bar and abs(ours - theirs) > allowed * abs(ours):
            return f"the page shows {here} where the program prints {there}, in\n{printed}"
    return None


def rewrite(page: Path) -> bool:
    """Put the programs as they are and the outputs printed now into the page; returns whether anything changed."""
    text = before = page.read_text(encoding="utf-8")
    examples = [(e.expected, e.printed) for e in run_programs(page) + run_python(page)[1]]
    for block, new in sorted(examples + shown_programs(page), key=lambda pair: -pair[0].start):  # so places stay true
        text = text[: block.start] + re.sub(r"[ \t]+$", "", new, flags=re.M) + text[block.end :]
    page.write_text(text, encoding="utf-8")
    return text != before


if __name__ == "__main__":
    for changed in PAGES:
        print(f"{changed.relative_to(ROOT)}: {'rewritten' if rewrite(changed) else 'up to date'}")
