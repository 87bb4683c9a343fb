"""Anthropic's protocol over HTTP, on a real server, checked byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from persona_stream.protocols.provider_state import SIGNATURE
from tests.backends_for_tests import CHINESE, ENGLISH
from tests.http.test_refusals import BAD_TOKENS
from tests.server_process import ServerProcess, serve, token
from tests.sse_client import answer, read

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
VERSION = {"anthropic-version": "2023-06-01"}
TEXT = ENGLISH.strip()
TOOL = {"name": "weather", "description": "Tell it.", "input_schema": {"type": "object"}}
CALLED = {"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Wien"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@pytest.fixture(scope="module")
def able() -> Iterator[ServerProcess]:
    """Server whose backend has every capability."""
    served = serve("tests.backends_for_tests:able", timeout=8)
    yield served
    assert served.stop() == 0


def ask(server: ServerProcess, model: str, message: Any, **more: Any) -> requests.Response:
    headers = more.pop("headers", {})
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": message}], **more}
    return server.post(PATH, body, headers=VERSION | headers)


def events(response: requests.Response) -> list[dict[str, Any]]:
    """Return the events of a stream, each of which must have a name and data and nothing else."""
    frames = response.content.decode("utf-8").split("\n\n")
    assert frames.pop() == ""
    found = []
    for frame in frames:
        name, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert found[0]["type"] == "message_start"
    assert found[-1]["type"] in ("message_stop", "error")
    return found


def deltas(bodies: list[dict[str, Any]], kind: str) -> str:
    return "".join(each["delta"].get(kind, "") for each in bodies if each["type"] == "content_block_delta")


def kinds(bodies: list[dict[str, Any]]) -> list[str]:
    return [each["type"] for each in bodies]


def error(response: requests.Response, *further: str) -> dict[str, Any]:
    """Return the error object of an error response, which must have no members but its own and ``further``."""
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["request-id"].startswith("req_")
    assert "x-request-id" not in response.headers
    body = response.json()
    assert (list(body), body["type"]) == (["type", "error"], "error")
    assert list(body["error"]) == ["type", "message", *further]
    return body["error"]


def test_a_whole_stream(server: ServerProcess):
    """A message whose id contains the run id: reasoning, text, end, usage."""
    response = ask(server, "echo", "Hi", stream=True)
    start, ping, *blocks, end, stop = events(response)
    assert start["message"] == {
        "id": f"msg_{response.headers['X-Run-Id']}", "type": "message", "role": "assistant", "model": "echo",
        "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 0},
    }  # fmt: skip
    assert (ping, stop) == ({"type": "ping"}, {"type": "message_stop"})
    assert [(each["type"].removeprefix("content_block_"), each["index"]) for each in blocks] == [
        ("start", 0), ("delta", 0), ("delta", 0), ("stop", 0), ("start", 1), ("delta", 1), ("stop", 1),
    ]  # fmt: skip
    assert (deltas(blocks, "thinking"), deltas(blocks, "signature")) == ("Let me repeat that.", SIGNATURE)
    assert deltas(blocks, "text") == "Hi"
    assert end == {
        "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"input_tokens": 2, "output_tokens": 2},
    }  # fmt: skip


def test_the_headers_of_a_stream(server: ServerProcess):
    """Those that proxies and browsers need, the run id and a request id."""
    response = ask(server, "quick", "Hi", stream=True)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Location"] == f"/api/runs/{response.headers['X-Run-Id']}/events"
    assert response.headers["request-id"].startswith("req_")
    assert "x-request-id" not in response.headers


def test_progress_is_sent_as_pings_every_two_seconds(server: ServerProcess):
    """Never as content."""
    received = events(ask(server, "slow", "4.5", stream=True))
    assert deltas(received, "text") == ENGLISH + CHINESE
    assert kinds(received)[:5] == ["message_start", "ping", "ping", "ping", "content_block_start"]


def test_a_whole_message(server: ServerProcess):
    """The same content in one response."""
    response = ask(server, "echo", "Hi")
    assert response.headers["request-id"].startswith("req_")
    assert response.json() == {
        "id": f"msg_{response.headers['X-Run-Id']}",
        "type": "message",
        "role": "assistant",
        "model": "echo",
        "content": [
            {"type": "thinking", "thinking": "Let me repeat that.", "signature": SIGNATURE},
            {"type": "text", "text": "Hi"},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 2, "output_tokens": 2},
    }


def test_token_counts_agree(server: ServerProcess):
    """Before the run, at the start of a stream, and at its end if the backend does not count."""
    body = {"model": "quick", "system": "x" * 40, "messages": [{"role": "user", "content": "x" * 400}]}
    assert server.post(COUNT, body).json() == {"input_tokens": 110}
    received = events(server.post(PATH, {**body, "max_tokens": 5, "stream": True}))
    assert received[0]["message"]["usage"] == {"input_tokens": 110, "output_tokens": 0}
    assert received[-2]["usage"] == {"input_tokens": 110, "output_tokens": 103}
    with_tools = server.post(COUNT, {**body, "tools": [TOOL], "tool_choice": {"type": "any"}, "thinking": {}})
    assert with_tools.status_code == 200


def test_the_conversation_reaches_the_backend(server: ServerProcess):
    """The last user message is the question, all others are the history; parameters have their names."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "x"},
                                          {"type": "text", "text": "Good day"}]},
        {"role": "user", "content": " How many? "},
    ]  # fmt: skip
    sampling = {"temperature": 1, "stop_sequences": ["a", "b"], "top_p": None, "metadata": {"user_id": "u1"}, "x": {}}
    response = ask(server, "showing", "", messages=messages, system=[{"type": "text", "text": "Be brief."}], **sampling)
    assert json.loads(response.json()["content"][0]["text"]) == {
        "message": " How many? ",
        "history": [["system", "Be brief."], ["user", "Hello\nthere"], ["assistant", "Good day"]],
        "parameters": {"temperature": 1.0, "max_tokens": 100, "stop": ["a", "b"], "user": "u1"},
    }


