"""Folders of IDX files: which file holds the images, which the labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from support.idx_files import assert_one_sentence, fill, idx, random_images, random_labels

from minigan.core.errors import DataError, UsageError
from minigan.data import load
from minigan.data.idx import read_idx
from minigan.data.idx_folder import from_idx_folder


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
        dataset = from_idx_folder(folder, split)  # type: ignore[arg-type]
        np.testing.assert_array_equal(dataset.images, files[f"{prefix}-images-idx3-ubyte.gz"][..., None])
        np.testing.assert_array_equal(dataset.labels, files[f"{prefix}-labels-idx1-ubyte.gz"])
        assert dataset.name == "fashion"
        assert dataset.source == str(folder / f"{prefix}-images-idx3-ubyte.gz")


def test_directory_is_read_by_content_if_names_are_neutral(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"a.bin": random_labels(), "latest.dat": random_images()})
    for split in ("train", "test"):
        dataset = from_idx_folder(folder, split)
        np.testing.assert_array_equal(dataset.images, random_images()[..., None])
        np.testing.assert_array_equal(dataset.labels, random_labels())


def test_directory_without_labels(tmp_path: Path) -> None:
    dataset = from_idx_folder(fill(tmp_path, {"images": random_images()}))
    assert dataset.labels is None


def test_split_is_recognised_by_words_in_the_names(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"latest_trainImages": random_images(12), "greatest-test-images": random_images(6)})
    assert len(from_idx_folder(folder, "train")) == 12
    assert len(from_idx_folder(folder, "test")) == 6


def test_unpacked_file_beside_its_archive_is_one_candidate(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images": random_images(), "train-images.gz": random_images()})
    assert from_idx_folder(folder).source == str(folder / "train-images")


def test_file_of_the_other_split_is_never_used(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images-idx3-ubyte": random_images(), "t10k-labels-idx1-ubyte": random_labels()})
    assert from_idx_folder(folder, "train").labels is None
    with pytest.raises(DataError) as error:
        from_idx_folder(folder, "test")
    assert_one_sentence(error, str(folder), "train-images-idx3-ubyte, named for the other split", "t10k-images")


def test_damaged_file_of_the_other_split_is_ignored(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images-idx3-ubyte": random_images()})
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b")
    assert len(from_idx_folder(folder)) == 12


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte.gz", "labels.gz", "labels"])
def test_damaged_labels_are_not_treated_as_missing(tmp_path: Path, name: str) -> None:
    folder = fill(tmp_path, {"train-images-idx3-ubyte": random_images()})
    (folder / name).write_bytes(b"")
    with pytest.raises(DataError) as error:
        from_idx_folder(folder)
    assert_one_sentence(error, str(folder / name), "is empty")


def test_counts_that_differ_are_an_error_before_the_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path, {"images": random_images(12), "labels": random_labels(11)})
    monkeypatch.setattr("minigan.data.idx_folder.read_idx", lambda _: pytest.fail("read a whole file"))
    with pytest.raises(DataError) as error:
        from_idx_folder(folder)
    assert_one_sentence(error, str(folder / "labels"), "11 labels", "12 images")


def test_images_under_a_labels_name_are_an_error(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"train-images": random_images(), "train-labels": random_images()})
    with pytest.raises(DataError) as error:
        from_idx_folder(folder)
    assert_one_sentence(error, str(folder / "train-labels"), "named as labels and holds images")


def test_labels_under_an_images_name_are_an_error(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"a": random_images(), "train-images": random_labels()})
    with pytest.raises(DataError) as error:
        from_idx_folder(folder)
    assert_one_sentence(error, str(folder / "train-images"), "named as images and holds labels")


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_several_candidates_are_an_error(tmp_path: Path, kind: str) -> None:
    folder = fill(tmp_path, {"images": random_images(), "labels": random_labels()})
    fill(folder, {f"more-{kind}": random_images() if kind == "images" else random_labels()})
    with pytest.raises(DataError) as error:
        from_idx_folder(folder)
    assert_one_sentence(error, str(folder), f"2 files of {kind}", f"{kind}; more-{kind}")


def test_directory_without_images_lists_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        from_idx_folder(tmp_path)
    assert_one_sentence(error, str(tmp_path), "it is empty", "train-images-idx3-ubyte.gz")
    (tmp_path / "mnist").mkdir()
    for number in range(10):
        (tmp_path / f"photo{number}.png").write_bytes(b"\x89PNG")
    fill(tmp_path, {"colour.bin": np.zeros((2, 3, 3, 3), np.uint8)})
    with pytest.raises(DataError) as error:
        from_idx_folder(tmp_path)
    assert_one_sentence(error, "colour.bin, IDX of 4 dimensions", "mnist/", "photo0.png", "and 4 more")


def test_missing_directory_suggests_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "something-else").mkdir()
    with pytest.raises(DataError) as error:
        from_idx_folder(tmp_path / "mnits")
    assert_one_sentence(error, str(tmp_path / "mnits"), "did you mean 'mnist'?")
    for absent in (tmp_path / "zzz", tmp_path / "zzz" / "mnist"):
        with pytest.raises(DataError) as error:
            from_idx_folder(absent)
        assert_one_sentence(error, str(absent), "does not exist")
        assert "did you mean" not in str(error.value)


def test_file_in_place_of_a_directory(tmp_path: Path) -> None:
    path = fill(tmp_path, {"images": random_images()}) / "images"
    with pytest.raises(DataError) as error:
        from_idx_folder(path)
    assert_one_sentence(error, str(path), "is a file")


def test_folder_named_like_a_file_is_ignored(tmp_path: Path) -> None:
    inner = tmp_path / "train-images-idx3-ubyte"
    inner.mkdir()
    assert len(from_idx_folder(fill(tmp_path, {"images": random_images()}))) == 12


def test_directory_that_may_be_listed_but_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"images": random_images()})

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))  # chmod does not stop the superuser

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError) as error:
        from_idx_folder(tmp_path)
    assert_one_sentence(error, str(tmp_path / "images"), "Permission denied")


def test_names_that_are_not_text(tmp_path: Path) -> None:
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
    for read in (lambda: load(directory), lambda: from_idx_folder(directory), lambda: read_idx(path)):
        with pytest.raises(DataError):
            read()


def test_file_that_vanishes_after_its_header_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"images": random_images()})
    monkeypatch.setattr("minigan.data.idx_folder._check_agreement", lambda images, _: images.path.unlink())
    with pytest.raises(DataError) as error:
        from_idx_folder(tmp_path)
    assert_one_sentence(error, str(tmp_path / "images"), "does not exist")


def test_special_files_in_a_folder_do_not_block(tmp_path: Path) -> None:
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
        from_idx_folder(tmp_path, "valid")  # type: ignore[arg-type]
    assert_one_sentence(error, "'valid'", "'train' or 'test'")
