"""training.Loop: any step with checkpoints, exact resume, finite checks, callbacks, early stopping and a history."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigan import Tensor, ops
from minigan.autodiff.parameter import Parameter
from minigan.core import progress
from minigan.core.errors import CheckpointError, NonFiniteError, UsageError
from minigan.training import EarlyStopping, History, Loop, Stop, callbacks, checkpoint


class Walk:
    """x_(n+1) = 0.9 x_n + sin(n + (0, 1, 2))."""

    def __init__(self) -> None:
        self.x = np.ones(3)

    def step(self, n: int) -> dict[str, Any]:
        self.x = 0.9 * self.x + np.sin(n + np.arange(3))
        return {"first": self.x[0], "norm": np.sqrt((self.x**2).sum())}

    def state(self) -> dict[str, np.ndarray]:
        return {"x": self.x}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.x = np.array(state["x"])


def loop_of(walk: Walk, folder: Path | None = None, steps: int = 45, **options: Any) -> Loop:
    return Loop(
        walk.step,
        {"walk": walk},
        folder,
        **{"steps": steps, "checkpoint_every": 10, "log_every": 4, "progress": False} | options,
    )


@pytest.fixture(autouse=True)
def _without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else."""
    monkeypatch.setattr(Loop, "_save_final_pictures", lambda self, rows, notice: None)


def contents(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name not in ("config.json", "metrics.csv")
    }


def test_each_step_is_taken_once_and_recorded() -> None:
    walk, by_hand, taken = Walk(), Walk(), []
    loop = Loop(lambda n: taken.append(n) or walk.step(n), {}, steps=45, log_every=4, progress=False)
    history = loop.run()
    values = [by_hand.step(n) for n in range(45)]
    assert taken == list(range(45)) and loop.step == 45
    steps = [*range(4, 45, 4), 45]
    assert history["step"].tolist() == steps and history.columns == ["step", "first", "norm"]
    assert history["norm"].tolist() == [values[step - 1]["norm"] for step in steps]
    assert history[-1] == {"step": 45, **values[-1]} and len(history) == len(steps)
    assert (history.outcome.ended, history.outcome.step, history.outcome.metrics) == ("finished", 45, values[-1])


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loop_of(Walk()).run()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [1, 9, 10, 44])
def test_a_resumed_run_has_the_same_bits(stop: int, tmp_path: Path) -> None:
    loop_of(Walk(), tmp_path / "straight").run()
    first = loop_of(Walk(), tmp_path / "halted", resume=True)  # nothing to resume yet
    assert first.run(should_stop=lambda: first.step == stop).outcome.ended == "interrupted"
    walk = Walk()
    walk.x[:] = 7  # the checkpoint replaces it
    second = loop_of(walk, tmp_path / "halted", resume=True)
    assert second.step == stop
    history = second.run()
    halted, straight = contents(tmp_path / "halted"), contents(tmp_path / "straight")
    assert halted == straight
    assert history["step"].tolist() == [*range(4, 45, 4), 45]


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from training.test_loop import Walk, loop_of
from pathlib import Path
walk = Walk()
def slow(n, step=walk.step):
    if n == 33:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(n)
