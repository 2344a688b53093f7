"""Image files: how each is converted, damaged ones included, and a folder of them as a data set."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minigan.core.errors import DataError
from minigan.data import image_file, load
from minigan.data.image_file import UnreadableImageError, centre_box
from minigan.data.image_folder import from_image_folder

ORIENTATION = 0x0112
EIGHT = (8, 8, 3)


def random_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(path: Path, pixels: np.ndarray, mode: str | None = None, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **how)
    return path


def in_palette(pixels: tuple[int, ...], colours: list[list[int]]) -> Image.Image:
    """Two by two pixels that are indices into `colours`."""
    image = Image.frombytes("P", (2, 2), bytes(pixels))
    image.putpalette([value for colour in colours for value in colour])
    return image


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    return image_file.read_image(path, shape).pixels


def by_folder(directory: Path, shape: tuple[int, int, int] = EIGHT, **how: Any) -> Any:
    return from_image_folder(directory, shape, progress=False, **how)


def one_sentence(message: str, *mentions: str) -> None:
    assert "\n" not in message
    for mention in mentions:
        assert mention in message, message


# --- Cropping ---


@pytest.mark.parametrize(
    ("size", "wanted", "expected"),
    [
        ((8, 8), (4, 4), (0, 0, 8, 8)),
        ((10, 4), (4, 4), (3, 0, 7, 4)),  # as much to the left as to the right
        ((9, 4), (4, 4), (2, 0, 6, 4)),  # the odd column is left out on the right
        ((4, 9), (4, 4), (0, 2, 4, 6)),
        ((100, 50), (3, 1), (0, 8, 100, 41)),  # 33 rows of 33.3
        ((1000, 2), (1, 2), (499, 0, 500, 2)),
        ((1, 1000), (64, 1), (0, 499, 1, 500)),  # never less than a pixel
    ],
)
def test_centre_box_is_the_largest_centred_rectangle_of_the_ratio(
    size: tuple[int, int], wanted: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    assert centre_box(size, *wanted) == expected


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("source", [(4, 10), (4, 9), (9, 4), (4, 4)])
def test_cropping_keeps_pixels_unchanged(tmp_path: Path, source: tuple[int, int], channels: int) -> None:
    pixels = random_pixels(*source, channels)
    path = saved(tmp_path / "a.png", pixels[..., 0] if channels == 1 else pixels)
    top, left = (source[0] - 4) // 2, (source[1] - 4) // 2
    np.testing.assert_array_equal(
        read_image(path, (4, 4, channels)), pixels[top : top + 4, left : left + 4].reshape(4, 4, channels)
    )


def test_height_comes_first(tmp_path: Path) -> None:
    pixels = random_pixels(6, 20)
    read = read_image(saved(tmp_path / "a.png", pixels), (6, 10, 1))
    np.testing.assert_array_equal(read[..., 0], pixels[:, 5:15])


# --- Resizing ---


@pytest.mark.parametrize("source", [(3, 5), (64, 64), (1000, 700)])
def test_a_single_colour_is_kept(tmp_path: Path, source: tuple[int, int]) -> None:
    path = saved(tmp_path / "a.png", np.full((*source, 3), (10, 200, 77), np.uint8))
    np.testing.assert_array_equal(read_image(path, (17, 13, 3)), np.full((17, 13, 3), (10, 200, 77)))


def test_resizing_does_not_shift_an_image(tmp_path: Path) -> None:
    """A slope rising by one grey a pixel: each new pixel must have the value at its own centre."""
    slope = np.broadcast_to(np.arange(240, dtype=np.uint8), (240, 240))
    path = saved(tmp_path / "a.png", slope)
    for width in (24, 480):
        centres = (np.arange(width) + 0.5) * 240 / width - 0.5
        read = read_image(path, (width, width, 1))[..., 0]
        away = slice(width // 12, -width // 12)  # the filter is one-sided at the edges
        assert np.abs(read[:, away] - centres[away]).max() <= 1


def test_fine_patterns_become_grey_and_not_stripes(tmp_path: Path) -> None:
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    read = read_image(saved(tmp_path / "a.png", board), (20, 20, 1))
    assert np.abs(read.astype(float) - 127.5).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "waves"), [(1500, 2001, 0.5), (300, 301, 4), (200, 220, 4)])
def test_a_jpeg_is_the_same_as_the_same_picture_in_png(tmp_path: Path, height: int, width: int, waves: float) -> None:
    """Although Pillow shrinks a JPEG while decoding it."""
    y, x = np.mgrid[0:height, 0:width] / height * 2 * np.pi * waves
    pixels = (127 + 100 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)).astype(np.uint8)
    as_jpeg = read_image(saved(tmp_path / "a.jpg", pixels, quality=98, subsampling=0), (32, 32, 3)).astype(int)
    as_png = read_image(saved(tmp_path / "a.png", pixels), (32, 32, 3))
    assert np.abs(as_jpeg - as_png).max() <= 3


# --- Colours ---


@pytest.mark.parametrize("suffix", ["png", "pgm", "PGM"])
def test_a_grey_picture_has_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    pixels = random_pixels(5, 5)
    path = saved(tmp_path / f"a.{suffix}", pixels)
    np.testing.assert_array_equal(read_image(path, (5, 5, 1))[..., 0], pixels)
    np.testing.assert_array_equal(read_image(path, (5, 5, 3)), np.stack([pixels] * 3, -1))


def test_colour_becomes_grey_by_its_luma(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    read = read_image(saved(tmp_path / "a.ppm", colours), (2, 2, 1))
    np.testing.assert_array_equal(read[..., 0], [[76, 150], [29, 255]])  # 255 times 0.299, 0.587, 0.114


def test_a_palette_is_looked_up_before_anything_is_mixed(tmp_path: Path) -> None:
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]
    in_palette((0, 1, 2, 3), colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (2, 2, 3)).reshape(4, 3), colours)
    in_palette((0, 1, 0, 1), [[200, 0, 0], [0, 0, 100]]).save(tmp_path / "b.png")
    mixed = read_image(tmp_path / "b.png", (1, 1, 3)).ravel().astype(int)
    assert np.abs(mixed - (100, 0, 50)).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    black = np.zeros((2, 2, 4), np.uint8)
    black[..., 3] = [[0, 255], [51, 0]]
    path = tmp_path / "a.png"
    if mode == "P":  # transparency for each colour of the palette, as bytes
        in_palette((0, 1, 2, 0), [[0, 0, 0]] * 3).save(path, transparency=bytes([0, 255, 51]))
    else:
        saved(path, black, mode)
    expected = np.array([[255, 0], [204, 255]])  # a fifth black is four fifths white
    for channels in (1, 3):
        read = read_image(path, (2, 2, channels))
        np.testing.assert_array_equal(read, np.stack([expected] * channels, -1))


def test_the_transparent_grey_of_a_grey_picture_becomes_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.array([[7, 8], [9, 7]], np.uint8), transparency=7)
    np.testing.assert_array_equal(read_image(path, (2, 2, 1))[..., 0], [[255, 8], [9, 255]])


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_grey_of_16_bits_is_scaled_and_not_cut_off(tmp_path: Path, suffix: str) -> None:
    pixels = np.array([[0, 128, 129], [257, 32768, 65535], [65279, 300, 1000]], np.uint16)
    read = read_image(saved(tmp_path / f"a.{suffix}", pixels), (3, 3, 1))
    np.testing.assert_array_equal(read[..., 0], np.rint(pixels / 257))


def test_grey_of_12_bits_is_scaled_if_the_file_says_so(tmp_path: Path) -> None:
    """A TIFF, written by hand, of two pixels of 12 bits: 4095 and 1000."""
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    strip = bytes([0xFF, 0xF3, 0xE8])
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 12) + strip + b"\0" + directory)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", (1, 2, 1)).ravel(), [255, round(1000 * 255 / 4095)])
    by_folder(tmp_path, notice=pytest.fail)


def test_grey_of_16_bits_that_looks_like_12_is_noticed(tmp_path: Path) -> None:
    for i, brightest in enumerate((4095, 900)):
        saved(tmp_path / f"{i}.png", np.array([[0, brightest]], np.uint16))
    saved(tmp_path / "grey.png", random_pixels(2, 2))
    told: list[str] = []
    by_folder(tmp_path, notice=told.append)
    (sentence,) = told
    one_sentence(sentence, "no pixel of the 2 grey pictures of 16 bits", str(tmp_path), "above 4,095", "multiply")
    saved(tmp_path / "bright.png", np.array([[4096]], np.uint16))
    by_folder(tmp_path, notice=pytest.fail)


def test_white_may_be_the_smallest_number_of_a_tiff(tmp_path: Path) -> None:
    pixels = np.array([[0, 257, 65535]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", (1, 3, 1)).ravel(), [255, 254, 0])


@pytest.mark.parametrize("number", [-1, 65536])
def test_whole_numbers_beyond_16_bits_are_refused_and_not_wrapped(tmp_path: Path, number: int) -> None:
    Image.fromarray(np.array([[0, number]], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match="whole numbers beyond 16 bits or below 0"):
        read_image(tmp_path / "a.tif", (1, 2, 1))


def png(header: tuple[int, ...], transparent: bytes, row: bytes) -> bytes:
    """A PNG of one row; `header` is (width, height, bits, colour type)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = ((b"IHDR", struct.pack(">IIBB3x", *header)), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b"")))


