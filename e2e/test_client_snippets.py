"""Each snippet of docs/CLIENTS.md runs unchanged and prints the answer of the single run that it starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page

from e2e import versions
from e2e.published_clients import place
from e2e.server import Served, serving, token
from tests.browser.conftest import chromium
from tests.browser.cutting_proxy import CuttingProxy
from tests.documents import Document, Snippet

PAGE = Document("docs/CLIENTS.md")
# The environment of a snippet by its import. In Python the module and the package may differ in name.
PYTHONS = {
    "requests": ("E2E_OPENAI", "requests"),
    "openai": ("E2E_OPENAI", "openai"),
    "anthropic": ("E2E_ANTHROPIC", "anthropic"),
    "langchain_openai": ("E2E_LANGCHAIN", "langchain-openai"),
    "agents": ("E2E_RESPONSES", "openai-agents"),
}
NODES = {
    "openai": "E2E_OPENAI_NODE",
    "@anthropic-ai/sdk": "E2E_ANTHROPIC_NODE",
    "ai": "E2E_AI_NODE",
    "@ai-sdk/openai-compatible": "E2E_AI_NODE",
    "@ai-sdk/anthropic": "E2E_AI_NODE",
    "@ai-sdk/openai": "E2E_AI_NODE",
}
VARIABLES, *SNIPPETS = PAGE.snippets()
IN_BROWSER = [snippet for snippet in SNIPPETS if "EventSource" in snippet.body]
[COMPONENT] = [snippet for snippet in SNIPPETS if snippet.language == "jsx"]  # run by e2e/test_react.py
[CONFIGURATION] = [snippet for snippet in SNIPPETS if snippet.language == "toml"]  # used by test_responses_clients.py
ON_MACHINE = [snippet for snippet in SNIPPETS if snippet not in (*IN_BROWSER, COMPONENT, CONFIGURATION)]
BEGUN = "begun.sse"

Result = tuple[subprocess.CompletedProcess[str], Path, str]
"""The result of a snippet, its folder, and the user of its token."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run the demo, whose answer arrives between the fourth and the fifth second."""
    with serving(tmp_path_factory.mktemp("served"), backend="demo", demo_seconds=3.5) as served:
        yield served