def test_tools_images_and_results_reach_the_backend(able: ServerProcess):
    """In the order that the backend needs."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "show"}, PICTURE]},
        {"role": "assistant", "content": [CALLED]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "Sun.", "is_error": True}]},
    ]
    choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    response = ask(able, "x", "", messages=messages, tools=[TOOL], tool_choice=choice)
    assert json.loads(response.json()["content"][0]["text"]) == {
        "parts": ["show", {"url": "data:image/png;base64,AAAA", "detail": None, "type": "image", "name": None}],
        "since": [
            {"role": "assistant", "content": "", "parts": [], "call_id": None, "failed": False,
             "calls": [{"id": "1", "name": "weather", "arguments": '{"city":"Wien"}'}]},
            {"role": "tool", "content": "Sun.", "parts": [], "calls": [], "call_id": "1", "failed": True},
        ],
        "tools": [{"name": "weather", "description": "Tell it.", "schema": {"type": "object"}, "strict": None}],
        "tool_choice": {"mode": "named", "name": "weather"},
        "parameters": {"max_tokens": 100, "parallel_tool_calls": False},
    }  # fmt: skip


def test_tool_calls_reach_the_client(able: ServerProcess):
    """In a stream and in one response."""
    called = {"type": "tool_use", "id": "call_1", "name": "weather"}
    received = events(ask(able, "x", "call I look.", tools=[TOOL], stream=True))
    starts = [each["content_block"] for each in received if each["type"] == "content_block_start"]
    assert starts == [{"type": "text", "text": ""}, {**called, "input": {}}]
    assert deltas(received, "partial_json") == '{"city":"Wien"}'
    assert received[-2]["delta"]["stop_reason"] == "tool_use"
    body = ask(able, "x", "call", tools=[TOOL]).json()
    assert (body["content"], body["stop_reason"]) == ([{**called, "input": {"city": "Wien"}}], "tool_use")


def test_deltas_of_the_backend_are_one_block(able: ServerProcess):
    """With the true stop reason; it can be resumed from any character."""
    response = ask(able, "x", "send one two three", stream=True)
    received = events(response)
    assert (deltas(received, "thinking"), deltas(received, "text")) == ("Hm.", "one two three ")
    assert kinds(received).count("content_block_start") == 2
    assert received[-2]["delta"]["stop_reason"] == "max_tokens"
    for start in range(15):
        again = able.get(response.headers["Location"], params={"protocol": "anthropic", "from": start})
        assert deltas(events(again), "text") == "one two three "[start:]


HI = {"role": "user", "content": "Hi"}
GOOD = {"model": "quick", "max_tokens": 5, "messages": [HI]}

FIELDS = [
    ({"max_tokens": 5, "messages": [HI]}, "model"),
    ({**GOOD, "model": ""}, "model"),
    ({**GOOD, "model": 5}, "model"),
    ({**GOOD, "model": "x" * 257}, "model"),
    ({"model": "quick", "max_tokens": 5}, "messages"),
    ({**GOOD, "messages": []}, "messages"),
    ({**GOOD, "messages": None}, "messages"),
    ({**GOOD, "messages": "Hi"}, "messages"),
    ({**GOOD, "messages": [5]}, "messages"),
    ({**GOOD, "messages": [{"content": "Hi"}]}, "messages"),
    ({**GOOD, "messages": [{"role": "wizard", "content": "Hi"}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user"}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": " \n"}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": []}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": 5}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": [PICTURE]}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages"),
    ({**GOOD, "messages": [{"role": "assistant", "content": "Hi"}]}, "messages"),
    ({**GOOD, "messages": [HI, {"role": "assistant", "content": "Yes, "}]}, "messages"),
    ({**GOOD, "messages": [HI, {"role": "assistant", "content": [CALLED]}, HI]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": "x" * 524_289}]}, "messages"),
    ({"model": "quick", "messages": [HI]}, "max_tokens"),
    ({**GOOD, "max_tokens": None}, "max_tokens"),
    ({**GOOD, "max_tokens": 0}, "max_tokens"),
    ({**GOOD, "max_tokens": -1}, "max_tokens"),
    ({**GOOD, "max_tokens": 1.5}, "max_tokens"),
    ({**GOOD, "max_tokens": "5"}, "max_tokens"),
    ({**GOOD, "system": 5}, "system"),
    ({**GOOD, "system": [PICTURE]}, "system"),
    ({**GOOD, "tools": [TOOL]}, "tools"),
    ({**GOOD, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
    ({**GOOD, "tools": [{"name": "weather"}]}, "tools"),
    ({**GOOD, "tools": "all"}, "tools"),
    ({**GOOD, "tool_choice": {"type": "any"}}, "tool_choice"),
    ({**GOOD, "tool_choice": {"type": "tool"}}, "tool_choice"),
    ({**GOOD, "tool_choice": "auto"}, "tool_choice"),
    ({**GOOD, "mcp_servers": [{"type": "url", "url": "https://example.org"}]}, "mcp_servers"),
    ({**GOOD, "output_config": {"format": {"type": "json_schema", "schema": {}}}}, "output_config"),
    ({**GOOD, "output_config": {"format": {"type": "text"}}}, "output_config"),
    ({**GOOD, "stream": "yes"}, "stream"),
    ({**GOOD, "temperature": "hot"}, "temperature"),
    ({**GOOD, "top_p": []}, "top_p"),
    ({**GOOD, "top_k": 1.5}, "top_k"),
    ({**GOOD, "stop_sequences": "x"}, "stop_sequences"),
    ({**GOOD, "stop_sequences": [5]}, "stop_sequences"),
    ({**GOOD, "metadata": "x"}, "metadata"),
    ({**GOOD, "metadata": {"user_id": 5}}, "metadata"),
]


def test_a_thread_is_rejected_in_the_form_that_makes_an_sdk_send_whole_conversations(server: ServerProcess):
    """``anthropic`` 2 and ``@anthropic-ai/sdk`` 1.11 start a thread in each tool runner and look for this code."""
    response = server.post(PATH, {**GOOD, "thread": {"type": "new"}})
    details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert error(response, "details")["details"] == details
    assert server.post(PATH, {**GOOD, "thread": None}).status_code == 200
    assert error(server.post(PATH, {**GOOD, "tools": [TOOL]}))


@pytest.mark.parametrize(("body", "field"), FIELDS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_invalid_field_is_named(able: ServerProcess, server: ServerProcess, body: Any, field: str, stream: bool):
    """Features that no backend supports are rejected before the run starts."""
    # The body of the longest is over the limit of the other server.
    response = (able if len(str(body)) > 500_000 else server).post(PATH, {"stream": stream, **body})
    assert response.status_code == 400
    details = error(response)
    assert details["type"] == "invalid_request_error"
    assert details["message"].startswith(field)
    assert "X-Run-Id" not in response.headers


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "tools": [], "tool_choice": {"type": "none"}, "thinking": {"type": "adaptive"}, "system": None},
        {**GOOD, "temperature": 0, "top_k": 5, "service_tier": "auto", "mcp_servers": [], "output_config": {}},
        {**GOOD, "messages": [{**HI, "content": "x" * 200_000}]},
        {**GOOD, "messages": [HI, {"role": "assistant", "content": []}]},
        {**GOOD, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "citations": None}]}]},
        {**GOOD, "stream": None, "model": "x" * 256, "max_tokens": 10**9},
    ],
)
@pytest.mark.parametrize("headers", [{}, VERSION, {"anthropic-version": "tomorrow", "anthropic-beta": "x,y"}])
def test_valid_requests_are_served(server: ServerProcess, body: dict[str, Any], headers: dict[str, str]):
    """Unknown fields are ignored, null means absent, and any version of the protocol is accepted."""
    assert server.post(PATH, body, headers=headers).status_code == 200
    assert server.post(COUNT, body, headers=headers).json()["input_tokens"] > 0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"\x00" * 100,
        b'{"model":"quick","max_tokens":5,"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"a","max_tokens":5} trailing',
        b'{"model":"a","max_tokens":5,"messages":[{"role":"user","content":"b"}],"temperature":NaN}',
        b'{"model":"a","max_tokens":5,"messages":[{"role":"user","content":' + b'[{"content":' * 20_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [PATH, COUNT])
def test_a_body_other_than_a_json_object_is_rejected(server: ServerProcess, path: str, body: bytes):
    """With 400 and one sentence, however deep or broken it is."""
    response = server.post(path, data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert error(response)["type"] == "invalid_request_error"


def test_all_errors_have_the_same_form(server: ServerProcess):
    """On every path, for every method, for a body of any size."""
    json_type = {"Content-Type": "application/json"}
    for response, status, kind in (
        (server.get("/v1/messages/nowhere"), 404, "not_found_error"),
        (server.get("/v1/nowhere", headers=VERSION), 404, "not_found_error"),
        (server.get(PATH), 405, "invalid_request_error"),
        (server.get(COUNT), 405, "invalid_request_error"),
        (server.post("/v1/models", {}, headers=VERSION), 405, "invalid_request_error"),
        (server.post(PATH, data=b"x" * 500_001, headers=json_type), 413, "request_too_large"),
        (server.post(COUNT, data=b"x" * 500_001, headers=json_type), 413, "request_too_large"),
        (server.post(PATH, data=b"x", headers={"Content-Type": "text/plain"}), 415, "invalid_request_error"),
        (server.post(PATH, {**GOOD, "stream": True}, headers={"Accept": "text/html"}), 406, "invalid_request_error"),
        (server.post(PATH, GOOD, headers={"Authorization": f"Bearer {token(scope='admin')}"}), 403,
         "permission_error"),
        (server.post(COUNT, GOOD, headers={"Authorization": f"Bearer {token(scope='admin')}"}), 403,
         "permission_error"),
    ):  # fmt: skip
        assert response.status_code == status
        assert error(response)["type"] == kind
        assert "x-should-retry" not in response.headers
    openais = server.post("/v1/chat/completions", {}, headers=VERSION)
    assert openais.json()["error"]["param"] == "model"
    assert "request-id" not in openais.headers


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_an_invalid_token_is_rejected(server: ServerProcess, kind: str):
    """In either header, with the challenge that HTTP requires."""
    value = BAD_TOKENS[kind]
    headers = {"Authorization": value} if value is not None else {}
    keyed = {"x-api-key": value.removeprefix("Bearer ")} if value and value.startswith("Bearer ") else headers
    for response in (
        requests.post(server.url + PATH, json={**GOOD, "stream": True}, headers=headers, timeout=10),
        requests.post(server.url + COUNT, json=GOOD, headers=keyed, timeout=10),
        requests.get(server.url + "/v1/models", headers=VERSION | keyed, timeout=10),
        requests.get(server.url + "/v1/models/x", headers=VERSION | headers, timeout=10),
    ):
        assert response.status_code == 401
        assert error(response)["type"] == "authentication_error"
        assert response.headers["WWW-Authenticate"].startswith('Bearer realm="persona_stream"')
        if value and len(value) > 20:
            assert value not in response.text


def test_the_token_may_come_in_either_header(server: ServerProcess):
    """Authorization takes precedence over x-api-key."""
    for headers, status in (
        ({"x-api-key": token()}, 200),
        ({"Authorization": f"Bearer {token()}"}, 200),
        ({"x-api-key": "garbage"}, 401),
        ({"x-api-key": token(), "Authorization": "Bearer garbage"}, 401),
    ):
        assert requests.post(server.url + PATH, json=GOOD, headers=headers, timeout=10).status_code == status


@pytest.mark.parametrize(
    ("model", "message", "status", "kind"),
    [
        ("failing", "deliberate", 502, "api_error"),
        ("failing", "exception", 500, "api_error"),
        ("failing", "large", 500, "api_error"),
        ("slow", "30", 504, "timeout_error"),
    ],
)
def test_a_failure_is_never_presented_as_an_answer(
    server: ServerProcess, model: str, message: str, status: int, kind: str
):
    """A whole response has its status and x-should-retry; a stream has an error event."""
    response = ask(server, model, message)
    assert response.status_code == status
    assert error(response)["type"] == kind
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["X-Run-Id"]
    assert "a secret detail" not in response.text
    streamed = ask(server, model, message, stream=True)
    assert streamed.status_code == 200
    received = events(streamed)
    assert received[-1] == response.json()
    assert not {"message_delta", "message_stop"} & set(kinds(received))


def test_any_run_is_resumed_in_any_protocol(server: ServerProcess):
    """A native run in Anthropic's protocol, also from the middle, and the reverse."""
    ours = server.post("/api/stream_chat", {"username": "echo", "message": TEXT})
    run_id = ours.headers["X-Run-Id"]
    path = f"/api/runs/{run_id}/events"
    received = events(server.get(path, params={"protocol": "anthropic"}))
    assert (deltas(received, "text"), deltas(received, "thinking")) == (TEXT, "Let me repeat that.")
    for params, headers in (({"from": 50}, {}), ({}, {"Last-Event-ID": f"{run_id}/3.50"})):
        rest = events(server.get(path, params={"protocol": "anthropic", **params}, headers=headers))
        assert deltas(rest, "text") == TEXT[50:]
        assert deltas(rest, "thinking") == ""
        assert rest[1]["index"] == 0
    last = events(server.get(path, params={"protocol": "anthropic", "from": len(TEXT)}))
    assert kinds(last) == ["message_start", "message_delta", "message_stop"]
    refused = server.get(path, params={"dialect": "klingon"}, headers={"Accept": "application/json"})
    assert refused.json()["error"] == "dialect: must be one of native, openai, responses, anthropic, ui"

    theirs = ask(server, "echo", TEXT, stream=True)
    got = read(server.get(theirs.headers["Location"]))
    assert answer(got) == TEXT
    again = server.get(theirs.headers["Location"], params={"protocol": "openai"})
    assert again.text.endswith("data: [DONE]\n\n")
    at_end = {"Last-Event-ID": got[-1].id}
    assert server.get(theirs.headers["Location"], params={"protocol": "anthropic"}, headers=at_end).status_code == 204


