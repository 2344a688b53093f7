"""Images one after the other as an animated GIF of bounded length and size; one at a time is in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.core.errors import DrawingError, clause
from minigan.core.files import atomic_path, identity
from minigan.core.notice import Notice
from minigan.figures.image_grid import as_pillow

if TYPE_CHECKING:
    from PIL import Image

MAX_FRAMES = 44
MAX_SIDE = 560  # pixels: a grid of 64 images of 28 or 64 pixels a side has fewer
_FRAME_MILLISECONDS, _LAST_FRAME_MILLISECONDS = 150, 2000

# The format (CompuServe, 1990, GIF89a): a header with the size of the screen, a colour table, blocks, a trailer.
_SCREEN_SIZE = slice(6, 10)  # bytes of the header
_TABLE_FLAGS, _HEADER_LENGTH = 10, 13  # the colour table begins after the header
_HAS_TABLE = 0x80
_IMAGE, _IMAGE_FLAGS, _IMAGE_HEADER_LENGTH = b",", 9, 10
_TRAILER = b";"
_ENDLESS_LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # Netscape's extension


class Frames:
    """Frames of an animation, made while the pictures are saved one after the other."""

    def __init__(self) -> None:
        self._made: dict[Path, tuple[Any, bytes]] = {}  # the identity of the file, and its image as a GIF

    def add(self, picture: Path, image: np.ndarray) -> None:
        """Make the frame of `image` (see save_png), which has just been saved as `picture`.

        Nothing is raised: `save` tries again what fails here.
        """
        with suppress(Exception):
            self._made[picture] = identity(picture), _one_frame_gif(as_pillow(image))

    def get(self, picture: Path) -> bytes | None:
        """The frame of the file `picture`, None if none was made or the file has changed since."""
        version, frame = self._made.get(picture, (None, b""))
        return frame if version is not None and version == identity(picture) else None


def save(
    path: Path, pictures: Sequence[Path], notice: Notice = lambda sentence: None, frames: Frames | None = None
) -> None:
    """Write the PNG files `pictures` as one looping GIF, whose last frame is shown longest, atomically.

    If there are more than MAX_FRAMES images, that many are used, evenly spaced, with the first and the last. An image
    of more than MAX_SIDE pixels in height or width is reduced by the smallest sufficient whole factor. So the file has
    a few MB, and less than 20 MB even for noise. Images that cannot be read, or differ in size from those before, are
    left out, and `notice(sentence)` is called for each. `frames`: those that have been made before. Raises DrawingError
    if no image is left.
    """
    gifs = _one_frame_gifs([pictures[place] for place in places(len(pictures))], notice, frames or Frames())
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        previous = next(gifs, None)
        if previous is None:
            raise DrawingError("none of the pictures for it can be read")
        file.write(b"GIF89a" + previous[_SCREEN_SIZE] + bytes(3) + _ENDLESS_LOOP)
        for frame in gifs:
            file.write(_frame_blocks(previous, _FRAME_MILLISECONDS))
            previous = frame
        file.write(_frame_blocks(previous, _LAST_FRAME_MILLISECONDS) + _TRAILER)


def places(count: int) -> list[int]:
    """Which of `count` pictures are used, the first being 0."""
    return [int(place) for place in np.rint(np.linspace(0, count - 1, min(count, MAX_FRAMES)))]


def _one_frame_gifs(pictures: Sequence[Path], notice: Notice, frames: Frames) -> Iterator[bytes]:
    """Each image as a GIF of its own, without those that cannot be read or have another size."""
    size = None
    for picture in pictures:
        try:
            gif = frames.get(picture) or _one_frame_gif(_opened(picture))
        except Exception as error:  # Pillow has no common base class for decoding errors
            notice(f"the animation goes without {picture}, which cannot be read ({clause(error)})")
            continue
        size = size or gif[_SCREEN_SIZE]
        if gif[_SCREEN_SIZE] == size:
            yield gif
        else:
            notice(f"the animation goes without {picture}, whose size differs from that of those before it")


def _opened(picture: Path) -> Image.Image:
    from PIL import Image  # comes with matplotlib; imported late because it takes a moment

    with Image.open(picture, formats=["PNG"]) as opened:
        return opened.convert("L" if opened.mode == "L" else "RGB")


def _one_frame_gif(image: Image.Image) -> bytes:
    image = image.reduce(max(1, -(-max(image.size) // MAX_SIDE)))
    if image.mode == "RGB":
        image = _with_256_colours(image)
    image.info.clear()
    stream = io.BytesIO()
    image.save(stream, "GIF", interlace=0)
    return stream.getvalue()


def _with_256_colours(image: Image.Image) -> Image.Image:
    """The same image if it has at most 256 colours, else one with the best 256, dithered.

    Without dithering there would be bands of one colour. Every fourth pixel is enough to choose the colours from, and
    takes a quarter of the time.
    """
    from PIL import Image

    if image.getcolors(256):
        return image.quantize(256)
    half = max(1, image.width // 2), max(1, image.height // 2)
    palette = image.resize(half, Image.Resampling.NEAREST).quantize(256)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _frame_blocks(gif: bytes, milliseconds: int) -> bytes:
    """The blocks of the only frame in `gif`, with its colour table, to be shown for `milliseconds`."""
    flags = gif[_TABLE_FLAGS]
    table_end = _HEADER_LENGTH + (3 << (flags & 7) + 1)
    begin = _skip_extensions(gif, table_end)
    image_header = bytearray(gif[begin : begin + _IMAGE_HEADER_LENGTH])
    image_header[_IMAGE_FLAGS] |= _HAS_TABLE | flags & 7
    duration = b"\x21\xf9\x04\x00" + (milliseconds // 10).to_bytes(2, "little") + bytes(2)
    table = gif[_HEADER_LENGTH:table_end]
    return duration + image_header + table + gif[begin + _IMAGE_HEADER_LENGTH :].removesuffix(_TRAILER)


def _skip_extensions(gif: bytes, at: int) -> int:
    """Where the image begins after any extensions.

    An extension is a mark, a label, and sub-blocks, each after its length; the length 0 ends them.
    """
    while gif[at : at + 1] != _IMAGE:
        at += 2
        while gif[at]:
            at += 1 + gif[at]
        at += 1
    return at