TRANSPARENT = {
    "grey of 1 bit": (png((2, 1, 1, 0), struct.pack(">H", 0), b"\x40"), [255, 255]),
    "grey of 2 bits": (png((4, 1, 2, 0), struct.pack(">H", 1), b"\x1b"), [0, 255, 170, 255]),
    "grey of 4 bits": (png((2, 1, 4, 0), struct.pack(">H", 5), b"\x54"), [255, 68]),
    "grey of 16 bits": (png((3, 1, 16, 0), struct.pack(">H", 300), struct.pack(">3H", 300, 301, 2570)), [255, 1, 10]),
    "colour of 16 bits": (
        png((2, 1, 16, 2), struct.pack(">3H", 0, 0, 514), struct.pack(">6H", 0, 0, 514, 2570, 2570, 2570)), [255, 10]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSPARENT)
def test_the_transparent_colour_has_as_many_bits_as_the_pixels(tmp_path: Path, name: str) -> None:
    content, expected = TRANSPARENT[name]
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (1, len(expected), 1)).ravel(), expected)


def test_fewer_bits_are_scaled_too(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P2 3 1 15 0 5 15")
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm", (1, 3, 1)).ravel(), [0, 85, 255])
    bits = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", bits), (2, 2, 1))[..., 0], bits * 255)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", np.full((16, 16, 3), (200, 40, 90), np.uint8), "CMYK", quality=98)
    assert np.abs(read_image(path, (4, 4, 3)).astype(int) - (200, 40, 90)).max() <= 3


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif, pixels = Image.Exif(), random_pixels(3, 5)
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / "a.png", pixels, exif=exif)
    upright = UPRIGHT[orientation](pixels)
    np.testing.assert_array_equal(read_image(path, (*upright.shape, 1))[..., 0], upright)


