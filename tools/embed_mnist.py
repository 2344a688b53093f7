"""Make minigan/data/mnist-10k.npz, the digits that come with the package, from the IDX files of MNIST."""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from minigan.core.errors import DataError, MiniganError
from minigan.core.files import atomic_path
from minigan.data.dataset import Dataset
from minigan.data.idx_folder import from_idx_folder

COUNT = 10_000
PACKAGE_FILE = Path(__file__).resolve().parent.parent / "minigan" / "data" / "mnist-10k.npz"


def main() -> int:
    """Embed, and print what `EMBEDDED_SHA256` in minigan/data/mnist.py must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, metavar="SOURCE_DIR", help="folder of the MNIST training IDX files")
    parser.add_argument("--output", type=Path, default=PACKAGE_FILE, help="file to write (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        images, labels = _first(from_idx_folder(arguments.source), COUNT)
    except MiniganError as error:
        print(f"embed_mnist: {error}", file=sys.stderr)
        return 1
    _write(arguments.output, {"images": images, "labels": labels})
    sha256 = Dataset(images[..., None], labels).sha256
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes, SHA-256 of the arrays {sha256}")
    return 0


def _first(dataset: Dataset, count: int) -> tuple[np.ndarray, np.ndarray]:
    if dataset.labels is None or len(dataset) < count:
        raise DataError(
            f"{dataset.source} holds {len(dataset):,} images, expected {count:,} with labels; name the folder of MNIST"
        )
    return dataset.images[:count, :, :, 0], dataset.labels[:count]


def _write(target: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz as np.savez_compressed would write, at the best level and with no date in it."""
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, stream.getvalue(), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)


if __name__ == "__main__":
    sys.exit(main())
