"""MNIST: ten thousand digits that come with the package, and the whole set from its public mirrors."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import importlib.resources
import io
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minigan.data.dataset import Dataset, ImageShape
from minigan.data.directory import from_directory
from minigan.errors import DataError
from minigan.files import atomic_path
from minigan_kernels.cache import cache_directory

__all__ = ["CHECKSUMS", "IMAGE_SHAPE", "MIRRORS", "download", "embedded", "from_directory"]

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

EMBEDDED_SHA256 = "2e49afdffc567fd5f9f306a04e2bafced2432146ae04f4b9a58b25505ba05b2e"
"""The `Dataset.sha256` of the digits in the package."""

MAX_DOWNLOAD_BYTES = 16 << 20
MAX_DECOMPRESSED_BYTES = 64 << 20
TIMEOUT_SECONDS = 30.0

_EMBEDDED_FILE = "mnist-10k.npz"
_CHUNK_BYTES = 1 << 16


def embedded() -> Dataset:
    """The first 10,000 training images of MNIST, (10000, 28, 28, 1), with labels, from the package itself.

    Raises DataError where the file in the package is missing or damaged.
    """
    try:
        with (
            importlib.resources.files("minigan.data").joinpath(_EMBEDDED_FILE).open("rb") as stream,
            np.load(stream, allow_pickle=False) as arrays,
        ):
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy's own words would advise to unpickle what is no archive.
        raise DataError(
            f"{_EMBEDDED_FILE}, which comes with minigan, is missing or damaged, expected an archive of its digits; "
            "reinstall minigan"
        ) from error
    dataset = Dataset("mnist-10k", images[..., None], labels, f"{_EMBEDDED_FILE} in the package")
    if dataset.sha256 != EMBEDDED_SHA256:
        raise DataError(
            f"{_EMBEDDED_FILE}, which comes with minigan, is damaged: its SHA-256 is {dataset.sha256}, expected "
            f"{EMBEDDED_SHA256}; reinstall minigan"
        )
    return dataset


def download(cache: Path | None = None, *, progress: bool = True) -> Path:
    """Fetch the four files of MNIST (11.4 MB) and return the folder that holds them, for `from_directory`.

    The folder is `cache`, or else `mnist` in minigan's cache. Files already there with the right content are
    kept, damaged ones replaced; a file is written only once its checksum is right. `progress` shows a bar a file
    on standard error.

    Raises DataError where no mirror delivers a file, or the folder cannot be written.
    """
    folder = _default_cache() if cache is None else Path(cache)
    mirrors = list(MIRRORS)
    for name, sha256 in CHECKSUMS.items():
        target = folder / f"{name}.gz"
        if _is_cached(target, sha256):
            continue
        body, mirror = _fetch_from_any(mirrors, target.name, sha256, progress)
        # The next file goes first to the mirror that works, rather than wait again for one that does not.
        mirrors.sort(key=lambda candidate: candidate != mirror)
        _store(target, body)
    return folder


def _default_cache() -> Path:
    try:
        return cache_directory("mnist")
    except OSError as error:
        raise DataError(str(error)) from error


def _is_cached(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as stream:
            _check_content(stream.read(MAX_DOWNLOAD_BYTES), sha256)
    except (OSError, DataError):
        return False
    return True


def _fetch_from_any(mirrors: list[str], filename: str, sha256: str, progress: bool) -> tuple[bytes, str]:
    """The content of `filename` and the first of `mirrors` to deliver it."""
    failures = []
    for mirror in mirrors:
        try:
            body = _fetch(mirror + filename, progress)
            _check_content(body, sha256)
        except (OSError, http.client.HTTPException, DataError) as error:
            failures.append(f"{mirror}: {_reason(error)}")
        else:
            return body, mirror
    raise DataError(
        f"{filename} could not be downloaded from any mirror ({'; '.join(failures)}), expected the MNIST file; "
        "try again later, or fetch the four MNIST files some other way and name their folder with --data-dir"
    )


def _fetch(url: str, progress: bool) -> bytes:
    """The body at `url`. Held in memory, for it is small, so that nothing unchecked ever reaches the disk."""
    request = urllib.request.Request(url, headers={"User-Agent": "minigan"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        announced: int | None = response.length  # counts down while the body is read
        if announced is not None and announced > MAX_DOWNLOAD_BYTES:
            raise DataError(f"it announces {announced:,} bytes, expected at most {MAX_DOWNLOAD_BYTES:,}")
        body = _read_body(response, announced, url.rpartition("/")[2], progress)
    if len(body) > MAX_DOWNLOAD_BYTES:
        raise DataError(f"it sends more than {MAX_DOWNLOAD_BYTES:,} bytes")
    if announced is not None and len(body) < announced:
        raise DataError(f"it broke off after {len(body):,} of {announced:,} bytes")
    return body


def _read_body(response: http.client.HTTPResponse, announced: int | None, title: str, progress: bool) -> bytes:
    """The body of `response`, up to one byte more than is allowed."""
    body = bytearray()
    with tqdm(total=announced, desc=title, unit="B", unit_scale=True, disable=not progress) as bar:
        while chunk := response.read(min(_CHUNK_BYTES, MAX_DOWNLOAD_BYTES + 1 - len(body))):
            body += chunk
            bar.update(len(chunk))
    return bytes(body)


def _check_content(body: bytes, sha256: str) -> None:
    """Raise DataError unless `body` decompresses to what has the digest `sha256`."""
    digest, size = hashlib.sha256(), 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                if size > MAX_DECOMPRESSED_BYTES:
                    raise DataError(f"it decompresses to more than {MAX_DECOMPRESSED_BYTES:,} bytes")
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"it sends a damaged gzip file, {error}") from error
    if digest.hexdigest() != sha256:
        raise DataError(f"the decompressed SHA-256 is {digest.hexdigest()}, expected {sha256}")


def _reason(error: Exception) -> str:
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
