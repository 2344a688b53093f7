"""The report of a gradient check: its text, its JSON, its exception and its picture."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

import minigan as mg
from minigan.checking import GradientError, Report, Verdict

X = np.array([1.0, 2.0, -3.0])


def squares(x):
    return (x * x).sum()


def squares_of_tensor(x):
    return mg.ops.sum(x * x)


def relu(x):
    return np.maximum(x, 0)


def passed() -> Report:
    return mg.check_pair(squares, lambda x: 2 * x, X)


def failed() -> Report:
    return mg.check_pair(squares, lambda x: 2 * x * [1, 1, 4], X)


def failed_everywhere() -> Report:
    return mg.check_pair(squares, lambda x: -2 * x, X)


def failed_by_shape() -> Report:
    return mg.check_pair(squares, lambda x: 2 * x[:2], X)


def failed_by_count() -> Report:
    return mg.check_pair(lambda a, b: (a * b).sum(), lambda a, b: (b,), (X, X + 1))


def failed_by_a_number() -> Report:
    return mg.check_pair(squares, lambda x: np.where(x < 0, np.nan, 2 * x), X)


def failed_outside_of_the_domain() -> Report:
    with np.errstate(invalid="ignore"):
        return mg.check_pair(lambda x: np.log(x).sum(), lambda x: 1 / x, X)


def failed_at_second_order() -> Report:
    return mg.gradcheck(lambda x: once_right(x), [X], order=2, names=["x"])


def kinked() -> Report:
    return mg.check_vjp(relu, lambda x, u: u * (x > 0), np.array([0.0, 1.0, -1.0]))


def kinked_wrongly() -> Report:
    return mg.check_vjp(relu, lambda x, u: u * (x > 0) - 3 * u * (x == 0), np.array([0.0, 1.0, -1.0]))


def noisy() -> Report:
    return mg.check_pair(lambda x: squares(x) + 1e-2 * np.sin(1e12 * x.sum()), lambda x: 2 * x, X)


def not_repeatable() -> Report:
    rng = np.random.default_rng(0)
    return mg.check_pair(lambda x: squares(x) + rng.normal(), lambda x: 2 * x, X)


def not_reentrant() -> Report:
    kept = {}

    def f(x):
        kept["x"] = x
        return squares(x)

    return mg.check_pair(f, lambda x: 2 * kept["x"], X)


def mutated() -> Report:
    def f(x):
        x *= 2
        return x.sum()

    return mg.check_pair(f, lambda x: np.full_like(x, 2), X)


once_right = mg.autodiff.primitive(lambda g, y, x: g * double(x))(lambda B, x: x * x)
double = mg.autodiff.primitive(lambda g, y, x: g * 3.0)(lambda B, x: 2 * x)  # whose derivative is 2

# Each verdict, whether it is ok, and words that its text must contain.
KINDS: dict[Callable[[], Report], tuple[Verdict, bool, tuple[str, ...]]] = {
    passed: (Verdict.PASS, True, ("x", "analytic", "numeric")),
    failed: (Verdict.FAIL, False, ("x[2]", "rest agrees", "analytic  -24", "numeric   -6")),
    failed_everywhere: (Verdict.FAIL, False, ("wrong sign", "analytic", "numeric")),
    failed_by_shape: (Verdict.FAIL, False, ("derivative of x has shape (2,)", "expected (3,)")),
    failed_by_count: (Verdict.FAIL, False, ("a, b", "return one for each")),
    failed_by_a_number: (Verdict.FAIL, False, ("nan at x[2]",)),
    failed_outside_of_the_domain: (Verdict.FAIL, False, ("not finite", "domain")),
    failed_at_second_order: (Verdict.FAIL, False, ("second derivative", "analytic", "numeric")),
    kinked: (Verdict.KINK, True, ("right and left", "between them")),
    kinked_wrongly: (Verdict.KINK, False, ("right and left", "not", "x[0]")),
    noisy: (Verdict.NOISY, False, ("scatter",)),
    not_repeatable: (Verdict.NONDETERMINISTIC, False, ("another value for the same inputs", "freeze")),
    not_reentrant: (Verdict.NONDETERMINISTIC, False, ("kept between calls",)),
    mutated: (Verdict.MUTATED, False, ("f changed its input x in place", "copy")),
}
every_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)


# The text.


@every_kind
def test_reads_well(make):
    verdict, ok, words = KINDS[make]
    report = make()
    text = str(report)
    assert (report.verdict, report.ok) == (verdict, ok)
    assert text.startswith(f"{verdict}: ")
    for word in words:
        assert word in text
    assert len(text.splitlines()) <= 20
    assert max(map(len, text.splitlines())) <= 160
    assert "nan +-" not in text and "None" not in text and "array(" not in text
    assert text == "\n".join(line.rstrip() for line in text.splitlines())  # no blanks at the ends
    assert f"{report.evaluations} evaluation" in text


def test_every_verdict_is_among_them():
    assert {verdict for verdict, _, _ in KINDS.values()} == set(Verdict)


@every_kind
def test_explanation_is_one_sentence(make):
    """Lower-case start, no full stop: it stands on a line of its own, or after a colon."""
    report = make()
    if report.verdict is Verdict.PASS:
        assert (report.explanation, report.cause) == ("", "")
    else:
        assert report.explanation and "\n" not in report.explanation
        assert report.explanation[0].islower() and not report.explanation.endswith(".")


@every_kind
def test_the_error_bar_covers_the_error(make):
    """The gradient of the squares is 2 x, and the numeric one is right to within its error bar."""
    report = make()
    if make is failed:
        assert (report.name, report.index, report.entry) == ("x", (2,), "x[2]")
        assert report.analytic == -24
        assert abs(report.numeric - -6) <= report.bar < 1e-9
        assert report.error == abs(report.analytic - report.numeric)
    elif report.verdict is Verdict.PASS:
        assert report.error <= 10 * report.bar + 1e-12


def test_a_large_array_prints_no_more():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 50, 3))
    text = str(mg.check_pair(squares, lambda x: 2 * x * (np.arange(x.size).reshape(x.shape) != 4321), x))
    assert "x[28, 40, 1]" in text  # 4321 = (28 * 50 + 40) * 3 + 1
    assert len(text.splitlines()) <= 20


def test_many_arrays_fit_into_the_lines():
    arrays = tuple(np.arange(3.0) + i for i in range(60))
    report = mg.check_pair(lambda *a: sum(map(squares, a)), lambda *a: tuple(2 * x for x in a), arrays)
    assert report.ok and len(report.checked) == 60
    assert len(str(report).splitlines()) <= 20
    assert max(map(len, str(report).splitlines())) <= 160


@every_kind
def test_a_report_of_an_error_is_false(make):
    """Other libraries' checkers are used as `assert gradcheck(...)`."""
    report = make()
    try:
        truth = bool(report)
    except TypeError:
        return
    assert truth is report.ok