def test_damaged_exif_data_are_ignored(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", random_pixels(8, 8), exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")
    assert read_image(path, (8, 8, 1)).shape == (8, 8, 1)  # without a warning: pytest makes warnings errors


# --- Unreadable files ---

WHOLE = {kind: encoded(random_pixels(9, 9), kind) for kind in ("PNG", "JPEG", "PPM", "GIF", "TIFF", "WEBP")}
PNG, JPEG, PGM = WHOLE["PNG"], WHOLE["JPEG"], WHOLE["PPM"]


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


class Grenade:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("unpickled",)


DAMAGED = {
    "empty.png": (b"", "it is empty"),
    "cut.png": (PNG[:-40], "truncated"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "runcated"),
    "cut.pgm": (PGM[:-10], "truncated"),
    "head.png": (PNG[:20], "runcated"),
    "text.png": (b"Not a picture at all, but a letter.\n", "is not recognised as a picture of a known format"),
    "program.png": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "is not recognised as a picture of a known format",
    ),
    "nothing.png": (png_of_size(0, 0), "is not recognised"),
    "nothing.pgm": (b"P5 0 5 255\n", "is not recognised"),
    "warning.png": (png_of_size(12_000, 12_000), "more than the 89,478,485 pixels"),
    "bomb.png": (png_of_size(60_000, 60_000), "more than the 89,478,485 pixels"),
    "fractions.ppm": (b"Pf 1 1 -1.0\n" + np.float32(0.5).tobytes(), "fractions"),
    "pickle.jpeg": (pickle.dumps(Grenade()), "is not recognised as a picture of a known format"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_image_is_left_out_with_a_notice(tmp_path: Path, name: str) -> None:
    content, reason = DAMAGED[name]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).write_bytes(content)
    pixels = random_pixels(8, 8, 3)
    saved(tmp_path / "good.png", pixels)
    told: list[str] = []
    dataset = by_folder(tmp_path, notice=told.append)
    np.testing.assert_array_equal(dataset.images, pixels[None])
    (sentence,) = told
    one_sentence(sentence, "1 of the 2 pictures", str(tmp_path), f"sub/{name}: ", reason, "--strict")
    with pytest.raises(DataError) as error:
        by_folder(tmp_path, strict=True)
    one_sentence(str(error.value), str(tmp_path / "sub" / name), reason, "expected a PNG", "replace or remove it")


