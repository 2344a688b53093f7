"""The report of a run as a browser shows it, driven through chromedriver (see support/browser.py)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from support.browser import Browser, driver_port, needs_browser
from support.runs import train_small

pytestmark = [pytest.mark.slow, needs_browser]

VISIBLE = "return [...arguments[0].querySelectorAll('.frame')].flatMap((f, i) => f.offsetHeight > 0 ? [i] : [])"
COLOURS = (
    "const s = getComputedStyle(document.querySelector(arguments[0])); return [s.color, s.backgroundColor, s.fill]"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report = train_small(folder / "run") / "report.html"
    shutil.copy(report, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module", params=[(1000, "light"), (400, "dark")], ids=lambda p: f"{p[0]} px, {p[1]}")
def browser(request, page, tmp_path_factory) -> Iterator[Browser]:
    """The page, opened from its file, at the width of a desk and of a phone."""
    width, scheme = request.param
    with driver_port() as port:
        opened = Browser(port, tmp_path_factory.mktemp("profile"), width)
        try:
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            opened.do("/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})
            opened.do("/url", url=page.as_uri())
            opened.scheme = scheme  # type: ignore[attr-defined]
            yield opened
        finally:
            opened.close()


def test_it_opens_without_an_error_and_without_a_request(browser):
    assert browser.console() == []
    requests = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in requests if not name.startswith("data:")] == []
    empty = "return [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)"
    assert browser.run(empty) == []
    flat = """return [...document.querySelectorAll('.drawing > svg')]
        .filter(s => s.getBoundingClientRect().width < 100 || s.getBBox().height < 10).map(s => s.outerHTML)"""
    assert browser.run(flat) == []


def test_nothing_is_wider_than_the_window(browser):
    wide = """return [...document.querySelectorAll('body *')].filter(e => !e.closest('.wide, pre, svg'))
        .filter(e => e.getBoundingClientRect().right > arguments[0] + 1).map(e => e.outerHTML.slice(0, 200))"""
    assert browser.run(wide, browser.width) == []
    assert browser.run("return document.documentElement.scrollWidth") <= browser.width


def test_text_and_drawings_stand_out_in_light_and_dark(browser):
    ink, paper, _ = browser.run(COLOURS, "body")
    brightness = [sum(map(int, colour[4:-1].split(","))) / 3 for colour in (ink, paper)]
    assert (brightness[0] < 80 and brightness[1] > 240) if browser.scheme == "light" else brightness[0] > 200
    assert browser.run(COLOURS, ".drawing > svg")[2] == ink
    strokes = """return [...document.querySelectorAll('.drawing svg path[stroke^="var"]')]
        .map(p => getComputedStyle(p).stroke)"""
    assert (
        set(browser.run(strokes))
        >= {
            "light": {"rgb(29, 95, 168)", "rgb(194, 71, 13)"},
            "dark": {"rgb(125, 180, 240)", "rgb(240, 144, 92)"},
        }[browser.scheme]
    )


def test_the_slider_moves_through_the_training(browser):
    (slideshow,) = browser.all(".slideshow")
    (slider,) = browser.element(slideshow, "elements", using="css selector", value="input")
    assert browser.run(VISIBLE, slideshow) == [2]  # the last
    browser.element(slider, "value", text="\ue011")  # Home
    assert browser.run(VISIBLE, slideshow) == [0]
    first = browser.screenshot(slideshow)
    browser.element(slider, "value", text="\ue014")  # the right arrow
    assert browser.run(VISIBLE, slideshow) == [1]
    assert browser.screenshot(slideshow) != first


def test_without_scripts_all_pictures_are_shown(browser, page):
    browser.do("/goog/cdp/execute", cmd="Emulation.setScriptExecutionDisabled", params={"value": True})
    browser.do("/url", url=page.as_uri())
    (slideshow,) = browser.all(".slideshow")
    frames = browser.element(slideshow, "elements", using="css selector", value=".frame")
    heights = [browser.height(frame) for frame in frames]
    browser.do("/goog/cdp/execute", cmd="Emulation.setScriptExecutionDisabled", params={"value": False})
    assert len(heights) == 3
    assert min(heights) > 100
