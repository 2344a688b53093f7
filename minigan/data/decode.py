"""One picture file as an array of a wanted shape, from files that nobody vouches for; Pillow does the decoding."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minigan.data.dataset import ImageShape

_FORMATS = ("PNG", "JPEG", "PPM")  # Pillow's PPM is PGM too; it knows many more formats, and fewer are safer
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L")
_PAPER = "white"
_GAP = 3  # pixels for each wanted one, down to which a larger picture is shrunk by plain averaging, which is faster


class UnreadableError(Exception):
    """Why a file cannot be read as a picture, as a clause such as "it is empty"."""


def read_picture(path: Path, shape: ImageShape) -> np.ndarray:
    """The picture in `path` as uint8 of `shape` (H, W, C): its middle, resized, in grey (C = 1) or RGB (C = 3).

    It is turned as its EXIF orientation says; what is transparent becomes white; 16-bit grey is divided by 257;
    colour becomes grey by its luma (ITU-R BT.601). The largest whole-pixel rectangle of the wanted aspect ratio is
    cut from the middle and resized (Lanczos), enlarged where it is smaller. Colour profiles are ignored, and of an
    animation the first picture is taken.

    Raises UnreadableError where the file is no such picture, is damaged, or has more pixels than Pillow allows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in the file that do not matter here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decoded(path, shape)
    except (UnreadableError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UnreadableError("it does not begin as a PNG, JPEG, PGM or PPM picture does") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError(f"it has more than the {Image.MAX_IMAGE_PIXELS:,} pixels that Pillow allows") from None
    except Exception as error:  # Pillow has no one error for a file that it cannot decode
        raise UnreadableError(_clause(error)) from None


def _decoded(path: Path, shape: ImageShape) -> np.ndarray:
    if not path.is_file():
        raise UnreadableError("it is not a file")  # opening a pipe would wait for ever; a link may lead nowhere
    if path.stat().st_size == 0:
        raise UnreadableError("it is empty")
    height, width, channels = shape
    with Image.open(path, formats=_FORMATS) as image:
        longer = _GAP * max(height, width)
        image.draft(None, (longer, longer))  # a large JPEG is shrunk while it is decoded, to no less than this
        upright = ImageOps.exif_transpose(image)
    plain = _opaque(upright).convert("L" if channels == 1 else "RGB")
    cut = plain.crop(middle(plain.size, width, height))
    resized = cut.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=_GAP)
    return np.asarray(resized).reshape(shape)


def middle(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest rectangle of the ratio `width` to `height` in the middle of `size`.

    `size` is (width, height). Whole pixels, so that nothing is blurred: the ratio is met to within half a pixel.
    """
    across, down = size
    if across * height > down * width:
        cut = max(1, round(down * width / height))
        left = (across - cut) // 2
        return left, 0, left + cut, down
    cut = max(1, round(across * height / width))
    top = (down - cut) // 2
    return 0, top, across, top + cut


def _opaque(image: Image.Image) -> Image.Image:
    """`image` in 8 bits a channel, without transparency."""
    if image.mode == "F":
        raise UnreadableError("its pixels are fractions, not whole numbers")
    if image.mode in _SIXTEEN_BIT:
        return Image.fromarray(((np.asarray(image, np.uint32) + 128) // 257).astype(np.uint8))  # rounded
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _PAPER), coloured).convert("RGB")
    return image


def _clause(error: Exception) -> str:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(reason.split()).rstrip(".")