def test_the_default_notice_is_a_warning(tmp_path: Path) -> None:
    saved(tmp_path / "good.png", random_pixels(8, 8))
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of the 2 pictures"):
        by_folder(tmp_path)


def test_the_notice_is_one_sentence_with_the_first_few_names(tmp_path: Path) -> None:
    saved(tmp_path / "good.png", random_pixels(8, 8))
    for number in range(9):
        (tmp_path / f"bad{number}.jpg").write_bytes(b"")
    told: list[str] = []
    by_folder(tmp_path, notice=told.append)
    (sentence,) = told
    one_sentence(sentence, "9 of the 10 pictures", "left out", "bad0.jpg: it is empty; bad1.jpg", "and 6 more")
    assert "bad3" not in sentence


def test_no_readable_image_is_an_error(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"bad{number}.png").write_bytes(b"?")
    with pytest.raises(DataError) as error:
        by_folder(tmp_path, notice=pytest.fail)
    one_sentence(
        str(error.value), "none of the 5 pictures", str(tmp_path), "bad0.png: it is not recognised", "and 2 more"
    )


def test_broken_links_and_pipes_do_not_block(tmp_path: Path) -> None:
    saved(tmp_path / "good.png", random_pixels(8, 8))
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "itself.png").symlink_to(tmp_path / "itself.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    told: list[str] = []
    assert len(by_folder(tmp_path, notice=told.append)) == 1
    one_sentence(told[0], "link.png: it is not a file", *(["pipe.png: it"] if hasattr(os, "mkfifo") else []))


def test_an_image_without_permission_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", random_pixels(8, 8))

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))  # chmod does not stop the superuser

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(UnreadableImageError, match=r"^Permission denied$"):
        read_image(path, EIGHT)


def test_a_lack_of_memory_is_not_reported_as_an_unreadable_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(MemoryError):
        read_image(saved(tmp_path / "a.png", random_pixels(8, 8)), EIGHT)


def odd_name(directory: Path, name: bytes) -> Path:
    """A path with a name that is not valid text; skips the test if the file system allows none."""
    path = Path(os.fsdecode(os.fsencode(directory) + b"/" + name))
    try:
        path.write_bytes(b"")
    except OSError:
        pytest.skip("names are text on this file system")
    path.unlink()
    return path


def test_names_that_are_not_text(tmp_path: Path) -> None:
    directory = odd_name(tmp_path, b"pictures\xff")
    directory.mkdir()
    saved(odd_name(directory, b"\xff\n.png"), random_pixels(8, 8))
    bad = odd_name(directory, b"\xfe.png")
    bad.write_bytes(b"")
    odd_name(directory, b"notes.\xfd").write_bytes(b"")
    told: list[str] = []
    dataset = by_folder(directory, notice=told.append)
    assert len(dataset) == 1 and dataset.source == str(directory)
    assert f"{bad.name}: it is empty" in told[0] and ".\udcfd 1" in told[0]
    with pytest.raises(DataError, match="it is empty"):
        by_folder(directory, strict=True)
    (directory / "images").write_bytes(IDX)
    with pytest.raises(DataError, match="holds both IDX files"):
        load(directory, progress=False)


@pytest.mark.parametrize("left", [True, False])
def test_a_picture_that_vanishes_after_the_folder_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    paths = [saved(tmp_path / f"{i}.png", random_pixels(8, 8)) for i in range(2 if left else 1)]
    monkeypatch.setattr(
        "minigan.data.image_folder.visible_files", lambda _: [paths[0].unlink() or paths[0], *paths[1:]]
    )
    if left:
        told: list[str] = []
        assert len(by_folder(tmp_path, notice=told.append)) == 1
        assert "0.png: it is not a file" in told[0]
    else:
        with pytest.raises(DataError, match=r"none of the 1 pictures .* can be read \(0.png: it is not a file\)"):
            by_folder(tmp_path)


@pytest.mark.parametrize("kind", WHOLE)
def test_every_truncation_and_every_flipped_byte_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    path, whole = tmp_path / "a.png", WHOLE[kind]
    flipped = (whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(len(whole)))
    outcomes = set()
    for content in (*(whole[:length] for length in range(len(whole))), *flipped):
        path.write_bytes(content)
        try:
            assert read_image(path, EIGHT).shape == EIGHT
            outcomes.add("read")
        except UnreadableImageError as error:
            assert str(error) and "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


