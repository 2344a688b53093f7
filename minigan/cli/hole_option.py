"""The option --mask: which pixels of a picture are missing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from minigan.core.errors import DataError, UsageError
from minigan.domains.holes import HOLES, centre_box

CENTRE = "centre"
EVALUATED = HOLES
HELP = (
    "a picture of the same size that is white where a pixel is missing; or a box, TOP,LEFT,HEIGHT,WIDTH in pixels; or "
    "centre, the middle half of both sides (default: centre)"
)
_BOX = re.compile(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})", re.ASCII)
_WHITE = 128


def read(mask: str, height: int, width: int) -> np.ndarray:
    """The hole that `mask` names, bool (height, width), as `HELP` says.

    Raises UsageError for a mask of another size, a box that does not lie in the picture, and a hole of no pixel or of
    all; DataError for a file that cannot be read.
    """
    if mask == CENTRE:
        hole = centre_box(height, width)
    elif box := _BOX.fullmatch(mask):
        top, left, rows, columns = map(int, box.groups())
        if top + rows > height or left + columns > width:
            raise UsageError(
                f"the box --mask {mask} ends at row {top + rows} and column {left + columns}, and the pictures are "
                f"{height} x {width}; give TOP,LEFT,HEIGHT,WIDTH within them."
            )
        hole = np.zeros((height, width), bool)
        hole[top : top + rows, left : left + columns] = True
    else:
        hole = _from_file(Path(mask), height, width)
    if not hole.any():
        raise UsageError(
            f"--mask {mask} hides no pixel, expected some to fill; a mask file is white where one is missing."
        )
    if hole.all():
        raise UsageError(
            f"--mask {mask} hides every pixel, so nothing is known of the picture; leave some pixels known, or take "
            "minigan sample."
        )
    return hole


def _from_file(path: Path, height: int, width: int) -> np.ndarray:
    from minigan.data.image_file import UnreadableImageError, read_image, read_shape  # importing Pillow is slow

    if not path.exists():
        raise UsageError(f"there is no mask {path}; name a picture, a box such as 7,7,14,14, or {CENTRE}.")
    try:
        found = read_shape(path)
        if found[:2] != (height, width):
            raise UsageError(
                f"the mask {path} is {found[0]} x {found[1]} pixels, and the pictures are {height} x {width}; make it "
                "of that size."
            )
        return np.asarray(read_image(path, (height, width, 1)).pixels[..., 0] >= _WHITE)
    except UnreadableImageError as reason:
        raise DataError(f"the mask {path} cannot be read as a picture ({reason}); name another one.") from None