@pytest.fixture(scope="module")
def results(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Snippet, Future[Result]]]:
    """Run the snippets, some in parallel, each as a separate user."""

    def run(number: int, snippet: Snippet) -> Result:
        folder = tmp_path_factory.mktemp(f"snippet-{number}")
        user = token(f"reader-{number}", served.environment)
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "URL": served.url, "TOKEN": user}
        done = subprocess.run(
            command(snippet, folder),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done, folder, user

    with ThreadPoolExecutor(3) as pool:
        yield {snippet: pool.submit(run, number, snippet) for number, snippet in enumerate(ON_MACHINE)}


def command(snippet: Snippet, folder: Path) -> list[str | Path]:
    """Write a snippet into a folder; return the command that runs it."""
    name = {"bash": "snippet.sh", "python": "snippet.py", "js": "snippet.mjs"}[snippet.language]
    (folder / name).write_text(snippet.body, "utf-8")
    match snippet.language:
        case "bash":
            return ["bash", "-euo", "pipefail", name]
        case "python":
            [variable] = {PYTHONS[module][0] for module in imported(snippet) if module in PYTHONS}
            return [place(variable), name]
        case _:
            [variable] = {NODES[module] for module in imported(snippet)}
            (folder / "node_modules").symlink_to(Path(place(variable)) / "node_modules")
            return ["node", name]


def imported(snippet: Snippet) -> list[str]:
    """Return the names that a snippet imports."""
    if snippet.language in ("js", "jsx"):
        return re.findall(r'^import .* from "([^"]+)";$', snippet.body, re.MULTILINE)
    return re.findall(r"^(?:from|import) (\w+)", snippet.body, re.MULTILINE) if snippet.language == "python" else []


def answer(served: Served, user: str) -> str:
    """Return the answer of a user's only run."""
    [run] = served.runs(user)
    assert run["status"] == "complete"
    text: str = run["data"]
    return text


def said(printed: str) -> str:
    """Return the answer contained in the output: plain text, or events of either protocol."""
    events = re.findall(r"^data: (\{.*)$", printed, re.MULTILINE)
    if not events:
        return printed
    parts = []
    for event in map(json.loads, events):
        deltas = [choice["delta"].get("content") for choice in event.get("choices", [])]
        parts += [event["data"]] if "data" in event else deltas
    return "".join(part or "" for part in parts)


@pytest.mark.parametrize("snippet", ON_MACHINE, ids=lambda snippet: f"{snippet.heading}-{snippet.language}")
def test_the_snippet_runs(served: Served, results: dict[Snippet, Future[Result]], snippet: Snippet) -> None:
    """It prints the exact answer and starts one run."""
    done, folder, user = results[snippet].result()
    assert done.returncode == 0, done.stderr
    assert said(done.stdout) == answer(served, user)
    if BEGUN in snippet.body:
        begun = (folder / BEGUN).read_text("utf-8")
        assert '"status":"processing"' in begun
        assert '"status":"complete"' not in begun


def test_the_variables_suffice_for_the_snippets(served: Served) -> None:
    """The address is that of `make run`, and the server accepts the token."""
    assert VARIABLES.language == "bash"
    environment = served.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    printed = subprocess.run(
        ["bash", "-euc", VARIABLES.body + 'printf "%s\\n" "$URL" "$TOKEN"'],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert printed[0] == "http://127.0.0.1:5001"
    assert served.runs(printed[1]) == []


def test_the_snippet_runs_in_a_browser(served: Served) -> None:
    """From a page of another origin, across a broken connection: every character once, then the source closes."""
    [snippet] = IN_BROWSER
    user = token("browser", served.environment)
    port = int(served.url.rsplit(":", 1)[1])
    with CuttingProxy(port) as proxy, chromium() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        opened = _watched(page, f"http://localhost:{port}/healthz")
        proxy.chunks = 6
        page.evaluate("([s, t]) => Object.assign(window, {server: s, token: t})", [proxy.address, user])
        page.add_script_tag(content=snippet.body, type="module")
        page.wait_for_function("document.querySelector('#answer').textContent.length > 60", timeout=30_000)
        assert proxy.cut()
        proxy.chunks = None
        page.wait_for_function("sources[0]?.readyState === EventSource.CLOSED", timeout=30_000)
        assert page.locator("#answer").text_content() == answer(served, user)
        assert page.evaluate("sources.length") == 1
        assert [method for method in opened if method != "OPTIONS"] == ["POST", "GET", "GET"]
        assert complaints == []


def _watched(page: Page, address: str) -> list[str]:
    """Open a page with an element for the answer; record the requests that it makes."""
    page.goto(address)
    page.evaluate(
        """() => {
          document.body.innerHTML = '<p id="answer"></p>';
          window.sources = [];
          window.EventSource = class extends EventSource {
            constructor(...given) { super(...given); sources.push(this); }
          };
        }"""
    )
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    return methods


def test_the_page_names_the_tested_versions() -> None:
    """The table lists each imported package, and those of the other tests, with its installed version."""
    assert versions.installed() == versions.named()
    python = {PYTHONS[module][1] for snippet in SNIPPETS for module in imported(snippet) if module in PYTHONS}
    node = {module for snippet in ON_MACHINE if snippet.language == "js" for module in imported(snippet)}
    node |= {module for module in imported(COMPONENT) if module != "react"}
    needed = {("Python", package) for package in python} | {("Node", package) for package in node}
    frameworks = (
        "litellm", "pydantic-ai-slim", "instructor", "llama-index-llms-openai-like", "llm", "aider-chat", "open-webui",
    )  # fmt: skip
    needed |= {("Python", package) for package in frameworks}
    needed |= {("Node", package) for package in ("@ai-sdk/open-responses", "@openai/codex")}
    assert needed == versions.named().keys()
