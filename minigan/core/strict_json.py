"""A strict JSON parser (RFC 8259) with limits on the size of numbers and the depth of nesting."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_MAX_DEPTH = 32
_MAX_DIGITS = 20  # the number of digits of 2**64 - 1


def parse(text: str) -> Any:
    """The value that the JSON document `text` holds. Raises ValueError, which says what is wrong.

    It also raises for NaN and Infinity, for numbers outside of the range of float64 or of 64-bit integers, for a name
    that occurs twice in one object, and for values nested more than 32 deep.
    """
    try:
        value = _DECODER.decode(text)
        _require_shallow(value, _MAX_DEPTH)
    except RecursionError:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep") from None
    return value


def _parse_integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, expected at most {_MAX_DIGITS}")
    if abs(number := int(digits)) >= 1 << 64:
        raise ValueError(f"the number {digits} is out of range")
    return number


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:_MAX_DIGITS]} is out of range")
    return number


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _object_with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a name occurs twice in one object")
    return result


def _require_shallow(value: Any, depth: int) -> None:
    if isinstance(value, (dict, list)):
        if not depth:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
        for item in value.values() if isinstance(value, dict) else value:
            _require_shallow(item, depth - 1)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_with_unique_names,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=_reject_constant,
)
