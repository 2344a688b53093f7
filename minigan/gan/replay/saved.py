"""A copy of arrays that does not count towards the peak memory of training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

_LARGEST_IN_MEMORY = 1 << 20  # bytes


class SavedArrays:
    """The present numbers of `arrays`, until `restore` writes them back.

    Large NumPy arrays go to a temporary file, which the system removes when it is closed or the process ends. Other
    arrays are copied in memory, and so are all if no such file can be written.
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._large = [x for x in arrays if _is_large(x)]
        self._copies = [(x, x.copy()) for x in arrays if not _is_large(x)]
        self._file: Any = None
        if not self._large:
            return
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `restore` closes it
            for x in self._large:
                self._file.write(_as_bytes(x))
            self._file.flush()
        except OSError:  # no space, or no folder for temporary files
            self._close()
            self._copies += [(x, x.copy()) for x in self._large]
            self._large = []

    def restore(self) -> None:
        """Write all numbers back into the arrays, and forget them. Raises OSError if the file cannot be read.

        Ctrl-C must not leave half of them: the KeyboardInterrupt is raised when all have been written.
        """
        try:
            self._write_back()
        except KeyboardInterrupt:
            self.restore()
            raise
        finally:
            self._copies = []
            self._close()

    def _write_back(self) -> None:
        for x, values in self._copies:
            x[...] = values
        if self._file is None:
            return
        self._file.seek(0)
        for x in self._large:
            if self._file.readinto(_as_bytes(x)) != x.nbytes:
                raise OSError("a temporary file with the state of the training was cut off")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_large(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.nbytes > _LARGEST_IN_MEMORY and x.flags.carray


def _as_bytes(x: np.ndarray) -> memoryview:
    return x.reshape(-1).view(np.uint8).data
