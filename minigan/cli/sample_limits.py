"""Limits of the number of samples that a command accepts, by memory and by the size of an image."""

from __future__ import annotations

from typing import Any

from minigan.core.errors import UsageError
from minigan.domains import Domain

_MOST_BYTES = 2 << 30
_MOST_PIXELS = 1 << 26  # 8,192 x 8,192, which image viewers can still open


def require_memory(domain: Domain[Any], count: int, times: int = 1) -> None:
    """Raise UsageError if `count * times` samples need more memory than a small machine has.

    times: how many samples the command draws for each one that --n asks for.
    """
    each = times * domain.bytes_per_sample
    if count * each > _MOST_BYTES:
        raise UsageError(
            f"--n {count:,} would take {count * each / 2**30:,.1f} GiB of memory, expected at most "
            f"{_MOST_BYTES >> 30}; take at most {_MOST_BYTES // each:,}, and draw more with another --seed."
        )


def require_one_picture(domain: Domain[Any], count: int) -> None:
    """Raise UsageError if `count` samples do not fit into one picture of a sensible size."""
    each = domain.pixels_per_sample
    if count * each > _MOST_PIXELS:
        raise UsageError(
            f"--n {count:,} would make a picture of {count * each:,} pixels, expected at most "
            f"{_MOST_PIXELS:,}; take at most {_MOST_PIXELS // each:,}, or write numbers: --out FILE.npz."
        )
