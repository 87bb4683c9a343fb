"""A provider with OpenAI's Responses API behind the server: a fake one, and this server itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends.fake_provider import Provider, cut, http, provider, stream
from tests.backends.openai_responses.test_response import CALL, body, message, reasoning, text, usage
from tests.backends.openai_responses.test_stream import CREATED, WORKING, delta, done, event, summary
from tests.server_process import ServerProcess, serve, token

KEY = "sk-0123456789abcdef"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
ITEMS = [reasoning("6 × 7"), message(text("Forty-two.")), CALL]
WHOLE = body(*ITEMS, usage=usage(input_tokens_details={"cached_tokens": 3}))
EVENTS = [
    CREATED, WORKING, WORKING, summary("6 × 7"), done(ITEMS[0]), delta("Forty", 1), delta("", 1), delta("-two.", 1),
    done(ITEMS[1], 1), done(CALL, 2), event("completed", response=WHOLE),
]  # fmt: skip


def frames(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)


@pytest.fixture(scope="module", params=["on", "off"], ids=["stream", "whole"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[ServerProcess, Provider, bool]]:
    """Server with a fake provider, which is asked for streams or not."""
    with provider(b"") as behind:
        settings = {"base_url": behind.base_url, "model": "m1", "api_key": KEY, "stream": request.param}
        server = serve("openai", openai_api="responses", **{f"openai_{name}": each for name, each in settings.items()})
        yield server, behind, request.param == "on"
        assert server.stop() == 0


def ask(server: ServerProcess, **fields: Any) -> Any:
    messages = fields.pop("messages", [{"role": "user", "content": "How many?"}])
    return server.post("/v1/chat/completions", {"model": "ada", "messages": messages, "tools": [TOOL]} | fields)


def test_an_answer(served: tuple[ServerProcess, Provider, bool]) -> None:
    """With everything that it has, for clients of chat completions."""
    server, behind, is_stream = served
    behind.replies = [stream(frames(*EVENTS)) if is_stream else http(200, WHOLE)]
    behind.requests.clear()
    choice = (response := ask(server).json())["choices"][0]
    assert choice["message"]["content"] == "Forty-two."
    assert choice["message"]["reasoning_content"] == "6 × 7"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at":"sky"}'}
    assert (choice["finish_reason"], response["usage"]["total_tokens"]) == ("tool_calls", 16)
    assert response["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    (sent,) = behind.requests
    assert sent.target == "/v1/responses"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body["input"] == [{"role": "user", "content": "How many?"}]
    assert (sent.body["stream"], sent.body["store"], sent.body["tools"][0]["name"]) == (is_stream, False, "look")


@pytest.mark.parametrize(
    ("error", "status", "answered", "code"),
    [
        ({"code": "context_length_exceeded", "message": "Too long."}, 400, 400, "context_length_exceeded"),
        ({"code": "content_filter", "message": "No."}, 400, 400, "content_policy_violation"),
        ({"code": "model_not_found", "message": "No model."}, 404, 404, "model_not_found"),
        ({"message": "Bad key."}, 401, 502, "backend_error"),
        ({"message": "No.", "param": "temperature"}, 400, 502, "backend_error"),
    ],
)
def test_errors_keep_their_meaning(
    served: tuple[ServerProcess, Provider, bool], error: dict[str, Any], status: int, answered: int, code: str
) -> None:
    """As with chat completions."""
    server, behind, _ = served
    behind.replies = [http(status, {"error": error})]
    refused = ask(server)
    assert (refused.status_code, refused.json()["error"]["code"]) == (answered, code)
    assert KEY not in refused.text


def test_a_failure_within_a_stream_is_one(served: tuple[ServerProcess, Provider, bool]) -> None:
    """A failed response is never an answer."""
    server, behind, is_stream = served
    failed = body(status="failed", error={"code": "context_length_exceeded", "message": "Too long."})
    events = frames(CREATED, event("failed", response=failed))
    behind.replies = [stream(events) if is_stream else http(200, failed)]
    refused = ask(server)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("served", ["on"], indirect=True, ids=["stream"])
def test_a_stream_that_breaks_off_is_an_error(served: tuple[ServerProcess, Provider, bool]) -> None:
    """Half an answer is never presented as whole."""
    server, behind, _ = served
    behind.replies = [cut(frames(CREATED, delta("Forty")))]
    refused = ask(server)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "backend_error")


@pytest.mark.parametrize("is_stream", ["on", "off"])
def test_this_server_as_the_provider(is_stream: str) -> None:
    """Images, tools, reasoning, usage and failures pass both servers."""
    behind = serve("tests.backends_for_tests:able")
    settings = {"base_url": f"{behind.url}/v1", "model": "able", "api_key": token(), "stream": is_stream}
    front = serve("openai", openai_api="responses", **{f"openai_{name}": each for name, each in settings.items()})
    try:
        shown = {"model": "x", "input": "show", "tools": [{"type": "function", "name": "look"}], "temperature": 0.5}
        answer = json.loads(front.post("/v1/responses", shown).json()["output"][0]["content"][0]["text"])
        assert (answer["tools"][0]["name"], answer["parameters"]) == ("look", {"temperature": 0.5})
        called = front.post("/v1/responses", shown | {"input": "call Let me look."}).json()
        call = called["output"][-1]
        assert (call["type"], call["arguments"]) == ("function_call", '{"city":"Wien"}')
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "Rain"}
        items = [{"role": "user", "content": "show"}, call, result]
        since = json.loads(
            front.post("/v1/responses", shown | {"input": items}).json()["output"][0]["content"][0]["text"]
        )["since"]
        assert [(turn["role"], turn["content"]) for turn in since] == [("assistant", ""), ("tool", "Rain")]
        sent = front.post("/v1/responses", {"model": "x", "input": "send one two three"}).json()
        assert [item["type"] for item in sent["output"]] == ["reasoning", "message"]
        assert (sent["output"][1]["content"][0]["text"], sent["status"]) == ("one two three ", "incomplete")
        assert sent["usage"]["output_tokens"] > 0
        failed = front.post("/v1/responses", {"model": "x", "input": "fail"})
        assert failed.status_code == 502
    finally:
        assert front.stop() == 0
        assert behind.stop() == 0
