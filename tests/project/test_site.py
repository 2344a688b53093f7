"""The site that mkdocs makes of docs/: no warning, no dead link, nothing fetched from elsewhere; pages open well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import site
from support.browser import Browser, driver_port, needs_browser
from support.public_names import MODULES, of_module

pytestmark = [pytest.mark.slow, site.needs_mkdocs]

WIDTHS = {"desk": 1200, "phone": 400}
# Whatever is wider than the window and does not lie in a box that scrolls, or that hides what is too wide.
TOO_WIDE = """
    const scrolls = e => e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
    return [...document.querySelectorAll('.md-content *')].filter(e => e.checkVisibility() && e.offsetWidth)
        .filter(e => e.getBoundingClientRect().right > arguments[0] + 1 && !scrolls(e.parentElement))
        .map(e => e.outerHTML.slice(0, 120))"""
LIGHTNESS = """
    const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 765;
    const style = getComputedStyle(document.body);
    return [light(style.backgroundColor), light(getComputedStyle(document.querySelector('.md-content')).color)]"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if site.BUILT:
        return Path(site.BUILT)
    folder = tmp_path_factory.mktemp("documentation")
    done = site.build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, site.Page]:
    return {path: site.Page(path) for path in sorted(built.rglob("*.html"))}


def test_no_link_is_dead(pages: dict[Path, site.Page]) -> None:
    assert len(pages) > 50
    assert site.dead_links({path: page for path, page in pages.items() if path.name != "404.html"}) == []


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there">b</a><a href="#here">here</a><img src="c.png">')
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="a.html#gone">a</a>')
    found = site.dead_links({path: site.Page(path) for path in tmp_path.glob("*.html")})
    assert sorted(found) == ["a.html: #here", "a.html: c.png", "b.html: a.html#gone"]


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, site.Page], built: Path) -> None:
    for page in pages.values():
        assert not [link for link in page.loaded if link.startswith(("http:", "https:", "//"))], page.path
    for style in built.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8")
        assert "@import" not in style.read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference(pages: dict[Path, site.Page], built: Path) -> None:
    for shown, module in MODULES.items():
        ids = pages[built / "reference" / f"{shown}.html"].ids
        names = [f"{module}.{name}" for name, _ in of_module(module) if f"{shown}.{name}" not in MODULES]
        names = [name for name in names if name not in MODULES.values()]  # which have pages of their own
        assert not [name for name in names if not any(i == name or i.startswith(f"{name}.") for i in ids)], shown


def test_docstrings_are_shown_as_they_are_written(built: Path) -> None:
    text = (built / "reference" / "mg.ops.html").read_text(encoding="utf-8")
    assert "The derivative of &lt;g, conv2d(x, w)&gt; in x" in text
    assert "x ** exponent" in text
    assert "<code>stride</code>: the size of the window if None" in text


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with site.served(built) as address:
        yield address


@pytest.fixture(scope="module", params=WIDTHS)
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with driver_port() as port:
        opened = Browser(port, tmp_path_factory.mktemp("profile"), WIDTHS[request.param])
        try:
            yield opened
        finally:
            opened.close()


@needs_browser
def test_every_page_opens_without_an_error_and_fits(
    browser: Browser, address: str, built: Path, pages: dict[Path, site.Page]
) -> None:
    for path in pages:
        name = path.relative_to(built).as_posix()
        if name.startswith("repository/") and browser.width > 1000:  # sources; on a phone they may be too wide
            continue
        browser.do("/url", url=f"{address}/{name}")
        assert browser.console() == [], name
        loaded = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert [url for url in loaded if not url.startswith((address, "data:", "blob:"))] == [], name
        assert browser.run("return document.documentElement.scrollWidth") <= browser.width, name
        if name != "study.html":  # which has tests of its own
            assert browser.run(TOO_WIDE, browser.width) == [], name


@needs_browser
def test_a_page_too_wide_is_seen(browser: Browser, address: str) -> None:
    browser.do("/url", url=f"{address}/glossary.html")
    assert browser.run(TOO_WIDE, browser.width) == []
    browser.run("const p = document.querySelector('.md-content p'); p.style.width = '3000px'")
    assert browser.run("return document.documentElement.scrollWidth") > browser.width or browser.run(
        TOO_WIDE, browser.width
    )


@needs_browser
def test_it_is_dark_for_those_who_like_it_dark(browser: Browser, address: str) -> None:
    for scheme, is_dark in (("light", False), ("dark", True)):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.do("/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})
        browser.do("/url", url=f"{address}/own_gan.html")
        browser.run("localStorage.clear()")
        browser.do("/refresh")
        background, text = browser.run(LIGHTNESS)
        assert (background < 0.3) == is_dark
        assert abs(background - text) > 0.5
        assert browser.console() == []


@needs_browser
def test_the_search_finds_a_name(browser: Browser, address: str) -> None:
    browser.do("/url", url=f"{address}/index.html?q=spectral_norm")
    found = """const done = arguments[arguments.length - 1]; const ask = () => {
        const links = [...document.querySelectorAll('.md-search-result a')].map(a => a.pathname);
        links.length ? done(links) : setTimeout(ask, 50)}; ask()"""
    links = browser.do("/execute/async", script=found, args=[])
    assert any("mg.nn" in link for link in links)


@needs_browser
def test_it_can_be_read_from_its_files(browser: Browser, built: Path) -> None:
    for name in ("index.html", "reference/mg.nn.html"):
        browser.do("/url", url=(built / name).as_uri())
        assert browser.console() == [], name
        assert browser.run("return document.querySelector('h1').offsetHeight") > 0
