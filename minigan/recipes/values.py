"""The values of settings, from the command line, a configuration or a program, in the type of their defaults."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from minigan.core.errors import UsageError

SIZE = "image_size"
"""The setting that takes a number of pixels, or two of them: 48x64."""

SWITCHES = ("spectral_norm", "simultaneous", "flip")
"""The settings that are 0 or 1, and may also be given as false or true."""

_LIMIT = 2**63
_WORDS = {"true": 1, "yes": 1, "on": 1, "false": 0, "no": 0, "off": 0}
_SCIENTIFIC = re.compile(r"-?\d{1,20}(\.\d{1,20})?[eE]\+?\d{1,3}", re.ASCII)
_SIZES = re.compile(r"(\d{1,7})\s*[xX\u00d7]\s*(\d{1,7})", re.ASCII)


def whole_number(text: str) -> int | None:
    """The whole number that `text` writes with an exponent, such as 1e3 or 2.5e4; None for anything else."""
    number = Decimal(text) if _SCIENTIFIC.fullmatch(text) else None
    return int(number) if number is not None and number == number.to_integral_value() else None


def switch(text: str) -> bool | None:
    """What `text` says: true, yes, on or 1; false, no, off or 0; None for anything else."""
    value = {**_WORDS, "1": 1, "0": 0}.get(text.lower())
    return None if value is None else bool(value)


def kind_of(key: str, default: Any) -> str:
    """What the setting `key` with this default must be, such as "a whole number"."""
    if key == SIZE:
        return "a whole number, or height and width like 48x64"
    if isinstance(default, bool) or key in SWITCHES:
        return "true or false (1 or 0)"
    return "a list of whole numbers like 256,512" if isinstance(default, list) else f"a {_KINDS[type(default)]}"


def as_text(value: Any) -> str:
    """`value` as `--set` takes it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def converted(default: Any, key: str, value: Any) -> Any:
    """`value` of the setting `key` in the type of `default`: a number, a word, a switch or a list of whole numbers.

    Raises UsageError if that is impossible.
    """
    kind = kind_of(key, default)
    try:
        result = _converted(default, key, value)
    except (TypeError, ValueError, OverflowError):
        shown = as_text(default)
        raise UsageError(f"the setting '{key}' must be {kind}, not '{value}'; its default is {shown}.") from None
    numbers = result if isinstance(result, list) else [result]
    if not all(isinstance(number, str) or 0 <= number < math.inf for number in numbers):
        raise UsageError(f"the setting '{key}' must be {kind}, finite and not negative, not '{value}'.")
    return result


def _converted(default: Any, key: str, value: Any) -> Any:
    if isinstance(default, bool) or key in SWITCHES:
        return type(default)(_switched(value))
    if isinstance(value, bool) or (isinstance(default, str) and not isinstance(value, str)):
        raise TypeError
    if isinstance(default, list):
        return [_whole(part) for part in (value.split(",") if isinstance(value, str) else value)]
    if key == SIZE:
        return _size(value)
    return _whole(value) if isinstance(default, int) else type(default)(value)


def _switched(value: Any) -> Any:
    """A bool or a number for a switch; which numbers are allowed, the recipe says."""
    if isinstance(value, str) and value.lower() in _WORDS:
        return _WORDS[value.lower()]
    return int(value) if isinstance(value, bool) else _whole(value)


def _size(value: Any) -> int | str:
    """Pixels of a side, or "HxW" if the sides differ; a list [H, W] is accepted, too."""
    if isinstance(value, (list, tuple)):
        value = "x".join(str(_whole(side)) for side in value)
    if isinstance(value, str) and (sides := _SIZES.fullmatch(value.strip())):
        height, width = int(sides[1]), int(sides[2])
        return height if height == width else f"{height}x{width}"
    return _whole(value)


def _whole(value: Any) -> int:
    """`value`, a number or text, as an int; raises ValueError, TypeError or OverflowError if it is not whole."""
    number = whole_number(value.strip()) if isinstance(value, str) else None
    if number is None:
        number = int(value)
        if number != float(value):
            raise ValueError
    if abs(number) >= _LIMIT:
        raise OverflowError
    return number


_KINDS = {int: "whole number", float: "number", str: "word"}
