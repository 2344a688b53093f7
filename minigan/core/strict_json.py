"""JSON as its standard has it (RFC 8259), and no more of it than a file of ours needs."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_DEPTH = 32
_DIGITS = 20  # of a whole number: every one below 2**64 has at most so many


def parse(text: str) -> Any:
    """What `text` says; raises ValueError, which says what is wrong, unless it is strict JSON.

    NaN and Infinity, numbers that no float64 or 64-bit integer holds, a name twice in one object, and values nested
    more than 32 deep are refused, too.
    """
    try:
        value = _DECODER.decode(text)
        _require_shallow(value, _DEPTH)
    except RecursionError:
        raise ValueError(f"it is nested more than {_DEPTH} deep") from None
    return value


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > _DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, expected at most {_DIGITS}")
    if abs(number := int(digits)) >= 1 << 64:
        raise ValueError(f"the number {digits} is out of range")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:_DIGITS]} is out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _require_shallow(value: Any, depth: int) -> None:
    if isinstance(value, (dict, list)):
        if not depth:
            raise ValueError(f"it is nested more than {_DEPTH} deep")
        for item in value.values() if isinstance(value, dict) else value:
            _require_shallow(item, depth - 1)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_int=_whole, parse_float=_finite, parse_constant=_no_constant
)
