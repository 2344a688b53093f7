"""Python attributes that a step depends on, watched for changes."""

from __future__ import annotations

import weakref
from typing import Any

Container = dict[str, Any] | list[Any] | weakref.ref[Any]
Watched = list[tuple[Container, frozenset[str]]]


class Attributes:
    """The values in `containers`, such as `vars(module)` or a list of layers, as they are now.

    containers: pairs of a dict, a list or a weak reference to an object, and the names in it that do not matter. The
    values are held, so that no other object can take the identity of one of them.
    """

    def __init__(self, containers: Watched) -> None:
        held = [(container, omitted, _values(container, omitted)) for container, omitted in containers]
        self._dicts = [(c, values) for c, omitted, values in held if isinstance(c, dict) and not omitted]
        self._others = [entry for entry in held if not isinstance(entry[0], dict) or entry[1]]

    def are_unchanged(self) -> bool:
        """Whether every container holds the same objects, or equal numbers and texts."""
        try:
            for container, held in self._dicts:  # most of them; this is asked at every step
                if tuple(container.values()) != held:
                    return False
            return all(_values(container, omitted) == held for container, omitted, held in self._others)
        except (ValueError, TypeError):  # another array, which does not compare to a truth value
            return False


def _values(container: Container, omitted: frozenset[str]) -> tuple[Any, ...]:
    if isinstance(container, list):
        return tuple(container)
    if isinstance(container, weakref.ref):
        container = vars(container())
    if omitted:
        return tuple([value for name, value in container.items() if name not in omitted])
    return tuple(container.values())
