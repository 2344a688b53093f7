"""What `minigan evaluate` has recorded of a run, as reports and model cards show it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from minigan.core import files
from minigan.core.errors import FileError
from minigan.training.run_folder import RunFolder

_MOST_BYTES = 1 << 20


def read_scores(folder: RunFolder) -> dict[str, Any] | None:
    """The content of scores.json; None if there is no such file, or it cannot be read."""
    try:
        scores = json.loads(files.read_text(folder.scores, _MOST_BYTES))
    except (FileNotFoundError, FileError, ValueError):
        return None
    return scores if isinstance(scores, dict) else None


def flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, value in words) of the numbers in `facts`, also of those in mappings.

    A number with an interval, and with the same measure of real against real, is one entry with all of them.
    """
    for key, value in facts.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping) and "interval" in value:
            yield name, _with_interval(value)
        elif isinstance(value, Mapping):
            yield from flat(value, f"{name}: ")
        else:
            yield name, _in_words(value)


def _with_interval(measured: Mapping[str, Any]) -> str:
    interval, floor, samples = (measured.get(name) for name in ("interval", "floor", "samples"))
    notes = [f"95% interval {' to '.join(map(_in_words, interval))}"] if isinstance(interval, list) else []
    notes += [f"real against real {_in_words(floor)}"] if floor is not None else []
    notes += [f"{_in_words(samples)} samples"] if samples is not None else []
    rest = {name: value for name, value in measured.items() if name not in ("interval", "floor", "samples", "value")}
    main = [_in_words(measured["value"])] if "value" in measured else []
    main += [f"{name.replace('_', ' ')} {_in_words(value)}" for name, value in rest.items()]
    return f"{', '.join(main)} ({'; '.join(notes)})" if notes else ", ".join(main)


def _in_words(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
