"""Saved arrays come back bit for bit, from a file or, where none can be written, from memory."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import pytest

from minigan.gan.replay.saved import SavedArrays


def _arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = (3, 300_001, 0, 1 << 18, (1 << 18) + 1)
    arrays = [rng.standard_normal(size).astype(dtype) for size in sizes for dtype in ("float32", "float64")]
    return [*arrays, np.zeros((), np.int64), rng.standard_normal((900, 901)).T, arrays[1].view(np.uint8)]


def _check(arrays: list[np.ndarray]) -> None:
    expected = [x.tobytes() for x in arrays]
    saved = SavedArrays(arrays)
    for x in arrays:
        x[...] = 7
    saved.restore()
    assert [x.tobytes() for x in arrays] == expected


def test_saved_arrays_are_restored() -> None:
    _check(_arrays())


def test_without_a_temporary_file_arrays_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk:
        closed = False

        def write(self, data: Any) -> None:
            raise OSError("no space left on device")

        def close(self) -> None:
            self.closed = True

    disk = FullDisk()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: disk)
    _check(_arrays())
    assert disk.closed


def test_a_file_that_was_cut_off_is_an_error() -> None:
    x = np.ones(1 << 20)
    saved = SavedArrays([x])
    saved._file.truncate(1000)
    with pytest.raises(OSError, match="cut off"):
        saved.restore()


@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupt_of_restoring_leaves_no_array_out(interrupts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = _arrays()
    expected = [x.tobytes() for x in arrays]
    saved = SavedArrays(arrays)
    for x in arrays:
        x[...] = 7
    as_bytes, calls = SavedArrays.restore.__globals__["_as_bytes"], []

    def interrupted(x: np.ndarray) -> memoryview:
        calls.append(x)
        if len(calls) in (2, 3)[:interrupts]:
            raise KeyboardInterrupt
        return as_bytes(x)

    monkeypatch.setitem(SavedArrays.restore.__globals__, "_as_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saved.restore()
    assert [x.tobytes() for x in arrays] == expected
