"""The AI SDK's UI message streams over HTTP, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve
from tests.sse_client import answer, read

PATH = "/api/ui/chat"


def message(content: str, role: str = "user") -> dict[str, Any]:
    return {"id": f"{role}-1", "role": role, "parts": [{"type": "text", "text": content}]}


def ask(server: ServerProcess, model: str, content: str, chat: str, **more: Any) -> requests.Response:
    body = {"id": chat, "model": model, "messages": [message(content)], "trigger": "submit-message", **more}
    return server.post(PATH, body, stream=True)


def parts(response: requests.Response) -> list[dict[str, Any]]:
    """Return the parts of a stream, which must consist of data lines and end with [DONE]."""
    frames = response.content.decode("utf-8").split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames[:-1])
    return [json.loads(frame[6:]) for frame in frames[:-2]]


def text(found: list[dict[str, Any]]) -> str:
    return "".join(part["delta"] for part in found if part["type"] == "text-delta")


def test_a_whole_stream(server: ServerProcess):
    """With the headers that the client and proxies need; the chat is the conversation of the run."""
    response = ask(server, "slow", "2.5", "chat-whole")
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert len(exposed) == len(set(exposed))
    assert {"X-Run-Id", "x-request-id", "request-id"} <= set(exposed)
    run_id = response.headers["X-Run-Id"]
    found = parts(response)
    types = [part["type"] for part in found]
    deltas = types.count("text-delta")
    assert types == [
        "start", "start-step", *["data-progress"] * 3, "text-start", *["text-delta"] * deltas, "text-end",
        "finish-step", "finish",
    ]  # fmt: skip
    assert found[0]["messageId"] == f"msg_{run_id}"
    assert text(found) == ENGLISH + CHINESE
    progress = [part["data"] for part in found if part["type"] == "data-progress"]
    assert [each["message"] for each in progress][:2] == ["Working on your request...", "Analyzing the request..."]
    assert progress[-1]["percent"] == 100
    assert server.get(f"/api/runs/{run_id}").json()["conversation_id"] == "chat-whole"


def test_a_stream_is_resumed_from_its_beginning(server: ServerProcess):
    """After a disconnect and beside the first one, as the same message; then there is nothing to resume."""
    response = ask(server, "slow", "2", "chat-resumed")
    assert b'"start"' in next(response.iter_lines())
    response.close()
    resumed = server.get(f"{PATH}/chat-resumed/stream", stream=True)
    beside = server.get(f"{PATH}/chat-resumed/stream", stream=True)
    for each in (resumed, beside):
        assert each.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert each.headers["X-Run-Id"] == response.headers["X-Run-Id"]
        found = parts(each)
        assert found[0] == {"type": "start", "messageId": f"msg_{response.headers['X-Run-Id']}"}
        assert text(found) == ENGLISH + CHINESE
    idle = server.get(f"{PATH}/chat-resumed/stream")
    assert (idle.status_code, idle.content) == (204, b"")


def test_an_answer_whose_delivery_is_in_progress_is_resumed(server: ServerProcess):
    """A client that reloads its page then does not have all of it."""
    response = ask(server, "slow", "0", "chat-delivery")
    run_id = response.headers["X-Run-Id"]
    wait_for(lambda: server.get(f"/api/runs/{run_id}").json()["status"] == "complete")
    resumed = server.get(f"{PATH}/chat-delivery/stream", stream=True)
    assert resumed.status_code == 200
    assert text(parts(resumed)) == text(parts(response)) == ENGLISH + CHINESE


def test_nothing_is_resumed_in_a_chat_without_a_running_answer(server: ServerProcess):
    """Nor one of another user, of another chat, or a failed one."""
    response = ask(server, "slow", "3", "chat-alone")
    assert server.get(f"{PATH}/chat-other/stream").status_code == 204
    assert server.get(f"{PATH}/chat-alone/stream", user="mallory").status_code == 204
    assert server.get(f"{PATH}/chat-alone/stream", user=None).status_code == 401
    assert server.post(f"{PATH}/chat-alone/stop", user="mallory").json() == {"success": True}
    assert text(parts(response)) == ENGLISH + CHINESE
    parts(ask(server, "failing", "deliberate", "chat-failed"))
    assert server.get(f"{PATH}/chat-failed/stream").status_code == 204


def test_stopping_cancels_the_run(server: ServerProcess):
    """Its stream is aborted; stopping again changes nothing."""
    response = ask(server, "slow", "5", "chat-stopped")
    lines = response.iter_lines()
    assert json.loads(next(lines)[6:])["type"] == "start"
    assert server.post(f"{PATH}/chat-stopped/stop").json() == {"success": True}
    *_, abort, end = filter(None, lines)
    assert json.loads(abort[6:]) == {"type": "abort", "reason": "The request was cancelled"}
    assert end == b"data: [DONE]"
    assert server.get(f"/api/runs/{response.headers['X-Run-Id']}").json()["status"] == "cancelled"
    assert server.post(f"{PATH}/chat-stopped/stop").json() == {"success": True}
    assert server.get(f"{PATH}/chat-stopped/stream").status_code == 204


def test_a_failure_is_an_error_part(server: ServerProcess):
    """With the words of the backend, and nothing of an exception."""
    assert parts(ask(server, "failing", "deliberate", "chat-f"))[-1] == {
        "type": "error", "errorText": "The library is closed today.",
    }  # fmt: skip
    assert "secret" not in ask(server, "failing", "exception", "chat-f").text


def test_a_run_is_read_in_other_protocols(server: ServerProcess):
    """And runs of others in this one."""
    response = ask(server, "quick", "Hi", "chat-quick")
    parts(response)
    native = read(server.get(response.headers["Location"], stream=True))
    assert answer(native) == "You said: Hi"
    again = server.get(f"{response.headers['Location']}?protocol=ui&from=4", stream=True)
    assert text(parts(again)) == "said: Hi"
    assert again.headers["x-vercel-ai-ui-message-stream"] == "v1"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"id": "a b"}, "id: "),
        ({"messages": []}, "messages: "),
        ({"messages": [message("Hi", "assistant")]}, "messages: "),
        ({"messages": [message(" ")]}, "messages: "),
        ({"messages": [{"role": "user"}]}, "messages[0].parts: is required"),
        ({"tools": {"x": {}}}, "tools: "),
    ],
)
def test_an_invalid_request_is_refused(server: ServerProcess, changes: dict[str, Any], problem: str):
    """Before a run, with JSON regardless of `Accept`: its text is the message of the client's error."""
    refused = ask(server, "quick", "Hi", "chat-x", **changes)
    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/json")
    assert refused.json()["code"] == "invalid_request"
    assert refused.json()["error"].startswith(problem)
    assert "X-Run-Id" not in refused.headers


