"""Hooks of mkdocs that let the repository's Markdown files be a site as they are.

GitHub shows the same files, so they link to each other by their paths in the repository. Here, links that leave
``docs`` lead to a copy on the site, and a link whose text is the name of a file has the title of its page as its text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
PROJECT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
START_PAGES = {"README.md": "index.md", "README.zh-CN.md": "index.zh-CN.md"}
CHINESE = ".zh-CN.md"

_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the project's own pages, and the files outside ``docs`` that pages link to."""
    for name in PROJECT_PAGES:
        files.append(File.generated(config, f"project/{name}", content=_read(name)))
    linked = {path for page in files.documentation_pages() for path in _linked_files(page)}
    for path in sorted(linked):
        files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to the site."""
    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(lambda link: _link_on_site(link, page.file.src_uri), part) for part in parts[::2]]
    return "".join(parts)


def on_page_context(context: dict[str, Any], *, page: Page, config: MkDocsConfig, nav: Navigation) -> None:
    """Show the theme in the language of the page, and offer its translation where there is one."""
    source = page.file.src_uri
    is_chinese = source.endswith(CHINESE)
    english = source.replace(CHINESE, ".md")
    if not (ROOT / "docs" / english.replace(".md", CHINESE)).exists():
        english = "index.md"
    chinese = english.replace(".md", CHINESE)
    config.theme["language"] = "zh" if is_chinese else "en"
    config.extra["alternate"] = [
        {"name": "English", "lang": "en", "link": english.replace(".md", ".html")},
        {"name": "中文", "lang": "zh", "link": chinese.replace(".md", ".html")},
    ]


def _read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def _repository_path(source: str) -> str:
    """Return the path in the repository of a page of the site."""
    return source.removeprefix("project/") if source.startswith("project/") else f"docs/{source}"


def _target(source: str, path: str) -> str:
    """Return the path in the repository that a link of a page leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(_repository_path(source)), path))


def _site_path(target: str) -> str | None:
    """Return the path on the site of a file of the repository; None for a directory."""
    if target in START_PAGES:
        return START_PAGES[target]
    if target in PROJECT_PAGES:
        return f"project/{target}"
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return f"files/{target}" if (ROOT / target).is_file() else None


def _linked_files(page: File) -> Iterator[str]:
    text = _FENCE.sub("", _read(_repository_path(page.src_uri)))
    for link in _LINK.finditer(text):
        target = _target(page.src_uri, link["path"])
        if (_site_path(target) or "").startswith("files/"):
            yield target


def _link_on_site(link: re.Match[str], source: str) -> str:
    target = _target(source, link["path"])
    on_site = _site_path(target)
    if on_site is None:
        return link["text"]
    text = link["text"]
    if text.endswith(".md") and posixpath.basename(text) == posixpath.basename(target):
        found = _TITLE.search(_read(target))
        text = found[1] if found else text
    path = posixpath.relpath(on_site, posixpath.dirname(source) or ".")
    return f"[{text}]({path}{link['anchor'] or ''})"
