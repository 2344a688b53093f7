"""The study page as a browser shows it, driven through chromedriver (see support/browser.py)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support import study_page
from support.browser import Browser, driver_port, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

VISIBLE = "return [...arguments[0].querySelectorAll('.frame')].flatMap((f, i) => f.offsetHeight > 0 ? [i] : [])"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with driver_port() as port:
        yield port


@pytest.fixture(scope="module", params=[1000, 400], ids=lambda width: f"{width} px")
def browser(request, port, tmp_path_factory) -> Iterator[Browser]:
    """The page, opened from its file, at the width of a desk and of a phone."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.html").write_text(study_page.whole(), encoding="utf-8")
    opened = Browser(port, folder / "profile", request.param)
    try:
        opened.do("/url", url=(folder / "study.html").as_uri())
        yield opened
    finally:
        opened.close()


def test_the_page_opens_without_an_error_and_without_a_request(browser):
    assert browser.console() == []
    assert browser.run("return document.readyState") == "complete"
    requests = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in requests if not name.startswith("data:")] == []
    browser.run("console.error('seen')")
    assert any("seen" in message for message in browser.console())


def test_every_section_and_every_picture_is_there(browser):
    names = browser.run("return [...document.querySelectorAll('section')].filter(s => s.offsetHeight).map(s => s.id)")
    assert names == list(study_page.page.SECTIONS)
    empty = "return [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)"
    assert browser.run(empty) == []
    flat = """return [...document.querySelectorAll('.drawing > svg')].filter(s => s.checkVisibility())
        .filter(s => s.getBoundingClientRect().width < 100 || s.getBBox().height < 10).map(s => s.outerHTML)"""
    assert browser.run(flat) == []
    assert browser.run("return document.querySelectorAll('.drawing > svg').length") > 50


def test_nothing_is_wider_than_the_window(browser):
    # Not innerWidth: a phone zooms out until all of a page that is too wide can be seen.
    wide = """return [...document.querySelectorAll('body *')].filter(e => !e.closest('.wide, pre, .formula, svg'))
        .filter(e => e.getBoundingClientRect().right > arguments[0] + 1).map(e => e.outerHTML.slice(0, 200))"""
    assert browser.run(wide, browser.width) == []
    assert browser.run("return document.documentElement.scrollWidth") <= browser.width


def test_each_slider_moves_its_slideshow_by_key_and_by_mouse(browser):
    slideshows = browser.all(".slideshow")
    assert len(slideshows) >= 5
    for slideshow in slideshows:
        (slider,) = browser.element(slideshow, "elements", using="css selector", value="input")
        frames = browser.run("return arguments[0].querySelectorAll('.frame').length", slideshow)
        browser.element(slider, "value", text="\ue011")  # Home
        assert browser.run(VISIBLE, slideshow) == [0]
        first = browser.screenshot(slideshow)
        browser.element(slider, "value", text="\ue014")  # the right arrow
        assert browser.run(VISIBLE, slideshow) == [1]
        browser.element(slider, "value", text="\ue010")  # End
        assert browser.run(VISIBLE, slideshow) == [frames - 1]
        assert browser.screenshot(slideshow) != first
        browser.element(slider, "click")  # in its middle
        (middle,) = browser.run(VISIBLE, slideshow)
        assert abs(middle - (frames - 1) / 2) <= 1


def test_the_button_plays_the_slideshow_to_its_end_and_again(browser):
    slideshow = browser.all(".slideshow")[0]
    (slider,) = browser.element(slideshow, "elements", using="css selector", value="input")
    (button,) = browser.element(slideshow, "elements", using="css selector", value="button")
    browser.element(slider, "value", text="\ue010\ue012")  # End, and one to the left
    last = int(browser.run("return arguments[0].max", slider))
    assert browser.run(VISIBLE, slideshow) == [last - 1]
    browser.element(button, "click")
    deadline = time.monotonic() + 30
    while browser.run(VISIBLE, slideshow) != [last]:
        assert time.monotonic() < deadline, "it does not play"
    at_once = "arguments[1].click(); const now = arguments[2].value; arguments[1].click(); return now"
    assert browser.run(at_once, slideshow, button, slider) == "0"
    assert browser.run(VISIBLE, slideshow) == [0]
