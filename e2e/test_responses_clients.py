"""Published clients of OpenAI's Responses API: openai, the Agents SDK, LangChain, the AI SDK, and Codex."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from e2e import published_clients as published
from e2e.backend import TEXT
from e2e.published_clients import runs
from e2e.server import Served
from tests.documents import Document
from tests.faults.cluster import Cluster
from tests.faults.recording_backend import answer as recorded_answer
from tests.redis_server import needs_redis
from tests.server_process import token as server_token

PYTHON = (
    "whole", "whole_async", "stream", "stream_async", "helper", "background", "resume_raw", "resume_helper", "agents",
    "agents_stream", "langchain", "langchain_stream",
)  # fmt: skip
NODE = (
    "whole", "stream", "helper", "resume_raw", "resume_helper", "ai", "ai_stream", "ai@open", "ai_stream@open",
)  # fmt: skip
BOTH = pytest.mark.parametrize(("language", "scenarios"), [("python", PYTHON), ("node", NODE)], ids=["python", "node"])
use_all = partial(published.use_all, "responses")


@BOTH
def test_a_backend_that_is_silent_for_twenty_seconds(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """Every mode returns the exact answer, also over many connections, and none repeats the request."""
    for scenario, result in use_all(served, language, scenarios, "20").items():
        assert result.get("text") == TEXT, (scenario, result)
        assert result.get("joined", TEXT) == TEXT, scenario
        assert result.get("reasoning", "Six times seven.") == "Six times seven.", scenario
        assert result.get("is_same", True), scenario
        assert result.get("tokens", 1) > 0, scenario
        assert result.get("finish", "stop") == "stop", scenario
        assert result.get("status", "completed") == "completed", scenario
        assert result.get("first", "in_progress") in ("queued", "in_progress"), scenario
    assert runs(served) == ["complete"] * len(scenarios)


@pytest.mark.parametrize(
    ("language", "scenario", "answer"),
    [
        ("python", "tools", "The tool says: Rain"),
        ("python", "agents_tools", "The tool says: Rain in Wien"),
        ("node", "ai_tools", "The tool says: Rain in Wien"),
        ("node", "ai_tools@open", "The tool says: Rain in Wien"),
    ],
)
def test_a_tool_round_trip(served: Served, language: str, scenario: str, answer: str) -> None:
    """The call, its execution by the client, and the answer to its output."""
    result = use_all(served, language, [scenario])[scenario]
    assert result.get("text") == answer, result
    assert runs(served) == ["complete"] * 2


def test_the_ai_sdk_continues_a_conversation(served: Served) -> None:
    """With references to items of the earlier response."""
    assert use_all(served, "node", ["ai_turns"])["ai_turns"] == {"text": TEXT}


@BOTH
def test_an_error_of_the_backend(served: Served, language: str, scenarios: tuple[str, ...]) -> None:
    """Its text reaches every client, after one execution."""
    wanted = {"python": ("whole", "stream", "helper", "agents", "langchain"), "node": ("whole", "stream", "ai_once")}
    for scenario, result in use_all(served, language, wanted[language], "fail").items():
        assert "The library is closed today." in str(result.get("message")), (scenario, result)
    assert runs(served) == ["error"] * len(wanted[language])


@needs_redis
@pytest.mark.parametrize("language", ["python", "node"])
def test_another_process_continues_after_a_kill(tmp_path: Path, language: str) -> None:
    """Raw with `starting_after`, and with the helper, which reads the whole stream again: each character once."""
    question = "0 killed in the middle"
    with Cluster(tmp_path) as cluster:
        first, second = (
            Served(server.url, server_token(), tmp_path / "log", {"PATH": os.environ["PATH"]})
            for server in cluster.servers
        )
        begun = use_all(first, language, ["begin"], question)["begin"]
        cluster.servers[0].process.kill()
        for scenario, rest in use_all(second, language, ["rest_raw", "rest_helper"], begun["place"]).items():
            assert begun["joined"] + rest["joined"] == rest["text"] == recorded_answer(question), scenario
        assert cluster.times_run(question) == 1


DOCUMENTED_URL = "http://127.0.0.1:5001"
[CONFIGURATION] = Document("docs/CLIENTS.md").blocks("toml")
WITH_SEARCH = ("-c", 'web_search="cached"')  # Codex's own default
WITHOUT_SANDBOX = "--dangerously-bypass-approvals-and-sandbox"  # which needs more rights than a container has


def codex(served: Served, folder: Path, prompt: str, *options: str, seconds: float = 120) -> str:
    """Run ``codex exec`` with the documented configuration and options against a server; return its last message."""
    program = Path(published.place("E2E_RESPONSES_NODE")) / "node_modules" / ".bin" / "codex"
    home = folder / "codex"
    work = folder / "work"
    for each in (home, work):
        each.mkdir()
    assert DOCUMENTED_URL in CONFIGURATION
    (home / "config.toml").write_text(CONFIGURATION.replace(DOCUMENTED_URL, served.url), "utf-8")
    answer = folder / "answer.txt"
    done = subprocess.run(
        [
            "node", program, "exec", "--skip-git-repo-check", "--output-last-message", answer, *options, prompt,
        ],
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "CODEX_HOME": str(home), "TOKEN": served.token},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return answer.read_text("utf-8")


def test_codex_answers(tmp_path: Path, serve: Callable[..., Served]) -> None:
    """Over a backend that is silent for twenty seconds; it sends its tools and a search, which is ignored."""
    served = serve(backend="backend:coder", timeout=60)
    assert codex(served, tmp_path, "Wait 20 seconds", *WITH_SEARCH) == TEXT
    assert runs(served) == ["complete"]


def test_codex_executes_a_command(tmp_path: Path, serve: Callable[..., Served]) -> None:
    """The call of its shell, and the answer to the output."""
    served = serve(backend="backend:coder", timeout=60)
    assert "The shell says:" in (said := codex(served, tmp_path, "Run echo one-two", WITHOUT_SANDBOX))
    assert "one-two" in said


def test_codex_waits_for_six_minutes(tmp_path: Path, serve: Callable[..., Served]) -> None:
    """Its own patience ends after five without an event, and comments do not count."""
    served = serve(backend="backend:coder", timeout=600)
    assert codex(served, tmp_path, "Wait 360 seconds", *WITH_SEARCH, seconds=500) == TEXT
