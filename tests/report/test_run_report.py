"""The report of a run: what it says is what the run's files and its GAN say, and it needs no other file."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import SMALL, train_small, write_photos

import minigan as mg
from minigan import GAN, cli, nn, optim, recipes
from minigan.explain import walk_step
from minigan.figures.history import History
from minigan.report import gradients, networks_of, networks_of_own, read_facts, render, write_report
from minigan.report.curves import curve_charts, span, thinned
from minigan.training.run_data import reload_data
from minigan.training.run_folder import RunFolder
from minigan.training.trained_run import load_run

SECTIONS = [
    "samples", "curves", "findings", "evaluation", "interpolations", "gradients", "settings", "time", "repeat",
]  # fmt: skip
LARGEST = 5_000_000  # bytes


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return train_small(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return shutil.copytree(run, tmp_path / "run")


class _Page(HTMLParser):
    """The ids and the addresses in a page, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.addresses, self.open, self.wrong = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.wrong.append(tag)


def report(run: Path, *more: str) -> str:
    assert cli.main(["report", str(run), "--quiet", *more]) == 0
    return (run / "report.html").read_text(encoding="utf-8")


def test_training_ends_with_a_report_that_is_whole(run):
    text = (run / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert not page.wrong
    assert not page.open
    assert len(set(page.ids)) == len(page.ids)
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert all(address.startswith(("data:", "#")) for address in page.addresses), "it needs another file"
    assert "url(" not in text
    assert "@import" not in text
    assert len(text) < LARGEST
    assert re.findall(r'alt="samples of step ([\d,]+)"', text) == ["0", "10", "20"]
    assert text.count("<svg viewBox") >= 2
    assert "<noscript>" in text  # without scripts all pictures are shown


def test_the_command_makes_the_same_again_but_for_nothing(run, copied):
    before = (run / "report.html").read_text(encoding="utf-8")
    assert report(copied) == before.replace(str(run), str(copied))


def test_the_gan_stays_as_it_is(run):
    trained, folder = load_run(run), RunFolder(run)
    before = trained.gan.state()
    render(read_facts(folder, networks_of(trained, lambda: reload_data(trained.config, folder, progress=False))))
    after = trained.gan.state()
    assert all((after[name] == value).all() for name, value in before.items())
    assert trained.gan.generator.training


def test_gradient_norms_are_those_of_the_walk_through_a_step():
    recipe = recipes.get("ring-plain")
    settings = {"generator_widths": (5,), "discriminator_widths": (4,), "batch_size": 6, "latent_size": 2}
    gan = recipe.build(seed=3, dtype="float64", **settings)
    batch = recipe.domain.example_batch(6, recipe.resolve(settings), seed=0, dtype="float64")
    found = {(n.player, n.name): n for n in gradients.gradient_norms(gan, batch)}
    (walk,) = walk_step(gan, batch, players=["discriminator"])
    for arrival in walk.arrivals:
        norm = found["discriminator", arrival.weight.removeprefix("D.")]
        assert norm.gradient * np.sqrt(np.prod(norm.shape)) == pytest.approx(arrival.norm, rel=1e-12)
    weights = {("generator", name): p.numpy() for name, p in gan.generator.parameters().items()}
    for key, values in weights.items():
        assert found[key].weight == pytest.approx(np.sqrt((values**2).mean()))
    assert len(found) == len(walk.arrivals) + len(weights)


def test_scores_and_their_pictures_are_shown(copied):
    assert "Not evaluated yet" in report(copied)
    scores = {"step": 20, "mean_confidence": 0.25, "missing": [3, 7], "modes": {"covered": 1234}, "fid<": None}
    scores["measures"] = {"recall": {"value": 0.5, "interval": [0.4, 0.625], "floor": 0.875, "samples": 2000}}
    (copied / "scores.json").write_text(json.dumps(scores))
    Image.new("L", (40, 30)).save(copied / "comparison.png")
    text = report(copied)
    assert "Not evaluated yet" not in text
    recall = "0.5 (95% interval 0.4 to 0.625; real against real 0.875; 2,000 samples)"
    for name, value in {
        "mean confidence": "0.25",
        "missing": "3, 7",
        "modes: covered": "1,234",
        "measures: recall": recall,
    }.items():
        assert f'<th scope="row">{name}</th><td><span class="long">{value}</span></td>' in text
    assert 'alt="comparison"' in text
    assert "fid&lt;" in text


def test_findings_are_listed_with_their_steps(copied):
    lines = (copied / "metrics.jsonl").read_text().splitlines()
    row = json.loads(lines[-1]) | {"diagnosis": ["mode-collapse: samples are <alike>"]}
    (copied / "metrics.jsonl").write_text("\n".join([*lines[:-1], json.dumps(row)]) + "\n")
    assert "<li>Step 20: mode-collapse: samples are &lt;alike&gt;</li>" in report(copied)


def test_a_picture_that_cannot_be_read_is_left_out(copied):
    (copied / "samples" / "step_000010.png").write_bytes(b"no picture")
    assert re.findall(r'alt="samples of step ([\d,]+)"', report(copied)) == ["0", "20"]


def test_a_run_that_has_recorded_nothing_yet(copied):
    shutil.rmtree(copied / "samples")
    for name in ("metrics.jsonl", "metrics.csv"):
        (copied / name).unlink()
    text = report(copied)
    assert "No pictures of samples were recorded." in text
    assert "no two rows of metrics" in text
    assert "not recorded" in text
    assert [name for name in _Page(text).ids if name in SECTIONS] == SECTIONS


def test_data_that_are_gone_leave_out_what_needs_them(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos")
    run, small = tmp_path / "run", ["--steps", "2", "--quiet", "--set", "batch_size=4"]
    assert cli.main(["train", "mnist-mlp", "--data-dir", str(photos), "--out", str(run), *small]) == 0
    shutil.rmtree(photos)
    text = report(run)
    assert "Left out: " in text
    assert "does not exist any more" in text
    assert "rms of gradient" not in text
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_of_own_code_is_reported_without_its_networks(tmp_path):
    networks = nn.Sequential(nn.Dense(2, 2, rng=0)), nn.Sequential(nn.Dense(2, 1, rng=1))
    optimizers = [optim.Adam(network.parameters(), 1e-3) for network in networks]
    gan = GAN(*networks, "non-saturating", *optimizers, latent_size=2)
    gan.fit(np.zeros((8, 2), np.float32), steps=4, batch_size=4, out=tmp_path / "run", progress=False)
    text = report(tmp_path / "run")
    assert text.count("code of your own") == 2
    assert [name for name in _Page(text).ids if name in SECTIONS] == SECTIONS
    whole = networks_of_own(mg.load_run(tmp_path / "run", gan), np.ones((4, 2)))
    text = write_report(read_facts(tmp_path / "run", whole)).read_text(encoding="utf-8")
    assert "code of your own" not in text
    assert text.count("<table>") >= 4
    assert 'aria-label="paths of samples in the plane"' in text


def test_a_failure_at_the_end_of_training_is_a_notice(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("no ink")

    monkeypatch.setattr("minigan.cli.train.write_report", fail)
    assert cli.main(["train", "--out", str(tmp_path / "run"), *SMALL]) == 0
    assert re.search(r"report\.html could not be made: no ink; .*minigan report \S+run makes", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--out", "x.pdf"], "ends in .html"), (["--checkpoint", "7"], "checkpoint"), (["--out", "/"], ".html")],
)
def test_bad_arguments_are_one_sentence(run, arguments, said, capsys):
    assert cli.main(["report", str(run), *arguments]) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_curves_are_thinned_by_means_without_numbers_that_are_not_finite():
    steps, values = np.arange(1000.0), np.arange(1000.0) * 2
    points = thinned(steps, values)
    assert len(points) <= 160
    assert points[:, 1] == pytest.approx(2 * points[:, 0])
    values[1::2] = np.nan
    points = thinned(steps, values)
    assert np.isfinite(points).all()
    assert points[:, 1] == pytest.approx(2 * points[:, 0])
    assert thinned(steps, np.full(1000, np.nan)).shape == (0, 2)


def test_an_axis_leaves_outliers_out_and_has_a_span_for_a_constant():
    low, high = span([np.append(np.linspace(0, 1, 999), 1e9)])
    assert -0.1 < low <= 0
    assert 1 <= high < 1.2
    assert span([np.zeros(3)])[0] < span([np.zeros(3)])[1]


def test_charts_of_further_numbers_are_in_the_order_of_their_names():
    names = [f"number_{letter}" for letter in "hbfadgec"]
    rows = [{"step": step, **dict.fromkeys(names, float(step))} for step in range(3)]
    found = re.findall(r"curve of number (\w)", "".join(curve_charts(History(rows), "")))
    assert list(dict.fromkeys(found)) == list("abcdefgh")
