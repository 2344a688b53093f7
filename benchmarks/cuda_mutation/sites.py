"""Plants every mistake in a CUDA source at once, each behind a switch (mutant schemata; Untch et al., 1993).

A source that is compiled once serves all of its mutants: the global variable `minigan_mutant` says which one is at
work, and 0 means none. Three kinds of mistakes are planted:

- barrier: a `__syncthreads();` or `__syncwarp();` is left out;
- boundary: a comparison lets one more value through (`<` becomes `<=`), or one less;
- stride: an integer that is multiplied with, divided by or reduced by (`*`, `/`, `%`) is exchanged for its neighbour
  among the parameters of the same function or the members of the same struct; alone there, or a constant, it grows
  by one.

What the compiler must know (array extents, template arguments, `constexpr`) cannot be switched and stays as it is, and
so do loops with constant bounds, which are no boundary checks. The code is read line by line with regular expressions:
it is written in one style, with spaces around binary operators and without spaces inside template brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MOST_SITES = 8192
_COMMENT = re.compile(r"//.*|/\*.*?\*/")
_FIXED = re.compile(
    r"^\s*(#|template\b|using\b|typedef\b|static_assert|__shared__|extern\b|asm\b)|\bconstexpr\b|\boperator\b"
)
_LINE = re.compile(r'^#line (\d+) "([^"]+)"')
_BARRIER = re.compile(r"__sync(?:threads|warp)\(\);")
_COMPARISON = re.compile(r"(?<= )(<=|>=|<|>)(?= )")
_TEMPLATE = re.compile(r"(?<=\w)<[^<>;()]*>(?=[\s(:&>])")
_ARRAY = re.compile(r"\b(?!return\b|else\b)\w+ (?:\w+|\(&\w+\))((?:\[[^\]]*\])+)")  # a declaration: type name[extents]
_FACTOR = r"(?:(?:blockDim|gridDim)\.[xyz]|[A-Za-z_]\w*(?:\.[a-z]\w*|::[A-Z]\w*)*(?:\[\w+\])?)"
_STRIDE = re.compile(
    rf"(?:(?<=[\w)\]] [*/%] )|(?<= [*/%]= ))({_FACTOR})(?![\w(\[.:<])|(?<![\w.:])({_FACTOR})(?= \* [\w(])"
)
_DECLARED = re.compile(r"\b(?:int|unsigned|long long|size_t) ([a-z]\w*)(?=[,);=\s])")
_CONSTANT = re.compile(r"^(?:[A-Za-z]\w*::)*[A-Z][A-Z0-9_]*$")
_FIXED_LOOP = re.compile(r"for \((?:const )?(?:int|unsigned) (\w+) = ([^;]*); [^;]*\b\1 (?:<|<=|>|>=) ([^;&|]*);")


class Site(NamedTuple):
    """One mistake: where, and what is changed."""

    file: str
    line: int
    column: int
    kind: str
    change: str


class Sites:
    """Numbers, from 1, for all mistakes; one in a header has the same number in every source that includes it."""

    def __init__(self) -> None:
        self._numbers: dict[Site, int] = {}

    def number(self, site: Site) -> int:
        """The number of this site. Raises OverflowError if there are more than MOST_SITES."""
        number = self._numbers.setdefault(site, len(self._numbers) + 1)
        if number >= MOST_SITES:
            raise OverflowError("more mutants than MOST_SITES; raise it")
        return number

    def __iter__(self) -> Iterator[tuple[int, Site]]:
        return ((number, site) for site, number in self._numbers.items())

    def planted(self, text: str, untouched: tuple[str, ...] = ()) -> str:
        """The complete source `text` (see `compiler.full_source`) with every mistake in it; none in `untouched`."""
        lines, scopes = [PRELUDE], _Scopes()
        file, number = "", 0
        for line in text.split("\n"):
            if where := _LINE.match(line):
                file, number = where[2], int(where[1]) - 1
            else:
                number += 1
                is_fixed = scopes.skips(_code(line))
                if file and file not in untouched and not is_fixed:
                    line = self._planted_line(line, file, number, scopes)
            lines.append(line)
        return "\n".join(lines)

    def _planted_line(self, line: str, file: str, number: int, scopes: _Scopes) -> str:
        code = _code(line)
        changes: list[tuple[int, int, str]] = []  # (start, end, replacement)

        def plant(start: int, kind: str, change: str) -> int:
            return self.number(Site(file, number, start + 1, kind, change))

        for found in _BARRIER.finditer(code):
            mutant = plant(found.start(), "barrier", f"{found[0]} left out")
            changes.append((*found.span(), f"if (!minigan_active({mutant})) {found[0]}"))
        for found in [] if _is_fixed_loop(code, scopes) else _COMPARISON.finditer(_without_constants(code)):
            more = plant(found.start(), "boundary", f"{found[0]} {_RELAXED[found[0]]}")
            less = plant(found.start(), "boundary", f"{found[0]} lets one less through")
            changes.append((*found.span(), f"<minigan_{_NAMES[found[0]]}({more}, {less})>"))
        for found in _STRIDE.finditer(_without_constants(code)):
            factor, group = found[1] or found[2], 1 if found[1] else 2
            if (other := scopes.neighbour(factor, is_second=group == 1)) is not None:
                mutant = plant(found.start(group), "stride", f"{factor} becomes {other}")
                changes.append((*found.span(group), f"(minigan_active({mutant}) ? ({other}) : ({factor}))"))
        for start, end, replacement in sorted(changes, reverse=True):
            line = line[:start] + replacement + line[end:]
        return line


class _Scopes:
    """What is known at a line: whether its code must stay as it is, and which integers are declared together."""

    def __init__(self) -> None:
        self._depth = 0
        self._constexpr_until: int | None = None
        self._open_function: str | None = None
        self._groups: list[tuple[int, list[str]]] = []  # (depth of the scope that declares them, names)
        self._locals: list[tuple[int, str]] = []
        self._members: list[list[str]] = []  # of each struct so far

    def skips(self, code: str) -> bool:
        """Take in the next line; whether it must stay as it is."""
        self._groups = [group for group in self._groups if group[0] <= self._depth]
        self._locals = [local for local in self._locals if local[0] <= self._depth]
        inside = self._constexpr_until is not None
        before = self._depth
        self._declare(code)
        self._depth += code.count("{") - code.count("}")
        if inside and self._depth <= self._constexpr_until:
            self._constexpr_until = None
        elif not inside and "constexpr" in code and re.search(r"\)[^;=]*\{", code) and self._depth > before:
            self._constexpr_until = before
        return inside or (bool(_FIXED.search(code)) and not _BARRIER.search(code))

    def _declare(self, code: str) -> None:
        """Note the integers among a function's parameters (possibly over several lines) or a struct's members."""
        if (
            self._open_function is None
            and re.search(r"\b\w+\((?!.*;)[^)]*$|\b\w+\([^;]*\)[^;]*\{", code)
            and ("__global__" in code or "__device__" in code or "void" in code)
        ):
            self._open_function = ""
        if self._open_function is not None:
            self._open_function += code + " "
            if "{" in code or ";" in code:
                names = _DECLARED.findall(self._open_function.partition("{")[0])
                self._groups.append((self._depth + 1, names))
                self._open_function = None
            return
        if member := re.match(r"^\s*(?:const )?int ((?:[a-z]\w*(?:, )?)+);", code):  # of a struct
            self._groups.append((self._depth, member[1].split(", ")))
            self._members.append(member[1].split(", "))
        elif local := re.search(r"\b(?:int|unsigned|long long|size_t) ([a-z]\w*)(?:\[\])? =", code):
            self._locals.append((self._depth + code[: local.start()].count("{"), local[1]))

    def neighbour(self, factor: str, is_second: bool) -> str | None:
        """What `factor` is exchanged for; None if it is no integer, or a local variable that is not the second one."""
        if factor.startswith(("blockDim", "gridDim")) or _CONSTANT.match(factor):
            return f"{factor} + 1"
        name = factor.partition("[")[0]
        owner, point, member = factor.rpartition(".")
        for names in self._members if point else [names for _, names in reversed(self._groups)]:
            if member in names:
                others = names[names.index(member) + 1 :] + names[: names.index(member)]
                return f"{owner}{point}{others[0]}" if others else f"{factor} + 1"
        is_local = any(local == name for _, local in self._locals)
        return f"{factor} + 1" if is_local and is_second else None


def _code(line: str) -> str:
    """The line with its comment as spaces."""
    return _COMMENT.sub(lambda found: " " * len(found[0]), line)


def _without_constants(code: str) -> str:
    """The code with template arguments and extents of declared arrays blotted out."""
    code = _TEMPLATE.sub(lambda found: "_" * len(found[0]), code)
    return _ARRAY.sub(lambda found: found[0][: -len(found[1])] + "_" * len(found[1]), code)


def _is_fixed_loop(code: str, scopes: _Scopes) -> bool:
    """Whether the line starts a loop whose bounds are all known to the compiler."""
    loop = _FIXED_LOOP.search(code)
    return bool(loop) and all(
        _CONSTANT.match(word) for word in re.findall(r"[A-Za-z_][\w:]*", f"{loop[2]} {loop[3]}") if not word.isdigit()
    )


_NAMES = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}
_RELAXED = {
    "<": "becomes <=",
    "<=": "lets one more through (real numbers: becomes <)",
    ">": "becomes >=",
    ">=": "lets one more through (real numbers: becomes >)",
}

# `a <op> b` is read as `(a < op) > b`: a comparison with the precedence of a comparison. Whole numbers only can be off
# by one; for real ones `<` and `<=` are exchanged.
PRELUDE = """\
extern "C" { extern int minigan_mutant; extern unsigned char minigan_reached[]; }
static inline bool minigan_active(int site) {
    minigan_reached[site] = 1;
    return minigan_mutant == site;
}
template <class A> constexpr bool minigan_is_whole = !(A(0.5) != A(0));
template <int RELATION> struct MiniganComparison { int more, less; };
template <class A, int RELATION> struct MiniganHalf { A a; MiniganComparison<RELATION> sites; };
template <class A, int RELATION> static inline MiniganHalf<A, RELATION> operator<(
    A a, MiniganComparison<RELATION> sites) { return {a, sites}; }
