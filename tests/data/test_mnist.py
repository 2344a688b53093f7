"""MNIST: the embedded digits, and downloads from a server on the loopback interface."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.idx_files import assert_one_sentence, fill, idx, peak_memory_below, random_images, random_labels

from minigan.core.errors import DataError
from minigan.data import load, mnist
from minigan.data.idx_folder import from_idx_folder

REPOSITORY = Path(__file__).resolve().parents[2]


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
    embedded, whole = mnist.embedded(), from_idx_folder(real_mnist)
    assert embedded.labels is not None and whole.labels is not None
    assert whole.images.shape == (60_000, 28, 28, 1)
    np.testing.assert_array_equal(embedded.images, whole.images[:10_000])
    np.testing.assert_array_equal(embedded.labels, whole.labels[:10_000])


def test_checksums_are_those_of_mnist(real_mnist: Path) -> None:
    for name, sha256 in mnist.CHECKSUMS.items():
        content = gzip.decompress((real_mnist / f"{name}.gz").read_bytes())
        assert len(content) == mnist.SIZES[name]
        assert hashlib.sha256(content).hexdigest() == sha256


@pytest.mark.slow
def test_embedding_again_gives_the_same_arrays(real_mnist: Path, tmp_path: Path) -> None:
    printed = embed(real_mnist, tmp_path / "a.npz")
    assert printed.returncode == 0, printed.stderr
    assert mnist.EMBEDDED_SHA256 in printed.stdout
    with (
        zipfile.ZipFile(tmp_path / "a.npz") as made,
        zipfile.ZipFile(Path(mnist.__file__).parent / "mnist-10k.npz") as kept,
    ):
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


FAKE_MNIST = {
    "train-images-idx3-ubyte": idx(random_images(12)),
    "train-labels-idx1-ubyte": idx(random_labels(12)),
    "t10k-images-idx3-ubyte": idx(random_images(6)),
    "t10k-labels-idx1-ubyte": idx(random_labels(6)),
}
ARCHIVES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in FAKE_MNIST.items()}
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"


class Mirror:
    """A web server on 127.0.0.1 that serves `bodies`, and records the requests."""

    def __init__(self) -> None:
        self.bodies = dict(ARCHIVES)
        self.announced: dict[str, int | None] = {}  # Content-Length, if it is not the true length
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
        with suppress(OSError):  # the client may have closed the connection
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
    np.testing.assert_array_equal(from_idx_folder(folder, "train").images, random_images(12)[..., None])
    np.testing.assert_array_equal(from_idx_folder(folder, "test").labels, random_labels(6))


def test_download_goes_to_the_cache_of_minigan(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGAN_CACHE_DIR", str(tmp_path))
    assert mnist.download(progress=False) == tmp_path / "mnist"
    assert len(load(download=True)) == 12


def test_progress_is_shown_on_standard_error_only_when_wanted(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minigan.core.progress.SECONDS_BETWEEN_LINES", 0.0)
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


@pytest.mark.slow
def test_mirror_that_drips_is_given_up(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte arrives long before the timeout of a single read."""
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
