"""Which source of data `load` chooses."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.idx_files import assert_one_sentence, fill, random_images

from minigan.core.errors import UsageError
from minigan.data import load, mnist


def test_load_uses_the_embedded_digits_by_default(tmp_path: Path) -> None:
    assert load().sha256 == mnist.EMBEDDED_SHA256
    assert len(load(fill(tmp_path, {"images": random_images()}))) == 12


def test_load_refuses_two_sources(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load(tmp_path, download=True)
    assert_one_sentence(error, str(tmp_path), "choose one")


def test_digits_are_refused_if_another_shape_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "download", lambda **_: pytest.fail("fetched what cannot serve"))
    for download in (False, True):
        with pytest.raises(UsageError) as error:
            load(download=download, image_shape=(64, 64, 3))
        assert_one_sentence(error, "needs pictures, 64 x 64 colour", "28 x 28 grey", "--data-dir")
