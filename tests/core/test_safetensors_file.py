"""Files of arrays: what is saved is read again, equal content gives equal bytes, and a damaged header is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from minigan.core import safetensors_file

ARRAYS: dict[str, np.ndarray] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not in row-major order
    "b": np.array(-1.5),
    "c": np.array([2**40, -1], np.int64),
    "d": np.zeros((0, 4), np.uint8),
}
NOTE = {"text": "é", "number": 1.5, "none": None}


def read(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    with path.open("rb") as file:
        note, stored = safetensors_file.read_header(file)
        return note, {name: array.read(file) for name, array in stored.items()}


def same(some: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> None:
    assert some.keys() == others.keys()
    for name, array in some.items():
        assert array.dtype == others[name].dtype
        np.testing.assert_array_equal(array, others[name])


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    safetensors_file.save(tmp_path / "one", ARRAYS, NOTE)
    note, arrays = read(tmp_path / "one")
    assert note == NOTE
    same(arrays, ARRAYS)
    same(safetensors.numpy.load_file(tmp_path / "one"), ARRAYS)  # an ordinary file of its kind
    safetensors_file.save(tmp_path / "two", dict(reversed(ARRAYS.items())), dict(reversed(NOTE.items())))
    assert (tmp_path / "two").read_bytes() == (tmp_path / "one").read_bytes()


def file_with(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def with_arrays(**arrays: Any) -> dict[str, Any]:
    return {"__metadata__": {"minigan": "{}"}, **arrays}


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "header would take"),
        ((1 << 62).to_bytes(8, "little"), "header would take"),
        (file_with(b"no JSON"), "."),
        (file_with(b"\xff\xff"), "utf-8"),
        (file_with({}), "lacks entries that minigan writes"),
        (file_with([]), "."),
        (file_with({"__metadata__": {"minigan": 1}}), "."),
        (file_with(with_arrays(a=3)), "."),
        (file_with(with_arrays(a=F32 | {"dtype": "BF16"}), bytes(4)), "of no type"),
        (file_with(with_arrays(a=F32 | {"shape": [-1]}), bytes(4)), "whole numbers"),
        (file_with(with_arrays(a=F32 | {"shape": [1] * 33}), bytes(4)), "33 axes"),
        (file_with(with_arrays(a=F32, b=F32), bytes(8)), "does not lie where"),
        (file_with(with_arrays(a=F32), bytes(3)), "its arrays end at"),
        (file_with(with_arrays(a=F32), bytes(5)), "its arrays end at"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=part):
        read(tmp_path / "a")
