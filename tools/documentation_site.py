"""What mkdocs.yml adds to docs/: a page for each public module, and for each file of the repository that pages link to.

Pages link to sources by their place in the repository, as ../kernels/reference.py, which readers of the repository can
follow. On the site these links lead to a page with the text of that file; a folder has a page that lists its files.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from support.public_names import MODULES  # noqa: E402 - the list that docs/api.md is made of, too

from minigan.study import page as study  # noqa: E402

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_LANGUAGES = {".py": "python", ".cu": "cuda", ".cuh": "cuda", ".h": "c", ".toml": "toml", ".txt": "text"}
_IN_REPOSITORY = "repository"  # the folder of the site for files outside of docs/
_UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages, and all that pages added link to in turn."""
    for shown, module in MODULES.items():
        files.append(File.generated(config, _reference_page(shown), content=_reference(shown, module)))
    files.append(File.generated(config, "study.html", content=_study_page()))
    linked = [path for file in files.documentation_pages() for path in _outside(file.src_uri, file.content_string)]
    while linked:
        path = linked.pop()
        if files.get_file_from_path(_page(path)) is None:
            content = _text_of(path)
            files.append(File.generated(config, _page(path), content=content))
            linked += _outside(_page(path), content)
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the modules in the navigation, under the heading that comes last."""
    reference = config.nav[-1]["Reference"]
    reference += [{shown: _reference_page(shown)} for shown in MODULES]
    return config


def on_page_markdown(markdown: str, *, page: Any, config: MkDocsConfig, files: Files) -> str:
    """The page with links to files of the repository turned into links to their pages."""
    return _rewritten(markdown, page.file.src_uri)


def _reference_page(shown: str) -> str:
    return f"reference/{shown}.md"


def _reference(shown: str, module: str) -> str:
    """The page of a module: its names, and those of the modules among them that have no page of their own."""
    imported = importlib.import_module(module)
    others = {name: value.__name__ for name in imported.__all__ if inspect.ismodule(value := getattr(imported, name))}
    sections = [f"## `{shown}.{name}`\n\n::: {m}\n" for name, m in others.items() if m not in MODULES.values()]
    return "\n".join([f"# `{shown}`\n\n::: {module}\n", *sections])


@functools.cache
def _study_page() -> str:
    """What `minigan study` writes, which takes half a minute; with MINIGAN_STUDY_PAGE set, the page in that file."""
    if written := os.environ.get("MINIGAN_STUDY_PAGE"):
        return Path(written).read_text(encoding="utf-8")
    return study.render([compute() for compute in study.SECTIONS.values()])


def _page(path: str) -> str:
    """The page on the site for a file or folder of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{_IN_REPOSITORY}/{path}" if path.endswith(".md") else f"{_IN_REPOSITORY}/{path}.md"


def _place(src_uri: str) -> str:
    """The file of the repository that is the source of a page."""
    if src_uri.startswith(f"{_IN_REPOSITORY}/"):
        path = src_uri.removeprefix(f"{_IN_REPOSITORY}/")
        return path if (ROOT / path).exists() else path.removesuffix(".md")
    return f"docs/{src_uri}"


def _target(src_uri: str, link: str) -> str:
    """The place in the repository to which a link on a page leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(_place(src_uri)), link))


def _outside(src_uri: str, markdown: str) -> list[str]:
    """What a page links to that lies in the repository, but not in docs/."""
    targets = [_target(src_uri, match[1]) for match in _LINK.finditer(markdown)]
    return [t for t in targets if not t.startswith(("docs/", "..")) and (ROOT / t).exists()]


def _rewritten(markdown: str, src_uri: str) -> str:
    def relative(match: re.Match[str]) -> str:
        target = _target(src_uri, match[1])
        if target.startswith("..") or not (ROOT / target).exists():
            return match[0]  # MkDocs says that it leads nowhere
        if target.startswith("docs/") and src_uri == _place(src_uri).removeprefix("docs/"):
            return match[0]
        return posixpath.relpath(_page(target), posixpath.dirname(src_uri) or ".") + (match[2] or "")

    return _LINK.sub(relative, markdown)


def _text_of(path: str) -> str:
    file = ROOT / path
    if file.is_dir():
        names = sorted(f.name for f in file.iterdir() if not f.name.startswith(("_", ".")))
        return f"{_UNSEARCHED}# {path}\n\n" + "".join(f"- `{name}`\n" for name in names)
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return f"{_UNSEARCHED}{text}"
    return f"{_UNSEARCHED}# {path}\n\n````{_LANGUAGES.get(file.suffix, 'text')}\n{text}````\n"
