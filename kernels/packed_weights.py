"""Packed weights: a parameter rearranged or transformed as a kernel needs it, cached until the parameter changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Entry:
    """The cache entry of one packed form.

    `valid`: the array holds the packed form of the present parameter. `keep`: the array is worth keeping. `uses`: how
    often the form was requested since the parameter last changed.
    """

    __slots__ = ("array", "keep", "uses", "valid")

    def __init__(self) -> None:
        self.array: Any = None
        self.valid, self.keep, self.uses = False, False, 0


class PackedWeights:
    """Cache of the arrays packed from one parameter, by the name of their form; call `invalidate` when it changes.

    A form that was requested only once between two changes of the parameter, as a generator's weights are in training,
    is not kept after the next request: keeping it would cost memory and save no work.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Any, _Entry] = {}

    def __reduce__(self) -> tuple:
        # Copies and pickles start empty: the packed arrays fit only this machine and this parameter.
        return (PackedWeights, ())

    def snapshot(self) -> dict[Any, tuple[Any, bool, bool, int]]:
        """The state of every entry by the name of its form: (array, valid, keep, uses). The arrays are not copied."""
        return {name: (entry.array, entry.valid, entry.keep, entry.uses) for name, entry in self._entries.items()}

    def restore(self, snapshot: dict[Any, tuple[Any, bool, bool, int]]) -> None:
        """Replace all entries by those of a `snapshot`; its arrays must hold the same numbers as when it was taken."""
        self._entries = {}
        for name, state in snapshot.items():
            entry = self._entries[name] = _Entry()
            entry.array, entry.valid, entry.keep, entry.uses = state

    def invalidate(self) -> None:
        """The parameter has changed: pack each form again, into the same memory, when it is next requested."""
        for entry in self._entries.values():
            entry.keep, entry.valid, entry.uses = entry.uses > 1, False, 0
            if not entry.keep:
                entry.array = None

    def mark_stale(self) -> None:
        """The cached arrays were overwritten: pack each form again, into the same memory, when it is next requested."""
        for entry in self._entries.values():
            entry.valid = False

    def get(self, name: Any, allocate: Callable[[], Any], fill: Callable[[Any], None], instead_of: Any = None) -> Any:
        """The packed form `name`: the cached array if it is valid, else an array filled by `fill(array)`.

        instead_of: the name of a form of the same size that is given up if this one has no memory yet and takes its.
        """
        entry = self._entries.setdefault(name, _Entry())
        entry.uses += 1
        if entry.valid:
            return entry.array
        if entry.array is None and instead_of in self._entries:
            other = self._entries[instead_of]
            entry.array, other.array, other.valid = other.array, None, False
        array = allocate() if entry.array is None else entry.array
        fill(array)
        if entry.keep or entry.uses > 1:
            entry.array, entry.valid = array, True
        return array


def get_packed(
    packed: PackedWeights | None,
    name: Any,
    allocate: Callable[[], Any],
    fill: Callable[[Any], None],
    instead_of: Any = None,
) -> Any:
    """The packed form `name` from the cache `packed`; without a cache it is packed for this call only."""
    return (packed or PackedWeights()).get(name, allocate, fill, instead_of)
