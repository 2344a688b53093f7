"""What kernels make of a parameter, such as packed or transformed weights: kept until the parameter changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Entry:
    """One array derived from the parameter: whether it is worth keeping, and how often it was wanted since a change."""

    __slots__ = ("array", "fresh", "kept", "uses")

    def __init__(self) -> None:
        self.array: Any = None
        self.fresh, self.kept, self.uses = False, False, 0


class PackedWeights:
    """Arrays derived from one array, by the name of their form. `invalidate` when that array has changed.

    A form that was wanted only once between two changes, as a generator's weights are in training, is not kept the
    next time: that would cost memory and save nothing.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Any, _Entry] = {}

    def __reduce__(self) -> tuple:
        return PackedWeights, ()  # copies and pickles start anew: what is kept suits this machine, and this array

    def snapshot(self) -> dict[Any, tuple[Any, bool, bool, int]]:
        """The state of every form by its name: (array, fresh, kept, uses). The arrays are not copied."""
        return {name: (form.array, form.fresh, form.kept, form.uses) for name, form in self._entries.items()}

    def restore(self, snapshot: dict[Any, tuple[Any, bool, bool, int]]) -> None:
        """Take the state that `snapshot` gave, and no other forms; the arrays must hold what they held then."""
        self._entries = {}
        for name, state in snapshot.items():
            form = self._entries[name] = _Entry()
            form.array, form.fresh, form.kept, form.uses = state

    def invalidate(self) -> None:
        """The array has changed: make everything anew when it is next wanted, in the same memory."""
        for form in self._entries.values():
            form.kept, form.fresh, form.uses = form.uses > 1, False, 0
            if not form.kept:
                form.array = None

    def mark_stale(self) -> None:
        """The kept arrays hold something else now: make each anew, in the same memory, when it is next wanted."""
        for form in self._entries.values():
            form.fresh = False

    def get(self, name: Any, allocate: Callable[[], Any], fill: Callable[[Any], None]) -> Any:
        """The array of the form `name`: as it is if it is as it should be, else filled by `fill(array)`."""
        form = self._entries.setdefault(name, _Entry())
        form.uses += 1
        if form.fresh:
            return form.array
        array = allocate() if form.array is None else form.array
        fill(array)
        if form.kept or form.uses > 1:
            form.array, form.fresh = array, True
        return array


def get_packed(
    packed: PackedWeights | None, name: Any, allocate: Callable[[], Any], fill: Callable[[Any], None]
) -> Any:
    """The array `name` of `packed`; made for this once without a packed."""
    return (packed or PackedWeights()).get(name, allocate, fill)
