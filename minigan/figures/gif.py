"""Pictures one after the other as an animated GIF, of bounded length and size, with one of them in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigan.core.errors import DrawingError, clause
from minigan.core.files import atomic_path
from minigan.core.notice import Notice

if TYPE_CHECKING:
    from PIL import Image

FRAMES = 44
SIDE = 560  # pixels: a grid of 64 pictures of 28 or 64 pixels a side has fewer
_MILLISECONDS, _REST_MILLISECONDS = 150, 2000  # of a frame, and of the last one

# Of the format (CompuServe, 1990, GIF89a): a header with the size of the screen, a table of colours, blocks, a trailer.
_SIZE = slice(6, 10)
_TABLE_FLAGS, _HEADER = 10, 13  # where the flags of the table are, and where the table begins
_HAS_TABLE = 0x80
_IMAGE, _IMAGE_FLAGS, _IMAGE_HEADER = b",", 9, 10
_TRAILER = b";"
_FOR_EVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # Netscape's extension: repeat without end


def save(path: Path, pictures: Sequence[Path], notice: Notice = lambda sentence: None) -> None:
    """Write the PNG `pictures` as one GIF that rests on the last and then begins again, atomically.

    It has at most 44 frames: of more pictures so many are chosen, evenly, with the first and the last. A picture of
    more than 560 pixels in height or width is shrunk by the whole factor that it takes. So the file has less than
    20 MB even of noise, and mostly a few. A picture that cannot be read, or has another size than those before, is left
    out, and `notice(sentence)` is told of it. Raises DrawingError if no picture is left.
    """
    stills = _stills(_evenly(pictures, FRAMES), notice)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        last = next(stills, None)
        if last is None:
            raise DrawingError("none of the pictures for it can be read")
        file.write(b"GIF89a" + last[_SIZE] + bytes(3) + _FOR_EVER)
        for still in stills:
            file.write(_frame(last, _MILLISECONDS))
            last = still
        file.write(_frame(last, _REST_MILLISECONDS) + _TRAILER)


def _evenly(pictures: Sequence[Path], most: int) -> list[Path]:
    places = np.linspace(0, len(pictures) - 1, min(len(pictures), most))
    return [pictures[i] for i in np.rint(places).astype(int)]


def _stills(pictures: Sequence[Path], notice: Notice) -> Iterator[bytes]:
    """Each picture as a GIF of its own, as far as they can be shown together."""
    size = None
    for picture in pictures:
        try:
            still = _still(picture)
        except Exception as error:  # Pillow has no one error for a file that it cannot decode
            notice(f"the film goes without {picture}, which cannot be read ({clause(error)})")
            continue
        size = size or still[_SIZE]
        if still[_SIZE] == size:
            yield still
        else:
            notice(f"the film goes without {picture}, which has another size than those before it")


def _still(picture: Path) -> bytes:
    from PIL import Image  # comes with matplotlib; imported late because it takes a moment

    with Image.open(picture, formats=["PNG"]) as opened:
        image = opened.convert("L" if opened.mode == "L" else "RGB")
    image = image.reduce(max(1, -(-max(image.size) // SIDE)))
    if image.mode == "RGB":
        image = _in_256_colours(image)
    image.info.clear()
    stream = io.BytesIO()
    image.save(stream, "GIF", interlace=0)
    return stream.getvalue()


def _in_256_colours(image: Image.Image) -> Image.Image:
    """As it is if it has no more; if it has, in its own best ones, dithered, or there would be bands of one colour.

    To choose them, every fourth pixel is enough, and takes a quarter of the time.
    """
    from PIL import Image

    if image.getcolors(256):
        return image.quantize(256)
    half = max(1, image.width // 2), max(1, image.height // 2)
    palette = image.resize(half, Image.Resampling.NEAREST).quantize(256)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _frame(still: bytes, milliseconds: int) -> bytes:
    """The one image of the GIF `still` as a frame of a film, with its table of colours, shown so long."""
    flags = still[_TABLE_FLAGS]
    begin = _HEADER + (3 << (flags & 7) + 1)
    at = _after_extensions(still, begin)
    image = bytearray(still[at : at + _IMAGE_HEADER])
    image[_IMAGE_FLAGS] |= _HAS_TABLE | flags & 7
    shown = b"\x21\xf9\x04\x00" + (milliseconds // 10).to_bytes(2, "little") + bytes(2)
    return shown + image + still[_HEADER:begin] + still[at + _IMAGE_HEADER :].removesuffix(_TRAILER)


def _after_extensions(still: bytes, at: int) -> int:
    """Where the image begins: an extension is a mark, a label, and sub-blocks after their lengths, of which 0 ends."""
    while still[at : at + 1] != _IMAGE:
        at += 2
        while still[at]:
            at += 1 + still[at]
        at += 1
    return at
