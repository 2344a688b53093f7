"""The command line as people use it: what it prints, and how invalid arguments are refused."""

from __future__ import annotations

import errno
import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import COLOUR, SMALL, minigan, train_small, write_photos

from minigan import cli, recipes
from minigan.cli import parser
from minigan.training import RunFolder


def one_sentence(text: str) -> bool:
    """Whether `text` is a single line that starts like minigan's errors and ends like a sentence."""
    lines = text.strip().splitlines()
    return len(lines) == 1 and lines[0].startswith("minigan: ") and lines[0][-1] in ".?"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory) -> Path:
    return train_small(tmp_path_factory.mktemp("finished") / "run")


INVALID_ARGUMENTS = {
    "no such command": (["trian"], 2, "did you mean 'train'?"),
    "an option before any command": (["--bogus"], 2, "--bogus"),
    "nothing but dashes": (["--"], 2, "does not know '--'"),
    "dashes for a word": (["train", "--dtype=--"], 2, "'--dtype=--' gives no value"),
    "dashes for a number": (["sample", "run", "--n=--"], 2, "'--n=--' gives no value"),
    "dashes for one of several": (["train", "--set=--"], 2, "'--set=--' gives no value"),
    "more digits than Python reads": (["train", "--steps", "9" * 5000], 2, "2**63"),
    "a small two on high": (["train", "--steps", "\u00b2"], 2, "is not a whole number"),
    "what steers a terminal": (["\x1b[31m\n\u202e"], 2, "'\\x1b[31m\\n\\u202e'"),
    "bytes that are no text": (["train", "--resume", "\udcff"], 1, "no run in \\udcff"),
    "a word without end": (["train", "a" * 100_000], 2, "a" * 50 + "..." + "a" * 50),
    "steps with a comma in the wrong place": (["train", "--steps", "1,5"], 2, "'1,5' is not a whole number"),
    "a dry run that would fetch": (["train", "--dry-run", "--download"], 2, "leave one of them out"),
    "endless measuring": (["bench", "toy", "--seconds", "inf"], 2, "seconds"),
    "years of measuring": (["bench", "toy", "--seconds", "1e9"], 2, "at most 3,600"),
    "a step of a million examples": (["explain", "--batch", "1000000"], 2, "--batch must be a whole number from 1 to"),
    "no such recipe": (["train", "mnist-mpl"], 2, "did you mean 'mnist-mlp'?"),
    "no such option": (["train", "--step", "3"], 2, "--steps"),
    "no such setting": (["train", "--set", "ratee=1"], 2, "did you mean 'rate'?"),
    "setting without a value": (["train", "--set", "rate"], 2, "key=value"),
    "setting of the wrong kind": (["train", "--set", "batch_size=many"], 2, "whole number"),
    "negative width": (["train", "--set", "generator_widths=64,-1"], 2, "generator_widths"),
    "no layer at all": (["train", "--set", "latent_size=0"], 2, "latent_size"),
    "learning rate of zero": (["train", "--set", "rate=0"], 2, "rate"),
    "beta1 of one": (["train", "--set", "beta1=1"], 2, "beta1"),
    "no such loss": (["train", "--set", "loss=minmax"], 2, "did you mean 'minimax'?"),
    "negative steps": (["train", "--steps", "-5"], 2, "--steps must be a whole number of at least 1"),
    "steps not a number": (["train", "--steps", "ten"], 2, "'ten' is not a whole number"),
    "negative seed": (["train", "--seed", "-1"], 2, "--seed"),
    "huge seed": (["train", "--seed", str(2**70)], 2, "2**63"),
    "no threads": (["train", "--threads", "0"], 2, "--threads"),
    "too many threads": (["train", "--threads", "1000000"], 2, "expected at most 4,096"),
    "no such type": (["train", "--dtype", "float23"], 2, "did you mean 'float32'?"),
    "no such backend": (["train", "--backend", "nunpy"], 2, "did you mean 'numpy'?"),
    "no such kernels": (["train", "--kernels", "numbra"], 2, "did you mean 'numba'?"),
    "batch larger than the data": (["train", "--set", "batch_size=20000"], 2, "20000"),
    "weight of no penalty": (["train", "--set", "penalty_weight=1"], 2, "no effect while penalty is none"),
    "strict about no pictures": (["train", "--strict"], 2, "--strict is about a folder of pictures"),
    "strict about points": (["train", "ring", "--strict"], 2, "--strict is about a folder of pictures"),
    "two sizes of a batch": (["explain", "--set", "batch_size=8"], 2, "because --batch sets"),
    "data in two places": (["train", "--data-dir", ".", "--download"], 2, "choose one"),
    "no such data": (["train", "--data-dir", "nowhere"], 1, "nowhere"),
    "nothing to resume": (["train", "--resume", "nowhere"], 1, "no run in nowhere"),
    "no such configuration": (["train", "--config", "nowhere.json"], 1, "nowhere.json"),
    "nothing to sample": (["sample", "nowhere"], 1, "no run in nowhere"),
    "sample without a run": (["sample"], 2, "RUN"),
    "nothing to evaluate": (["evaluate", "nowhere"], 1, "no run in nowhere"),
    "no such benchmark": (["bench", "toi"], 2, "did you mean 'toy'?"),
}


