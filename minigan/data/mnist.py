"""MNIST: the ten thousand digits in the package, and a download of the whole set from public mirrors."""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import io
import time
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigan.core import progress as progress_bar
from minigan.core.errors import DataError
from minigan.core.files import atomic_path
from minigan.data.dataset import Dataset, ImageShape
from minigan_kernels.cache import cache_directory

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["CHECKSUMS", "IMAGE_SHAPE", "MIRRORS", "SIZES", "download", "embedded"]

IMAGE_SHAPE: ImageShape = (28, 28, 1)
"""(height, width, channels) of every digit of MNIST."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Where `download` looks for each file, in this order."""

CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The SHA-256 of each file of MNIST once decompressed; the mirrors serve them as NAME.gz."""

SIZES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
"""The bytes of each file of MNIST once decompressed."""

EMBEDDED_SHA256 = "2e49afdffc567fd5f9f306a04e2bafced2432146ae04f4b9a58b25505ba05b2e"
"""The `Dataset.sha256` of the digits in the package."""

TIMEOUT_SECONDS = 30.0
"""After so many seconds without a byte `download` turns to the next mirror."""

PATIENCE_SECONDS, MIN_BYTES_PER_SECOND = 30.0, 10_000
"""`download` turns to the next mirror if, after so many seconds, one has sent fewer bytes a second on average."""

_EMBEDDED_FILE = "mnist-10k.npz"
_CHUNK_BYTES = 1 << 16


def embedded() -> Dataset:
    """The first 10,000 training images of MNIST, (10000, 28, 28, 1), with labels, from the package itself.

    Raises DataError if the file in the package is missing or damaged.
    """
    try:
        with (
            importlib.resources.files("minigan.data").joinpath(_EMBEDDED_FILE).open("rb") as stream,
            np.load(stream, allow_pickle=False) as arrays,
        ):
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy's message would advise unpickling a file that is not an archive.
        raise DataError(
            f"{_EMBEDDED_FILE}, which comes with minigan, is missing or damaged, expected an archive of its digits; "
            "reinstall minigan"
        ) from error
    dataset = Dataset(images[..., None], labels, name="mnist-10k", source=f"{_EMBEDDED_FILE} in the package")
    if dataset.sha256 != EMBEDDED_SHA256:
        raise DataError(
            f"{_EMBEDDED_FILE}, which comes with minigan, is damaged: its SHA-256 is {dataset.sha256}, expected "
            f"{EMBEDDED_SHA256}; reinstall minigan"
        )
    return dataset


def download(cache: Path | None = None, *, progress: bool = True) -> Path:
    """Download the four files of MNIST (11.4 MB) and return their folder, for `from_idx_folder`.

    The folder is `cache`, or by default `mnist` in minigan's cache. Files with the right content are kept, damaged ones
    are replaced; a file is written only after its checksum was verified. `progress` shows a bar for each file on
    standard error.

    Raises DataError if no mirror delivers a file, or if the folder cannot be written.
    """
    folder = _default_cache() if cache is None else Path(cache)
    mirrors = list(MIRRORS)
    for name, sha256 in CHECKSUMS.items():
        target = folder / f"{name}.gz"
        if _is_cached(target, sha256, SIZES[name]):
            continue
        body, mirror = _download_from_any(mirrors, target.name, sha256, SIZES[name], progress)
        # Ask the mirror that works first for the next file, instead of waiting again for one that does not.
        mirrors.sort(key=lambda candidate: candidate != mirror)
        _store(target, body)
    return folder


def _default_cache() -> Path:
    try:
        return cache_directory("mnist")
    except OSError as error:
        raise DataError(str(error)) from error


def _is_cached(path: Path, sha256: str, size: int) -> bool:
    try:
        with path.open("rb") as stream:
            _check_content(stream.read(_largest_gzip(size)), sha256, size)
    except (OSError, DataError):
        return False
    return True


def _largest_gzip(size: int) -> int:
    """The largest gzip file of `size` bytes: incompressible data are stored in blocks, each with a header."""
    return size + size // 1000 + 1024


def _download_from_any(mirrors: list[str], filename: str, sha256: str, size: int, progress: bool) -> tuple[bytes, str]:
    """The content of `filename`, of `size` bytes once decompressed, and the first of `mirrors` that delivers it."""
    from http.client import HTTPException  # imported here, as below, because only a download needs it

    failures = []
    for mirror in mirrors:
        try:
            body = _download(mirror + filename, _largest_gzip(size), progress)
            _check_content(body, sha256, size)
        except (OSError, HTTPException, DataError) as error:
            failures.append(f"{mirror}: {_reason(error)}")
        else:
            return body, mirror
    raise DataError(
        f"{filename} could not be downloaded from any mirror ({'; '.join(failures)}), expected the MNIST file; "
        "try again later, or fetch the four MNIST files some other way and name their folder with --data-dir"
    )


def _download(url: str, limit: int, progress: bool) -> bytes:
    """The body at `url`, up to `limit` bytes. It stays in memory until its checksum is verified."""
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "minigan"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        announced: int | None = response.length
        if announced is not None and announced > limit:
            raise DataError(f"it announces {announced:,} bytes, expected at most {limit:,}")
        body = _read_body(response, announced, limit, url.rpartition("/")[2], progress)
    if len(body) > limit:
        raise DataError(f"it sends more than {limit:,} bytes")
    if announced is not None and len(body) < announced:
        raise DataError(f"it broke off after {len(body):,} of {announced:,} bytes")
    return body


def _read_body(response: HTTPResponse, announced: int | None, limit: int, title: str, progress: bool) -> bytes:
    """The body of `response`, up to one byte more than `limit`; raises DataError if it comes too slowly."""
    body, end, start = bytearray(), limit + 1 if announced is None else announced, time.monotonic()
    with progress_bar.bar(not progress, total=announced, desc=title, unit="B", unit_scale=True) as bar:
        # `read1` returns what has arrived: a whole chunk might never arrive.
        while len(body) < end and (chunk := response.read1(min(_CHUNK_BYTES, end - len(body)))):
            body += chunk
            bar.update(len(chunk))
            seconds = time.monotonic() - start
            if len(body) < end and seconds > PATIENCE_SECONDS and len(body) < MIN_BYTES_PER_SECOND * seconds:
                raise DataError(
                    f"it sent {len(body):,} bytes in {seconds:.0f} seconds, expected at least {MIN_BYTES_PER_SECOND:,} "
                    "a second"
                )
    return bytes(body)


def _check_content(body: bytes, sha256: str, size: int) -> None:
    """Raise DataError unless `body` decompresses to `size` bytes with the digest `sha256`."""
    digest, length = hashlib.sha256(), 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                length += len(chunk)
                if length > size:
                    raise DataError(f"it decompresses to more than {size:,} bytes")
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"it sends a damaged gzip file, {error}") from error
    if digest.hexdigest() != sha256:
        raise DataError(f"the decompressed SHA-256 is {digest.hexdigest()}, expected {sha256}")


def _reason(error: Exception) -> str:
    """Why a mirror failed, in a few words."""
    import urllib.error

    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _store(target: Path, body: bytes) -> None:
    try:
        with atomic_path(target) as temporary:
            temporary.write_bytes(body)
    except OSError as error:
        raise DataError(
            f"{target} cannot be written ({error.strerror or error}), expected a writable folder with room for it; "
            "set MINIGAN_CACHE_DIR to another one"
        ) from error
