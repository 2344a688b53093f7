"""Detects changes of the Python attributes on which a step depends."""

from __future__ import annotations

import weakref
from typing import Any

Container = dict[str, Any] | list[Any] | weakref.ref[Any]
Containers = list[tuple[Container, frozenset[str]]]


class Attributes:
    """A snapshot of the values in `containers`, such as `vars(module)` or a list of layers.

    containers: pairs of a dict, a list or a weak reference to an object, and the names in it to ignore. The snapshot
    keeps the values alive, so that no other object can take the identity of one of them.
    """

    def __init__(self, containers: Containers) -> None:
        snapshot = [(container, ignored, _values(container, ignored)) for container, ignored in containers]
        self._dicts = [(c, values) for c, ignored, values in snapshot if isinstance(c, dict) and not ignored]
        self._others = [entry for entry in snapshot if not isinstance(entry[0], dict) or entry[1]]

    def are_unchanged(self) -> bool:
        """Whether every container holds the same objects, or equal numbers and strings."""
        try:
            for container, before in self._dicts:  # most of the containers; this check runs at every step
                if tuple(container.values()) != before:
                    return False
            return all(_values(container, ignored) == before for container, ignored, before in self._others)
        except (ValueError, TypeError):  # another array, whose comparison has no truth value
            return False


def _values(container: Container, ignored: frozenset[str]) -> tuple[Any, ...]:
    if isinstance(container, list):
        return tuple(container)
    if isinstance(container, weakref.ref):
        container = vars(container())
    if ignored:
        return tuple([value for name, value in container.items() if name not in ignored])
    return tuple(container.values())
