"""A browser for the tests of pages, driven through chromedriver's plain HTTP (the WebDriver protocol)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="needs a browser: chromium and chromedriver are not both installed"
)

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference to an element


@contextmanager
def driver_port() -> Iterator[int]:
    """The port of a chromedriver that runs as long as the context."""
    assert DRIVER is not None
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            assert driver.stdout is not None
            found = next(filter(None, (re.search(r"on port (\d+)\.", line) for line in driver.stdout)))
            yield int(found[1])
        finally:
            driver.terminate()


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

    def height(self, element: dict[str, str]) -> float:
        """Its height in pixels, which needs no script of the page."""
        return self._send("GET", f"/element/{element[ELEMENT]}/rect")["height"]

    def console(self) -> list[str]:
        return [entry["message"] for entry in self.do("/se/log", type="browser") if entry["level"] == "SEVERE"]

    def close(self) -> None:
        self._send("DELETE", "")

    def _send(self, method: str, command: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + command, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
            return json.load(answer)["value"]
