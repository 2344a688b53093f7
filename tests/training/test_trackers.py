"""Trackers: what TensorBoard's files hold, what a service's package is called with, and missing packages."""

from __future__ import annotations

import io
import math
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.idx_files import assert_one_sentence

from minigan.core.errors import UsageError
from minigan.recipes import get
from minigan.training import Loop, RunConfig, RunFolder, TensorBoard, Tracker, Trainer, trackers

STEPS = {"steps": 6, "log_every": 2, "sample_every": 3, "checkpoint_every": 4}


def trained(folder: Path, callbacks: list[Any], stop_after: int = 6, resume: bool = False) -> Trainer:
    settings = get("ring").settings | {"batch_size": 8, "generator_widths": "8", "discriminator_widths": "8"}
    config = RunConfig("ring", settings, seed=0, **STEPS)
    points = get("ring").domain.load(config, progress=False)
    if resume:
        trainer = Trainer.resume(config, points, RunFolder(folder), callbacks=callbacks)
    else:
        trainer = Trainer.begin(config, points, RunFolder(folder), callbacks=callbacks)
    trainer.run(lambda step, metrics: None, lambda: trainer.gan.step >= stop_after, lambda sentence: None)
    return trainer


def events(folder: Path) -> list[Any]:
    """The events in the folder, in the order of writing; a record is its length, a checksum, itself, a checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    values = ((value.tag, event.step, value) for event in events(folder) for value in event.summary.value)
    return {(tag, step): value.simple_value for tag, step, value in values if value.HasField("simple_value")}


@pytest.mark.slow
def test_tensorboard_gets_every_number_and_every_picture(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    trainer = trained(tmp_path / "run", [TensorBoard()])
    found = scalars(tmp_path / "run" / "tensorboard")
    recorded = {(name, row["step"]): value for row in trainer.history.rows for name, value in row.items()}
    recorded = {key: value for key, value in recorded.items() if key[0] not in ("step", "diagnosis")}
    assert found.keys() == recorded.keys()
    for key, value in recorded.items():
        assert math.isclose(found[key], value, rel_tol=1e-6)  # TensorBoard's numbers are of 32 bits
    pictures = {
        event.step: value.image.encoded_image_string
        for event in events(tmp_path / "run" / "tensorboard")
        for value in event.summary.value
        if value.HasField("image")
    }
    assert pictures.keys() == {0, 3, 6}
    for step, encoded in pictures.items():
        with Image.open(io.BytesIO(encoded)) as shown, Image.open(trainer.folder.sample_path(step)) as saved:
            np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), np.asarray(saved.convert("RGB")))


@pytest.mark.slow
def test_tensorboard_leaves_out_what_a_resumed_run_repeats(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    trained(tmp_path / "run", [TensorBoard(tmp_path / "events")], stop_after=5)
    trained(tmp_path / "run", [TensorBoard(tmp_path / "events")], resume=True)
    starts = [event.step for event in events(tmp_path / "events") if event.HasField("session_log")]
    assert starts == [6]  # TensorBoard drops what was recorded from this step on before


class Recorded:
    """A stand-in for the package of a service: it records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append((name, arguments, named))
            return SimpleNamespace(value=arguments[0] if arguments else None)

        return call


@pytest.mark.slow
@pytest.mark.parametrize("service", ["wandb", "trackio"])
def test_a_service_gets_every_row_and_every_picture(
    tmp_path: Path, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Recorded()
    monkeypatch.setitem(sys.modules, service, package)  # type: ignore[arg-type]
    trainer = trained(tmp_path / "run", [Tracker(service, "mine", notes="a test")])
    names = [name for name, _, _ in package.calls if name != "Image"]
    assert names == ["init", *["log"] * (len(names) - 2), "finish"]
    _, _, begun = package.calls[0]
    assert (begun["project"], begun["name"], begun["notes"]) == ("mine", "run", "a test")
    assert begun["config"]["recipe"] == "ring" and begun["config"]["settings"]["batch_size"] == 8
    logged = [(arguments[0], named["step"]) for name, arguments, named in package.calls if name == "log"]
    rows = [{"step": step, **numbers} for numbers, step in logged if "samples" not in numbers]
    assert rows == [{k: v for k, v in row.items() if k != "diagnosis"} for row in trainer.history.rows]
    assert [step for numbers, step in logged if "samples" in numbers] == [0, 3, 6]
    assert [step for _, step in logged] == sorted(step for _, step in logged)  # as wandb demands
    for numbers, step in logged:
        if "samples" in numbers:
            with Image.open(trainer.folder.sample_path(step)) as saved:
                np.testing.assert_array_equal(np.asarray(numbers["samples"].value), np.asarray(saved.convert("RGB")))


def test_the_end_is_recorded_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    package = Recorded()
    monkeypatch.setitem(sys.modules, "wandb", package)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        Loop(lambda n: {"a": 1 / (2 - n)}, {}, steps=5, log_every=1, callbacks=[Tracker("wandb")]).run(
            lambda *_: None, lambda: False
        )
    assert [name for name, _, _ in package.calls] == ["init", "log", "log", "finish"]


@pytest.mark.parametrize("name", trackers.NAMES)
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("tensorboardX", "wandb", "trackio"):
        monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as error:
        trackers.by_name(name)
    assert_one_sentence(error, f"pip install 'minigan[{name}]'")


def test_the_extras_exist() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(trackers.NAMES) <= project["optional-dependencies"].keys()


def test_wrong_uses(tmp_path: Path) -> None:
    for make in (trackers.by_name, Tracker):
        with pytest.raises(UsageError, match="did you mean 'wandb'"):
            make("wandbb")
    pytest.importorskip("tensorboardX")
    with pytest.raises(UsageError, match="has no folder"):
        Loop(lambda n: {"a": 1.0}, {}, steps=5, callbacks=[TensorBoard()]).run(lambda *_: None, lambda: False)