# --- The folder ---


def test_images_are_sorted_by_path_whatever_the_order_on_disk(tmp_path: Path) -> None:
    names = ["b/2.png", "a.PNG", "b/10.pgm", "b.ppm", "b/c/1.png", "z.PgM", "é.png"]
    pictures = {name: random_pixels(8, 8, seed=i) for i, name in enumerate(names)}
    for folder, order in (("one", names), ("two", names[::-1])):
        for name in order:
            saved(tmp_path / folder / name, pictures[name], "RGB" if name.endswith(".ppm") else None)
    one, two = by_folder(tmp_path / "one"), by_folder(tmp_path / "two")
    assert one.sha256 == two.sha256
    assert one.name == "one" and one.source == str(tmp_path / "one")
    assert one.labels is None
    assert one.images.shape == (7, 8, 8, 3) and one.images.dtype == np.uint8
    assert sorted(names) == ["a.PNG", "b.ppm", "b/10.pgm", "b/2.png", "b/c/1.png", "z.PgM", "é.png"]
    for read, name in zip(one.images, sorted(names), strict=True):
        np.testing.assert_array_equal(read, np.stack([pictures[name]] * 3, -1))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jpeg", "a.JPEG", "a.png", "a.PNG", "a.pgm", "a.PPM"])
def test_the_suffix_says_that_a_file_is_an_image_and_its_content_says_the_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(JPEG)
    assert len(by_folder(tmp_path)) == 1


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", ".hidden/c.png", "sub/.d.png", "sub/.hidden/e.png"):
        saved(tmp_path / name, random_pixels(8, 8))
    (tmp_path / "named.png").mkdir()
    assert len(by_folder(tmp_path, notice=pytest.fail)) == 1


def test_files_of_other_kinds_are_counted_by_kind(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", random_pixels(8, 8))
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "sub/b.TXT", "film.mp4", "README"):
        (tmp_path / name).write_text("?")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    told: list[str] = []
    assert len(by_folder(tmp_path, strict=True, notice=told.append)) == 1
    (sentence,) = told
    others = "5 files of other kinds (no suffix 2" if hasattr(os, "mkfifo") else "4 files of other kinds (no suffix 1"
    one_sentence(sentence, f"left out of {tmp_path}: {others}; ", ".txt 2", ".mp4 1")
    (tmp_path / "sub" / "bad.png").write_bytes(b"")
    by_folder(tmp_path, notice=told.append)
    one_sentence(told[1], " and 1 of the 2 pictures, which cannot be read (sub/bad.png: it is empty); use --strict")


def test_links_to_folders_are_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for i, path in enumerate([data / "a.png", data / "z" / "b.png", elsewhere / "c.png", elsewhere / "deep" / "d.png"]):
        saved(path, random_pixels(8, 8, seed=i))
    (data / "again").symlink_to(data / "z")  # comes before it in the order of paths
    (data / "far").symlink_to(elsewhere)
    (data / "further").symlink_to(elsewhere)
    (data / "round").symlink_to(data)
    (elsewhere / "back").symlink_to(data / "far")
    dataset = by_folder(data, (8, 8, 1), notice=pytest.fail)
    # a.png, far/c.png, far/deep/d.png, z/b.png
    np.testing.assert_array_equal(dataset.images[..., 0], [random_pixels(8, 8, seed=i) for i in (0, 2, 3, 1)])


@pytest.mark.parametrize("suffix", ["bmp", "gif", "tif", "webp", "pbm", "pnm", "DIB", "jfif"])
def test_every_common_format_is_read(tmp_path: Path, suffix: str) -> None:
    rows = np.indices((8, 8)).sum(axis=0) % 2 * 255 if suffix == "pbm" else np.full((8, 8), 119)
    image = Image.fromarray(rows.astype(np.uint8))
    image = image.convert("1") if suffix == "pbm" else image
    image.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(by_folder(tmp_path, (8, 8, 1), strict=True).images[0, ..., 0], rows)


