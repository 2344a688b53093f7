"""One picture file as an array of a wanted shape, from files that nobody vouches for; Pillow does the decoding."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from minigan.core.errors import clause
from minigan.data.dataset import ImageShape

# Those that are common and only hold pixels. Pillow knows many more, some of which run other programs. Its PPM is PGM
# and PBM too, its DIB a BMP without the header of the file.
_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "DIB", "GIF", "TIFF", "WEBP")
_WIDE = ("I", "I;16", "I;16B", "I;16L")  # Pillow's grey of more than 8 bits
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MIN_IS_WHITE = 258, 262, 0  # of TIFF
_NARROW_GREY = {"L;2": 85, "L;4": 17}  # what Pillow multiplies pixels of 2 and 4 bits by, but not the transparent grey
_PAPER = "white"
_GAP = 3  # pixels for each wanted one, down to which a larger picture is shrunk by plain averaging, which is faster


class UnreadableError(Exception):
    """Why a file cannot be read as a picture, as a clause such as "it is empty"."""


@dataclass(frozen=True)
class Picture:
    """pixels: uint8, (H, W, C). brightest: the largest number in the file if it says grey of 16 bits, else None."""

    pixels: np.ndarray
    brightest: int | None


def read_picture(path: Path, shape: ImageShape) -> Picture:
    """The picture in `path` with `shape` (H, W, C): its middle, resized, in grey (C = 1) or RGB (C = 3).

    It is turned as its EXIF orientation says; what is transparent becomes white; grey of 16 bits is divided by 257 (of
    12, as a TIFF may say, by 4095 / 255), of colour of 16 bits the upper 8 are taken; colour becomes grey by its luma
    (ITU-R BT.601). The largest whole-pixel rectangle of the wanted aspect ratio is cut from the middle and resized
    (Lanczos), enlarged where it is smaller. Colour profiles are ignored, and of an animation or of several pages the
    first picture is taken.

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
        raise UnreadableError("it does not begin as a picture of a known format does") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError(f"it has more than the {Image.MAX_IMAGE_PIXELS:,} pixels that Pillow allows") from None
    except Exception as error:  # Pillow has no one error for a file that it cannot decode
        raise UnreadableError(clause(error)) from None


def _decoded(path: Path, shape: ImageShape) -> Picture:
    if not path.is_file():
        raise UnreadableError("it is not a file")  # opening a pipe would wait for ever; a link may lead nowhere
    if path.stat().st_size == 0:
        raise UnreadableError("it is empty")
    height, width, channels = shape
    with Image.open(path, formats=_FORMATS) as image:
        longer = _GAP * max(height, width)
        image.draft(None, (longer, longer))  # a large JPEG is shrunk while it is decoded, to no less than this
        full_scale, inverted = _grey_scale(image)
        _mend_transparency(image)
        upright = ImageOps.exif_transpose(image)
    brightest = None
    if upright.mode in _WIDE:
        brightest = int(np.asarray(upright).max()) if full_scale == 0xFFFF else None
        upright = _narrowed(upright, full_scale, inverted)
    plain = _opaque(upright).convert("L" if channels == 1 else "RGB")
    return Picture(resized(plain, shape), brightest)


def resized(image: Image.Image, shape: ImageShape) -> np.ndarray:
    """`image`, of mode L or RGB as `shape` (H, W, C) asks for, cut to its middle and resized: uint8 of `shape`."""
    height, width, _ = shape
    cut = image.crop(middle(image.size, width, height))
    return np.asarray(cut.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=_GAP)).reshape(shape)


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


def _grey_scale(image: Image.Image) -> tuple[int, bool]:
    """The number that stands for white in grey of more than 8 bits, or for black: then the second is True."""
    tags = getattr(image, "tag_v2", None)  # those of a TIFF
    if tags is None:
        return 0xFFFF, False
    return 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1, tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE


def _narrowed(image: Image.Image, full_scale: int, inverted: bool) -> Image.Image:
    """Grey of more than 8 bits in 8, rounded; the grey that is said to be transparent becomes white."""
    values = np.asarray(image)
    if full_scale > 0xFFFF or values.min() < 0 or values.max() > full_scale:
        raise UnreadableError("its pixels are whole numbers beyond 16 bits or below 0")
    grey = (values.astype(np.int32) * 255 + full_scale // 2) // full_scale
    if inverted:
        grey = 255 - grey
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _mend_transparency(image: ImageFile.ImageFile) -> None:
    """Give the transparent colour of a PNG as many bits as Pillow gives its pixels."""
    transparent, raw = image.info.get("transparency"), image.tile[0][3] if image.tile else None
    if isinstance(transparent, int) and raw in _NARROW_GREY:
        image.info["transparency"] = transparent * _NARROW_GREY[raw]
    elif isinstance(transparent, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in transparent)


def _opaque(image: Image.Image) -> Image.Image:
    """`image`, of 8 bits a channel, without transparency."""
    if image.mode == "F":
        raise UnreadableError("its pixels are fractions, not whole numbers")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _PAPER), coloured).convert("RGB")
    return image
