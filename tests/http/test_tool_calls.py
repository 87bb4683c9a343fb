"""Tool calls on the native protocol, from the function in docs/api/stream.md."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.documents import API
from tests.server_process import ROOT, SECRET, ServerProcess, token
from tests.sse_client import answer, read

SMART = "/api/stream_chat_smart"
CALL = {"id": "call_1", "name": "weather", "arguments": '{"city":"Wien"}'}


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the documented function."""
    folder = tmp_path_factory.mktemp("calling")
    [block] = [each.body for each in API.snippets() if (each.heading, each.language) == ("Events", "python")]
    (folder / "my_bot.py").write_text(block, "utf-8")
    flags = ["--backend=my_bot:ask", f"--jwt-secret={SECRET}", f"--state-dir={folder}"]
    server = ServerProcess(flags, {"PYTHONPATH": f"{folder}:{ROOT}"}, cwd=folder)
    yield server
    assert server.stop() == 0


def test_the_documented_event_comes_after_the_text(calling: ServerProcess):
    """In each style, before the last event."""
    [documented] = [json.loads(event) for event in API.events() if '"tool_call"' in event]
    for path in ("/api/stream_chat", "/api/stream_chat_advanced", SMART):
        events = read(calling.post(path, {"message": "Hi"}))
        assert answer(events) == "Let me look."
        assert [event.data["status"] for event in events][-3:] == ["streaming", "tool_call", "complete"]
        assert events[-2].data == documented
        assert events[-1].data["finish"] == "tools"
        assert events[-2].id == events[-3].id != events[-1].id


def test_a_stream_resumed_at_a_call_repeats_it(calling: ServerProcess):
    """Its id is that of the text, so that no client misses the last event."""
    events = read(calling.post(SMART, {"message": "Hi"}))
    run_id = events[0].data["run_id"]
    rest = read(calling.get(f"/api/runs/{run_id}/events", headers={"Last-Event-ID": events[-2].id}))
    assert [event.data["status"] for event in rest][-2:] == ["tool_call", "complete"]
    assert answer(rest) == ""
    assert calling.get(f"/api/runs/{run_id}/events", headers={"Last-Event-ID": events[-1].id}).status_code == 204


def test_json_bodies_have_the_calls(calling: ServerProcess):
    """That of /api/chat, and the state of the run."""
    body = calling.post("/api/chat", {"message": "Hi"}).json()
    assert body["tool_calls"] == [CALL]
    assert calling.get(f"/api/runs/{body['run_id']}").json()["tool_calls"] == [CALL]


def test_the_terminal_client_prints_the_calls(calling: ServerProcess):
    """After the answer, on stderr; from a stream and from /api/chat."""
    for endpoint in ("smart", "chat"):
        command = [sys.executable, "-m", "persona_stream", "chat", "x", "Hi", token(), "--url", calling.url]
        command += ["--endpoint", endpoint, "--locale", "en"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        assert result.stdout == "Let me look.\n"
        assert 'tool call: weather({"city":"Wien"})' in result.stderr
