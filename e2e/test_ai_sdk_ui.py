"""``Chat`` of npm ``@ai-sdk/react``, the state behind ``useChat``, as a client of the server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from e2e.backend import TEXT
from e2e.published_clients import place, runs
from e2e.server import Served

REASONING = {"type": "reasoning", "text": "Six times seven.", "state": "done", "id": "reasoning"}
ANSWER = {"type": "text", "text": TEXT, "state": "done"}
STEP = {"type": "step-start"}


def use(served: Served, scenario: str, message: str) -> dict[str, Any]:
    """Run a scenario of e2e/clients/ai_ui_node.mjs."""
    done = subprocess.run(
        ["node", Path(__file__).parent / "clients" / "ai_ui_node.mjs", served.url, served.token, scenario, message],
        env={"PATH": os.environ["PATH"], "E2E_AI_NODE": place("E2E_AI_NODE")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_backend_that_is_silent_for_twenty_seconds(served: Served) -> None:
    """Progress reaches ``onData`` and is not stored; the message has reasoning and text."""
    result = use(served, "ask", "21")
    [question, answer] = result["messages"]
    assert question["parts"] == [{"type": "text", "text": "21"}]
    assert answer["parts"] == [STEP, REASONING, ANSWER]
    [run] = served.runs()
    assert answer["id"] == f"msg_{run['run_id']}"
    percents = [data["percent"] for data in result["progress"]]
    assert len(percents) >= 10
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (5, 100)
    assert (result["status"], result["events"]) == (
        "ready", [{"isAbort": False, "isDisconnect": False, "isError": False}],
    )  # fmt: skip


def test_a_chat_is_resumed(served: Served) -> None:
    """By another client, as the same message; the backend is called once."""
    result = use(served, "resume", "6")
    assert result["messages"][1]["parts"] == [STEP, REASONING, ANSWER]
    assert result["progress"][-1]["percent"] == 100
    assert result["status"] == "ready"
    assert result["idle"] == []
    assert runs(served) == ["complete"]


def test_a_chat_is_stopped(served: Served) -> None:
    """The client sees an end without an error."""
    result = use(served, "stop", "40")
    assert result["stopped"] == {"success": True}
    assert result["status"] == "ready"
    assert [event for event in result["events"] if "error" in event] == []
    assert runs(served) == ["cancelled"]


def test_a_failure(served: Served) -> None:
    """It is an error with the words of the backend."""
    result = use(served, "ask", "fail")
    assert result["status"] == "error"
    assert {"error": "The library is closed today."} in result["events"]
    assert runs(served) == ["error"]


def test_a_tool_of_the_client_is_called(served: Served) -> None:
    """The answer to its result continues the same message."""
    result = use(served, "tools", "1")
    [_, answer] = result["messages"]
    call, text = answer["parts"][-3], answer["parts"][-1]
    assert (call["type"], call["state"], call["input"], call["output"]) == (
        "tool-weather", "output-available", {"city": "Wien"}, "Sunny in Wien",
    )  # fmt: skip
    assert text == {"type": "text", "text": "The tool says: Sunny in Wien", "state": "done"}
    assert runs(served) == ["complete", "complete"]