template <class A, class B, int RELATION> static inline bool operator>(MiniganHalf<A, RELATION> half, B b) {
    const A a = half.a;
    const bool more = minigan_active(half.sites.more);
    if constexpr (minigan_is_whole<A> && minigan_is_whole<B>) {
        const bool less = minigan_active(half.sites.less);
        if (RELATION == 0) return more ? a <= b : less ? a + 1 < b : a < b;
        if (RELATION == 1) return more ? a <= b + 1 : less ? a < b : a <= b;
        if (RELATION == 2) return more ? a >= b : less ? a > b + 1 : a > b;
        return more ? a + 1 >= b : less ? a > b : a >= b;
    } else {
        minigan_reached[half.sites.less] |= 2;
        if (RELATION == 0) return more ? a <= b : a < b;
        if (RELATION == 1) return more ? a < b : a <= b;
        if (RELATION == 2) return more ? a >= b : a > b;
        return more ? a > b : a >= b;
    }
}
static inline MiniganComparison<0> minigan_less(int more, int less) { return {more, less}; }
static inline MiniganComparison<1> minigan_less_equal(int more, int less) { return {more, less}; }
static inline MiniganComparison<2> minigan_greater(int more, int less) { return {more, less}; }
static inline MiniganComparison<3> minigan_greater_equal(int more, int less) { return {more, less}; }
"""
