"""A data set of what a user has: arrays and files of arrays, folders of pictures by class, damaged files."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.idx_files import assert_one_sentence, fill, idx, peak_memory_below, random_images, random_labels

from minigan.autodiff import Tensor
from minigan.core.errors import DataError, UsageError
from minigan.data import Dataset, array_file, as_dataset, load

VALUES = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_a_data_set_is_returned_as_it_is() -> None:
    dataset = Dataset(VALUES)
    assert as_dataset(dataset) is dataset


@pytest.mark.parametrize("source", [VALUES, Tensor(VALUES), VALUES.tolist()], ids=["array", "tensor", "list"])
def test_arrays_and_what_becomes_one(source: Any) -> None:
    np.testing.assert_array_equal(as_dataset(source).examples, VALUES)
    labelled = as_dataset((source, [3, 1, 2, 0, 4]))
    np.testing.assert_array_equal(labelled.examples, VALUES)
    np.testing.assert_array_equal(labelled.labels, [3, 1, 2, 0, 4])


def test_a_tuple_is_a_pair() -> None:
    with pytest.raises(UsageError) as error:
        as_dataset((VALUES, VALUES, VALUES))
    assert_one_sentence(error, "tuple of 3", "(examples, labels)")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "u1", "<i4"])
def test_npy_files(tmp_path: Path, kind: str, order: Any) -> None:
    values = np.asarray(np.arange(24).reshape(4, 3, 2), kind, order=order)
    np.save(tmp_path / "some.values.npy", values)
    dataset = as_dataset(str(tmp_path / "some.values.npy"))
    np.testing.assert_array_equal(dataset.examples, values)
    assert (dataset.name, dataset.source) == ("some", str(tmp_path / "some.values.npy"))
    assert dataset.sha256 == Dataset(values).sha256
    assert not dataset.examples.flags.writeable


def test_a_npy_file_is_read_when_it_is_used(tmp_path: Path) -> None:
    large = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (4000, 64, 64, 3))  # 49 MB
    del large
    with peak_memory_below(10_000_000):
        batches = as_dataset(tmp_path / "x.npy").batches(16)
        assert batches(3).shape == (16, 64, 64, 3)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names", [("x", "y"), ("images", "labels"), ("X_train", "y_train"), ("arr_0", "arr_1"), ("anything", None)]
)
def test_npz_files(tmp_path: Path, names: tuple[str, str | None], save: Any) -> None:
    examples, labels = names
    arrays: dict[str, Any] = {examples: VALUES} | ({labels: np.arange(5)} if labels else {})
    save(tmp_path / "data.npz", **arrays)
    dataset = as_dataset(tmp_path / "data.npz")
    np.testing.assert_array_equal(dataset.examples, VALUES)
    assert (dataset.labels is None) == (labels is None)
    if dataset.labels is not None:
        np.testing.assert_array_equal(dataset.labels, np.arange(5))


def test_a_pair_of_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "y-idx1-ubyte").write_bytes(idx(random_labels(5)))
    dataset = as_dataset((tmp_path / "x.npy", tmp_path / "y-idx1-ubyte"))
    np.testing.assert_array_equal(dataset.labels, random_labels(5))
    np.testing.assert_array_equal(as_dataset((tmp_path / "x.npy", np.arange(5))).examples, VALUES)
    np.savez(tmp_path / "both.npz", x=VALUES, y=np.arange(5))
    with pytest.raises(DataError, match="holds both examples and labels"):
        as_dataset((tmp_path / "both.npz", np.arange(5)))


def test_an_idx_file_of_pictures(tmp_path: Path) -> None:
    fill(tmp_path, {"train-images-idx3-ubyte.gz": random_images()})
    dataset = as_dataset(tmp_path / "train-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(dataset.images, random_images()[..., None])
    assert dataset.matches(as_dataset(tmp_path).describe())


DAMAGED = [
    "objects.npy", "objects.npz", "pickle.npy", "pickle.npz", "text.npy", "text.npz", "empty.npy", "empty.npz",
    "short.npy", "short.npz", "array.npz", "bomb.npz", "names.npz", "nothing.npz", "strings.npy", "other.txt",
    "missing.npy", "missing", "header.npy",
]  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "whole.npy", VALUES)
    np.savez(tmp_path / "whole.npz", x=VALUES)
    path, whole = tmp_path / kind, (tmp_path / "whole.npy").read_bytes()
    objects = np.array([{}, []], dtype=object)
    match kind:
        case "objects.npy":
            np.save(path, objects, allow_pickle=True)
        case "objects.npz":
            np.savez(path, x=objects)
        case "pickle.npy" | "pickle.npz":
            path.write_bytes(pickle.dumps([1, 2]))
        case "text.npy" | "text.npz" | "other.txt":
            path.write_text("1, 2, 3")
        case "empty.npy" | "empty.npz":
            path.touch()
        case "short.npy":
            path.write_bytes(whole[:-1])
        case "short.npz":
            path.write_bytes((tmp_path / "whole.npz").read_bytes()[:-30])
        case "header.npy":
            path.write_bytes(whole.replace(b"(5, 3)", b"(5e9,)"))
        case "array.npz":
            path.write_bytes(whole)
        case "bomb.npz":  # its header declares 200 MB
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x.npy", whole.replace(b"(5, 3), }    ", b"(50000000,)} "))
        case "names.npz":
            np.savez(path, a=VALUES, b=VALUES)
        case "nothing.npz":
            np.savez(path)
        case "strings.npy":
            np.save(path, np.array(["a", "b"]))
    with peak_memory_below(5_000_000), pytest.raises(DataError) as error:
        as_dataset(path)
    assert_one_sentence(error, path.name.partition(".")[0])


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "unpickled"),)

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([Bomb()], dtype=object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    for name in ("a.npy", "a.npz", "b.npz"):
        with pytest.raises(DataError):
            as_dataset(tmp_path / name)
    assert not (tmp_path / "unpickled").exists()


def test_a_large_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((100, 100)))
    monkeypatch.setattr(array_file, "MAX_BYTES", 79_999)
    with pytest.raises(DataError) as error:
        as_dataset(tmp_path / "x.npz")
    assert_one_sentence(error, "80,000 bytes", "numpy.save")


def pictures(folder: Path, *names: str, size: tuple[int, int] = (6, 4), mode: str = "L") -> Path:
    """`folder` with pictures of one shade each, 10 for the first, 20 for the second and so on."""
    for number, name in enumerate(names, 1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, 10 * number if mode == "L" else (10 * number,) * 3).save(folder / name)
    return folder


def test_a_folder_of_pictures_of_one_size_needs_no_shape(tmp_path: Path) -> None:
    dataset = as_dataset(pictures(tmp_path / "grey", "b.png", "a.png"))
    assert dataset.image_shape == (4, 6, 1) and dataset.labels is None
    assert dataset.examples[:, 0, 0, 0].tolist() == [20, 10]
    assert as_dataset(pictures(tmp_path / "colour", "a.png", mode="RGB")).image_shape == (4, 6, 3)
    pictures(tmp_path / "colour", "b.png")
    assert as_dataset(tmp_path / "colour").image_shape == (4, 6, 3)
    assert as_dataset(tmp_path / "colour", image_shape=(2, 2, 1)).image_shape == (2, 2, 1)
    padded = as_dataset(tmp_path / "grey", image_shape=(6, 6, 1), pad=True).images
    assert (padded[:, 0] == 0).all() and (padded[:, 1:5] > 0).all()


def test_pictures_of_several_sizes_need_a_shape(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    pictures(tmp_path, "b.png", size=(4, 6))
    with pytest.raises(DataError) as error:
        as_dataset(tmp_path)
    assert_one_sentence(error, "a.png 4 x 6", "b.png 6 x 4", "image_shape=")
    Image.new("L", (4, 6)).save(tmp_path / "b.jpg", exif=_lying_on_its_side())
    (tmp_path / "b.png").unlink()
    assert as_dataset(tmp_path).image_shape == (4, 6, 1)


def _lying_on_its_side() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_subfolders_as_classes(tmp_path: Path) -> None:
    pictures(tmp_path, "dog/1.png", "cat/2.png", "dog/puppies/3.png", "ant/4.png")
    (tmp_path / "cat" / "damaged.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="cannot be read"):
        dataset = as_dataset(tmp_path, folder_labels=True)
    assert dataset.classes == ("ant", "cat", "dog") and dataset.labels is not None
    assert dict(zip(dataset.examples[:, 0, 0, 0].tolist(), dataset.labels.tolist(), strict=True)) == {
        10: 2, 20: 1, 30: 2, 40: 0,
    }  # fmt: skip
    (tmp_path / "cat" / "damaged.png").unlink()
    assert as_dataset(tmp_path).labels is None
    pictures(tmp_path, "alone.png")
    with pytest.raises(DataError) as error:
        as_dataset(tmp_path, folder_labels=True)
    assert_one_sentence(error, "alone.png", "subfolder")


def test_options_of_folders_are_not_silently_ignored() -> None:
    for how in ({"image_shape": (2, 2, 1)}, {"folder_labels": True}, {"pad": True}):
        with pytest.raises(UsageError) as error:
            as_dataset(VALUES, **how)  # type: ignore[arg-type]
        assert_one_sentence(error, "folder of pictures")


def test_the_test_set_of_a_folder(tmp_path: Path) -> None:
    train, test = random_images(12), random_images(7)
    fill(tmp_path, {"train-images-idx3-ubyte": train, "t10k-images-idx3-ubyte": test})
    np.testing.assert_array_equal(load(tmp_path).images[..., 0], train)
    np.testing.assert_array_equal(load(tmp_path, split="test").images[..., 0], test)


def test_no_test_set_is_invented(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load(split="test")
    assert_one_sentence(error, "MNIST's training set", "data.load().split(0.8)")
    pictures(tmp_path, "a.png")
    with pytest.raises(UsageError) as error:
        load(tmp_path, split="test", image_shape=(4, 4, 1))
    assert_one_sentence(error, str(tmp_path), "split(0.8)")