walk.step = slow
loop_of(walk, Path("run")).run()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_killed_run_is_resumed_with_the_same_bits(tmp_path: Path) -> None:
    program = KILLED.format(path=[str(Path(__file__).resolve().parents[1])])
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step in (0, 10, 20, 30)
    loop_of(Walk(), tmp_path / "run", resume=True).run()
    loop_of(Walk(), tmp_path / "straight").run()
    assert contents(tmp_path / "run") == contents(tmp_path / "straight")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_a_checkpoint(
    number: signal.Signals, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends the run alone, SIGTERM the program, too."""
    walk, handler = Walk(), signal.getsignal(number)

    def step(n: int) -> dict[str, Any]:
        if n == 23:
            os.kill(os.getpid(), number)
        return walk.step(n)

    loop = Loop(step, {"walk": walk}, tmp_path / "run", steps=45, checkpoint_every=10, log_every=4, progress=False)
    if number == signal.SIGTERM:
        with pytest.raises(SystemExit, match="143"):
            loop.run()
    else:
        assert loop.run().outcome.ended == "interrupted"
    assert signal.getsignal(number) == handler and "stopping" in capfd.readouterr().err
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step == loop.step == 24
    loop_of(Walk(), tmp_path / "run", resume=True).run()
    loop_of(Walk(), tmp_path / "straight").run()
    assert contents(tmp_path / "run") == contents(tmp_path / "straight")


# Numbers that are not finite.


def test_a_number_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    walk = Walk()

    def step(n: int) -> dict[str, float]:
        return walk.step(n) | ({"first": math.nan} if n == 31 else {})

    with pytest.raises(NonFiniteError, match="step 32: the first is nan; take a lower learning rate"):
        Loop(step, {"walk": walk}, tmp_path / "run", steps=45, checkpoint_every=10, log_every=4, progress=False).run()
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step == 30
    assert loop_of(Walk(), tmp_path / "run", resume=True).history.rows == []  # which `run` reads


def test_a_state_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    walk = Walk()

    def step(n: int) -> None:
        walk.step(n)
        walk.x[1] = math.inf if n > 14 else walk.x[1]

    with pytest.raises(NonFiniteError, match=r"step 20: walk\.x is not finite"):
        Loop(step, {"walk": walk}, tmp_path / "run", steps=45, checkpoint_every=10, progress=False).run()
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step == 10


# Callbacks.


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, loop: Loop) -> None:
        self.calls.append(("start", loop.step))

    def step(self, loop: Loop, step: int, metrics: dict[str, float]) -> None:
        assert metrics == {name: value for name, value in loop.history[-1].items() if name != "step"}
        self.calls.append(("step", step))

    def save(self, loop: Loop, path: Path) -> None:
        self.calls.append(("save", checkpoint.read_metadata(path).step))

    def end(self, loop: Loop, outcome: Any) -> None:
        self.calls.append(("end", outcome.ended))


def test_callbacks_are_called_in_order(tmp_path: Path) -> None:
    recorder = Recorder()
    loop_of(Walk(), tmp_path / "run", steps=12, callbacks=[recorder]).run()
    assert recorder.calls == [
        ("start", 0), ("step", 4), ("step", 8), ("save", 10), ("step", 12), ("save", 12), ("end", "finished"),
    ]  # fmt: skip


def test_callbacks_hear_of_a_failure(tmp_path: Path) -> None:
    recorder = Recorder()
    walk = Walk()

    def step(n: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Loop(step, {"walk": walk}, tmp_path / "run", steps=3, callbacks=[recorder], progress=False).run()
    assert recorder.calls == [("start", 0), ("end", "failed")]


@pytest.mark.parametrize(("method", "at"), [("start", 0), ("step", 4), ("save", 10), ("end", 45)])
def test_each_method_can_stop_the_run(method: str, at: int, tmp_path: Path) -> None:
    def stop(*arguments: Any) -> None:
        raise Stop("enough")

    stopper = type("Stopper", (), {method: staticmethod(stop)})()
    said: list[str] = []
    history = loop_of(Walk(), tmp_path / "run", callbacks=[stopper]).run(notice=said.append)
    assert history.outcome.step == at
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step == at
    if method != "end":
        assert history.outcome.ended == "stopped" and history.outcome.reason == "enough"
        assert said == [f"stopped at step {at}: enough"]
    assert loop_of(Walk(), tmp_path / "run", resume=True).run().outcome.ended == "finished"


def test_the_step_itself_can_stop_the_run(tmp_path: Path) -> None:
    walk = Walk()

    def step(n: int) -> None:
        if n == 7:
            raise Stop("no more data")
        walk.step(n)

    history = Loop(step, {"walk": walk}, tmp_path / "run", steps=9, progress=False).run(notice=lambda _: None)
    assert (history.outcome.ended, history.outcome.step) == ("stopped", 7)
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step == 7


# Early stopping.


def stopped_at(values: list[float], **options: Any) -> int:
    """The step at which early stopping ends a run that records these values."""
    early = EarlyStopping("value", **options)
    loop = Loop(lambda n: {"value": values[n]}, {}, steps=len(values), log_every=1, callbacks=[early], progress=False)
    return loop.run(notice=lambda _: None).outcome.step


def test_early_stopping_waits_for_patience_values_without_improvement() -> None:
    falling_then_not = [5.0, 4.0, 3.0, 3.5, 3.0, 2.9, 2.9, 3.0, 4.0, 1.0, 1.0]
    assert stopped_at(falling_then_not, patience=2) == 5  # 3.5 and 3.0 are no better than 3.0
    assert stopped_at(falling_then_not, patience=3) == 9
    assert stopped_at(falling_then_not, patience=5) == len(falling_then_not)
    assert stopped_at(falling_then_not, patience=3, least_change=0.5) == 6
    assert stopped_at([-value for value in falling_then_not], patience=3, larger_is_better=True) == 9


def test_a_resumed_run_stops_early_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    def run(folder: Path, stop: int | None = None) -> History:
        walk = Walk()
        loop = loop_of(walk, folder, 400, resume=True, callbacks=[EarlyStopping("norm", 3)])
        return loop.run(should_stop=lambda: loop.step == stop, notice=lambda _: None)

    straight = run(tmp_path / "straight").outcome
    assert straight.ended == "stopped" and straight.step > 13
    for stop in (5, 9, straight.step - 1, None):
        halted = run(tmp_path / "halted", stop)
    assert (halted.outcome.step, halted.outcome.reason) == (straight.step, straight.reason)
    assert contents(tmp_path / "halted") == contents(tmp_path / "straight")
    assert run(tmp_path / "halted").outcome.step == straight.step  # nor does it go on


def test_early_stopping_refuses_what_is_not_recorded() -> None:
    with pytest.raises(UsageError, match="waits for the number 'nrom', which is not recorded; did you mean 'norm'"):
        loop_of(Walk(), callbacks=[EarlyStopping("nrom")]).run()


# The history.


def test_a_column_has_nan_where_a_row_lacks_the_number() -> None:
    history = History([{"step": 1, "a": 0.5}, {"step": 2, "b": 3}, {"step": 4, "a": 1.5, "diagnosis": ["x: y"]}])
    np.testing.assert_array_equal(history["a"], [0.5, math.nan, 1.5])
    assert history.columns == ["step", "a", "b"] and history[1:] == history.rows[1:]
    assert [row["step"] for row in history] == [1, 2, 4]
    with pytest.raises(UsageError, match="no row has a number 'c'"):
        history["c"]


@pytest.mark.slow
def test_a_history_shows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    history = loop_of(Walk(), tmp_path / "run", steps=8).run()
    assert (tmp_path / "run" / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert repr(history).startswith("History: 2 rows to step 8, finished: first ")
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        assert history.plot(tmp_path / f"curves{ending}").read_bytes().startswith(start)
    png, page = history._repr_png_(), history._repr_html_()
    assert png is not None and png.startswith(b"\x89PNG")
    assert "data:image/png;base64," in page and page.count("<tr>") == 3 and "<th>norm</th>" in page
    assert History()._repr_png_() is None and "no rows" in History()._repr_html_()
    nothing = Loop(lambda n: None, {}, steps=3, progress=False).run()
    assert len(nothing) == 1 and nothing._repr_png_() is None and "1 rows to step 3" in nothing._repr_html_()


# What is refused before any step.


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"steps": 0}, "steps must be a whole number from 1 up, not 0"),
        ({"steps": 2.0}, "steps must be a whole number from 1 up, not 2.0"),
        ({"log_every": True}, "must be a whole number from 1 up, not True"),
        ({"callbacks": [print]}, "callbacks[0] is a builtin_function_or_method, expected an object with at least one"),
        ({"callbacks": [Recorder]}, "callbacks[0] is the class Recorder, expected an object of it"),
        ({"callbacks": Recorder()}, "callbacks must be a list, not Recorder"),
        ({"resume": True}, "resume=True needs a folder"),
        ({"parts": {"a.b": Walk()}}, "'a.b' cannot be the name of a part"),
        ({"parts": {"diagnosis": Walk()}}, "'diagnosis' cannot be the name of a part"),
        ({"parts": {"walk": 3}}, "the part 'walk' is a int, expected an object with the methods state()"),
        ({"parts": [Walk()]}, "parts is a list, expected objects by name"),
    ],
)
def test_it_refuses_what_cannot_run(options: dict[str, Any], part: str) -> None:
    def step(n: int) -> None:
        raise AssertionError

    with pytest.raises(UsageError) as error:
        Loop(step, **{"parts": {}, "steps": 3} | options)
    assert part in str(error.value) and str(error.value).count("\n") == 0


@pytest.mark.parametrize(
    ("returned", "part"),
    [
        (3, "step returned a int, expected scalars by name"),
        ({"a": "b"}, "the step returned str as 'a', expected a number"),
        ({"a": np.zeros(2)}, "the step returned ndarray as 'a', expected a number"),
        ({"step": 3}, "the step returned a number called 'step'"),
        ({3: 0.5}, "the step returned a number called 3, expected a word"),
    ],
)
def test_it_refuses_what_is_no_scalar(returned: Any, part: str) -> None:
    with pytest.raises(UsageError) as error:
        Loop(lambda n: returned, {}, steps=3, log_every=1, progress=False).run()
    assert part in str(error.value)


def test_a_checkpoint_is_that_of_its_step_though_a_part_changes_its_array_in_place(tmp_path: Path) -> None:
    walk, taken = Walk(), []

    def step(n: int) -> None:
        walk.x += 1
        taken.append(loop.state())

    loop = Loop(step, {"walk": walk}, steps=3, progress=False)
    loop.run()
    assert [state["walk.x"][0] for state in taken] == [2, 3, 4]


def test_graphs_of_steps_without_a_row_take_no_memory() -> None:
    weights, hidden, alive = Parameter(np.ones(3)), [], []

    def step(n: int) -> dict[str, Tensor]:
        alive.append(sum(reference() is not None for reference in hidden))
        doubled = weights * 2.0
        hidden.append(weakref.ref(doubled))
        return {"loss": ops.mean(doubled)}

    history = Loop(step, {}, steps=9, log_every=100, progress=False).run()
    assert history["loss"].tolist() == [2.0] and max(alive) <= 1


def test_rows_stay_as_far_apart_as_they_were(tmp_path: Path) -> None:
    """Otherwise the metrics would seem to end before the checkpoint."""
    first = loop_of(Walk(), tmp_path / "run", log_every=20, checkpoint_every=50)
    first.run(should_stop=lambda: first.step == 15)
    with pytest.raises(UsageError, match=r"log_every is 4, and the run in .* has 20, which cannot change"):
        loop_of(Walk(), tmp_path / "run", log_every=4, resume=True)
    assert loop_of(Walk(), tmp_path / "run", log_every=20, resume=True).step == 15


def test_it_refuses_a_state_that_cannot_be_stored() -> None:
    walk = Walk()
    walk.x = np.ones(3, np.float16)
    with pytest.raises(UsageError, match=r"the state has 'walk\.x' of type float16"):
        loop_of(walk)


def test_a_folder_is_not_overwritten_and_a_foreign_run_is_not_resumed(tmp_path: Path) -> None:
    loop_of(Walk(), tmp_path / "run", steps=8).run()
    before = contents(tmp_path / "run")
    with pytest.raises(UsageError, match=r"already holds a run; go on with it \(resume=True\)"):
        loop_of(Walk(), tmp_path / "run")
    with pytest.raises(UsageError, match="is at step 8 already"):
        loop_of(Walk(), tmp_path / "run", steps=7, resume=True)
    wide = Walk()
    wide.x = np.ones(4)
    with pytest.raises(CheckpointError, match=r"walk\.x has shape \(3,\) and type float64, expected \(4,\)"):
        loop_of(wide, tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="already exists and is not an empty folder"):
        loop_of(Walk(), tmp_path)
    assert contents(tmp_path / "run") == before and wide.x.tolist() == [1] * 4


def test_every_method_of_a_callback_is_documented() -> None:
    assert all(f"{name}(loop" in (callbacks.Callbacks.__doc__ or "") for name in callbacks.METHODS)


def test_progress_shows_the_numbers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    loop_of(Walk(), steps=8, progress=True).run()
    err = capsys.readouterr().err
    assert "step 8 of 8" in err and "norm " in err
    loop_of(Walk(), steps=8).run()
    assert capsys.readouterr().err == ""