def test_the_persona_is_required_where_there_are_personas(demo: ServerProcess):
    """It is the field `model`."""
    refused = demo.post(PATH, {"id": "1", "messages": [message("Hi")]})
    assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, "model")
    missing = demo.post(PATH, {"id": "1", "model": "Unknown", "messages": [message("Hi")]})
    assert (missing.status_code, missing.json()["code"]) == (404, "model_not_found")


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a database, whose backend shows its query."""
    database: Path = tmp_path_factory.mktemp("database") / "log.db"
    server = serve("tests.backends_for_tests:showing", database_url=f"sqlite:///{database}")
    yield server
    assert server.stop() == 0


def history(server: ServerProcess, chat: str, **more: Any) -> list[list[str]]:
    return json.loads(text(parts(ask(server, "ada", "And?", chat, **more))))["history"]


def test_the_history_is_that_of_the_request_or_the_stored_one(remembering: ServerProcess):
    """Never both; an answer that is generated again is not its own history."""
    assert history(remembering, "memory") == []
    [[_, question], [_, stored]] = history(remembering, "memory")
    assert (question, json.loads(stored)["history"]) == ("And?", [])
    messages = [message("One"), message("Two", "assistant"), message("And?")]
    assert history(remembering, "memory", messages=messages) == [["user", "One"], ["assistant", "Two"]]
    assert history(remembering, "memory", trigger="regenerate-message") == []
