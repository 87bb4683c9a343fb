"""Reasoning in the history of a conversation, with the function in docs/api/conversations.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import API
from tests.server_process import ROOT, SECRET, ServerProcess


@pytest.mark.parametrize("mode", ["off", "summary", "full"])
def test_a_function_finds_earlier_reasoning_as_the_setting_says(tmp_path: Path, mode: str):
    """None of it, its first sentences, or all; the conversation shows the part that is kept."""
    [block] = [each.body for each in API.snippets() if each.heading == "Reasoning in the history"]
    (tmp_path / "my_bot.py").write_text(block, "utf-8")
    flags = ["--backend=my_bot:ask", f"--jwt-secret={SECRET}", f"--state-dir={tmp_path}", f"--history-reasoning={mode}"]
    environ = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PERSONA_STREAM_DATABASE_URL": "sqlite:///"}
    server = ServerProcess([*flags, "--database-url=sqlite:///"], environ, cwd=tmp_path)
    body = {"message": "This sentence is short. " * 40, "conversation_id": "talk"}
    assert server.post("/api/chat", body).json()["data"] == "I thought: []"
    answer = server.post("/api/chat", {**body, "message": "And now?"}).json()["data"]
    [exchange, *_] = server.get("/api/conversations/talk").json()["exchanges"]
    assert server.stop() == 0
    whole = "They ask: " + body["message"].strip()
    if mode == "off":
        assert (answer, exchange["reasoning"]) == ("I thought: []", None)
    elif mode == "full":
        assert whole in answer
        assert exchange["reasoning"] == whole
    else:
        assert whole.startswith(exchange["reasoning"])
        assert 400 < len(exchange["reasoning"]) <= 500
        assert exchange["reasoning"].endswith("is short.")
