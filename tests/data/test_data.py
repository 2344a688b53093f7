"""Data sets: reading IDX files that may be hostile, finding them, fetching them, and cutting them into batches."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import strict_device

import minigan as mg
from minigan.core import backend
from minigan.core.errors import DataError, UsageError
from minigan.data import Batches, Dataset, load, mnist
from minigan.data.idx import read_idx, read_shape
from minigan.data.idx_folder import from_directory
from minigan.data.image_batches import ImageBatches

REPOSITORY = Path(__file__).resolve().parents[2]
UNSIGNED_BYTE = 0x08


def header(*shape: int, code: int = UNSIGNED_BYTE) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idx(array: np.ndarray) -> bytes:
    return header(*array.shape) + array.tobytes()


def random_images(count: int = 12, height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)


def random_labels(count: int = 12) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 10, count, dtype=np.uint8)


def assert_one_sentence(error: pytest.ExceptionInfo[Exception], *mentions: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert not re.search(r"\.\s+[A-Z]", message), f"more than one sentence: {message}"
    for mention in mentions:
        assert mention in message, message


@contextmanager
def peak_memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak:,} bytes at the peak"


# --- IDX files ---


@pytest.mark.parametrize("filename", ["images.idx", "images.gz", "notes.txt", "no-suffix"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
@pytest.mark.parametrize("shape", [(9,), (4, 3), (3, 5, 7), (2, 3, 4, 5)])
def test_idx_round_trip_whatever_the_name(
    tmp_path: Path, filename: str, pack: Callable[[bytes], bytes], shape: tuple[int, ...]
) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / filename
    path.write_bytes(pack(idx(array)))
    assert read_shape(path) == shape
    np.testing.assert_array_equal(read_idx(path), array)
    assert read_idx(path).dtype == np.uint8


def damaged_checksum() -> bytes:
    packed = bytearray(gzip.compress(idx(random_images())))
    packed[-6] ^= 0xFF  # the last eight bytes are the CRC-32 and the length
    return bytes(packed)


def damaged_stream() -> bytes:
    packed = bytearray(gzip.compress(idx(random_images(100))))
    packed[12:40] = b"\xff" * 28
    return bytes(packed)


GOOD = idx(random_images())
HOSTILE = {
    "empty": (b"", "is empty"),
    "empty gzip": (gzip.compress(b""), "is empty"),
    "text": (b"label,pixel0,pixel1\n", "not an IDX file"),
    "three bytes": (b"\0\0\x08", "not an IDX file"),
    "png in gzip": (gzip.compress(b"\x89PNG\r\n\x1a\n"), "not an IDX file"),
    "float elements": (header(1, 1, 1, code=0x0D) + b"\0" * 4, "float32"),
    "int32 elements": (header(1, code=0x0C) + b"\0" * 4, "int32"),
    "unknown element type": (header(1, 1, 1, code=0x42) + b"\0", "0x42"),
    "no dimensions": (header() + b"\0", "0 dimensions"),
    "too many dimensions": (header(*[1] * 33) + b"\0", "33 dimensions"),
    "header cut short": (header(12, 5, 7)[:9], "within its header"),
    "zero dimension": (header(12, 0, 7), "above zero"),
    "over the limit": (header(1 << 20, 1 << 10, 1 << 10), "at most 1,073,741,824"),
    "product beyond 64 bits": (header(*[0xFFFFFFFF] * 3), "at most 1,073,741,824"),
    "product wraps to zero": (header(*[1 << 16] * 4), "at most 1,073,741,824"),
    "truncated": (GOOD[:-1], "truncated"),
    "truncated in gzip": (gzip.compress(GOOD[:-1]), "truncated"),
    "header only": (header(12, 5, 7), "truncated"),
    "trailing byte": (GOOD + b"\0", "goes on after"),
    "trailing byte in gzip": (gzip.compress(GOOD + b"\0"), "goes on after"),
    "trailing byte after gzip": (gzip.compress(GOOD) + b"!", "damaged gzip"),
    "gzip magic only": (b"\x1f\x8b", "damaged gzip"),
    "gzip cut short": (gzip.compress(GOOD)[:-12], "damaged gzip"),
    "gzip without its checksum": (gzip.compress(GOOD)[:-8], "damaged gzip"),
    "gzip of a wrong checksum": (damaged_checksum(), "damaged gzip"),
    "gzip of broken content": (damaged_stream(), "damaged gzip"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_idx_is_one_clear_error(tmp_path: Path, case: str) -> None:
    content, expected = HOSTILE[case]
    path = tmp_path / "hostile-idx3-ubyte"
    path.write_bytes(content)
    with peak_memory_below(4 << 20), pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), expected)


def test_every_truncation_and_every_flipped_byte_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    for packed in (idx(random_labels(20)), gzip.compress(idx(random_labels(20)), mtime=0)):
        for length in range(len(packed)):
            path.write_bytes(packed[:length])
            with pytest.raises(DataError):
                read_idx(path)
        for position in range(len(packed)):
            mutated = bytearray(packed)
            mutated[position] ^= 0xFF
            path.write_bytes(mutated)
            try:
                read_idx(path)
            except DataError as error:
                assert str(path) in str(error)


def test_gzip_bomb_that_declares_little_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header(1, 28, 28) + bytes(128 << 20), compresslevel=1))
    with peak_memory_below(4 << 20), pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), "goes on after the 784 bytes")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_file_that_declares_much_and_holds_little_takes_little_memory(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "boast"
    path.write_bytes(pack(header(1_000_000, 32, 32) + bytes(10)))
    with peak_memory_below(4 << 20), pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), "declares 1,024,000,000 bytes", "holds 10")


def test_max_bytes_is_inclusive(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(idx(random_labels(10)))
    assert read_idx(path, max_bytes=10).shape == (10,)
    with pytest.raises(DataError, match="at most 9"):
        read_idx(path, max_bytes=9)


def test_folder_missing_file_and_special_file_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_idx(tmp_path)
    assert_one_sentence(error, str(tmp_path), "is a folder")
    with pytest.raises(DataError) as error:
        read_idx(tmp_path / "absent")
    assert_one_sentence(error, str(tmp_path / "absent"), "does not exist")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError) as error:
            read_idx(tmp_path / "pipe")
        assert_one_sentence(error, "pipe", "not a regular file")


def test_unreadable_file_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(GOOD)

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))  # chmod does not stop the superuser

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError) as error:
        read_idx(path)
    assert_one_sentence(error, str(path), "Permission denied")


# --- Data sets ---


def test_dataset_records_which_data_it_holds() -> None:
    images, labels = random_images()[..., None], random_labels()
    dataset = Dataset("digits", images, labels, "a test")
    assert len(dataset) == 12
    assert dataset.image_shape == (5, 7, 1)
    assert dataset.sha256 == hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert Dataset("digits", images, None, "a test").sha256 == hashlib.sha256(images.tobytes()).hexdigest()
    assert Dataset("strided", images[::2], labels[::2], "a test").sha256 == (
        hashlib.sha256(images[::2].tobytes() + labels[::2].tobytes()).hexdigest()
    )


def test_dataset_cannot_be_changed_and_leaves_the_arrays_of_its_maker_alone() -> None:
    images, labels = random_images()[..., None], random_labels()
    dataset = Dataset("digits", images, labels, "a test")
    assert dataset.labels is not None
    for array in (dataset.images, dataset.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert images.flags.writeable and labels.flags.writeable


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 3, 1)),
        np.zeros((2, 3, 3), np.uint8),
        np.zeros((0, 3, 3, 1), np.uint8),
        np.zeros((2, 3, 3, 2), np.uint8),
        np.zeros((2, 3, 3, 4), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}{images.shape}",
)
def test_dataset_refuses_other_images(images: np.ndarray) -> None:
    with pytest.raises(DataError) as error:
        Dataset("odd", images, None, "a test")
    assert_one_sentence(error, "'odd'", str(images.shape))


@pytest.mark.parametrize("labels", [np.zeros(2), np.zeros(3, np.uint8), np.zeros((2, 1), np.uint8)], ids=str)
def test_dataset_refuses_other_labels(labels: np.ndarray) -> None:
    with pytest.raises(DataError) as error:
        Dataset("odd", np.zeros((2, 3, 3, 3), np.uint8), labels, "a test")
    assert_one_sentence(error, "'odd'", str(labels.shape))


# --- Folders of IDX files ---


def fill(folder: Path, files: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in files.items():
        (folder / name).write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))
    return folder


def test_directory_in_the_layout_of_mnist(tmp_path: Path) -> None:
    files = {
        "train-images-idx3-ubyte.gz": random_images(12),
        "train-labels-idx1-ubyte.gz": random_labels(12),
        "t10k-images-idx3-ubyte.gz": random_images(6),
        "t10k-labels-idx1-ubyte.gz": random_labels(6),
    }
    folder = fill(tmp_path / "fashion", files)
    (folder / "README.md").write_text("Clothes.")
    (folder / "archive").mkdir()
    for split, prefix in (("train", "train"), ("test", "t10k")):
        dataset = from_directory(folder, split)  # type: ignore[arg-type]
        np.testing.assert_array_equal(dataset.images, files[f"{prefix}-images-idx3-ubyte.gz"][..., None])
        np.testing.assert_array_equal(dataset.labels, files[f"{prefix}-labels-idx1-ubyte.gz"])
        assert dataset.name == "fashion"
        assert dataset.source == str(folder / f"{prefix}-images-idx3-ubyte.gz")


def test_directory_is_read_by_content_where_names_say_nothing(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"a.bin": random_labels(), "latest.dat": random_images()})
    for split in ("train", "test"):
        dataset = from_directory(folder, split)
        np.testing.assert_array_equal(dataset.images, random_images()[..., None])
        np.testing.assert_array_equal(dataset.labels, random_labels())


def test_directory_without_labels(tmp_path: Path) -> None:
    dataset = from_directory(fill(tmp_path, {"images": random_images()}))
    assert dataset.labels is None


def test_split_is_told_by_words_of_the_names(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"latest_trainImages": random_images(12), "greatest-test-images": random_images(6)})
    assert len(from_directory(folder, "train")) == 12
    assert len(from_directory(folder, "test")) == 6


def test_unpacked_file_beside_its_archive_is_one_candidate(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images": random_images(), "train-images.gz": random_images()})
    assert from_directory(folder).source == str(folder / "train-images")


def test_file_of_the_other_split_is_never_taken(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images-idx3-ubyte": random_images(), "t10k-labels-idx1-ubyte": random_labels()})
    assert from_directory(folder, "train").labels is None
    with pytest.raises(DataError) as error:
        from_directory(folder, "test")
    assert_one_sentence(error, str(folder), "train-images-idx3-ubyte, named for the other split", "t10k-images")


def test_damaged_file_of_the_other_split_does_no_harm(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images-idx3-ubyte": random_images()})
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b")
    assert len(from_directory(folder)) == 12


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte.gz", "labels.gz", "labels"])
def test_damaged_labels_do_not_pass_for_missing_ones(tmp_path: Path, name: str) -> None:
    folder = fill(tmp_path, {"train-images-idx3-ubyte": random_images()})
    (folder / name).write_bytes(b"")
    with pytest.raises(DataError) as error:
        from_directory(folder)
    assert_one_sentence(error, str(folder / name), "is empty")


def test_counts_that_differ_are_an_error_before_the_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path, {"images": random_images(12), "labels": random_labels(11)})
    monkeypatch.setattr("minigan.data.idx_folder.read_idx", lambda _: pytest.fail("read a whole file"))
    with pytest.raises(DataError) as error:
        from_directory(folder)
    assert_one_sentence(error, str(folder / "labels"), "11 labels", "12 images")


def test_images_under_a_labels_name_are_an_error(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images": random_images(), "train-labels": random_images()})
    with pytest.raises(DataError) as error:
        from_directory(folder)
    assert_one_sentence(error, str(folder / "train-labels"), "named as labels and holds images")


def test_labels_under_an_images_name_are_an_error(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"a": random_images(), "train-images": random_labels()})
    with pytest.raises(DataError) as error:
        from_directory(folder)
    assert_one_sentence(error, str(folder / "train-images"), "named as images and holds labels")


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_several_candidates_are_an_error(tmp_path: Path, kind: str) -> None:
    folder = fill(tmp_path, {"images": random_images(), "labels": random_labels()})
    fill(folder, {f"more-{kind}": random_images() if kind == "images" else random_labels()})
    with pytest.raises(DataError) as error:
        from_directory(folder)
    assert_one_sentence(error, str(folder), f"2 files of {kind}", f"{kind}; more-{kind}")


def test_directory_without_images_lists_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        from_directory(tmp_path)
    assert_one_sentence(error, str(tmp_path), "it is empty", "train-images-idx3-ubyte.gz")
    (tmp_path / "mnist").mkdir()
    for number in range(10):
        (tmp_path / f"photo{number}.png").write_bytes(b"\x89PNG")
    fill(tmp_path, {"colour.bin": np.zeros((2, 3, 3, 3), np.uint8)})
    with pytest.raises(DataError) as error:
        from_directory(tmp_path)
    assert_one_sentence(error, "colour.bin, IDX of 4 dimensions", "mnist/", "photo0.png", "and 4 more")


def test_missing_directory_suggests_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "something-else").mkdir()
    with pytest.raises(DataError) as error:
        from_directory(tmp_path / "mnits")
    assert_one_sentence(error, str(tmp_path / "mnits"), "did you mean 'mnist'?")
    for absent in (tmp_path / "zzz", tmp_path / "zzz" / "mnist"):
        with pytest.raises(DataError) as error:
            from_directory(absent)
        assert_one_sentence(error, str(absent), "does not exist")
        assert "did you mean" not in str(error.value)


def test_file_in_place_of_a_directory(tmp_path: Path) -> None:
    path = fill(tmp_path, {"images": random_images()}) / "images"
    with pytest.raises(DataError) as error:
        from_directory(path)
    assert_one_sentence(error, str(path), "is a file")


def test_folder_named_as_a_file_is_passed_over(tmp_path: Path) -> None:
    inner = tmp_path / "train-images-idx3-ubyte"
    inner.mkdir()
    assert len(from_directory(fill(tmp_path, {"images": random_images()}))) == 12


def test_directory_that_may_be_listed_but_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"images": random_images()})

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))  # chmod does not stop the superuser

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError) as error:
        from_directory(tmp_path)
    assert_one_sentence(error, str(tmp_path / "images"), "Permission denied")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        directory.mkdir()
    except OSError:
        pytest.skip("names are text on this file system")
    path = Path(os.fsdecode(os.fsencode(directory) + b"/images\xfe\n"))
    path.write_bytes(idx(random_images()))
    dataset = load(directory)
    assert len(dataset) == 12 and dataset.source == str(path)
    path.write_bytes(b"")
    for read in (lambda: load(directory), lambda: from_directory(directory), lambda: read_idx(path)):
        with pytest.raises(DataError):
            read()


def test_file_that_vanishes_after_its_header_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"images": random_images()})
    monkeypatch.setattr("minigan.data.idx_folder._check_agreement", lambda images, _: images.path.unlink())
    with pytest.raises(DataError) as error:
        from_directory(tmp_path)
    assert_one_sentence(error, str(tmp_path / "images"), "does not exist")


def test_special_files_in_a_folder_are_not_waited_for(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this platform has no pipes")
    fill(tmp_path, {"images": random_images()})
    os.mkfifo(tmp_path / "pipe")
    assert len(load(tmp_path)) == 12
    os.mkfifo(tmp_path / "labels")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert_one_sentence(error, str(tmp_path / "labels"), "not a regular file")


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        from_directory(tmp_path, "valid")  # type: ignore[arg-type]
    assert_one_sentence(error, "'valid'", "'train' or 'test'")


# --- The embedded digits ---


def test_embedded_digits() -> None:
    dataset = mnist.embedded()
    assert dataset.images.shape == (10_000, 28, 28, 1)
    assert dataset.images.dtype == np.uint8
    assert dataset.labels is not None
    assert dataset.labels.shape == (10_000,)
    assert np.bincount(dataset.labels).shape == (10,)
    assert np.bincount(dataset.labels).min() > 800
    assert dataset.sha256 == mnist.EMBEDDED_SHA256


def test_embedded_file_is_small_and_licensed() -> None:
    folder = Path(mnist.__file__).parent
    assert (folder / "mnist-10k.npz").stat().st_size < 2_000_000
    licence = (folder / "mnist-10k.LICENSE.txt").read_text()
    for mention in ("Yann LeCun", "Corinna Cortes", "Christopher J.C. Burges", "CC BY-SA 3.0", "licenses/by-sa/3.0/"):
        assert mention in licence


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


DAMAGED_ARCHIVES = {
    "empty": b"",
    "not an archive": b"PK, it says",
    "pickled": npz(images=np.array([{}], dtype=object), labels=np.array([1])),
    "other names": npz(x=random_images(), y=random_labels()),
    "other digits": npz(images=random_images(), labels=random_labels()),
    "other types": npz(images=np.zeros((2, 3, 3)), labels=np.zeros(2)),
}


@pytest.mark.parametrize("content", [None, *DAMAGED_ARCHIVES.values()], ids=["missing", *DAMAGED_ARCHIVES])
def test_damaged_embedded_file_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "mnist-10k.npz").write_bytes(content)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(DataError) as error:
        mnist.embedded()
    assert_one_sentence(error, "mnist-10k")
    assert "pickle" not in str(error.value)


@pytest.fixture
def real_mnist() -> Path:
    if not (root := os.environ.get("MINIGAN_DATA_DIR")):
        pytest.skip("needs the real MNIST: set MINIGAN_DATA_DIR to a folder with mnist/*.gz in it")
    return Path(root) / "mnist"


def test_embedded_digits_are_the_first_of_mnist(real_mnist: Path) -> None:
    embedded, whole = mnist.embedded(), from_directory(real_mnist)
    assert embedded.labels is not None and whole.labels is not None
    assert whole.images.shape == (60_000, 28, 28, 1)
    np.testing.assert_array_equal(embedded.images, whole.images[:10_000])
    np.testing.assert_array_equal(embedded.labels, whole.labels[:10_000])


def test_checksums_are_those_of_mnist(real_mnist: Path) -> None:
    for name, sha256 in mnist.CHECKSUMS.items():
        content = gzip.decompress((real_mnist / f"{name}.gz").read_bytes())
        assert len(content) == mnist.SIZES[name]
        assert hashlib.sha256(content).hexdigest() == sha256


def test_embedding_again_gives_the_same_arrays(real_mnist: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for output in outputs:
        printed = embed(real_mnist, output)
        assert printed.returncode == 0, printed.stderr
        assert mnist.EMBEDDED_SHA256 in printed.stdout
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    with zipfile.ZipFile(outputs[0]) as made, zipfile.ZipFile(Path(mnist.__file__).parent / "mnist-10k.npz") as kept:
        assert {entry.filename: entry.CRC for entry in made.infolist()} == {
            entry.filename: entry.CRC for entry in kept.infolist()
        }


def test_embedding_too_few_digits_is_a_clear_error(tmp_path: Path) -> None:
    printed = embed(fill(tmp_path / "few", {"images": random_images(), "labels": random_labels()}), tmp_path / "a.npz")
    assert printed.returncode == 1
    assert "12 images, expected 10,000" in printed.stderr
    assert "Traceback" not in printed.stderr
    assert not (tmp_path / "a.npz").exists()


def embed(source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "tools" / "embed_mnist.py"), str(source), "--output", str(output)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


# --- Downloads, from a server on the loopback interface ---

FAKE_MNIST = {
    "train-images-idx3-ubyte": idx(random_images(12)),
    "train-labels-idx1-ubyte": idx(random_labels(12)),
    "t10k-images-idx3-ubyte": idx(random_images(6)),
    "t10k-labels-idx1-ubyte": idx(random_labels(6)),
}
ARCHIVES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in FAKE_MNIST.items()}
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"


class Mirror:
    """A web server on 127.0.0.1 that serves `bodies`, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.bodies = dict(ARCHIVES)
        self.announced: dict[str, int | None] = {}  # lengths to announce where they are not the true ones
        self.asked: list[str] = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        self.asked.append(name)
        if name not in self.bodies:
            request.send_error(404)
            return
        request.send_response(200)
        length = self.announced.get(name, len(self.bodies[name]))
        if length is not None:
            request.send_header("Content-Length", str(length))
        request.end_headers()
        with suppress(OSError):  # the client may have had enough
            request.wfile.write(self.bodies[name])

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Mirror, Mirror]]:
    """Two mirrors of a tiny MNIST, in place of the real ones."""
    pair = (Mirror(), Mirror())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(mnist, "MIRRORS", tuple(mirror.url for mirror in pair))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in FAKE_MNIST.items()}
    monkeypatch.setattr(mnist, "CHECKSUMS", sums)
    monkeypatch.setattr(mnist, "SIZES", {name: len(content) for name, content in FAKE_MNIST.items()})
    monkeypatch.setattr(mnist, "TIMEOUT_SECONDS", 5.0)
    yield pair
    for mirror in pair:
        mirror.stop()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_download_fetches_every_file_from_the_first_mirror(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    folder = mnist.download(tmp_path / "cache", progress=False)
    assert folder == tmp_path / "cache"
    assert contents(folder) == ARCHIVES
    assert sorted(mirrors[0].asked) == sorted(ARCHIVES)
    assert mirrors[1].asked == []
    np.testing.assert_array_equal(from_directory(folder, "train").images, random_images(12)[..., None])
    np.testing.assert_array_equal(from_directory(folder, "test").labels, random_labels(6))


def test_download_goes_to_the_cache_of_minigan(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGAN_CACHE_DIR", str(tmp_path))
    assert mnist.download(progress=False) == tmp_path / "mnist"
    assert len(load(download=True)) == 12


def test_progress_is_shown_on_standard_error_only_when_wanted(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mnist.download(tmp_path / "a", progress=False)
    assert capsys.readouterr() == ("", "")
    mnist.download(tmp_path / "b")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert TRAIN_IMAGES in printed.err


def test_right_files_are_not_fetched_again_and_damaged_ones_are_replaced(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    folder = mnist.download(tmp_path, progress=False)
    mirrors[0].asked.clear()
    mnist.download(tmp_path, progress=False)
    assert mirrors[0].asked == []

    (folder / TRAIN_IMAGES).write_bytes(ARCHIVES[TRAIN_IMAGES][:-9])
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(ARCHIVES["train-labels-idx1-ubyte.gz"])
    mnist.download(tmp_path, progress=False)
    assert sorted(mirrors[0].asked) == ["t10k-labels-idx1-ubyte.gz", TRAIN_IMAGES]
    assert contents(folder) == ARCHIVES


def test_download_interrupted_between_files_goes_on_where_it_stopped(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    late = "t10k-images-idx3-ubyte.gz"
    for mirror in mirrors:
        del mirror.bodies[late]
    with pytest.raises(DataError, match="HTTP status 404"):
        mnist.download(tmp_path, progress=False)
    assert sorted(contents(tmp_path)) == [TRAIN_IMAGES, "train-labels-idx1-ubyte.gz"]

    mirrors[0].bodies[late] = ARCHIVES[late]
    mirrors[0].asked.clear()
    mnist.download(tmp_path, progress=False)
    assert mirrors[0].asked == [late, "t10k-labels-idx1-ubyte.gz"]


def test_second_mirror_serves_where_the_first_is_down_and_is_then_preferred(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    first, second = mirrors
    first.bodies.clear()
    mnist.download(tmp_path, progress=False)
    assert contents(tmp_path) == ARCHIVES
    assert first.asked == [TRAIN_IMAGES]
    assert sorted(second.asked) == sorted(ARCHIVES)


def test_mirror_that_refuses_connections_is_passed_over(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Mirror()
    gone.stop()
    monkeypatch.setattr(mnist, "MIRRORS", (gone.url, mirrors[1].url))
    mnist.download(tmp_path, progress=False)
    assert contents(tmp_path) == ARCHIVES


def zeros(size: int) -> bytes:
    return gzip.compress(bytes(size), compresslevel=1)


BAD_BODIES: dict[str, tuple[bytes, int | None, str]] = {
    "other content": (ARCHIVES["t10k-images-idx3-ubyte.gz"], None, "SHA-256"),
    "a page that asks to log in": (b"<html>Welcome to this network</html>", None, "damaged gzip"),
    "empty": (b"", 0, "SHA-256"),
    "truncated": (ARCHIVES[TRAIN_IMAGES][:-20], len(ARCHIVES[TRAIN_IMAGES]), "broke off"),
    "truncated, of unknown length": (ARCHIVES[TRAIN_IMAGES][:-20], None, "damaged gzip"),
    "too long by its own account": (b"", 1 << 40, "announces 1,099,511,627,776 bytes"),
    "too long by a little": (bytes(1461), 1461, "announces 1,461 bytes, expected at most 1,460"),  # 436 and 1,024
    "too long, of unknown length": (bytes(1461), None, "sends more than 1,460 bytes"),
    "a gzip bomb": (zeros(200_000), None, "decompresses to more than 436 bytes"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_body_is_refused_and_leaves_nothing(mirrors: tuple[Mirror, Mirror], tmp_path: Path, case: str) -> None:
    body, announced, expected = BAD_BODIES[case]
    for mirror in mirrors:
        mirror.bodies[TRAIN_IMAGES], mirror.announced[TRAIN_IMAGES] = body, announced
    with pytest.raises(DataError) as error:
        mnist.download(tmp_path / "cache", progress=False)
    assert_one_sentence(error, TRAIN_IMAGES, expected, "--data-dir", *(mirror.url for mirror in mirrors))
    assert contents(tmp_path / "cache") == {}

    mirrors[1].bodies[TRAIN_IMAGES] = ARCHIVES[TRAIN_IMAGES]
    mirrors[1].announced.clear()
    mnist.download(tmp_path / "cache", progress=False)
    assert contents(tmp_path / "cache") == ARCHIVES


def test_endless_body_is_read_no_further_than_the_limit(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    for mirror in mirrors:
        mirror.bodies[TRAIN_IMAGES], mirror.announced[TRAIN_IMAGES] = bytes(64 << 20), None
    with peak_memory_below(8 << 20), pytest.raises(DataError, match="sends more than"):
        mnist.download(tmp_path, progress=False)


def test_mirror_that_hangs_is_given_up(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    answer = Mirror._answer

    def hang(mirror: Mirror, request: http.server.BaseHTTPRequestHandler) -> None:
        if mirror is mirrors[0]:
            release.wait(10)
        else:
            answer(mirror, request)

    monkeypatch.setattr(Mirror, "_answer", hang)
    monkeypatch.setattr(mnist, "TIMEOUT_SECONDS", 0.2)
    begun = time.monotonic()
    try:
        mnist.download(tmp_path, progress=False)
    finally:
        release.set()
    assert time.monotonic() - begun < 8
    assert contents(tmp_path) == ARCHIVES


def test_mirror_that_drips_is_given_up(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte comes long before the time allowed for silence is over."""
    answer, gone = Mirror._answer, threading.Event()

    def drip(mirror: Mirror, request: http.server.BaseHTTPRequestHandler) -> None:
        if mirror is mirrors[1]:
            return answer(mirror, request)
        request.send_response(200)
        request.send_header("Content-Length", "400")
        request.end_headers()
        with suppress(OSError):
            for _ in range(400):  # a minute
                request.wfile.write(b"\0")
                if gone.wait(0.15):
                    break
        return None

    monkeypatch.setattr(Mirror, "_answer", drip)
    monkeypatch.setattr(mnist, "PATIENCE_SECONDS", 0.3)
    try:
        mnist.download(tmp_path / "cache", progress=False)
        assert contents(tmp_path / "cache") == ARCHIVES
        monkeypatch.setattr(mnist, "MIRRORS", (mirrors[0].url,))
        with pytest.raises(DataError, match=r"it sent \d+ bytes in \d+ seconds, expected at least 10,000 a second"):
            mnist.download(tmp_path / "again", progress=False)
    finally:
        gone.set()


@pytest.mark.parametrize("place", ["minigan.data.mnist._read_body", "os.replace"])
def test_keyboard_interrupt_leaves_no_file(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        mnist.download(tmp_path, progress=False)
    assert contents(tmp_path) == {}


def test_folder_that_cannot_be_written_is_a_clear_error(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError) as error:
        mnist.download(tmp_path / "cache", progress=False)
    assert_one_sentence(error, str(tmp_path / "cache" / TRAIN_IMAGES), "cannot be written")


# --- Choosing a source ---


def test_load_takes_the_embedded_digits_unless_told_otherwise(tmp_path: Path) -> None:
    assert load().sha256 == mnist.EMBEDDED_SHA256
    assert len(load(fill(tmp_path, {"images": random_images()}))) == 12


def test_load_refuses_two_sources(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load(tmp_path, download=True)
    assert_one_sentence(error, str(tmp_path), "choose one")


def test_digits_do_not_serve_where_other_pictures_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "download", lambda **_: pytest.fail("fetched what cannot serve"))
    for download in (False, True):
        with pytest.raises(UsageError) as error:
            load(download=download, image_shape=(64, 64, 3))
        assert_one_sentence(error, "needs pictures, 64 x 64 colour", "28 x 28 grey", "--data-dir")


# --- Batches ---


@pytest.mark.parametrize(("count", "batch_size"), [(1, 1), (10, 3), (12, 4), (7, 7), (100, 1)])
def test_an_epoch_takes_each_example_at_most_once(count: int, batch_size: int) -> None:
    batches = Batches(count, batch_size, seed=3)
    per_epoch = count // batch_size
    for epoch in range(4):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        taken = np.concatenate([batches.indices(step) for step in steps])
        assert len(np.unique(taken)) == len(taken) == per_epoch * batch_size
        assert taken.min() >= 0 and taken.max() < count


def test_batches_are_int64_of_the_batch_size() -> None:
    indices = Batches(10, 4, seed=0).indices(5)
    assert indices.shape == (4,)
    assert indices.dtype == np.int64


def test_batches_are_pure_in_the_step_whatever_the_order_of_calls() -> None:
    expected = [Batches(10, 3, seed=1).indices(step) for step in range(30)]
    batches = Batches(10, 3, seed=1)
    for step in np.random.default_rng(0).permutation(np.repeat(np.arange(30), 3)):
        indices = batches.indices(int(step))
        np.testing.assert_array_equal(indices, expected[step])
        indices[:] = -1  # the caller's copy: it must not reach the next call


def test_every_epoch_and_every_seed_has_its_own_order() -> None:
    epochs = [Batches(50, 50, seed=0).indices(step) for step in range(3)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])
    assert not np.array_equal(epochs[0], Batches(50, 50, seed=1).indices(0))


def test_dropped_examples_come_in_other_epochs() -> None:
    batches = Batches(10, 4, seed=0)
    assert {int(index) for step in range(20) for index in batches.indices(step)} == set(range(10))


@pytest.mark.parametrize("per_step", [2, 3, 5])
def test_a_step_of_several_batches_is_one_large_draw_where_the_data_set_is_large_enough(per_step: int) -> None:
    together, large = Batches(30, 6, seed=1, per_step=per_step), Batches(30, 6 * per_step, seed=1)
    for step in range(7):
        np.testing.assert_array_equal(together.indices(step), large.indices(step))


@pytest.mark.parametrize(("count", "batch_size", "per_step"), [(7, 3, 5), (6, 6, 2), (10, 4, 3), (1, 1, 9)])
def test_a_step_that_needs_more_examples_than_there_are_takes_them_from_epoch_after_epoch(
    count: int, batch_size: int, per_step: int
) -> None:
    """Step by step the very batches of steps of one batch each, whatever the order of calls."""
    steps, single = Batches(count, batch_size, seed=4, per_step=per_step), Batches(count, batch_size, seed=4)
    for step in (3, 0, 8, 1, 3):
        batches = steps.indices(step).reshape(per_step, batch_size)
        for i, batch in enumerate(batches):
            np.testing.assert_array_equal(batch, single.indices(step * per_step + i))
            assert len(np.unique(batch)) == batch_size


def test_a_step_without_batches_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        Batches(10, 3, seed=0, per_step=0)
    assert_one_sentence(error, "the number of batches in a step is 0")


@pytest.mark.parametrize(("count", "batch_size"), [(10, 0), (10, -1), (10, 11), (0, 1)])
def test_impossible_batch_sizes_are_refused(count: int, batch_size: int) -> None:
    with pytest.raises(UsageError) as error:
        Batches(count, batch_size, seed=0)
    assert_one_sentence(error, f"the batch size is {batch_size}")


def test_negative_step_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        Batches(10, 3, seed=0).indices(-1)
    assert_one_sentence(error, "-1")


# --- Feed ---


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_feed_gives_the_chosen_pictures_in_the_range(channels: int, value_range: tuple[float, float]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 5, channels), dtype=np.uint8)
    dataset, (low, high) = Dataset("odd", images, None, "a test"), value_range
    for step in (0, 3):
        expected = low + images[Batches(9, 4, seed=2).indices(step)] / 255 * (high - low)
        batch = ImageBatches(dataset, 4, 2, value_range, "float64", flat=False).batch(step).numpy()
        assert batch.dtype == np.float64
        np.testing.assert_allclose(batch, expected, rtol=0, atol=1e-15)
        flat = ImageBatches(dataset, 4, 2, value_range, "float64", flat=True).batch(step).numpy()
        np.testing.assert_array_equal(flat, batch.reshape(4, -1))


@pytest.mark.parametrize("flat", [True, False])
def test_feed_never_waits_for_the_device(flat: bool) -> None:
    dataset = Dataset("odd", np.arange(72, dtype=np.uint8).reshape(6, 2, 2, 3), None, "a test")
    expected = ImageBatches(dataset, 2, 0, (-1.0, 1.0), "float32", flat=flat).batch(1).numpy()
    try:
        mg.use(backend.Backend("strict", strict_device))
        feed = ImageBatches(dataset, 2, 0, (-1.0, 1.0), "float32", flat=flat)
        with strict_device.count_synchronisations() as waits:
            batch = feed.batch(1)
        assert waits.count == 0
        assert type(batch.data) is strict_device.ndarray
        np.testing.assert_array_equal(batch.numpy(), expected)
    finally:
        backend.by_array_type.pop(strict_device.ndarray, None)