def test_a_subscriber_that_joins_mid_run_receives_an_event_at_once(server: ServerProcess):
    """After a message_start of its own."""
    body = {"model": "slow", "max_tokens": 5, "messages": [{"role": "user", "content": "2.5"}], "stream": True}
    with server.post(PATH, body, stream=True) as first:
        run_id = first.headers["X-Run-Id"]
        received = events(
            server.get(
                f"/api/runs/{run_id}/events",
                params={"protocol": "anthropic"},
                headers={"Last-Event-ID": f"{run_id}/2.0"},
            )
        )
        assert kinds(received)[:2] == ["message_start", "ping"]
        assert deltas(received, "text") == deltas(events(first), "text") == ENGLISH + CHINESE


def test_a_cancelled_stream_ends_with_an_error(server: ServerProcess):
    """As after any other failure."""
    body = {"model": "slow", "max_tokens": 5, "messages": [{"role": "user", "content": "5.5"}], "stream": True}
    response = server.post(PATH, body, stream=True)
    server.post(f"/api/runs/{response.headers['X-Run-Id']}/cancel")
    assert events(response)[-1]["error"]["type"] == "api_error"


def test_a_retry_joins_its_run_and_so_does_an_idempotency_key(server: ServerProcess):
    """A lost connection never runs the backend twice; a key identifies one request."""
    first = ask(server, "echo", "once", headers={"X-Stainless-Retry-Count": "0"})
    again = ask(server, "echo", "once", headers={"X-Stainless-Retry-Count": "1"})
    anew = ask(server, "echo", "once", headers={"X-Stainless-Retry-Count": "0"})
    assert first.json()["id"] == again.json()["id"] != anew.json()["id"]
    key = {"Idempotency-Key": "anthropic-1"}
    assert ask(server, "echo", "a", headers=key).json()["id"] == ask(server, "echo", "a", headers=key).json()["id"]
    conflict = ask(server, "echo", "b", headers=key)
    assert conflict.status_code == 409
    assert error(conflict)["type"] == "invalid_request_error"
    assert conflict.headers["x-should-retry"] == "false"
    assert error(ask(server, "echo", "b", headers={"Idempotency-Key": "a b"}))["message"].startswith("Idempotency-Key")


