"""Mistakes that are possible in any rule: each changes one array that the right rule returns, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mutants.case import Case, case_of_rule, cotangent
from mutants.rule import UNNAMED, Arrays, Rule, Static
from mutants.rules import BY_NAME, RULES, generator

_MOST = 6
_TRIES = 400
_GATES = ("one entry", "gate", "missing gate")
_RELATIVE = (1e-2, 1e-4, 1e-5, 1e-6)

Change = Callable[[np.ndarray], np.ndarray]
Index = tuple[int, ...]


def general(seed: int) -> list[Case]:
    """Every mistake of this module, with rules chosen at random."""
    return [
        *_of_whole_arrays(seed),
        *_of_all_arrays(seed),
        *_of_entries(seed),
        *_of_rows(seed),
        *_relative(seed),
        *_of_cotangents(seed),
    ]


def _chosen(seed: int, what: str, count: int, fits: Callable[[np.ndarray], bool], least: int = 1) -> Iterator[tuple]:
    """`count` rules, each with a point and an array whose derivative `fits`: (rule, point, static, which, g)."""
    rng = generator(seed, "mistakes", what)
    found = 0
    for number in np.concatenate([rng.permutation(len(RULES)) for _ in range(4)]):
        if found == count:
            return
        rule = RULES[number]
        for _ in range(_TRIES // 40):
            point, static = rule.draw(rng, _MOST)
            g = rule.vjp(*point, np.abs(cotangent(rng, np.asarray(rule.f(*point, **static)))), **static)
            able = [i for i, part in enumerate(g) if part.any() and fits(part)]
            if able and len(g) >= least:
                which = int(rng.choice(able))
                yield rule, point, static, which, g[which]
                found += 1
                break


def changed_rule(rule: Rule, change: Change, which: int | None) -> Callable[..., Arrays]:
    """The right rule with `change` made to array `which` of its results, or to all."""

    def vjp(*arguments: np.ndarray, **static) -> Arrays:
        right = rule.vjp(*arguments, **static)
        return tuple(change(g) if which in (None, i) else g for i, g in enumerate(right))

    return vjp


def _case(kind: str, what: str, rule: Rule, point: Arrays, static: Static, which: int | None, change: Change, **about):
    whose = "all" if which is None else rule.names.split()[which]
    return case_of_rule(kind, f"{what} ({whose})", rule, point, static, changed_rule(rule, change, which), **about)


def _wide(g: np.ndarray) -> bool:
    return g.size > 3 and np.ptp(np.abs(g)) > 0.2 * np.abs(g).max()


def _long(g: np.ndarray) -> bool:
    return g.ndim > 0 and g.shape[0] > 2


def _square(g: np.ndarray) -> bool:
    return g.ndim == 2 and g.shape[0] == g.shape[1] > 1 and np.abs(g - g.T).max() > 0.1 * np.abs(g).max()


def _uneven(g: np.ndarray) -> bool:
    return _wide(g) and g.shape[-1] > 2 and all(np.abs(g - h).max() > 0.1 * np.abs(g).max() for h in _moves(g))


def _moves(g: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.flip(g, -1), np.roll(g, 1, -1), np.flip(g)


def _of_whole_arrays(seed: int) -> Iterator[Case]:
    changes: tuple[tuple[str, str, int, Callable, Change, tuple[str, ...]], ...] = (
        ("sign", "negative", 6, _wide, np.negative, ("sign",)),
        ("factor", "twice", 5, _wide, lambda g: 2 * g, ("factor 1/2",)),
        ("factor", "half", 5, _wide, lambda g: g / 2, ("factor 2",)),
        ("factor", "times its length", 4, _long, lambda g: len(g) * g, ("mean taken as sum",)),
        ("factor", "over its length", 4, _long, lambda g: g / len(g), ("sum taken as mean",)),
        ("factor", "times 1.7", 3, _wide, lambda g: 1.7 * g, ("factor",)),
        ("transposed", "transposed", 6, _square, np.transpose, ("transposed", "exchanged arguments")),
        ("flipped", "last axis runs backwards", 5, _uneven, lambda g: np.flip(g, -1), ("flipped", "transposed")),
        ("off by one", "rolled by one", 5, _uneven, lambda g: np.roll(g, 1, -1), ("shifted", "flipped")),
        ("off by one", "moved by one", 5, _uneven, _shifted, ("shifted", "gate", "missing gate", UNNAMED)),
        ("detached", "zero", 5, _wide, np.zeros_like, ("detached",)),
        ("missing term", "plus a tenth of the largest", 4, _wide, lambda g: g + np.abs(g).max() / 10,
         (UNNAMED, "missing gate")),
        ("missing term", "its mean taken off", 4, _wide, lambda g: g - g.mean() - np.abs(g).max() / 9,
         (UNNAMED, "missing gate")),
    )  # fmt: skip
    for kind, what, count, fits, change, causes in changes:
        for rule, point, static, which, _ in _chosen(seed, what, count, fits):
            yield _case(kind, what, rule, point, static, which, change, causes=causes)


def _shifted(g: np.ndarray) -> np.ndarray:
    """Shifted by one along the last axis, with zeros at the free end."""
    moved = np.roll(g, 1, -1)
    moved[..., 0] = 0
    return moved


def _of_all_arrays(seed: int) -> Iterator[Case]:
    for kind, what, change, cause in (
        ("sign", "negative", np.negative, "sign"),
        ("factor", "twice", lambda g: 2 * g, "factor 1/2"),
        ("factor", "half", lambda g: g / 2, "factor 2"),
    ):
        for rule, point, static, _, _ in _chosen(seed, "every " + what, 3, _wide, least=2):
            yield _case(kind, what, rule, point, static, None, change, causes=(cause,))


def _at(index: Index, change: Callable[[np.ndarray, Index], float]) -> Change:
    def changed(g: np.ndarray) -> np.ndarray:
        wrong = np.array(g)
        wrong[index] = change(g, index)
        return wrong

    return changed


def _large_entry(g: np.ndarray, rng: np.random.Generator) -> Index:
    """A random entry among the large ones."""
    large = np.argwhere(np.abs(g) > 0.3 * np.abs(g).max())
    return tuple(int(i) for i in rng.choice(large))


def _of_entries(seed: int) -> Iterator[Case]:
    changes: tuple[tuple[str, Callable[[np.ndarray, Index], float], tuple[str, ...]], ...] = (
        ("doubled", lambda g, i: 2 * g[i], _GATES),
        ("zero", lambda g, i: 0.0, _GATES),
        ("negative", lambda g, i: -g[i], _GATES),
        ("plus a third of the largest", lambda g, i: g[i] + np.abs(g).max() / 3, _GATES),
    )
    for what, change, causes in changes:
        rng = generator(seed, "entry", what)
        for rule, point, static, which, g in _chosen(seed, "one entry " + what, 4, _wide):
            index = _large_entry(g, rng)
            entry = rule.names.split()[which], index
            yield _case("one entry", what, rule, point, static, which, _at(index, change), causes=causes, entry=entry)


def _of_rows(seed: int) -> Iterator[Case]:
    def first_row_times(factor: float) -> Change:
        return lambda g: np.concatenate([factor * g[:1], g[1:]])

    def second_column_times(factor: float) -> Change:
        return lambda g: np.concatenate([g[..., :1], factor * g[..., 1:2], g[..., 2:]], -1)

    def fits(g: np.ndarray) -> bool:
        big = g.ndim > 1 and min(g.shape[0], g.shape[-1]) > 2 and _wide(g)
        rows = (g[0].reshape(-1), g[..., 1].reshape(-1)) if big else ()
        return big and all(np.sort(np.abs(row))[-2] > 0.1 * np.abs(g).max() for row in rows)  # two entries matter

    none = (UNNAMED, "gate")
    for what, change in (
        ("first row doubled", first_row_times(2.0)),
        ("first row zero", first_row_times(0.0)),
        ("first row 1% too large", first_row_times(1.01)),
        ("second column negative", second_column_times(-1.0)),
        ("second column zero", second_column_times(0.0)),
    ):
        for rule, point, static, which, _ in _chosen(seed, what, 3, fits):
            yield _case("one row", what, rule, point, static, which, change, causes=none)


def _relative(seed: int) -> Iterator[Case]:
    for error in _RELATIVE:
        what = f"relative error {error:g}"
        for rule, point, static, _, _ in _chosen(seed, what + " all", 4, _wide, least=2):
            yield _case(what, "every number", rule, point, static, None, _times(1 + error), causes=("factor",))
        for rule, point, static, which, _ in _chosen(seed, what + " array", 4, _wide):
            yield _case(what, "one array", rule, point, static, which, _times(1 + error), causes=("factor",))
        rng = generator(seed, "entry", what)
        for rule, point, static, which, g in _chosen(seed, what + " entry", 4, _wide):
            index = _large_entry(g, rng)
            change = _at(index, lambda g, i, factor=1 + error: factor * g[i])
            entry = rule.names.split()[which], index
            yield _case(what, "one entry", rule, point, static, which, change, causes=("one entry",), entry=entry)


def _times(factor: float) -> Change:
    return lambda g: factor * g


def _of_cotangents(seed: int) -> Iterator[Case]:
    """The rule is not linear in the cotangent, or ignores it."""
    for what, change, instead in (
        ("ignored", np.ones_like, "factor"),
        ("its size only", np.abs, "sign"),
        ("squared", np.square, "factor"),
    ):  # for a scalar f, with a scalar cotangent, this is a wrong factor
        for name in ("tanh", "conv stride 2 padding 1", "mean square"):
            rule = BY_NAME[name]
            point, static = rule.draw(generator(seed, "cotangent", what, name), _MOST)
            yield case_of_rule("cotangent", what, rule, point, static, _with_cotangent(rule, change), causes=(UNNAMED,
                          "not linear in the cotangent", instead))  # fmt: skip


def _with_cotangent(rule: Rule, change: Change) -> Callable[..., Arrays]:
    return lambda *arguments, **static: rule.vjp(*arguments[:-1], change(arguments[-1]), **static)