@pytest.mark.parametrize("name", INVALID_ARGUMENTS)
def test_invalid_arguments_end_with_one_sentence_and_the_exit_code(name, capsys, tmp_path):
    arguments, code, part = INVALID_ARGUMENTS[name]
    assert cli.main(arguments) == code
    captured = capsys.readouterr()
    assert one_sentence(captured.err), captured.err
    assert part in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []  # nothing was started


def test_a_sentence_is_short(capsys):
    assert cli.main(["train", *["--set", "rate=" + "a " * 100_000]]) == 2
    assert len(capsys.readouterr().err) < 2100


def test_without_a_command_the_help_is_shown(capsys):
    assert cli.main([]) == 2
    assert "train" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["", *parser.COMMANDS])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command.split(), "--help"])
    assert stopped.value.code == 0
    assert "usage: minigan" in capsys.readouterr().out


@pytest.mark.parametrize("command", parser.COMMANDS)
def test_the_help_has_the_summary_of_the_command(command):
    module = importlib.import_module(f"minigan.cli.{'list_recipes' if command == 'recipes' else command}")
    assert inspect.getdoc(module).splitlines()[0] == parser.COMMANDS[command]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_no_large_package(option):
    program = "import sys\nfrom minigan import cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, option], capture_output=True, text=True, check=True)
    assert "minigan.cli.parser" in done.stdout
    assert "numpy" not in done.stdout.split()


