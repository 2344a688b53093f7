"""How many samples a command takes at once, by the memory that they need."""

from __future__ import annotations

import math

from minigan.core.errors import UsageError
from minigan.training.form import Form, PointForm

_MOST_BYTES = 2 << 30
_BYTES_OF_A_POINT = 100  # with what measuring and drawing it makes of it
_COPIES = 2  # of a picture: as parts, and in one array
_MOST_PIXELS = 1 << 26  # of a file: 8,192 x 8,192, which programs still open


def require_memory(form: Form, count: int, times: int = 1) -> None:
    """Raise UsageError if `times` as many samples as `count` need more memory than a small machine has.

    times: how many samples are drawn for each that --n asks for.
    """
    each = times * (_BYTES_OF_A_POINT if isinstance(form, PointForm) else _COPIES * math.prod(form.shape))
    if count * each > _MOST_BYTES:
        raise UsageError(
            f"--n {count:,} would take {count * each / 2**30:,.1f} GiB of memory, expected at most "
            f"{_MOST_BYTES >> 30}; ask for at most {_MOST_BYTES // each:,}, and for others with another --seed."
        )


def require_one_picture(form: Form, count: int) -> None:
    """Raise UsageError if `count` samples do not fit into one picture."""
    if isinstance(form, PointForm):  # any number of them on a map of one size
        return
    height, width = form.shape[:2]
    if count * height * width > _MOST_PIXELS:
        raise UsageError(
            f"--n {count:,} would make a picture of {count * height * width:,} pixels, expected at most "
            f"{_MOST_PIXELS:,}; ask for at most {_MOST_PIXELS // (height * width):,}, or write numbers: --out FILE.npz."
        )
