"""Read an untrusted image file as an array of a requested shape; Pillow decodes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from minigan.core.errors import clause
from minigan.data.dataset import ImageShape

# Common formats that hold pixels only; for some other formats Pillow runs external programs. Pillow's PPM includes PGM
# and PBM, and its DIB is a BMP without the file header.
_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "DIB", "GIF", "TIFF", "WEBP")
_WIDE = ("I", "I;16", "I;16B", "I;16L")  # Pillow's modes of grey with more than 8 bits
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MIN_IS_WHITE = 258, 262, 0  # two tags of TIFF, and a value of the second
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # a tag of EXIF, and its values for images that lie on their side
_NARROW_GREY = {"L;2": 85, "L;4": 17}  # factors by which Pillow scales pixels of 2 and 4 bits
_BACKGROUND = "white"
_REDUCING_GAP = 3  # plain averaging, which is fast, first shrinks a large image to this many times its final size


T = TypeVar("T")


class UnreadableImageError(Exception):
    """Why a file cannot be read as an image, as a clause such as "it is empty"."""


@dataclass(frozen=True)
class DecodedImage:
    """pixels: uint8, (H, W, C). brightest: the largest pixel in the file if it holds grey of 16 bits, else None."""

    pixels: np.ndarray
    brightest: int | None


def read_image(path: Path, shape: ImageShape, *, pad: bool = False) -> DecodedImage:
    """The image in `path`, cropped to its centre and resized to `shape` (H, W, C), in grey (C = 1) or RGB (C = 3).

    If `pad`, all of it is resized, and black is added on two sides, equally to within a pixel, to fill the shape.

    The EXIF orientation is applied. Transparent pixels become white. Grey of 16 bits is divided by 257, grey of 12 bits
    (in a TIFF) by 4095 / 255; colour of 16 bits keeps its upper 8 bits. Colour is converted to grey by its luma
    (ITU-R BT.601). The largest centred whole-pixel rectangle of the requested aspect ratio is resized (Lanczos). Colour
    profiles are ignored, and the first frame or page is used.

    Raises UnreadableImageError if the file is not an image of a known format, is damaged, or has more pixels than
    Pillow allows.
    """
    return _guarded(lambda: _decode(path, shape, pad))


def read_shape(path: Path) -> ImageShape:
    """(H, W, C) of the image in `path`, upright, C 1 (grey) or 3; only its header is read.

    Raises UnreadableImageError as `read_image`, but not for damaged pixels.
    """
    return _guarded(lambda: _header(path))


def _guarded(read: Callable[[], T]) -> T:
    """`read()`, with UnreadableImageError for whatever it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about harmless oddities of a file
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return read()
    except (UnreadableImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("it is not recognised as a picture of a known format") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImageError(
            f"it has more than the {Image.MAX_IMAGE_PIXELS:,} pixels that Pillow allows"
        ) from None
    except Exception as error:  # Pillow has no common base class for decoding errors
        raise UnreadableImageError(clause(error)) from None


def _require_content(path: Path) -> None:
    if not path.is_file():
        raise UnreadableImageError("it is not a file")  # opening a pipe would block; a link may be broken
    if path.stat().st_size == 0:
        raise UnreadableImageError("it is empty")


def _header(path: Path) -> ImageShape:
    _require_content(path)
    with Image.open(path, formats=_FORMATS) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS:
            height, width = width, height
        grey = image.mode in ("1", "L", "LA", *_WIDE)
        return height, width, 1 if grey else 3


def _decode(path: Path, shape: ImageShape, pad: bool) -> DecodedImage:
    _require_content(path)
    height, width, channels = shape
    with Image.open(path, formats=_FORMATS) as image:
        min_side = _REDUCING_GAP * max(height, width)
        image.draft(None, (min_side, min_side))  # decode a large JPEG at a reduced size, not below this
        full_scale, inverted = _grey_scale(image)
        _scale_transparent_colour(image)
        upright = ImageOps.exif_transpose(image)
    brightest = None
    if upright.mode in _WIDE:
        brightest = int(np.asarray(upright).max()) if full_scale == 0xFFFF else None
        upright = _to_8_bits(upright, full_scale, inverted)
    plain = _without_transparency(upright).convert("L" if channels == 1 else "RGB")
    return DecodedImage(fit(plain, shape, pad=pad), brightest)


def fit(image: Image.Image, shape: ImageShape, *, pad: bool = False) -> np.ndarray:
    """`image`, in mode L or RGB to match `shape` (H, W, C), cropped or padded, and resized: uint8 of `shape`."""
    height, width, _ = shape
    if pad:
        return _padded(image, shape)
    cropped = image.crop(centre_box(image.size, width, height))
    fitted = cropped.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    return np.asarray(fitted).reshape(shape)


def _padded(image: Image.Image, shape: ImageShape) -> np.ndarray:
    """All of `image`, resized to the largest size of its aspect ratio, to within a pixel, in the middle of `shape`."""
    height, width, _ = shape
    scale = min(width / image.width, height / image.height)
    columns, rows = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize((columns, rows), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    padded, left, top = np.zeros(shape, np.uint8), (width - columns) // 2, (height - rows) // 2
    padded[top : top + rows, left : left + columns] = np.asarray(small).reshape(rows, columns, shape[2])
    return padded


def centre_box(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest rectangle of ratio `width` to `height` centred in `size`.

    `size` is (width, height). Whole pixels, so that cropping does not blur; the ratio is exact to within half a pixel.
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
    """The largest possible value of grey with more than 8 bits, and whether it means black instead of white."""
    tags = getattr(image, "tag_v2", None)  # only a TIFF has them
    if tags is None:
        return 0xFFFF, False
    return 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1, tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE


def _to_8_bits(image: Image.Image, full_scale: int, inverted: bool) -> Image.Image:
    """Grey of more than 8 bits rounded to 8 bits; the shade that is marked transparent becomes white."""
    values = np.asarray(image)
    if full_scale > 0xFFFF or values.min() < 0 or values.max() > full_scale:
        raise UnreadableImageError("its pixels are whole numbers beyond 16 bits or below 0")
    grey = (values.astype(np.int32) * 255 + full_scale // 2) // full_scale
    if inverted:
        grey = 255 - grey
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _scale_transparent_colour(image: ImageFile.ImageFile) -> None:
    """Scale the transparent colour of a PNG as Pillow scales its pixels; Pillow itself leaves that colour unscaled."""
    transparent, raw = image.info.get("transparency"), image.tile[0][3] if image.tile else None
    if isinstance(transparent, int) and raw in _NARROW_GREY:
        image.info["transparency"] = transparent * _NARROW_GREY[raw]
    elif isinstance(transparent, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in transparent)


def _without_transparency(image: Image.Image) -> Image.Image:
    """`image`, with 8 bits a channel, on white where it is transparent."""
    if image.mode == "F":
        raise UnreadableImageError("its pixels are fractions, not whole numbers")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUND), coloured).convert("RGB")
    return image
