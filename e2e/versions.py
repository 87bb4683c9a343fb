"""The client versions named in docs/CLIENTS.md, which are installed for the tests and the snippets.

``python -m e2e.versions pip openai requests`` prints requirements for pip, ``npm openai`` for npm, and ``write``
writes the installed versions into the page.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "CLIENTS.md"
# The variables that hold the location of each environment.
PLACES = {
    "Python": (
        "E2E_OPENAI",
        "E2E_ANTHROPIC",
        "E2E_LANGCHAIN",
        "E2E_RESPONSES",
        "E2E_LITELLM",
        "E2E_PYDANTIC_AI",
        "E2E_AIDER",
        "E2E_OPEN_WEBUI",
    ),
    "Node": ("E2E_OPENAI_NODE", "E2E_ANTHROPIC_NODE", "E2E_AI_NODE", "E2E_RESPONSES_NODE"),
}
_LANGUAGES = {"pip": ("Python", "=="), "npm": ("Node", "@")}
_TABLE = re.compile(r"(?<=<!-- versions: begin -->\n\n)(?P<table>.*?)(?=\n<!-- versions: end -->)", re.DOTALL)
_ROW = re.compile(r"^\| `(?P<package>[^`]+)` \| (?P<language>\w+) \| (?P<version>[^ ]+) \|$", re.MULTILINE)

Versions = dict[tuple[str, str], str]
"""Versions by language and package."""


def named() -> Versions:
    """Return the versions named on the page."""
    [table] = _TABLE.findall(PAGE.read_text("utf-8"))
    return {(found["language"], found["package"]): found["version"] for found in _ROW.finditer(table)}


def installed() -> Versions:
    """Return the installed versions of these packages."""
    return {(language, package): _installed(language, package) for language, package in named()}


def write(versions: Versions) -> None:
    """Write versions into the page."""
    rows = [f"| `{package}` | {language} | {version} |" for (language, package), version in versions.items()]
    table = "\n".join(["| package | for | version |", "|---|---|---|", *rows, ""])
    PAGE.write_text(_TABLE.sub(table, PAGE.read_text("utf-8")), "utf-8")


def _installed(language: str, package: str) -> str:
    look = _in_python if language == "Python" else _in_node
    for name in PLACES[language]:
        if found := look(os.environ[name], package):
            return found
    raise LookupError(f"no environment of {language} has {package}")


def _in_python(program: str, package: str) -> str:
    look = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    return subprocess.run([program, "-c", look, package], capture_output=True, text=True, check=False).stdout.strip()


def _in_node(folder: str, package: str) -> str:
    description = Path(folder, "node_modules", package, "package.json")
    return str(json.loads(description.read_text("utf-8"))["version"]) if description.exists() else ""


def main(target: str, *packages: str) -> None:
    """Run the command ``pip``, ``npm`` or ``write``."""
    if target == "write":
        write(installed())
        return
    language, sign = _LANGUAGES[target]
    versions = named()
    print(*(f"{package}{sign}{versions[language, package]}" for package in packages))


if __name__ == "__main__":
    main(*sys.argv[1:])