def test_the_first_frame_or_page_is_used(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    for name in ("a.gif", "b.tiff", "c.webp", "d.png"):
        how = {"lossless": True} if name == "c.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **how)
        np.testing.assert_array_equal(read_image(tmp_path / name, (1, 1, 1)).ravel(), [10])


def test_a_folder_of_one_shape_or_another(tmp_path: Path) -> None:
    for i, size in enumerate([(20, 30), (9, 4), (3, 3), (1, 1)]):
        saved(tmp_path / f"{i}.png", random_pixels(*size, 3))
    for shape in ((6, 9, 3), (16, 4, 1), (1, 1, 3)):
        dataset = by_folder(tmp_path, shape)
        assert dataset.image_shape == shape
        assert len(dataset) == 4


@pytest.mark.parametrize("holds", [[], ["notes.txt", "archive/", "photo.heic"]])
def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path, holds: list[str]) -> None:
    for name in holds:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("?")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    one_sentence(str(error.value), str(tmp_path), *(holds or ["it is empty"]), "expected PNG", "IDX", "put them there")


def test_a_subfolder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "sub" / "a.png", random_pixels(8, 8))
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError) as error:
        by_folder(tmp_path)
    one_sentence(str(error.value), str(tmp_path / "sub"), "Permission denied")


def test_the_images_are_in_memory_only_once(tmp_path: Path) -> None:
    for i in range(60):
        saved(tmp_path / f"{i}.png", random_pixels(16, 16))
    by_folder(tmp_path, (1, 1, 1))  # so that imports do not count
    tracemalloc.start()
    try:
        size = by_folder(tmp_path, (128, 128, 3)).images.nbytes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size + (1 << 20)


def test_progress_is_shown_only_when_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minigan.core.progress.SECONDS_BETWEEN_LINES", 0.0)
    saved(tmp_path / "a.png", random_pixels(8, 8))
    by_folder(tmp_path)
    assert capsys.readouterr().err == ""
    from_image_folder(tmp_path, EIGHT)
    assert "reading pictures" in capsys.readouterr().err


# --- Images or IDX files ---

IDX = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2, 3, 3)) + bytes(18)


def test_load_reads_pictures_in_the_wanted_shape_and_idx_files_in_their_own(tmp_path: Path) -> None:
    saved(tmp_path / "pictures" / "train-images-idx3.png", random_pixels(20, 20))  # named like an IDX file as well
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "digits.bin").write_bytes(IDX)
    assert load(tmp_path / "pictures", progress=False).images.shape == (1, 28, 28, 1)
    assert load(tmp_path / "pictures", image_shape=(5, 4, 3), progress=False).images.shape == (1, 5, 4, 3)
    assert load(tmp_path / "idx", image_shape=(5, 4, 3)).images.shape == (2, 3, 3, 1)


@pytest.mark.parametrize("name", ["digits.bin", "train-images-idx3-ubyte"])
def test_images_beside_idx_files_are_an_error(tmp_path: Path, name: str) -> None:
    saved(tmp_path / "sub" / "a.png", random_pixels(8, 8))
    (tmp_path / name).write_bytes(IDX if name == "digits.bin" else b"")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    one_sentence(str(error.value), str(tmp_path), "both", name, "sub/a.png", "move")


# --- Real faces ---


@pytest.fixture
def faces() -> Path:
    if not (root := os.environ.get("MINIGAN_DATA_DIR")):
        pytest.skip("needs the faces: set MINIGAN_DATA_DIR to a folder with faces/s1 to faces/s40 in it")
    return Path(root) / "faces"


def test_faces(faces: Path, tmp_path: Path) -> None:
    whole = load(faces, image_shape=(112, 92, 1), strict=True, progress=False)
    paths = sorted(faces.glob("s*/*.*"), key=lambda path: path.relative_to(faces).as_posix())
    assert len(whole) == len(paths) == 400
    for i in (0, 57, 399):
        with Image.open(paths[i]) as image:
            np.testing.assert_array_equal(whole.images[i, ..., 0], np.asarray(image))
    small = load(faces, image_shape=(28, 28, 3), strict=True, progress=False)
    assert small.images.shape == (400, 28, 28, 3)
    assert (small.images == small.images[..., :1]).all()
    # The middle of 112 x 92 is rows 10 to 101; shrinking keeps its mean.
    means = whole.images[:, 10:102].mean(axis=(1, 2, 3)), small.images.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(*means, rtol=0, atol=1)
    shutil.copytree(faces / "s7", tmp_path / "copy" / "s7")
    assert load(tmp_path / "copy", progress=False).sha256 == load(tmp_path / "copy", progress=False).sha256


def test_reading_restores_the_warning_filters(tmp_path: Path) -> None:
    before = list(warnings.filters)
    read_image(saved(tmp_path / "a.png", random_pixels(8, 8)), EIGHT)
    assert warnings.filters == before
