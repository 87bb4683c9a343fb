"""Tests of provider backends behind the real server, in both API formats."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.backends.fake_provider import (
    DONE,
    STOPPED,
    Provider,
    begun,
    block,
    chunk,
    chunks,
    completion,
    cut,
    ended,
    http,
    message,
    part,
    parts,
    provider,
    steps,
    stream,
)
from tests.http.provider_server import serving
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve
from tests.sse_client import ReceivedEvent, answer, events, read

QUESTION = {"username": "ada", "message": "How many?", "locale": "en"}
KEY = "sk-0123456789abcdef"
CAT = "data:image/png;base64,iVBO"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}

ALL_OPENAI = (
    chunks(chunk(delta={"reasoning_content": "6 × 7"}), "Forty", "-two."),
    chunks(chunk(delta={"tool_calls": [CALL | {"index": 0}]}), chunk(finish_reason="tool_calls")),
    chunks({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}}, DONE),
)
ALL_ANTHROPIC = (
    parts(begun(input_tokens=7), block(0, type="thinking"), part("6 × 7", 0, "thinking"), block(1)),
    parts(part("Forty", 1), part("-two.", 1)),
    parts(block(2, type="tool_use", id="call_1", name="look", input={}), part('{"at": "sky"}', 2, "input_json")),
    parts(ended("tool_use", output_tokens=9), STOPPED),
)
DIALECTS = {"openai": ALL_OPENAI, "anthropic": ALL_ANTHROPIC}


class Setup(NamedTuple):
    """Server, and the fake provider behind it."""

    backend: str
    server: ServerProcess
    behind: Provider

    def reply(self, *replies: Any) -> None:
        """Set the replies of the provider, the last one repeated."""
        self.behind.replies = list(replies)
        self.behind.requests.clear()


@pytest.fixture(scope="module", params=DIALECTS)
def both(request: pytest.FixtureRequest) -> Iterator[Setup]:
    with serving(request.param, api_key=KEY) as (served, behind):
        yield Setup(request.param, served, behind)


def ask(server: ServerProcess, **fields: Any) -> Any:
    messages = fields.pop("messages", [{"role": "user", "content": "How many?"}])
    return server.post("/v1/chat/completions", {"model": "ada", "messages": messages, "tools": [TOOL]} | fields)


def test_a_provider_stream_reaches_openai_clients(both: Setup) -> None:
    """Reasoning, text, calls, finish reason and usage; streamed and whole."""
    both.reply(stream(*DIALECTS[both.backend]))
    text = ask(both.server, stream=True, stream_options={"include_usage": True}).content.decode()
    chunks = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    deltas = [each["choices"][0]["delta"] for each in chunks if each["choices"]]
    whole = ask(both.server).json()
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "6 × 7"
    assert "".join(delta.get("content", "") for delta in deltas) == "Forty-two."
    assert [delta["tool_calls"] for delta in deltas if "tool_calls" in delta] == [[CALL | {"index": 0}]]
    assert [each["choices"][0]["finish_reason"] for each in chunks if each["choices"]][-1] == "tool_calls"
    usage = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
    assert chunks[-1]["usage"] == usage
    assert whole["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Forty-two.",
                "refusal": None,
                "reasoning_content": "6 × 7",
                "tool_calls": [CALL],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]
    assert whole["usage"] == usage


def test_tools_images_and_tool_results_reach_the_provider(both: Setup) -> None:
    """In its own format; its answer need not be a stream."""
    both.reply(http(200, completion("42") if both.backend == "openai" else message("42")))
    answered = ask(
        both.server,
        messages=[
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": CAT}}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "blue"},
        ],
        tool_choice="auto",
    )
    assert answered.json()["choices"][0]["message"]["content"] == "42"
    [request] = both.behind.requests
    sent = json.dumps(request.body)
    assert request.body["tool_choice"] in ("auto", {"type": "auto"})
    for said in ("iVBO", "blue", "call_1", "look"):
        assert said in sent


def test_text_is_delivered_while_the_provider_is_still_streaming(both: Setup) -> None:
    """Progress until the first text, then the text as it comes; a resumed stream shows the same."""
    go_on = threading.Event()
    first, rest = {
        "openai": (chunks("Forty"), chunks("-two.", chunk(finish_reason="stop"), DONE)),
        "anthropic": (parts(begun(), block(), "Forty"), parts("-two.", ended(), STOPPED)),
    }[both.backend]
    both.reply(steps(first, go_on, rest))
    got: list[ReceivedEvent] = []
    for event in events(both.server.post("/api/stream_chat_smart", QUESTION, stream=True)):
        got.append(event)
        if event.data["status"] == "streaming" and not go_on.is_set():
            # The last letter waits, for what comes next may belong to it.
            assert event.data["data"] == "Fort"
            go_on.set()
    assert answer(got) == "Forty-two."
    middle = next(event.id for event in got if event.data["status"] == "streaming")
    again = read(both.server.get(got[0].data["events_url"], headers={"Last-Event-ID": middle}, stream=True))
    assert answer(again) == "y-two."
    assert [got[-1].data["status"], again[-1].data["status"]] == ["complete", "complete"]


def test_a_provider_stream_that_breaks_off_ends_in_an_error(both: Setup) -> None:
    """Clients keep the text before it, and learn that it is incomplete."""
    both.reply(cut({"openai": chunks("Forty-"), "anthropic": parts(begun(), block(), "Forty-")}[both.backend]))
    got = read(both.server.post("/api/stream_chat", QUESTION, stream=True))
    assert answer(got) == "Forty-"
    assert (got[-1].data["code"], got[-1].data["error"]) == (
        "backend_error",
        "The model provider's response broke off",
    )
    assert len(both.behind.requests) == 1


def test_cancelling_a_run_closes_the_connection_to_the_provider(both: Setup) -> None:
    """The provider can stop its work."""
    closed = threading.Event()

    def send(connection: Any) -> None:
        said = {"openai": chunks("Forty-"), "anthropic": parts(begun(), block(), "Forty-")}[both.backend]
        connection.sendall(stream(said, is_whole=False))
        assert connection.recv(1) == b""
        closed.set()

    both.reply(send)
    response = both.server.post("/api/stream_chat", QUESTION, stream=True)
    for event in events(response):
        if event.data["status"] == "streaming":
            both.server.post(f"/api/runs/{response.headers['X-Run-Id']}/cancel")
    assert closed.wait(5)
    assert event.data["status"] == "cancelled"


CAUSES: dict[str, tuple[bytes, int, str, str, str]] = {
    "too long": (
        http(400, {"error": {"message": "the request exceeds the available context size", "code": 400}}),
        400, "context_length_exceeded", "context_length_exceeded", "invalid_request_error",
    ),
    "rate limit": (
        http(429, {"error": {"message": "Slow down."}}, "Retry-After: 90"),
        429, "rate_limited", "rate_limit_exceeded", "rate_limit_error",
    ),
    "model": (http(404, {"error": {"message": "no such model"}}), 404, "model_not_found", "model_not_found",
              "not_found_error"),
    "filter": (
        http(400, {"error": {"message": "x", "code": "content_filter"}}),
        400, "content_filter", "content_policy_violation", "invalid_request_error",
    ),
    "key": (http(401, {"error": {"message": "no"}}), 502, "backend_error", "backend_error", "api_error"),
    # The last one, since it opens the circuit.
    "overloaded": (
        http(503, {"error": {"message": "overloaded"}}, "Retry-After: 90"),
        503, "overloaded", "overloaded", "overloaded_error",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_an_error_of_the_provider_keeps_its_meaning_in_every_protocol(both: Setup, cause: str) -> None:
    """Status, code, type and ``Retry-After``; as the last event of a stream too."""
    reply, status, native, openai, anthropic = CAUSES[cause]
    both.reply(reply)
    messages = [{"role": "user", "content": "How many?"}]
    body = {"model": "ada", "max_tokens": 9, "messages": messages}
    answers = [both.server.post("/api/chat", QUESTION), ask(both.server), both.server.post("/v1/messages", body)]
    assert [answered.status_code for answered in answers] == [status] * 3
    assert answers[0].json()["code"] == native
    assert answers[1].json()["error"]["code"] == openai
    assert answers[2].json()["error"]["type"] == anthropic
    assert ("prompt is too long" in answers[2].text) == (cause == "too long")
    waits = "90" if status in (429, 503) else None
    assert [answered.headers.get("Retry-After") for answered in answers] == [waits] * 3
    is_final = "false" if waits is None else None
    assert [answered.headers.get("x-should-retry") for answered in answers[1:]] == [is_final] * 2
    assert read(both.server.post("/api/stream_chat", QUESTION, stream=True))[-1].data["code"] == native
    assert f'"code":"{openai}"' in ask(both.server, stream=True).text
    assert f'"type":"{anthropic}"' in both.server.post("/v1/messages", {**body, "stream": True}).text
    if cause == "key":
        both.server.wait_for_log(f"check {both.backend}_api_key, which ends in cdef")


def test_an_open_circuit_rejects_requests_with_retry_after() -> None:
    """In every protocol, with its status; the provider receives no request meanwhile."""
    with provider(*[http(500, b"")] * 5, http(200, completion())) as behind:
        served = serve("openai", openai_base_url=behind.base_url, openai_api_key=KEY, openai_model="m1")
        try:
            for _ in range(5):
                assert served.post("/api/chat", QUESTION).status_code == 502
            began = time.monotonic()
            refused = [
                served.post("/api/chat", QUESTION),
                served.post("/api/stream_chat", QUESTION),
                served.post("/v1/chat/completions", {"model": "ada", "messages": [{"role": "user", "content": "Hi"}]}),
                served.post(
                    "/v1/messages", {"model": "ada", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
                ),
            ]
            assert time.monotonic() - began < 2
            assert [reply.status_code for reply in refused] == [503] * 4
            assert all(1 <= int(reply.headers["Retry-After"]) <= 5 for reply in refused)
            assert "The backend is unavailable: try again in " in refused[0].json()["error"]
            assert len(behind.requests) == 5
            wait_for(lambda: served.post("/api/chat", QUESTION).status_code == 200, 15)
            assert len(behind.requests) == 6
            assert served.post("/api/chat", QUESTION).status_code == 200
        finally:
            assert served.stop() == 0
