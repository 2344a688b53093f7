"""Damaged files and odd command lines: 104 inputs, 1,040 if MINIGAN_EXHAUSTIVE=1, or as many as MINIGAN_FUZZ says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="the fuzzer limits memory and time as POSIX systems can")

from support.environment import EXHAUSTIVE
from support.fuzz import Fuzzer, Outcome, digest, failure_of
from support.fuzz_inputs import KINDS

COUNT = int(os.environ.get("MINIGAN_FUZZ", "1040" if EXHAUSTIVE else "104"))
SEED = int(os.environ.get("MINIGAN_FUZZ_SEED", "0"))


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory) -> Fuzzer:
    return Fuzzer(tmp_path_factory.mktemp("fuzz"), SEED)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("turn", range(len(KINDS)), ids=list(KINDS))
def test_any_input_ends_with_an_exit_code_and_a_sentence(turn, fuzzer):
    complaints = [found for i in range(turn, COUNT, len(KINDS)) if (found := fuzzer.complaint(i)) is not None]
    assert not complaints, "\n".join(complaints)


# The checks of the fuzzer itself.


def test_an_input_is_a_pure_function_of_seed_and_index(fuzzer, tmp_path):
    import random

    made = []
    for name in ("one", "two"):
        folder = tmp_path / name / "a"
        folder.mkdir(parents=True)
        arguments = KINDS["checkpoint"](random.Random("0 3"), folder, fuzzer.originals)
        made.append((arguments, [(p.name, p.read_bytes()) for p in sorted(folder.rglob("*.safetensors"))]))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("outcome", "part"),
    [
        (Outcome(None, KeyError("x"), "", ""), "KeyError"),
        (Outcome(1, None, "", "Traceback (most recent call last):\n"), "traceback"),
        (Outcome(1, None, "", "minigan: a name \x1b[31m is wrong.\n"), "control character"),
        (Outcome(1, None, "", "it failed"), "no sentence"),
        (Outcome(2, None, "", ""), "no sentence"),
        (Outcome(3, None, "", "minigan: no.\n"), "exit code 3"),
        (Outcome(1, None, "", "minigan: no.\n" * 2000), "characters"),
    ],
)
def test_what_counts_as_a_failure(outcome, part):
    assert part in (failure_of(["sample"], outcome, "same", "same") or "")


def test_a_refusal_that_changed_something_is_a_failure(tmp_path):
    refused = Outcome(1, None, "", "minigan: no.\n")
    assert failure_of(["sample"], refused, "same", "same") is None
    assert "changed the folder" in (failure_of(["sample"], refused, "one", "other") or "")
    (tmp_path / "file").write_text(json.dumps(1))
    seen = [digest(tmp_path)]
    for change in (
        lambda: (tmp_path / "file").write_text("2"),
        lambda: (tmp_path / "file").rename(tmp_path / "other"),
        lambda: (tmp_path / "empty").mkdir(),
        lambda: (tmp_path / "link").symlink_to("other"),
    ):
        change()
        seen.append(digest(tmp_path))
    assert len(set(seen)) == len(seen)
    assert Path(tmp_path / "other").exists()
