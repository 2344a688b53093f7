"""The classifier behind `minigan evaluate`: it learns the labels of the run's own data, and is cached."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.runs import SMALL, write_idx

from minigan import cli
from minigan.core.errors import UsageError
from minigan.data import Dataset
from minigan.metrics import Classifier, classifier_cache

SIDE = 6
LABELS = np.array([3, 5, 8, 20], np.uint8)
MADE_BY = {"numbers": "one"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder_with_an_empty_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIGAN_CACHE_DIR", str(tmp_path / "cache"))


def quarters(count: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one bright quarter, and the label that says which: upper left 3, upper right 5, then 8 and 20."""
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, count)
    images = rng.integers(0, 60, (count, SIDE, SIDE, 1), dtype=np.uint8)
    for image, quarter in zip(images, which, strict=True):
        top, left = quarter // 2 * SIDE // 2, quarter % 2 * SIDE // 2
        image[top : top + SIDE // 2, left : left + SIDE // 2] += 180
    return images, LABELS[which]


def trained(images: np.ndarray, labels: np.ndarray) -> Classifier:
    classifier = Classifier(Dataset(images, labels, name="quarters", source="a test"))
    classifier.train()
    return classifier


@pytest.mark.parametrize("order", ["any", "by class"])
def test_it_finds_the_classes_of_its_own_data(order):
    images, labels = quarters()
    if order == "by class":
        by_class = np.argsort(labels, kind="stable")
        images, labels = images[by_class], labels[by_class]
    scores = trained(images, labels).score(images)
    assert scores.classes == [3, 5, 8, 20]
    assert scores.held_out_accuracy > 0.9 and scores.real_confidence > 0.9
    np.testing.assert_allclose(scores.shares, [(labels == label).mean() for label in LABELS], rtol=0, atol=0.02)
    assert scores.missing == []


def test_a_class_that_is_not_made_is_missing():
    images, labels = quarters()
    scores = trained(images, labels).score(images[(labels == 5) | (labels == 20)])
    assert scores.smallest_share == 0.05  # a fifth of a quarter
    assert scores.missing == [3, 8]


def test_data_that_no_classifier_can_learn_from():
    images, labels = quarters()
    for known_labels, count in ((None, 240), (np.zeros_like(labels), 240), (labels, 99)):
        with pytest.raises(UsageError) as caught:
            Classifier(Dataset(images[:count], None if known_labels is None else known_labels[:count], source="a test"))
        assert "a test" in str(caught.value) and str(caught.value).endswith(".")


def test_a_trained_classifier_is_cached():
    images, labels = quarters()
    classifier = trained(images, labels)
    classifier_cache.save(classifier, MADE_BY)
    again = Classifier(Dataset(images, labels, name="moved", source="elsewhere"))
    assert classifier_cache.load(again, MADE_BY)
    np.testing.assert_array_equal(again.probabilities(images), classifier.probabilities(images))


def test_the_cache_distinguishes_all_that_the_classifier_depends_on():
    images, labels = quarters()
    classifier_cache.save(trained(images, labels), MADE_BY)
    for other_images, other_labels, made_by in (
        (images[:, ::-1], labels, MADE_BY),
        (images, labels[::-1], MADE_BY),
        (images.reshape(240, 4, 9, 1), labels, MADE_BY),
        (images, labels, {"numbers": "two"}),
    ):
        assert not classifier_cache.load(Classifier(Dataset(other_images, other_labels, name="other")), made_by)


def test_a_damaged_cache_file_is_not_used():
    images, labels = quarters()
    classifier = trained(images, labels)
    classifier_cache.save(classifier, MADE_BY)
    (path,) = Path("cache/classifiers").iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1  # a weight: still a well-formed file
    before = classifier.network.state()
    for content in (whole[:-1], bytes(flipped), b"", b"{}"):
        path.write_bytes(content)
        assert not classifier_cache.load(classifier, MADE_BY)
    for name, value in classifier.network.state().items():
        np.testing.assert_array_equal(value, before[name])
    classifier_cache.save(classifier, MADE_BY)
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch):
    def refuse(name: str) -> Path:
        raise OSError("no writable cache folder")

    monkeypatch.setattr(classifier_cache, "cache_directory", refuse)
    classifier = Classifier(Dataset(*quarters(), name="quarters", source="a test"))
    classifier_cache.save(classifier, MADE_BY)
    assert not classifier_cache.load(classifier, MADE_BY)


# The command.


def run_on(labels: np.ndarray | None) -> None:
    write_idx(Path("data/train-images"), quarters()[0][..., 0])
    if labels is not None:
        write_idx(Path("data/train-labels"), labels)
    assert cli.main(["train", "--data-dir", "data", "--out", "run", "--quiet", *SMALL]) == 0


def evaluated(capsys: pytest.CaptureFixture[str], *more: str) -> dict:
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--n", "50", "--json", "--quiet", *more]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def refused(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main(["evaluate", "run", "--quiet", *more])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minigan: ") and line.endswith(".")
    return code, line


@pytest.mark.slow
def test_evaluate_finds_the_classes_of_the_data_and_trains_once(capsys, monkeypatch):
    run_on(quarters()[1])
    found = evaluated(capsys)
    assert found["classes"] == [3, 5, 8, 20] and len(found["shares"]) == 4 and found["held_out_accuracy"] > 0.9
    monkeypatch.setattr(Classifier, "train", lambda *_: pytest.fail("it had been trained"))
    assert evaluated(capsys) == found
    assert cli.main(["evaluate", "run", "--n", "50"]) == 0
    printed = capsys.readouterr().out
    assert "class        3      5      8     20" in printed
    Path("data").rename("moved")
    code, line = refused(capsys)
    assert code == 1 and "does not exist any more" in line and "--data-dir" in line
    assert evaluated(capsys, "--data-dir", "moved") == found


@pytest.mark.slow
def test_labels_may_be_put_beside_the_pictures_later(capsys):
    run_on(None)
    assert "classes" not in evaluated(capsys)
    code, line = refused(capsys, "--features", "classifier")
    assert code == 2 and "learns from labels, and" in line and "has none; take --features pca or random" in line
    write_idx(Path("data/train-labels"), quarters()[1])
    assert evaluated(capsys)["classes"] == [3, 5, 8, 20]
    write_idx(Path("other/train-images"), quarters()[0][::-1, ..., 0])
    shutil.copy("data/train-labels", "other")
    code, line = refused(capsys, "--data-dir", "other")
    assert code == 1 and "is not what run was trained on" in line