def test_hostile_data_is_refused(capsys, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x00\x00\x08\x03" + (10**9).to_bytes(4, "big") * 3)
    assert cli.main(["train", "--data-dir", str(tmp_path), *SMALL]) == 1
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_pictures_of_another_size_train(capsys, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (40, 9, 7))
    (data / "pictures").write_bytes(header + bytes(range(250)) * 10 + bytes(20))
    assert cli.main(["train", "--data-dir", str(data), "--out", "run", "--quiet", *SMALL]) == 0
    assert cli.main(["sample", "run", "--n", "3", "--out", "three.npz"]) == 0
    assert np.load("three.npz")["images"].shape == (3, 9, 7)
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--quiet", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["measures"]) == ["pca"]
    assert cli.main(["evaluate", "run", "--features", "random", "--quiet"]) == 2
    assert "have 9 x 7 pixels, expected at least 8 a side" in capsys.readouterr().err


@pytest.fixture
def colour(monkeypatch, tmp_path) -> list[str]:
    """Arguments that train the recipe of tests on a folder of colour pictures."""
    monkeypatch.setitem(recipes.RECIPES, COLOUR.name, COLOUR)
    write_photos(tmp_path / "photos")
    return ["train", "colour", "--data-dir", "photos", "--out", "run", "--quiet", "--sample-every", "10"]


@pytest.mark.slow
def test_colour_images_from_a_folder_to_an_animation(colour, capsys):
    assert cli.main(colour) == 0
    recorded = json.loads(Path("run/config.json").read_text())
    assert recorded["data"]["image_shape"] == [6, 6, 3]
    assert recorded["data"]["images"] == 12
    assert recorded["strict"] is False
    for path in ("run/samples/step_000020.png", "run/samples.gif"):
        with Image.open(path) as picture:
            picture.seek(getattr(picture, "n_frames", 1) - 1)
            pixels = np.asarray(picture.convert("RGB"))
        assert pixels.shape == (528, 528, 3)  # 8 by 8 pictures of 6 and a margin of 2, enlarged 8 times
        assert (pixels.min(axis=2) != pixels.max(axis=2)).mean() > 0.3
    assert cli.main(["sample", "run", "--n", "5", "--out", "five.npz"]) == 0
    assert cli.main(["sample", "run", "--n", "4", "--out", "four.png"]) == 0
    images = np.load("five.npz")["images"]
    assert images.shape == (5, 6, 6, 3) and images.dtype == np.uint8
    with Image.open("four.png") as picture:
        drawn = np.asarray(picture)
    enlarged = drawn.shape[0] // 18
    np.testing.assert_array_equal(drawn[::enlarged, ::enlarged][2:8, 10:16], images[1])
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--quiet"]) == 2
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "photos holds 12 pictures, expected at least 40" in err and "--against" in err


@pytest.mark.slow
def test_a_resumed_run_on_pictures_ends_with_the_same_bits(colour):
    assert cli.main([*colour, "--steps", "35"]) == 0
    straight = Path("run").rename("straight")
    assert cli.main(colour) == 0
    assert cli.main(["train", "--resume", "run", "--steps", "35", "--quiet", "--strict"]) == 0
    for name in ("metrics.jsonl", "checkpoint.safetensors", "samples/step_000035.png"):
        assert (Path("run") / name).read_bytes() == (straight / name).read_bytes()


def test_settings_say_what_pictures_become(colour):
    assert cli.main([*colour, "--set", "image_size=5", "--set", "channels=1"]) == 0
    assert json.loads(Path("run/config.json").read_text())["data"]["image_shape"] == [5, 5, 1]
    assert cli.main(["sample", "run", "--n", "2", "--out", "two.npz"]) == 0
    assert np.load("two.npz")["images"].shape == (2, 5, 5)


@pytest.mark.slow
def test_a_few_pictures_are_enough_for_several_updates_in_a_step(colour):
    """Five batches of four from twelve pictures; stopped between two epochs, it ends with the same bits."""
    often = [*colour, "--set", "n_critic=5", "--set", "loss=wasserstein", "--log-every", "1"]
    assert cli.main([*often, "--steps", "7"]) == 0
    straight = Path("run").rename("straight")
    assert cli.main([*often, "--steps", "4"]) == 0
    assert cli.main(["train", "--resume", "run", "--steps", "7", "--quiet"]) == 0
    for name in ("metrics.jsonl", "checkpoint.safetensors"):
        assert (Path("run") / name).read_bytes() == (straight / name).read_bytes()


def test_pictures_serve_where_digits_are_the_default(colour, capsys):
    """They are not treated as digits, whatever their size."""
    arguments = ["train", "--data-dir", "photos", "--out", "run", *SMALL, "--set", "batch_size=4"]
    assert cli.main(arguments) == 0
    assert "minigan evaluate" not in capsys.readouterr().out
    assert json.loads(Path("run/config.json").read_text())["data"]["image_shape"] == [28, 28, 1]
    assert cli.main(["evaluate", "run"]) == 2
    assert "photos holds 12 pictures, expected at least 40" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        (["--set", "channels=2"], 2, "'channels' must be 1 (grey) or 3 (colour), or 0 (as the data are), not 2"),
        (["--data-dir", "idx", "--strict"], 2, "holds IDX files (pictures); leave it out"),
        (["--data-dir", "idx"], 2, "its pictures are square, not 9 x 7; name a folder of pictures"),
        (["--data-dir", "idx/pictures"], 1, "is a file"),
        (["--data-dir", "empty"], 1, "holds no picture (it is empty)"),
        (["--data-dir", "both"], 1, "holds both IDX files (pictures) and pictures (00.png; "),
        (["--set", "batch_size=13"], 2, "the data set has 12 examples"),
    ],
)
def test_what_does_not_suit_a_recipe_of_pictures(change, code, part, colour, capsys):
    write_pictures(Path("idx"), 0)
    Path("empty").mkdir()
    shutil.copytree("photos", "both")
    write_pictures(Path("both"), 0)
    assert cli.main([*colour, *change]) == code
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert part in err
    assert not Path("run").exists()


