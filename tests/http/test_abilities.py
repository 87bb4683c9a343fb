"""Capabilities over HTTP: tools, images, streaming backends, and the commit window."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.http.test_openai import CALLED, PATH, TOOL, chunks, content, error
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve
from tests.sse_client import read

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
FOUND = {"role": "tool", "content": "Sun.", "tool_call_id": "1"}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """Server whose backend has every capability, with a commit window of one second."""
    served = serve(
        "tests.backends_for_tests:able", timeout=8, max_answer_bytes=100_000, commit_window=1, disconnect_grace_v1=0,
    )  # fmt: skip
    yield served
    assert served.stop() == 0


def ask(server: ServerProcess, message: Any, *since: dict[str, Any], **more: Any) -> requests.Response:
    return server.post(PATH, {"model": "x", "messages": [{"role": "user", "content": message}, *since], **more})


def deltas(response: requests.Response) -> list[dict[str, Any]]:
    return [each["choices"][0]["delta"] for each in chunks(response) if each.get("choices")]


def test_the_whole_request_reaches_the_backend(server: ServerProcess):
    """Parts in order, tools, tool choice, tool turns, parameters."""
    response = ask(
        server, [{"type": "text", "text": "show"}, PICTURE], CALLED, FOUND,
        tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}}, parallel_tool_calls=False,
        response_format={"type": "json_object"},
    )  # fmt: skip
    assert json.loads(response.json()["choices"][0]["message"]["content"]) == {
        "parts": ["show", {"url": "data:image/png;base64,AAAA", "detail": "low", "type": "image", "name": None}],
        "since": [
            {"role": "assistant", "content": "", "parts": [], "call_id": None, "failed": False,
             "calls": [{"id": "1", "name": "weather", "arguments": "{}"}]},
            {"role": "tool", "content": "Sun.", "parts": [], "calls": [], "call_id": "1", "failed": False},
        ],
        "tools": [{"name": "weather", "description": None, "schema": {}, "strict": None}],
        "tool_choice": {"mode": "named", "name": "weather"},
        "parameters": {"parallel_tool_calls": False, "response_format": {"type": "json_object"}},
    }  # fmt: skip


def test_tool_calls_reach_the_client(server: ServerProcess):
    """In a stream and in one response."""
    function = {"name": "weather", "arguments": '{"city":"Wien"}'}
    streamed = ask(server, "call I look.", tools=[TOOL], stream=True)
    assert deltas(streamed) == [
        {"role": "assistant", "content": ""},
        {"content": "I look."},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]},
        {},
    ]
    assert chunks(streamed)[-1]["choices"][0]["finish_reason"] == "tool_calls"
    [choice] = ask(server, "call", tools=[TOOL]).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant", "content": None, "refusal": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }  # fmt: skip


def test_deltas_of_the_backend_are_sent_at_once(server: ServerProcess):
    """Reasoning and text, with the true finish reason."""
    with server.post(
        PATH, {"model": "x", "messages": [{"role": "user", "content": "send one two three four"}], "stream": True},
        stream=True,
    ) as response:  # fmt: skip
        came = [(time.monotonic(), line) for line in response.iter_lines() if b'"content"' in line]
    assert came[-1][0] - came[1][0] > 0.3, "all of it came at once"
    response = ask(server, "send one two three four", stream=True)
    received = deltas(response)
    assert received[1] == {"reasoning_content": "Hm."}
    assert content(chunks(response)) == "one two three four "
    assert chunks(response)[-1]["choices"][0]["finish_reason"] == "length"
    once = ask(server, "send one two three four").json()["choices"][0]
    assert (once["message"]["content"], once["finish_reason"]) == ("one two three four ", "length")


def test_a_run_with_deltas_is_resumed_from_any_character(server: ServerProcess):
    """In every protocol, without the text that the client has."""
    run_id = ask(server, "send one two three four").headers["X-Run-Id"]
    for start in range(20):
        response = server.get(f"/api/runs/{run_id}/events?from={start}")
        assert "".join(event.data["data"] for event in read(response)) == "one two three four "[start:]
    assert server.get(f"/api/runs/{run_id}").json()["finish"] == "length"
    again = server.get(f"/api/runs/{run_id}/events?protocol=openai&from=4")
    assert content(chunks(again)) == "two three four "


def test_text_before_a_failure_is_kept(server: ServerProcess):
    """The failure is an error, never a finish reason."""
    response = ask(server, "break Half of", stream=True)
    assert '"content":"Half o"' in response.text
    assert '"content":"f"' in response.text
    assert '"error":{"message":"It broke."' in response.text
    assert '"finish_reason":"stop"' not in response.text


def test_an_endless_answer_is_stopped(server: ServerProcess):
    """At the size limit the run ends and the backend is stopped."""
    response = ask(server, "flood", stream=True)
    assert '"code":"answer_too_large"' in response.text
    assert len(response.content) < 1_000_000
    assert server.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/api/chat"])
def test_a_failure_within_the_commit_window_has_its_true_status(server: ServerProcess, path: str):
    """No byte is sent before."""
    body = {"model": "x", "username": "x", "message": "fail", "messages": [{"role": "user", "content": "fail"}]}
    response = server.post(path, {**body, "max_tokens": 5})
    assert response.status_code == 502
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["Content-Type"] == "application/json"
    assert "The library is closed today." in response.text


def test_a_slow_response_starts_with_white_space(server: ServerProcess):
    """One space at the end of the window and one per interval, with headers against buffering; then the usual body."""
    with server.post(PATH, {"model": "x", "messages": [{"role": "user", "content": "wait 3.5"}]}, stream=True) as slow:
        assert slow.headers["X-Accel-Buffering"] == "no"
        assert slow.headers["X-Run-Id"]
        body = slow.content
    assert (len(body) - len(body.lstrip()), body[:2]) == (2, b"  ")
    assert json.loads(body)["choices"][0]["message"]["content"] == "Waited."


@pytest.mark.parametrize(("path", "answer"), [("/api/chat", '"data":"Waited."'), ("/v1/messages", '"text":"Waited."')])
def test_no_silence_is_longer_than_the_interval(server: ServerProcess, path: str, answer: str):
    """A gateway that allows 3 s of silence passes the whole answer on (BerriAI/litellm timeouts, new-api #3142)."""
    body = {"model": "x", "username": "x", "message": "wait 4.5", "messages": [{"role": "user", "content": "wait 4.5"}]}
    url = server.url + path
    response = requests.post(url, json={**body, "max_tokens": 5}, headers=server.headers(), timeout=(3, 3))
    assert (response.status_code, answer in response.text) == (200, True)


def test_a_failure_after_the_commit_window_has_status_200(server: ServerProcess):
    """The body is the usual error."""
    response = ask(server, "fail 1.5")
    assert response.status_code == 200
    assert error(response)["message"] == "The library is closed today."
    chat = server.post("/api/chat", {"username": "x", "message": "fail 1.5"})
    assert (chat.status_code, chat.json()["code"], chat.json()["success"]) == (200, "backend_error", False)
    body = {"model": "x", "max_tokens": 5, "messages": [{"role": "user", "content": "fail 1.5"}]}
    message = server.post("/v1/messages", body)
    assert (message.status_code, message.json()["error"]["type"]) == (200, "api_error")


def test_a_client_that_disconnects_from_a_slow_response_leaves_nothing(server: ServerProcess):
    """After the grace period the run is cancelled and its slot is released."""
    with server.post(PATH, {"model": "x", "messages": [{"role": "user", "content": "wait 7.5"}]}, stream=True) as left:
        run_id = left.headers["X-Run-Id"]
    wait_for(lambda: server.get(f"/api/runs/{run_id}").json()["status"] != "processing", 12)
    assert server.get(f"/api/runs/{run_id}").json()["status"] == "cancelled"