# The JSON.


def strict(text: str) -> dict:
    """The object that `text` holds in JSON proper, which has no NaN and no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@every_kind
def test_json_holds_the_same(make):
    report = make()
    fields = strict(report.to_json())
    assert fields["verdict"] == report.verdict.value
    assert fields["ok"] is report.ok
    for name in ("cause", "explanation", "evaluations", "order", "entry", "name"):
        assert fields[name] == getattr(report, name)
    for name in ("analytic", "numeric", "bar", "error"):
        value = getattr(report, name)
        assert fields[name] == (value if math.isfinite(value) else None)
    assert fields["index"] == (None if report.index is None else list(report.index))
    assert fields["checked"] == list(report.checked)
    assert "\n" not in report.to_json()  # one line of a log


def test_json_of_odd_names():
    report = mg.check_pair(squares, lambda x: 3 * x, X, names=['w "β"\n'])
    assert strict(report.to_json())["name"] == 'w "β"\n'


# The exception.


@every_kind
def test_raises_unless_ok(make):
    report = make()
    if report.ok:
        assert report.raise_for_failure() is report
        return
    with pytest.raises(GradientError) as caught:
        report.raise_for_failure()
    assert str(caught.value) == str(report)
    assert isinstance(caught.value, AssertionError)


# The picture.


@pytest.fixture
def wrong_in_one_place() -> Report:
    w = np.random.default_rng(0).normal(size=(6, 9))

    def gradient(w):
        g = 2 * w
        g[4, 7] += 1
        return g

    return mg.check_pair(lambda w: (w * w).sum(), gradient, w)


def test_the_map_is_largest_at_the_wrong_entry(wrong_in_one_place):
    errors = wrong_in_one_place.error_map()
    assert errors.shape == (6, 9)
    assert np.unravel_index(errors.argmax(), errors.shape) == (4, 7) == wrong_in_one_place.index
    assert errors[4, 7] == pytest.approx(1, rel=1e-3)
    errors[4, 7] = 0
    assert errors.max() < 1e-3


def test_a_map_of_four_axes_has_the_last_as_columns():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    report = mg.check_pair(squares, lambda x: 2 * x + (np.arange(x.size).reshape(x.shape) == 77), x)
    errors = report.error_map()
    assert errors.shape == (24, 5)
    assert np.unravel_index(errors.argmax(), errors.shape) == divmod(77, 5)
    assert report.index == np.unravel_index(77, x.shape)


def test_a_large_map_has_blocks_with_the_wrong_entry_in_the_largest():
    x = np.random.default_rng(0).normal(size=(100, 70))
    report = mg.check_pair(squares, lambda x: 2 * x + (np.arange(x.size).reshape(x.shape) == 55 * 70 + 33), x)
    errors = report.error_map()
    assert errors.shape == (32, 32)
    row, column = np.unravel_index(errors.argmax(), errors.shape)
    assert 55 in np.array_split(np.arange(100), 32)[row]
    assert 33 in np.array_split(np.arange(70), 32)[column]


def test_the_picture_is_a_picture(wrong_in_one_place, tmp_path):
    wrong_in_one_place.save_picture(tmp_path / "errors.png")
    wrong_in_one_place.save_picture(str(tmp_path / "errors.svg"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["errors.png", "errors.svg"]
    with Image.open(tmp_path / "errors.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) >= 300
    assert "<svg" in (tmp_path / "errors.svg").read_text(encoding="utf-8")


def test_the_picture_is_brightest_at_the_wrong_entry(wrong_in_one_place, tmp_path):
    """One cell of 6 x 9, in the fifth row and the eighth column, in the colour of the largest error."""
    wrong_in_one_place.save_picture(tmp_path / "errors.png")
    with Image.open(tmp_path / "errors.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    dark = (np.abs(pixels - [68, 1, 84]).sum(axis=2) < 12)[:, : int(0.85 * pixels.shape[1])]  # viridis at 0
    bright = (np.abs(pixels - [253, 231, 37]).sum(axis=2) < 12)[:, : dark.shape[1]]  # viridis at 1
    rows, columns = np.nonzero(dark | bright)
    top, left = rows.min(), columns.min()
    height, width = rows.max() + 1 - top, columns.max() + 1 - left
    rows, columns = np.nonzero(bright)
    assert int((rows.mean() - top) / height * 6) == 4
    assert int((columns.mean() - left) / width * 9) == 7
    assert bright.sum() == pytest.approx(height * width / 54, rel=0.1)


@pytest.mark.slow
def test_a_picture_of_a_scalar_and_of_a_vector(tmp_path):
    for x in (np.array(2.0), X):
        mg.check_pair(lambda x: (x * x).sum(), lambda x: 3 * x, x).save_picture(tmp_path / "errors.png")
        with Image.open(tmp_path / "errors.png") as picture:
            picture.load()


def test_a_picture_that_fails_leaves_the_old_one(wrong_in_one_place, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    path = tmp_path / "errors.png"
    wrong_in_one_place.save_picture(path)
    before = path.read_bytes()

    def broken(self, target, **options):
        with open(target, "wb") as file:
            file.write(b"half of a pic")
        raise OSError("the disk is full")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="the disk is full"):
        wrong_in_one_place.save_picture(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["errors.png"]


@pytest.mark.parametrize("make", [passed, kinked, failed_by_count, not_repeatable], ids=lambda make: make.__name__)
def test_there_is_no_picture_without_a_wrong_entry(make, tmp_path):
    with pytest.raises(ValueError, match="no picture to draw"):
        make().save_picture(tmp_path / "errors.png")
    assert list(tmp_path.iterdir()) == []


@every_kind
def test_a_notebook_shows_the_same_text(make):
    report = make()
    shown = report._repr_html_()
    assert html.unescape(re.sub(r"</?(pre|b)\b[^>]*>", "", shown)) == str(report)
    (verdict,) = re.findall(r'<b style="color:[^"]+">(.*)</b>', shown)
    assert verdict == report.verdict


def test_a_notebook_shows_names_as_text():
    name = "<script>alert(1)</script>&"
    shown = mg.gradcheck(squares_of_tensor, [X], names=[name])._repr_html_()
    assert "<script" not in shown and html.escape(name) in shown


@pytest.mark.parametrize("make", [passed, failed], ids=lambda make: make.__name__)
def test_its_colours_can_be_read_on_a_light_and_on_a_dark_page(make):
    for colour in re.findall(r"color:#([0-9a-f]{6})", make()._repr_html_()):
        channels = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)]) / 255
        linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)  # WCAG 2
        luminance = linear @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 4.5 and (luminance + 0.05) / 0.05 > 4.5