@pytest.mark.parametrize("extra", [[], ["--download"], ["--dry-run"]])
def test_a_recipe_of_pictures_asks_for_a_folder(extra, colour, capsys):
    without = [argument for argument in colour if argument not in ("--data-dir", "photos")]
    assert cli.main([*without, *extra]) == 2
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "this recipe needs pictures, 6 x 6 colour" in err and "--data-dir" in err


@pytest.mark.slow
def test_damaged_pictures_are_reported_and_left_out_or_refused(colour, capsys):
    (Path("photos") / "zero.JPG").write_bytes(b"")
    (Path("photos") / "more" / "letter.png").write_text("Dear reader")
    assert cli.main([*colour, "--strict"]) == 1
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert str(Path("photos") / "more" / "letter.png") in err and "--strict" in err
    assert not Path("run").exists()

    assert cli.main([argument for argument in colour if argument != "--quiet"]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert one_sentence(line.rpartition("\r")[2])
    for part in ("2 of the 14 pictures", "more/letter.png: it is not recognised", "zero.JPG: it is empty", "--strict"):
        assert part in line
    assert json.loads(Path("run/config.json").read_text())["data"]["images"] == 12
    assert cli.main(["train", "--resume", "run", "--steps", "25", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_strict_is_remembered(colour):
    assert cli.main([*colour, "--strict"]) == 0
    assert json.loads(Path("run/config.json").read_text())["strict"] is True
    (Path("photos") / "zero.png").write_bytes(b"")
    assert cli.main(["train", "--resume", "run", "--steps", "25", "--quiet"]) == 1
    assert cli.main(["train", "--config", "run/config.json", "--out", "again", "--quiet"]) == 1


def test_a_run_goes_on_with_its_own_pictures_only(colour, capsys):
    assert cli.main(colour) == 0
    (Path("photos") / "00.png").unlink()
    assert cli.main(["train", "--resume", "run", "--steps", "25"]) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert one_sentence(err[err.index("minigan: ") :])
    assert "is not what" in err


def test_a_folder_in_use_is_not_written_over(finished_run, capsys):
    before = {path: path.read_bytes() for path in finished_run.rglob("*") if path.is_file()}
    assert cli.main(["train", "--out", str(finished_run), *SMALL]) == 2
    assert one_sentence(capsys.readouterr().err)
    assert before == {path: path.read_bytes() for path in finished_run.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_full_disk_is_reported_and_leaves_the_last_checkpoint(monkeypatch, capsys, tmp_path):
    run = tmp_path / "run"
    real_replace, kept = os.replace, {}

    def replace(source, target):
        if Path(target).name == "checkpoint.safetensors" and Path(target).exists():
            kept.setdefault("bytes", Path(target).read_bytes())
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert cli.main(["train", "--out", str(run), "--quiet", *SMALL]) == 1
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "the disk is full" in err
    assert (run / "checkpoint.safetensors").read_bytes() == kept["bytes"]
    assert not list(run.rglob("*.partial"))
    monkeypatch.setattr(os, "replace", real_replace)
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0


def test_a_run_without_its_checkpoint(finished_run, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes((finished_run / "config.json").read_bytes())
    for command in (["train", "--resume", "run"], ["sample", "run"], ["evaluate", "run"]):
        assert cli.main(command) == 1
        err = capsys.readouterr().err
        assert one_sentence(err)
        assert "no checkpoint" in err


@pytest.mark.slow
def test_a_checkpoint_of_another_recipe_changes_nothing(finished_run, tmp_path, capsys):
    other = train_small(tmp_path / "other", "mnist-mlp-sigmoid", widths="--set=generator_widths=8")
    (other / "checkpoint.safetensors").write_bytes((finished_run / "checkpoint.safetensors").read_bytes())
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    assert cli.main(["train", "--resume", str(other)]) == 1
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "mnist-mlp-sigmoid" in err
    assert before == {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", ["truncated", "flipped header", "empty", "a pickle"])
def test_a_damaged_checkpoint_changes_nothing(damage, finished_run, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (run / name).write_bytes((finished_run / name).read_bytes())
    whole = (finished_run / "checkpoint.safetensors").read_bytes()
    content = {
        "truncated": whole[:-100],
        "flipped header": bytes([whole[0] ^ 0xFF]) + whole[1:],
        "empty": b"",
        "a pickle": b"\x80\x04\x95" + whole[:50],
    }[damage]
    (run / "checkpoint.safetensors").write_bytes(content)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert cli.main(["train", "--resume", str(run), "--steps", "30"]) == 1
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "damaged" in err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"recipe": 3}',
        '{"recipe": "mnist-mlp", "settings": 7}',
        '{"recipe": "mnist-mlp", "sed": 5}',
        '{"recipe": "mnist-mlp", "kernels": 3}',
        '{"recipe": "mnist-mlp", "log_every": 0}',
        '{"recipe": "mnist-mlp", "strict": "very"}',
    ],
)
def test_a_damaged_configuration(content, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(content)
    assert cli.main(["train", "--resume", "run"]) == 1
    assert one_sentence(capsys.readouterr().err)


def test_a_huge_learning_rate_is_reported_with_step_loss_and_parameter(capsys, tmp_path):
    code = cli.main(["train", "--out", "run", "--quiet", "--set", "rate=1e30", *SMALL])
    err = capsys.readouterr().err
    assert code == 1
    assert one_sentence(err), err
    assert "step " in err
    assert "loss" in err
    assert ".weight" in err or ".bias" in err
    assert cli.main(["sample", "run"]) == 0  # the last checkpoint before that is intact


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "5"),
        ("--dtype", "float64"),
        ("--set", "latent_size=3"),
        ("--out", "elsewhere"),
        ("--sample-every", "3"),
    ],
)
def test_what_a_resumed_run_may_not_change(option, value, finished_run, capsys):
    assert cli.main(["train", "--resume", str(finished_run), option, value]) == 2
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert value.partition("=")[0] in err if option == "--set" else option in err


def test_a_near_folder_is_suggested(finished_run, capsys):
    assert cli.main(["sample", str(finished_run.with_name("rum"))]) == 1
    assert "did you mean 'run'?" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    assert cli.main(["train", "--dry-run", *SMALL]) == 0
    assert "generator" in capsys.readouterr().out
    assert cli.main(["train", "--dry-run", "--json", *SMALL]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["config"]["steps"] == 20
    assert list(tmp_path.iterdir()) == []


def test_train_has_json_output(capsys, tmp_path):
    assert cli.main(["train", "--json", "--quiet", "--out", "run", *SMALL]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["step"] == result["steps"] == 20
    assert result["interrupted"] is False
    assert Path(result["run"]) == Path("run")


@pytest.mark.slow
def test_the_default_folder_is_numbered(tmp_path):
    for _ in range(2):
        assert cli.main(["train", "--quiet", *SMALL]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mnist-mlp", "mnist-mlp-2"]


def test_a_configuration_repeats_a_run(finished_run, tmp_path):
    assert cli.main(["train", "--config", str(finished_run / "config.json"), "--out", "again", "--quiet"]) == 0
    for name in ("metrics.jsonl", "checkpoint.safetensors", "samples/step_000020.png"):
        assert (tmp_path / "again" / name).read_bytes() == (finished_run / name).read_bytes()


def test_sample_writes_pictures_and_numbers(finished_run, capsys):
    assert cli.main(["sample", str(finished_run), "--n", "10", "--seed", "1", "--out", "grid.png"]) == 0
    with Image.open("grid.png") as picture:
        assert picture.size[0] > 100
    assert cli.main(["sample", str(finished_run), "--n", "10", "--seed", "1", "--out", "a.npz", "--json"]) == 0
    assert cli.main(["sample", str(finished_run), "--n", "12", "--seed", "1", "--out", "b.npz"]) == 0
    first, more = np.load("a.npz")["images"], np.load("b.npz")["images"]
    assert first.shape == (10, 28, 28)
    assert first.dtype == np.uint8
    assert np.array_equal(first, more[:10])
    assert cli.main(["sample", str(finished_run), "--seed", "2", "--n", "10", "--out", "c.npz"]) == 0
    assert not np.array_equal(first, np.load("c.npz")["images"])


@pytest.mark.parametrize("options", [["--out", "grid.jpg"], ["--n", "0"], ["--seed", "-1"]])
def test_sample_refuses(options, finished_run, capsys):
    assert cli.main(["sample", str(finished_run), *options]) == 2
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["sample", "--n", "100000000"], "146.0 GiB of memory"),  # 784 bytes each, twice
        (["sample", "--n", "100000000", "--out", "x.npz"], "take at most 1,369,568"),
        (["sample", "--n", "90000"], "a picture of 70,560,000 pixels, expected at most 67,108,864"),
        (["evaluate", "--n", "100000000"], "GiB of memory"),
    ],
)
def test_too_many_samples_are_refused_with_the_memory_they_would_take(command, part, finished_run, tmp_path, capsys):
    assert cli.main([command[0], str(finished_run), *command[1:]]) == 2
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert part in err
    assert list(tmp_path.iterdir()) == []


def test_recipes_and_info_have_text_and_json_output(capsys):
    for command in ("recipes", "info"):
        assert cli.main([command]) == 0
        assert capsys.readouterr().out
        assert cli.main([command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_bad_thread_count_in_the_environment_is_reported(tmp_path):
    result = minigan("train", *SMALL, cwd=tmp_path, MINIGAN_NUM_THREADS="many")
    assert result.returncode in (0, 2)
    if result.returncode:  # without numba there are no threads
        assert one_sentence(result.stderr)
        assert "MINIGAN_NUM_THREADS" in result.stderr


@pytest.mark.slow
def test_the_reference_kernels_do_not_ask_for_numba_threads(tmp_path):
    result = minigan("train", "--kernels", "reference", "--quiet", *SMALL, cwd=tmp_path, MINIGAN_NUM_THREADS="many")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_reader_that_ends_early_is_no_error(reader, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = f"{sys.executable} -m minigan recipes | {reader}"
    result = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=True, env=environment
    )
    assert result.stderr == ""


@pytest.mark.slow
def test_a_disk_that_really_fills_up_is_reported(tmp_path):
    program = (
        "import resource, sys; from minigan.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); sys.exit(main(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "train", "--out", "run", "--quiet", *SMALL, "--set", "generator_widths=99"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert one_sentence(result.stderr), result.stderr
    assert list(tmp_path.iterdir()) == []


def write_pictures(folder: Path, first: int) -> None:
    folder.mkdir(exist_ok=True)
    header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (40, 9, 7))
    (folder / "pictures").write_bytes(header + bytes([first]) + bytes(40 * 9 * 7 - 1))


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_data_only(tmp_path, capsys):
    write_pictures(tmp_path / "data", 1)
    assert cli.main(["train", "--data-dir", "data", "--out", "run", "--quiet", *SMALL]) == 0
    (tmp_path / "data").rename(tmp_path / "moved")
    more = ["train", "--resume", "run", "--steps", "30", "--quiet"]
    assert cli.main([*more, "--data-dir", "moved"]) == 0
    write_pictures(tmp_path / "moved", 2)
    before = (tmp_path / "run" / "config.json").read_bytes()
    capsys.readouterr()
    assert cli.main([*more[:-3], "--steps", "40"]) == 1
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "is not what" in err
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_a_run_cannot_become_shorter(finished_run, capsys):
    before = (finished_run / "config.json").read_bytes()
    assert cli.main(["train", "--resume", str(finished_run), "--steps", "5"]) == 2
    assert one_sentence(capsys.readouterr().err)
    assert (finished_run / "config.json").read_bytes() == before


def test_two_processes_do_not_train_into_one_folder(finished_run, capsys):
    pytest.importorskip("fcntl", reason="this platform has no such locks")
    with RunFolder(finished_run).locked():
        assert cli.main(["train", "--resume", str(finished_run), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "another process" in err


def test_a_configuration_of_another_recipe_is_not_quietly_dropped(finished_run, capsys):
    assert cli.main(["train", "mnist-mlp-sigmoid", "--config", str(finished_run / "config.json")]) == 2
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_an_empty_folder_and_the_current_one_can_hold_a_run(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    assert cli.main(["train", "--out", "empty", "--quiet", *SMALL]) == 0
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert cli.main(["train", "--out", ".", "--quiet", *SMALL]) == 0
    assert (tmp_path / "here" / "losses.png").exists()


@pytest.mark.slow
def test_edited_folders_of_samples_are_no_trouble(tmp_path):
    run = train_small(tmp_path / "run")
    (run / "samples" / "step_best.png").write_bytes(b"mine")
    shutil.rmtree(run / "samples")
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0


# Output files are checked before the work.


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """A folder with a file, a folder, a pipe, and a place where nothing can be written, not even by root."""
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    else:
        (tmp_path / "pipe.png").mkdir()
    (tmp_path / "full").mkdir()
    make_file = tempfile.TemporaryFile

    def refuse(*arguments, **more):
        if Path(more["dir"]).name == "full":
            raise PermissionError(errno.EACCES, "Permission denied", str(more["dir"]))
        return make_file(*arguments, **more)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    return tmp_path


@pytest.mark.parametrize(
    "out", ["folder.png", "pipe.png", "file/x.png", "full/x.png", "full/in/x.png", "a" * 300 + ".png"]
)
@pytest.mark.parametrize("command", ["sample", "study", "gradcheck"])
def test_where_nothing_can_be_written_nothing_is_computed(command, out, places, finished_run, monkeypatch, capsys):
    def work(*arguments, **more):
        raise AssertionError("it should have been refused before")

    for name in ("study.page.write", "cli.sample._draw", "cli.gradcheck.from_file.load"):
        monkeypatch.setattr(f"minigan.{name}", work)
    before = sorted(places.rglob("*"))
    arguments = {
        "sample": ["sample", str(finished_run), "--out", out],
        "study": ["study", "--out", out],
        "gradcheck": ["gradcheck", "mine.py:f", "--picture", out],
    }
    assert cli.main(arguments[command]) == 2
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert out[:20].partition("/")[0] in err
    assert sorted(places.rglob("*")) == before


# Streams that are closed, full, or encode few characters; interrupts.


def in_a_shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """The result of `line` in a shell in which $minigan is the command."""
    environment = dict(os.environ) | environment | {"minigan": f"{sys.executable} -m minigan"}
    return subprocess.run(["sh", "-c", line], cwd=cwd, env=environment, capture_output=True, check=False, timeout=300)


FULL = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no device that is always full")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("$minigan recipes >/dev/full", 1, marks=FULL),
        pytest.param("$minigan --help >/dev/full", 1, marks=FULL),
        pytest.param("$minigan bogus 2>/dev/full", 2, marks=FULL),
        ("$minigan recipes --json >&-", 1),
        ("$minigan --version >&-", 1),
        ("$minigan recipes <&- 2>&-", 0),
        ("$minigan bogus 2>&-", 2),
    ],
)
def test_streams_that_are_closed_or_full(line, code, tmp_path):
    ended = in_a_shell(line, tmp_path)
    assert ended.returncode == code
    err = ended.stderr.decode()
    if code == 1:
        assert one_sentence(err)
        assert "standard output cannot be written" in err
    else:
        assert err == ""


@pytest.mark.slow
@pytest.mark.parametrize("streams", [">&- 2>&-", pytest.param("2>/dev/full", marks=FULL)])
def test_a_run_does_not_need_streams(streams, tmp_path):
    ended = in_a_shell(f"$minigan train --kernels reference --out run {' '.join(SMALL)} {streams}", tmp_path)
    assert ended.returncode == (">&-" in streams.split())  # then its last output is lost
    assert ended.stderr == b""
    assert len(RunFolder(tmp_path / "run").rows()) == 2
    assert cli.main(["sample", str(tmp_path / "run"), "--n", "1"]) == 0  # nothing was printed into its files


@pytest.mark.slow
def test_a_stream_that_encodes_few_characters(tmp_path):
    (tmp_path / "in").mkdir()
    name = b"caf\xc3\xa9\xff"
    line = b"$minigan train --dry-run --out " + name + b" && $minigan sample " + name
    ended = in_a_shell(os.fsdecode(line), tmp_path, PYTHONIOENCODING="ascii")
    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert b"no run in caf" in ended.stderr


INTERRUPTED_IMPORT = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except BaseException:  # as packages do for optional dependencies
    pass
raise ImportError("not this one")
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", ["numpy", "numba", "cupy"])
def test_an_interrupt_while_packages_are_imported(package, tmp_path):
    (tmp_path / f"{package}.py").write_text(INTERRUPTED_IMPORT)
    ended = minigan("info", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "minigan: interrupted.\n")


def test_an_interrupt_of_the_work(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("minigan.cli.list_recipes.run", interrupted)
    assert cli.main(["recipes"]) == 130
    assert capsys.readouterr().err == "minigan: interrupted.\n"


def test_an_unexpected_error_is_reported_and_raised_on_request(monkeypatch, capsys):
    monkeypatch.setattr("minigan.cli.list_recipes.run", lambda arguments: 1 // 0)
    monkeypatch.delenv("MINIGAN_DEBUG")
    assert cli.main(["recipes"]) == 1
    err = capsys.readouterr().err
    assert one_sentence(err)
    assert "unexpected error: ZeroDivisionError" in err and "please report it" in err
    monkeypatch.setenv("MINIGAN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["recipes"])


def test_file_names_do_not_control_a_terminal(finished_run, capsys):
    out = "\x1b[2J\u202e\n.npz"
    assert cli.main(["sample", str(finished_run), "--n", "1", "--out", out]) == 0
    assert capsys.readouterr().out == "Wrote 1 samples of step 20 to \\x1b[2J\\u202e\\n.npz\n"
    assert Path(out).exists()


@pytest.mark.slow
def test_run_names_do_not_control_a_terminal_and_can_be_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, shown, pasted in (("my run", "my run", "'my run'"), ("a\nb", "a\\nb", "'a\\nb'")):
        assert cli.main(["train", "--out", name, *SMALL]) == 0
        printed = capsys.readouterr()
        assert f"into {shown}\n" in printed.err
        files = ", ".join(f"{shown}/{file}" for file in ("samples/step_000020.png", "samples.gif", "losses.png"))
        assert f"Look at {files}, {shown}/report.html.\n" in printed.out
        assert f"Next: minigan sample {pasted}, minigan evaluate {pasted}\n" in printed.out