def test_models_have_two_forms(server: ServerProcess, demo: ServerProcess):
    """The header selects one; the list is never empty."""
    one = {
        "type": "model", "id": "tests.backends_for_tests:chosen", "display_name": "tests.backends_for_tests:chosen",
        "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active",
    }  # fmt: skip
    assert server.get("/v1/models", headers=VERSION).json() == {
        "data": [one], "has_more": False,
        "first_id": "tests.backends_for_tests:chosen", "last_id": "tests.backends_for_tests:chosen",
    }  # fmt: skip
    any_name = server.get("/v1/models/any/name", headers=VERSION)
    assert any_name.json() == {**one, "id": "any/name", "display_name": "any/name"}
    assert any_name.headers["request-id"].startswith("req_")
    assert server.get("/v1/models").json()["object"] == "list"

    names = [each["id"] for each in demo.get("/v1/models", headers=VERSION).json()["data"]]
    assert "LuXun" in names
    assert demo.get("/v1/models/LuXun", headers=VERSION).json()["display_name"] == "鲁迅 Lu Xun"
    for refused in (
        demo.get("/v1/models/Nobody", headers=VERSION),
        ask(demo, "Nobody", "Hi"),
        ask(demo, "Nobody", "Hi", stream=True),
        demo.post(COUNT, {"model": "Nobody", "messages": [HI]}),
    ):
        assert refused.status_code == 404
        assert error(refused)["type"] == "not_found_error"


def test_at_capacity_a_retry_is_suggested():
    """429 has Retry-After and never forbids a retry."""
    server = serve("tests.backends_for_tests:chosen", max_runs=1, max_queue=0)
    try:
        body = {"model": "slow", "max_tokens": 5, "messages": [{"role": "user", "content": "20"}], "stream": True}
        with server.post(PATH, body, stream=True):
            refused = ask(server, "quick", "Hi")
            assert refused.status_code == 429
            assert error(refused)["type"] == "rate_limit_error"
            assert int(refused.headers["Retry-After"]) >= 1
            assert "x-should-retry" not in refused.headers
    finally:
        assert server.stop() == 0
