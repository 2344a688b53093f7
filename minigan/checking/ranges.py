"""Ranges of the vector of all numbers, and searches through them by halves."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable

import numpy as np

_MOST = 100  # ranges are looked at in a search; what is left then counts as found


def restricted(direction: np.ndarray, first: int, last: int) -> np.ndarray:
    """The direction within a range, and no movement elsewhere."""
    part = np.zeros_like(direction)
    part[first:last] = direction[first:last]
    return part


def split(first: int, last: int, starts: list[int]) -> int:
    """The middle of the range, moved to the nearest border between arrays if there is one inside."""
    middle = (first + last) // 2
    inside = starts[bisect.bisect_right(starts, first) : bisect.bisect_left(starts, last)]
    return min(inside, key=lambda start: abs(start - middle)) if inside else middle


def members(first: int, last: int, starts: list[int], holds: Callable[[int, int], bool]) -> np.ndarray:
    """The numbers of a range of which something `holds`, where it holds of a range if it does of a number in it.

    Ranges are halved, the large ones first; when many have been looked at, those still to be halved count as a whole.
    """
    found = np.zeros(starts[-1], bool)
    ranges, looked_at = deque([(first, last)]), 0
    while ranges:
        first, last = ranges.popleft()
        if looked_at < _MOST:
            looked_at += 1
            if not holds(first, last):
                continue
            if last - first > 1:
                middle = split(first, last, starts)
                ranges += [(first, middle), (middle, last)]
                continue
        found[first:last] = True
    return found
