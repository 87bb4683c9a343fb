"""Limits of single endpoints and of single requests, with the settings file of docs/DEPLOY.md."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Document
from tests.server_process import ROOT, ServerProcess, serve
from tests.sse_client import answer, read

SMART = "/api/stream_chat_smart"
CHAT = {"model": "slow", "messages": [{"role": "user", "content": "30"}]}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the documented settings, and a short deadline for /v1/chat/completions."""
    found = Document("docs/DEPLOY.md").snippets()
    [block] = [each.body for each in found if each.heading == "Limits of single endpoints"]
    file = tmp_path_factory.mktemp("limits") / "settings.toml"
    file.write_text(block + '\n[endpoints."/v1/chat/completions"]\ntimeout = 0.5\n', "utf-8")
    server = serve("tests.backends_for_tests:chosen", config=file, timeout=60)
    yield server
    assert server.stop() == 0


def texts(response: object) -> list[str]:
    """Return the chunks of a stream."""
    return [event.data["data"] for event in read(response) if event.data["data"]]


def test_a_stream_has_the_pace_of_its_endpoint(limited: ServerProcess):
    """Its interval, deadline and chunk size; that of another endpoint is unchanged. A resumed stream has it too."""
    body = {"username": "quick", "message": "word " * 60}
    response = limited.post(SMART, body)
    events = read(response)
    assert (events[0].data["interval"], events[0].data["deadline"]) == (1.0, 300.0)
    chunks = [event.data["data"] for event in events if event.data["data"]]
    assert len(chunks) > 2
    assert min(map(len, chunks[:-1])) >= 40
    assert texts(limited.get(f"/api/runs/{events[0].data['run_id']}/events")) == chunks
    basic = read(limited.post("/api/stream_chat", body))
    assert (basic[0].data["interval"], basic[0].data["deadline"]) == (3.0, 60.0)
    assert max(len(event.data["data"]) for event in basic) == 20
    assert answer(basic) == answer(events)


def test_an_endpoint_has_its_own_rate_limit(limited: ServerProcess):
    """Others have none here."""
    body = {"username": "quick", "message": "Hi"}
    statuses = [limited.post(SMART, body, user="many").status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert limited.post("/api/stream_chat", body, user="many").status_code == 200


def test_an_endpoint_has_its_own_deadline(limited: ServerProcess):
    """In any protocol."""
    response = limited.post("/v1/chat/completions", CHAT)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")


def test_a_request_has_its_own_deadline_within_the_bound(limited: ServerProcess):
    """Beyond it, or at zero, the request is rejected and names the field."""
    body = {"username": "slow", "message": "30"}
    events = read(limited.post("/api/stream_chat", {**body, "timeout": 0.5}))
    assert (events[0].data["deadline"], events[-1].data["status"]) == (0.5, "timeout")
    assert limited.post("/api/chat", {**body, "timeout": 0.5}).status_code == 504
    longer = limited.post("/api/stream_chat", {"username": "quick", "message": "Hi", "timeout": 600})
    assert read(longer)[0].data["deadline"] == 600.0
    for wrong in (600.1, 0, -1, "5"):
        refused = limited.post("/api/chat", {**body, "timeout": wrong})
        assert (refused.status_code, refused.json()["error"][:8]) == (400, "timeout:"), wrong


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ('[endpoints."/api/stream_chat_smrt"]\n', "did you mean /api/stream_chat_smart?"),
        ('[endpoints."/api/chat"]\ninterval = 1\n', 'interval of [endpoints."/api/chat"] is a setting of streams only'),
    ],
)
def test_limits_of_a_missing_endpoint_stop_the_start(table: str, sentence: str, tmp_path: Path):
    """A misspelled address must not leave an endpoint without its limit."""
    file = tmp_path / "settings.toml"
    file.write_text(table, "utf-8")
    command = [sys.executable, "-m", "persona_stream", "serve", f"--config={file}", f"--state-dir={tmp_path}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert sentence in result.stderr
