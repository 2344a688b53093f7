"""The study page as a browser shows it, driven through chromedriver's plain HTTP (the WebDriver protocol)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import study_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs a browser: chromium and chromedriver are not both installed"
    ),
]

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference to an element
VISIBLE = "return [...arguments[0].querySelectorAll('.frame')].flatMap((f, i) => f.offsetHeight > 0 ? [i] : [])"


class Browser:
    """A session: `do` calls a command of the protocol, `run` a script in the page."""

    def __init__(self, port: int, profile: Path, width: int) -> None:
        self.root, self.width = f"http://127.0.0.1:{port}", width
        options = {
            "binary": CHROMIUM,
            "args": [*FLAGS, f"--user-data-dir={profile}"],
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": 900, "pixelRatio": 1, "touch": False}},
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.root += f"/session/{made['sessionId']}"

    def do(self, command: str, **body: Any) -> Any:
        return self._send("POST", command, body)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.do("/execute/sync", script=script, args=list(arguments))

    def all(self, selector: str) -> list[dict[str, str]]:
        return self.do("/elements", using="css selector", value=selector)

    def element(self, element: dict[str, str], command: str, **body: Any) -> Any:
        return self.do(f"/element/{element[ELEMENT]}/{command}", **body)

    def screenshot(self, element: dict[str, str]) -> str:
        return self._send("GET", f"/element/{element[ELEMENT]}/screenshot")

    def console(self) -> list[str]:
        return [entry["message"] for entry in self.do("/se/log", type="browser") if entry["level"] == "SEVERE"]

    def close(self) -> None:
        self._send("DELETE", "")

    def _send(self, method: str, command: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + command, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
            return json.load(answer)["value"]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a chromedriver that runs as long as these tests."""
    assert DRIVER is not None
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            assert driver.stdout is not None
            found = next(filter(None, (re.search(r"on port (\d+)\.", line) for line in driver.stdout)))
            yield int(found[1])
        finally:
            driver.terminate()


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
