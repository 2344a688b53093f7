"""Every piece of the bug museum is caught and named right, and passes once it is mended."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from minigan.checking import Verdict

ROOT = Path(__file__).resolve().parents[2]
MUSEUM = ROOT / "examples" / "bug_museum"
FILES = sorted(path for path in MUSEUM.glob("*.py") if path.stem != "__main__")

# Of each piece, what the checker should say: the cause, and the array that is to blame.
CAUSES = {
    "batch_norm_short": ("", "x"),
    "blended_batch": ("factor", "fake"),
    "both_labels_on_fakes": ("detached", "real"),
    "cleared_caches": ("detached", "weights"),
    "consensus_half": ("factor 2", "t"),
    "fast_mode": ("", "x"),
    "mean_as_sum": ("mean taken as sum", "fake"),
    "minimises_kl": ("", "logits"),
    "minus_fake_loss": ("sign", "fake"),
    "no_sum_over_batch": ("missing sum over a broadcast axis", "b"),
    "second_derivative_raises": ("raises", None),
    "tiny_gradient": ("factor 1/2", "fake"),
    "tolerance_times_size": ("factor 1/2", "x"),
    "wrong_at_the_kink": ("outside of a kink", "x"),
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bug_museum_{name.strip('_')}", MUSEUM / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(path: Path, cwd: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(path)],
        cwd=cwd,
        env=os.environ | {"MINIGAN_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert list(cwd.iterdir()) == []
    return result.stdout


every_piece = pytest.mark.parametrize("name", [path.stem for path in FILES])


# What the checker says


@every_piece
def test_is_caught_and_named(name):
    report = load(name).check()
    assert not report.ok
    assert report.verdict is (Verdict.KINK if name == "wrong_at_the_kink" else Verdict.FAIL)
    cause, blamed = CAUSES[name]
    assert report.cause == cause
    if blamed is not None:
        assert report.name == blamed


@every_piece
def test_passes_when_mended(name):
    piece = load(name)
    report = piece.check(piece.corrected)
    assert report.ok, report
    assert report.verdict is (Verdict.KINK if name == "wrong_at_the_kink" else Verdict.PASS)


@pytest.mark.parametrize("name", ["batch_norm_short", "fast_mode", "minimises_kl"])
def test_what_no_known_mistake_explains_is_called_that(name):
    """A missing term has no name of its own; the checker should say so, and not guess."""
    assert "a term may be missing" in load(name).check().explanation


def test_the_worst_entry_is_measured_right():
    """The numbers shown are the claimed and the true derivative of the entry shown."""
    for name in ("minus_fake_loss", "tiny_gradient", "mean_as_sum", "minimises_kl"):
        piece = load(name)
        report = piece.check()
        arrays = piece.LOGITS if isinstance(piece.LOGITS, tuple) else (piece.LOGITS,)
        claimed, right = piece.published(*arrays), piece.corrected(*arrays)
        if isinstance(claimed, tuple):
            which = report.checked.index(report.name)
            claimed, right = claimed[which], right[which]
        assert report.analytic == pytest.approx(claimed[report.index], rel=1e-9)
        assert report.numeric == pytest.approx(right[report.index], rel=1e-6)


def test_a_blend_is_wrong_by_one_over_minus_its_share():
    assert "multiplied by -3.3333333" in load("blended_batch").check().explanation


def test_the_whole_consensus_gradient_is_wrong_too():
    """The parts tell why; the gradient by theta and psi that the code computes is wrong, and mended right."""
    piece = load("consensus_half")
    assert not piece.check_whole().ok
    assert piece.check_whole(piece.corrected).ok


def test_dezero_passes_at_first_order_and_its_error_is_named():
    piece = load("second_derivative_raises")
    assert piece.check(order=1).ok
    report = piece.check()
    assert report.order == 2
    assert "TypeError" in report.explanation
    assert "weight_grad" in report.explanation  # the operation whose derivative raised


def test_dezero_would_be_wrong_even_without_the_error():
    piece = load("second_derivative_raises")
    report = piece.check(lambda u, result: result)  # the weak reference, read through
    assert report.verdict is Verdict.FAIL
    assert report.order == 2
    assert report.cause != "raises"


# The checkers that let three of them pass


def test_fast_mode_passes_it_along_every_probe():
    piece = load("fast_mode")
    assert all(piece.fast_mode(piece.renorm, piece.published, piece.X, seed=seed) for seed in range(50))
    assert all(piece.fast_mode(piece.renorm, piece.corrected, piece.X, seed=seed) for seed in range(20))
    assert not piece.fast_mode(piece.renorm, lambda x, u: 2 * piece.corrected(x, u), piece.X)


def test_fast_mode_sees_it_in_a_small_array():
    """So it is the size that hides it."""
    piece = load("fast_mode")
    assert not any(piece.fast_mode(piece.renorm, piece.published, piece.X[:10, :10], seed=seed) for seed in range(20))


def test_a_tolerance_times_the_size_passes_500_outputs_and_not_5():
    piece = load("tolerance_times_size")
    assert piece.scaled_tolerance(piece.tanh, piece.published, piece.X)
    assert not piece.scaled_tolerance(piece.tanh, piece.published, piece.X[::100])
    assert piece.scaled_tolerance(piece.tanh, piece.corrected, piece.X[::100])


def test_an_absolute_tolerance_passes_what_is_tiny():
    piece = load("tiny_gradient")
    assert np.abs(piece.corrected(piece.LOGITS)).max() < 1e-7
    assert piece.absolute_or_relative(piece.loss, piece.published, piece.LOGITS)
    assert not piece.absolute_or_relative(piece.loss, piece.published, piece.LOGITS + 17)
    assert piece.absolute_or_relative(piece.loss, piece.corrected, piece.LOGITS + 17)


# What the pieces say of training


def test_learning_from_both_labels_ends_at_one_half():
    piece = load("both_labels_on_fakes")
    fake = piece.LOGITS[1]
    for _ in range(1000):
        fake = fake - 8 * piece.published(fake, fake)[1]
    assert np.abs(fake).max() < 1e-6  # D = 1/2


def test_subtracting_the_fakes_has_no_lower_bound():
    piece = load("minus_fake_loss")
    real, fake = piece.LOGITS
    for _ in range(1000):
        steps = piece.published(real, fake)
        real, fake = real - 8 * steps[0], fake - 8 * steps[1]
    assert fake.min() > 500  # D(G(z)) = 1, and on it goes
    assert np.logaddexp(0, -real).mean() - np.logaddexp(0, fake).mean() < -500


def test_the_value_at_the_best_discriminator_is_2_jsd_minus_log_4():
    piece = load("minimises_kl")
    p, q = piece.P, piece.softmax(piece.LOGITS)
    m = (p + q) / 2
    jsd = (p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2
    assert piece.value(piece.LOGITS) == pytest.approx(2 * jsd - np.log(4))


# The museum itself


@every_piece
def test_runs_alone(name, tmp_path):
    out = run(MUSEUM / f"{name}.py", tmp_path)
    assert str(load(name).check()) in out


@pytest.mark.slow
def test_the_tour_shows_every_piece(tmp_path):
    rows = [line.split() for line in run(MUSEUM, tmp_path).splitlines()]
    listed = {row[0]: row for row in rows if row and row[0] in CAUSES}
    assert set(listed) == set(CAUSES) == {path.stem for path in FILES}
    for name, row in listed.items():
        report = load(name).check()
        assert row[1] == report.verdict
        assert int(row[-1]) == report.evaluations
        assert " ".join(row).startswith(f"{name} {report.verdict} {report.cause or '(none known)'}")


@every_piece
def test_is_short_explained_and_in_the_docs(name):
    text = (MUSEUM / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 65
    assert "In training:" in (ast.get_docstring(tree) or "") and "Where:" in (ast.get_docstring(tree) or "")
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    imported = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in imported} - set(sys.stdlib_module_names) <= {"minigan", "numpy"}
    page = (ROOT / "docs" / "bug_museum.md").read_text(encoding="utf-8")
    assert f"examples/bug_museum/{name}.py" in page
    assert load(name).check().explanation in page  # what the page quotes is what the checker says
