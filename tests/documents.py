"""Documents of the project, parsed into links, tables and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>[^\n]+)$", re.MULTILINE)
_EVENT = re.compile(r"^ *data: (?P<json>\{.*)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_MARKED = re.compile(r"<!-- settings: begin.*?-->\n(?P<table>.*?)<!-- settings: end -->", re.DOTALL)


class Snippet(NamedTuple):
    """Code block with the heading above it."""

    heading: str
    language: str
    body: str


class Document:
    """Markdown document of the project."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.file = ROOT / name
        self.text = "\n".join(file.read_text("utf-8") for file in self._files())
        self.prose = _FENCE.sub("", self.text)

    def __repr__(self) -> str:
        return self.name

    def _files(self) -> list[Path]:
        return [self.file]

    def blocks(self, *languages: str) -> list[str]:
        """Return the code blocks in these languages."""
        return [found["body"] for found in _FENCE.finditer(self.text) if found["language"] in languages]

    def snippets(self) -> list[Snippet]:
        """Return all code blocks in their order."""
        found: list[Snippet] = []
        heading = ""
        for part in re.finditer(f"{_FENCE.pattern}|{_HEADING.pattern}", self.text, re.DOTALL | re.MULTILINE):
            if part["text"] is not None:
                heading = part["text"]
            else:
                found.append(Snippet(heading, part["language"], part["body"]))
        return found

    def events(self) -> list[str]:
        """Return the JSON of each event in the document."""
        return [found["json"] for found in _EVENT.finditer(self.text)]

    def code(self) -> list[str]:
        """Return the inline code spans of the prose."""
        return _CODE.findall(self.prose)

    def links(self) -> Iterator[tuple[Path, str]]:
        """Yield the file and the anchor of each link within the project."""
        for found in _LINK.finditer(_CODE.sub("", self.prose)):
            path, _, anchor = found["target"].partition("#")
            if not re.match(r"[a-z]+:", path):
                yield (self.file.parent / path if path else self.file).resolve(), anchor

    def anchors(self) -> set[str]:
        """Return the anchors of the headings, by GitHub's rule."""
        headings = (found["text"].strip().lower() for found in _HEADING.finditer(self.prose))
        return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}

    def rows(self) -> list[list[str]]:
        """Return the rows of all tables, as cells without backticks."""
        lines = (line for line in self.prose.splitlines() if line.startswith("|"))
        return [[cell.strip().replace("`", "") for cell in line[1:].rstrip("|").split("|")] for line in lines]

    def settings_table(self) -> str:
        """Return the settings table between the markers."""
        found = _MARKED.search(self.text)
        assert found is not None, f"{self.name} has no table of settings between markers"
        return found["table"].strip()


class Collection(Document):
    """Documents of a directory as one, in their reading order."""

    def __init__(self, name: str, *order: str) -> None:
        self.order = order
        super().__init__(name)

    def _files(self) -> list[Path]:
        found = [self.file / f"{name}.md" for name in self.order]
        assert set(found) == set(self.file.glob("*.md")), f"{self.name}: name each page once"
        return found


README, README_ZH, BACKENDS_ZH = (Document(name) for name in ("README.md", "README.zh-CN.md", "docs/BACKENDS.zh-CN.md"))
STREAMING, SECURITY, BACKENDS, SETTINGS = (
    Document(f"docs/{name}.md") for name in ("STREAMING", "SECURITY", "BACKENDS", "SETTINGS")
)
API = Collection(
    "docs/api",
    *("README", "requests", "stream", "runs", "conversations", "personas"),
    *("openai", "responses", "anthropic", "ai-sdk", "websocket", "operations"),
)
DOCUMENTS = [
    README,
    README_ZH,
    Document("CONTRIBUTING.md"),
    Document("CHANGELOG.md"),
    Document("SECURITY.md"),
    *(Document(str(file.relative_to(ROOT))) for file in sorted((ROOT / "docs").rglob("*.md"))),
]
