"""Runs that change on the way: other settings when they are resumed, more steps, weights of another run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from minigan import cli
from minigan.core.errors import CheckpointError, UsageError
from minigan.training import RunConfig, changes, load_config
from minigan.training.trained_run import load_run

SMALL = [
    "--quiet", "--set", "generator_widths=6,6", "--set", "discriminator_widths=6", "--set", "frequencies=3",
    "--set", "batch_size=12", "--checkpoint-every", "10", "--keep-checkpoints", "9",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minigan.figures.density_map.save_contours", lambda *_: None)  # they take most of the time


def train(*arguments: str, code: int = 0) -> None:
    assert cli.main(["train", *arguments, "--quiet"]) == code


def weights(run: str) -> bytes:
    return Path(run, "checkpoint.safetensors").read_bytes()


def entry(run: str, name: str):
    return json.loads(Path(run, "config.json").read_text())[name]


@pytest.mark.slow
def test_settings_change_when_a_run_is_resumed_and_the_run_can_be_repeated():
    train("ring", "--out", "a", "--steps", "20", "--set", "schedule_steps=60", *SMALL)
    train("--resume", "a", "--steps", "35", "--set", "rate=1e-3", "--set", "batch_size=10")
    train("--resume", "a", "--steps", "50", "--set", "penalty_weight=2")
    assert entry("a", "changes") == [
        {"step": 20, "settings": {"rate": 1e-3, "batch_size": 10}, "before": {"rate": 4e-3, "batch_size": 12}},
        {"step": 35, "settings": {"penalty_weight": 2.0}, "before": {"penalty_weight": 1.0}},
    ]
    assert (entry("a", "settings")["rate"], entry("a", "settings")["batch_size"]) == (1e-3, 10)
    train("--config", "a/config.json", "--out", "b")
    assert weights("b") == weights("a")
    assert entry("b", "changes") == entry("a", "changes")
    # The same settings from the beginning, or without the change, give other numbers.
    train("ring", "--out", "c", "--steps", "50", "--set", "schedule_steps=60", *SMALL)
    assert weights("c") != weights("a")


@pytest.mark.slow
def test_a_repeated_run_that_was_interrupted_still_changes_its_settings():
    train("ring", "--out", "a", "--steps", "20", "--set", "schedule_steps=60", *SMALL)
    train("--resume", "a", "--steps", "40", "--set", "rate=1e-3")
    train("--config", "a/config.json", "--out", "b", "--steps", "10")
    assert entry("b", "changes") == [{"step": 20, "settings": {"rate": 1e-3}}]
    assert entry("b", "settings")["rate"] == 4e-3
    train("--resume", "b", "--steps", "40")
    assert weights("b") == weights("a")


@pytest.mark.slow
def test_going_back_behind_a_change():
    train("ring", "--out", "a", "--steps", "20", "--set", "schedule_steps=60", *SMALL)
    train("--resume", "a", "--steps", "40", "--set", "rate=1e-3")
    before = weights("a")
    train("--resume", "a", "--checkpoint", "10", "--steps", "40")  # it happens again
    assert weights("a") == before
    assert len(entry("a", "changes")) == 1
    train("--resume", "a", "--checkpoint", "10", "--steps", "40", "--set", "rate=4e-3")  # it does not
    assert entry("a", "changes") == []
    train("ring", "--out", "b", "--steps", "40", "--set", "schedule_steps=60", *SMALL)
    assert weights("a") == weights("b")


@pytest.mark.slow
def test_a_run_with_schedules_is_extended_without_changing_them():
    train("ring", "--out", "a", "--steps", "20", *SMALL)
    train("--resume", "a", "--steps", "30")
    assert entry("a", "settings")["schedule_steps"] == 20
    train("ring", "--out", "b", "--steps", "30", "--set", "schedule_steps=20", *SMALL)
    assert weights("a") == weights("b")
    train("ring", "--out", "c", "--steps", "30", *SMALL)
    assert weights("a") != weights("c")


@pytest.mark.slow
def test_a_run_without_schedules_is_extended_as_before():
    plain = ["ring-plain", "--set", "generator_widths=6", "--set", "discriminator_widths=6", "--set", "batch_size=8"]
    train(*plain, "--out", "a", "--steps", "20")
    train("--resume", "a", "--steps", "30")
    assert entry("a", "settings")["schedule_steps"] == 0
    train(*plain, "--out", "b", "--steps", "30")
    assert weights("a") == weights("b")


def refused(arguments: list[str], capsys) -> str:
    capsys.readouterr()
    assert cli.main(arguments) in (1, 2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_what_cannot_change_is_refused_in_a_sentence(capsys):
    train("ring", "--out", "a", "--steps", "10", *SMALL)
    before = {path: path.read_bytes() for path in Path("a").rglob("*") if path.is_file()}
    for setting, part in (
        ("generator_widths=7", "'generator_widths' cannot change in a resumed run; these can: rate,"),
        ("n_critic=2", "--init-from"),
        ("lr=1", "did you mean 'rate'?"),
        ("batch_size=1.5", "whole number"),
        ("schedule_steps=5", "x"),
    ):
        arguments = ["train", "--resume", "a", "--steps", "12", "--set", setting, "--dry-run"]
        if part == "x":
            assert cli.main(arguments) == 0
        else:
            assert part in refused(arguments, capsys)
    assert {path: path.read_bytes() for path in Path("a").rglob("*") if path.is_file()} == before
    nothing = ["train", "ring-plain", "--set", "schedule_steps=5"]
    assert "'schedule_steps' has no effect while nothing is scheduled" in refused(nothing, capsys)


CHANGES = [
    3, {}, [3], [{}], [{"step": 1}], [{"step": -1, "settings": {}}], [{"step": True, "settings": {"rate": 1}}],
    [{"step": 1, "settings": 3}], [{"step": 1, "settings": {"rate": "x"}}], [{"step": 1, "settings": {"packing": 2}}],
    [{"step": 2, "settings": {"rate": 1}}, {"step": 1, "settings": {"rate": 1}}],
    [{"step": 1, "settings": {"rate": 1}, "before": {"beta1": 1}}], [{"step": 1, "settings": {"no": 1}}],
    [{"step": 1, "settings": {"rate": 1}}, {"step": 2, "settings": {"rate": 1}, "before": {"rate": 2}}],
    [{"step": 1, "settings": {"rate": 1}, "after": 3}], [{"step": 2**63, "settings": {"rate": 1}}],
]  # fmt: skip


@pytest.mark.parametrize("damaged", CHANGES, ids=str)
def test_damaged_changes_are_refused(damaged):
    with pytest.raises(UsageError) as caught:
        RunConfig(recipe="ring", changes=damaged)
    assert "\n" not in str(caught.value)
    Path("c.json").write_text(json.dumps({"recipe": "ring", "changes": damaged}))
    with pytest.raises(CheckpointError):
        load_config(Path("c.json"))


def test_changes_are_undone_and_made_again():
    config = RunConfig(recipe="ring", steps=100)
    later = changes.changed(changes.changed(config, 10, {"rate": "0.5"}), 20, {"rate": 0.25, "batch_size": 3})
    assert [later.settings[name] for name in ("rate", "batch_size")] == [0.25, 3]
    for step, rate in ((0, 4e-3), (9, 4e-3), (10, 0.5), (19, 0.5), (20, 0.25)):
        then = changes.undone(later, step)
        assert then.settings["rate"] == rate
        assert changes.next_step(then) == next((turn for turn in (10, 20) if turn > step), None)
        assert changes.made(then, 100) == later
        assert changes.made(then, step) == then
    assert changes.changed(config, 10, {"rate": 4e-3}) == config
    twice = changes.changed(changes.changed(config, 10, {"rate": 0.5}), 10, {"rate": 0.1})
    assert twice.changes == [{"step": 10, "settings": {"rate": 0.1}, "before": {"rate": 4e-3}}]


# The weights of another run.


def test_a_run_begins_with_the_weights_of_another():
    train("ring", "--out", "a", "--steps", "20", *SMALL)
    train("grid", "--out", "b", "--steps", "1", "--init-from", "a", *SMALL, "--set", "rate=1e-9")
    train("grid", "--out", "c", "--steps", "1", *SMALL, "--set", "rate=1e-9")
    a, b, c = (load_run(Path(run)).gan.state() for run in "abc")
    for name in a:
        network = name.partition(".")[0]
        if network in ("generator", "discriminator", "generator_average"):
            close = np.allclose(a[name], b[name], atol=0.02)
            assert close, name
    assert any(not np.allclose(a[name], c[name], atol=0.02) for name in a if name.startswith("generator."))
    assert b["generator_optimizer.steps"] == 1 and b["step"] == 1
    assert entry("b", "init_from")["step"] == 20
    assert entry("b", "init_from")["run"] == str(Path("a").absolute())


@pytest.mark.slow
def test_such_a_run_is_repeated_and_resumed_with_the_same_bits(capsys):
    train("ring", "--out", "a", "--steps", "20", *SMALL)
    train("ring", "--out", "b", "--steps", "12", "--init-from", "a", "--checkpoint", "10", *SMALL)
    assert entry("b", "init_from")["step"] == 10
    train("--config", "b/config.json", "--out", "c")
    assert weights("b") == weights("c")
    train("ring", "--out", "d", "--steps", "5", "--init-from", "a", "--checkpoint", "10", "--set", "schedule_steps=12",
          *SMALL)  # fmt: skip
    train("--resume", "d", "--steps", "12")
    assert weights("d") == weights("b")
    train("--resume", "a", "--checkpoint", "10", "--steps", "20", "--set", "rate=1e-3")
    Path("a/checkpoints/step_000010.safetensors").unlink()
    assert "there is no checkpoint '10'" in refused(["train", "--config", "b/config.json", "--out", "e"], capsys)
    content = json.loads(Path("b/config.json").read_text())
    content["init_from"]["step"] = 20
    Path("f.json").write_text(json.dumps(content))
    assert "is not the one that this run began with" in refused(["train", "--config", "f.json"], capsys)


@pytest.mark.slow
def test_an_average_begins_with_the_weights_of_a_run_without_one():
    plain = ["--set", "generator_widths=6", "--set", "discriminator_widths=6", "--set", "batch_size=8", "--steps", "8"]
    train("ring-plain", "--out", "a", *plain)
    train("ring-plain", "--out", "b", "--init-from", "a", *plain, "--set", "average=0.9", "--steps", "1")
    a, b = (load_run(Path(run)).gan.state() for run in "ab")
    assert np.array_equal(b["generator_average.0.weight"], a["generator.0.weight"])
    train("ring-plain", "--out", "c", "--init-from", "b", *plain, "--steps", "1")


@pytest.mark.slow
def test_counts_of_dropout_begin_anew():
    small = ["--set", "generator_widths=6", "--set", "discriminator_widths=6", "--set", "batch_size=8", "--steps", "3"]
    train("mnist-mlp-sigmoid", "--out", "a", *small)
    train("mnist-mlp-sigmoid", "--out", "b", "--init-from", "a", *small)
    assert cli.main(["sample", "b", "--n", "2", "--out", "x.npz"]) == 0  # which finds its counts consistent


def test_weights_that_do_not_fit_are_refused_in_a_sentence(capsys):
    train("ring", "--out", "a", "--steps", "10", *SMALL)
    wider = ["train", "ring", "--init-from", "a", *SMALL, "--set", "generator_widths=7,6"]
    assert "the weights of" in (sentence := refused(wider, capsys)) and "has shape (6,)" in sentence
    deeper = ["train", "ring", "--init-from", "a", *SMALL, "--set", "generator_widths=6,6,6"]
    assert "do not fit this run" in refused(deeper, capsys)
    assert "no run in nowhere" in refused(["train", "--init-from", "nowhere"], capsys)
    assert "--init-from cannot change" in refused(["train", "--resume", "a", "--init-from", "a"], capsys)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "entries",
    [
        {"recipe_file": 3}, {"recipe_file": [1]}, {"recipe_file": {}}, {"recipe_file": {"path": 1, "sha256": "x"}},
        {"recipe_file": {"path": "x", "sha256": "x", "earlier": 3}}, {"init_from": "x"}, {"init_from": {"run": "x"}},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_entries_are_refused(entries):
    with pytest.raises(UsageError):
        RunConfig(recipe="ring", **entries)
