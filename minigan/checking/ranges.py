"""Ranges of the vector of all entries, and searches through them by bisection."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable

import numpy as np

from minigan.checking import tuning


def restricted(direction: np.ndarray, first: int, last: int) -> np.ndarray:
    """The direction within the range from `first` to before `last`, and 0 elsewhere."""
    part = np.zeros_like(direction)
    part[first:last] = direction[first:last]
    return part


def split_point(first: int, last: int, offsets: list[int]) -> int:
    """The middle of the range, moved to the nearest boundary between arrays if there is one inside."""
    middle = (first + last) // 2
    inside = offsets[bisect.bisect_right(offsets, first) : bisect.bisect_left(offsets, last)]
    return min(inside, key=lambda offset: abs(offset - middle)) if inside else middle


def matching_entries(first: int, last: int, offsets: list[int], matches: Callable[[int, int], bool]) -> np.ndarray:
    """For each entry, whether it matches; entries outside of the range from `first` to before `last` do not.

    matches(first, last): whether any entry of a range matches. Ranges are bisected, the large ones first. When many
    have been examined, all entries of the ranges still to be bisected count as matching.
    """
    found = np.zeros(offsets[-1], bool)
    ranges, examined = deque([(first, last)]), 0
    while ranges:
        first, last = ranges.popleft()
        if examined < tuning.MAX_RANGES:
            examined += 1
            if not matches(first, last):
                continue
            if last - first > 1:
                middle = split_point(first, last, offsets)
                ranges += [(first, middle), (middle, last)]
                continue
        found[first:last] = True
    return found
