"""OpenAI's protocol over HTTP, on a real server, checked byte by byte."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
import requests

from persona_stream.protocols.base import Heartbeat
from persona_stream.protocols.registry import PROTOCOLS
from tests.backends_for_tests import CHINESE, ENGLISH
from tests.http.conftest import SERVERS
from tests.http.test_refusals import BAD_TOKENS
from tests.server_process import ServerProcess, serve, token
from tests.sse_client import answer, read

PATH = "/v1/chat/completions"
TEXT = ENGLISH.strip()


def ask(server: ServerProcess, model: str, message: str, **more: Any) -> requests.Response:
    headers = more.pop("headers", {})
    body = {"model": model, "messages": [{"role": "user", "content": message}], **more}
    return server.post(PATH, body, headers=headers)


def chunks(response: requests.Response) -> list[dict[str, Any]]:
    """Return the chunks of a stream that must consist of data lines and comments and end with [DONE]."""
    text = response.content.decode("utf-8")
    assert text.endswith("data: [DONE]\n\n")
    assert {line.partition(" ")[0] for line in text.split("\n")} <= {"data:", ":", ""}
    assert not re.search("^: .*\n\n", text, re.MULTILINE), "a blank line after a comment is an empty event"
    data = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in data[:-1]]


def content(events: list[dict[str, Any]]) -> str:
    return "".join(each["choices"][0]["delta"].get("content", "") for each in events if each.get("choices"))


def comments(response: requests.Response) -> list[str]:
    return [line for line in response.text.split("\n") if line.startswith(":")]


def error(response: requests.Response) -> dict[str, Any]:
    """Return the error object of an error response, which must have no other member."""
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    return body["error"]


def test_a_whole_stream(server: ServerProcess):
    """Role, content, end, usage; all chunks of one completion, whose id contains the run id."""
    response = ask(server, "echo", "Hi", stream=True, stream_options={"include_usage": True})
    events = chunks(response)
    run_id = response.headers["X-Run-Id"]
    assert {(each["id"], each["object"], each["model"]) for each in events} == {
        (f"chatcmpl-{run_id}", "chat.completion.chunk", "echo")
    }
    assert len({each["created"] for each in events}) == 1
    assert [each["choices"][0]["delta"] for each in events[:-1]] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Let me repeat that."},
        {"content": "Hi"},
        {},
    ]
    assert [each["choices"][0]["finish_reason"] for each in events[:-1]] == [None, None, None, "stop"]
    assert [each["usage"] for each in events[:-1]] == [None] * 4
    assert (events[-1]["choices"], events[-1]["usage"]) == (
        [], {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
    )  # fmt: skip


def test_the_headers_of_a_stream(server: ServerProcess):
    """Those that proxies and browsers need, the run id and a request id."""
    response = ask(server, "quick", "Hi", stream=True)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Location"] == f"/api/runs/{response.headers['X-Run-Id']}/events"
    assert response.headers["x-request-id"].startswith("req_")
    assert all("usage" not in each for each in chunks(response))


@pytest.mark.parametrize("module", SERVERS.values(), ids=SERVERS)
def test_progress_is_sent_as_comments_every_two_seconds(module: str):
    """Never as content. The shared server may know from other tests that such runs miss their deadline, and say so."""
    server = serve("tests.backends_for_tests:chosen", module=module)
    try:
        response = ask(server, "slow", "4.5", stream=True, headers={"Accept-Language": "en"})
        assert content(chunks(response)) == ENGLISH + CHINESE
    finally:
        assert server.stop() == 0
    assert [re.sub(r" \d+%", " N%", comment) for comment in comments(response)] == [
        ": processing 0.0s N% Working on your request...",
        ": processing 2.0s N% Analyzing the request...",
        ": processing 4.0s N% Looking up what is relevant...",
    ]


def test_texts_are_english_unless_the_client_prefers_chinese(server: ServerProcess):
    """OpenAI's SDKs send no Accept-Language, and most of their users read English."""
    first = [comments(ask(server, "slow", "0.5", stream=True, headers=headers))[0] for headers in (
        {}, {"Accept-Language": "zh-CN,en;q=0.5"}, {"Accept-Language": "fr"}, {"Accept-Language": "en-US,zh;q=0.5"},
    )]  # fmt: skip
    assert first == [
        ": processing 0.0s 5% Working on your request...",
        ": processing 0.0s 5% 正在处理您的请求...",
        ": processing 0.0s 5% Working on your request...",
        ": processing 0.0s 5% Working on your request...",
    ]


@pytest.mark.parametrize(
    ("kind", "beats", "empty"), [("comment", 2, 0), ("delta", 0, 2), ("status", 0, 3), ("off", 0, 0)]
)
def test_the_client_selects_its_heartbeat(server: ServerProcess, kind: str, beats: int, empty: int):
    """With a header."""
    response = ask(server, "slow", "2.5", stream=True, headers={"X-Persona-Heartbeat": kind})
    events = chunks(response)
    assert len(comments(response)) == beats
    assert [each["choices"][0]["delta"] for each in events[:-1]].count({}) == empty
    assert content(events) == ENGLISH + CHINESE


def test_statuses_are_members_of_chunks(server: ServerProcess):
    """In the language of the request, with the percentage, and with numbers if the request asks for them."""
    response = ask(server, "slow", "2.5", stream=True, headers={"X-Persona-Heartbeat": "status"}, return_progress=True)
    events = chunks(response)
    assert all(each["choices"] for each in events)
    statuses = [each["event"]["data"] for each in events if "event" in each]
    assert [status["done"] for status in statuses] == [False, False, True]
    assert statuses[0]["description"] == "Working on your request... 5%"
    assert statuses[2]["description"].startswith("Done in 2.")
    numbers = [each["prompt_progress"] for each in events if "prompt_progress" in each]
    assert [(each["total"], each["cache"]) for each in numbers] == [(100, 0)] * 3
    assert [each["processed"] for each in numbers][::2] == [5, 100]
    assert content(events) == ENGLISH + CHINESE


def test_the_operator_selects_the_heartbeat_of_clients_that_select_none():
    """For Open WebUI, which cannot set a header."""
    server = serve("tests.backends_for_tests:quick", heartbeat="status")
    try:
        events = chunks(ask(server, "quick", "Hi", stream=True))
        assert [each["event"]["data"]["done"] for each in events if "event" in each] == [False, True]
        response = ask(server, "quick", "Hi", stream=True, headers={"X-Persona-Heartbeat": "comment"})
        assert len(comments(response)) == 1
        again = server.get(f"/api/runs/{response.headers['X-Run-Id']}/events?protocol=openai", stream=True)
        assert any("event" in each for each in chunks(again))
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["loud", ""])
def test_an_unknown_heartbeat_is_rejected(server: ServerProcess, kind: str, stream: bool):
    """Also in requests without a stream."""
    refused = error(ask(server, "quick", "Hi", stream=stream, headers={"X-Persona-Heartbeat": kind}))
    assert refused["param"] == "X-Persona-Heartbeat"


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_an_unknown_heartbeat_is_rejected_when_a_run_is_resumed(server: ServerProcess, protocol: str):
    """In every protocol."""
    run = server.post("/api/chat", {"username": "quick", "message": "Hi"}).headers["X-Run-Id"]
    headers = {"X-Persona-Heartbeat": "loud"}
    response = server.get(f"/api/runs/{run}/events?protocol={protocol}&from=0", headers=headers)
    assert response.status_code == 400
    assert f"X-Persona-Heartbeat: must be one of {', '.join(get_args(Heartbeat))}" in response.text


def test_models_are_the_personas_where_personas_are_configured():
    """Any other name is not found."""
    server = serve("demo", demo_seconds=0)
    try:
        names = [each["id"] for each in server.get("/v1/models").json()["data"]]
        assert "LuXun" in names
        assert server.get("/v1/models/LuXun").json()["id"] == "LuXun"
        for refused in (ask(server, "Nobody", "Hi"), ask(server, "Nobody", "Hi", stream=True),
                        server.get("/v1/models/Nobody")):  # fmt: skip
            assert refused.status_code == 404
            assert (error(refused)["code"], error(refused)["param"]) == ("model_not_found", "model")
    finally:
        assert server.stop() == 0


def test_a_whole_completion(server: ServerProcess):
    """The same content in one response."""
    response = ask(server, "echo", "Hi")
    run_id = response.headers["X-Run-Id"]
    body = response.json()
    assert body.pop("created") > 1_700_000_000
    assert response.headers["x-request-id"].startswith("req_")
    assert body == {
        "id": f"chatcmpl-{run_id}",
        "object": "chat.completion",
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "refusal": None,
                    "reasoning_content": "Let me repeat that.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
        "system_fingerprint": None,
    }


def test_tokens_are_estimated_if_the_backend_does_not_count_them(server: ServerProcess):
    """From the lengths of the texts."""
    assert ask(server, "quick", "x" * 400).json()["usage"] == {
        "prompt_tokens": 100, "completion_tokens": 103, "total_tokens": 203,
    }  # fmt: skip


def test_the_conversation_reaches_the_backend(server: ServerProcess):
    """The last user message is the question, all others are the history; parameters have their names."""
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": "Good day", "name": "Ada", "audio": None},
        {"role": "user", "content": " How many? "},
        {"role": "system", "content": "In English."},
    ]
    sampling = {"temperature": 1, "max_tokens": 5, "stop": ["a", "b"], "seed": None, "user": "u1", "unknown": {}}
    received = ask(server, "showing", "", messages=messages, **sampling).json()["choices"][0]["message"]["content"]
    assert json.loads(received) == {
        "message": " How many? ",
        "history": [
            ["system", "Be brief."], ["user", "Hello\nthere"], ["assistant", "Good day"], ["system", "In English."],
        ],
        "parameters": {"temperature": 1.0, "max_tokens": 5, "stop": ["a", "b"], "user": "u1"},
    }  # fmt: skip


HI = {"role": "user", "content": "Hi"}
GOOD = {"model": "quick", "messages": [HI]}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "weather"}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}

FIELDS = [
    ({"messages": [HI]}, "model"),
    ({**GOOD, "model": ""}, "model"),
    ({**GOOD, "model": 5}, "model"),
    ({**GOOD, "model": "x" * 257}, "model"),
    ({"model": "quick"}, "messages"),
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
    ({**GOOD, "messages": [{"role": "user", "content": [IMAGE]}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages"),
    ({**GOOD, "messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "messages"),
    ({**GOOD, "messages": [{"role": "system", "content": " "}]}, "messages"),
    ({**GOOD, "messages": [HI, {"role": "assistant", "content": "Yes, "}]}, "messages"),
    ({**GOOD, "messages": [HI, {"role": "assistant", "tool_calls": [{"id": "1"}]}, HI]}, "messages"),
    ({**GOOD, "messages": [HI, CALLED, HI]}, "messages"),
    ({**GOOD, "messages": [HI, CALLED, {"role": "tool", "content": "Sun.", "tool_call_id": "1"}]}, "messages"),
    ({**GOOD, "n": 2}, "n"),
    ({**GOOD, "n": 0}, "n"),
    ({**GOOD, "n": "1"}, "n"),
    ({**GOOD, "tools": [{"type": "function"}]}, "tools"),
    ({**GOOD, "tools": "all"}, "tools"),
    ({**GOOD, "tools": [TOOL]}, "tools"),
    ({**GOOD, "tools": [{**TOOL, "type": "custom"}]}, "tools"),
    ({**GOOD, "tool_choice": "required"}, "tool_choice"),
    ({**GOOD, "tool_choice": "sometimes"}, "tool_choice"),
    ({**GOOD, "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ({**GOOD, "tool_choice": {"type": "function"}}, "tool_choice"),
    ({**GOOD, "functions": [{"name": "f"}]}, "functions"),
    ({**GOOD, "function_call": "auto"}, "function_call"),
    ({**GOOD, "response_format": {"type": "json_object"}}, "response_format"),
    ({**GOOD, "response_format": "json"}, "response_format"),
    ({**GOOD, "logprobs": True}, "logprobs"),
    ({**GOOD, "top_logprobs": 3}, "top_logprobs"),
    ({**GOOD, "modalities": ["text", "audio"]}, "modalities"),
    ({**GOOD, "audio": {"voice": "alloy"}}, "audio"),
    ({**GOOD, "stream": "yes"}, "stream"),
    ({**GOOD, "stream_options": []}, "stream_options"),
    ({**GOOD, "stream_options": {"include_usage": 1}}, "stream_options"),
    ({**GOOD, "temperature": "hot"}, "temperature"),
    ({**GOOD, "top_p": []}, "top_p"),
    ({**GOOD, "max_tokens": 1.5}, "max_tokens"),
    ({**GOOD, "max_tokens": 0}, "max_tokens"),
    ({**GOOD, "max_completion_tokens": -1}, "max_completion_tokens"),
    ({**GOOD, "stop": [5]}, "stop"),
    ({**GOOD, "seed": True}, "seed"),
    ({**GOOD, "presence_penalty": "x"}, "presence_penalty"),
    ({**GOOD, "frequency_penalty": {}}, "frequency_penalty"),
    ({**GOOD, "reasoning_effort": 1}, "reasoning_effort"),
    ({**GOOD, "user": 7}, "user"),
]


@pytest.mark.parametrize(("body", "field"), FIELDS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_invalid_field_is_named(server: ServerProcess, body: dict[str, Any], field: str, stream: bool):
    """In the message and in `param`; features that no backend supports are rejected before the run starts."""
    response = server.post(PATH, {"stream": stream, **body})
    assert response.status_code == 400
    details = error(response)
    assert (details["type"], details["param"], details["code"]) == ("invalid_request_error", field, "invalid_request")
    assert details["message"].startswith(field)
    assert "X-Run-Id" not in response.headers


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "n": 1, "tools": [], "tool_choice": "none", "functions": None, "response_format": {"type": "text"}},
        {**GOOD, "logprobs": False, "top_logprobs": None, "modalities": ["text"], "audio": None},
        {**GOOD, "temperature": 0, "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "logit_bias": {}},
        {**GOOD, "messages": [{**HI, "content": "x" * 200_000}]},
        {**GOOD, "messages": [{"role": "assistant", "content": None, "refusal": "No."}, HI]},
        {**GOOD, "stream": None, "stream_options": {"include_obfuscation": False}},
        {**GOOD, "model": "x" * 256},
    ],
)
def test_valid_requests_are_served(server: ServerProcess, body: dict[str, Any]):
    """Unknown fields are ignored, and null means absent."""
    assert server.post(PATH, body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"\x00" * 100,
        b'{"model":"quick","messages":[{"role":"user","content":"\\ud800"}]}', b'{"model":"a"} trailing',
        b'{"model":"a","messages":[{"role":"user","content":"b"}],"temperature":NaN}',
    ],
)  # fmt: skip
def test_a_body_other_than_a_json_object_is_rejected(server: ServerProcess, body: bytes):
    """With 400 and one sentence, however deep or broken it is."""
    response = server.post(PATH, data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert error(response)["code"] == "invalid_request"


def test_all_errors_have_the_same_form(server: ServerProcess):
    """On every path, for every method, for a body of any size."""
    json_type = {"Content-Type": "application/json"}
    for response, status, kind, code in (
        (server.get("/v1/nowhere"), 404, "invalid_request_error", "not_found"),
        (server.post("/v1/embeddings", GOOD), 404, "invalid_request_error", "not_found"),
        (server.get(PATH), 405, "invalid_request_error", "method_not_allowed"),
        (server.post("/v1/models", {}), 405, "invalid_request_error", "method_not_allowed"),
        (server.post(PATH, data=b"x" * 500_001, headers=json_type), 413, "invalid_request_error", "too_large"),
        (server.post(PATH, data=b"x", headers={"Content-Type": "text/plain"}), 415, "invalid_request_error",
         "unsupported_media_type"),
        (server.post(PATH, {**GOOD, "stream": True}, headers={"Accept": "text/html"}), 406, "invalid_request_error",
         "not_acceptable"),
        (server.post(PATH, GOOD, headers={"Authorization": f"Bearer {token(scope='admin')}"}), 403,
         "permission_error", "forbidden"),
    ):  # fmt: skip
        assert response.status_code == status
        assert (error(response)["type"], error(response)["code"]) == (kind, code)
        assert "x-should-retry" not in response.headers


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_an_invalid_token_is_rejected(server: ServerProcess, kind: str):
    """As an invalid API key, with the challenge that HTTP requires."""
    value = BAD_TOKENS[kind]
    headers = {"Authorization": value} if value is not None else {}
    for response in (
        requests.post(server.url + PATH, json={**GOOD, "stream": True}, headers=headers, timeout=10),
        requests.get(server.url + "/v1/models", headers=headers, timeout=10),
    ):
        assert response.status_code == 401
        assert (error(response)["type"], error(response)["code"]) == ("authentication_error", "invalid_api_key")
        assert response.headers["WWW-Authenticate"].startswith('Bearer realm="persona_stream"')


def test_the_token_may_come_as_x_api_key(server: ServerProcess):
    """Authorization takes precedence."""
    for headers, status in (
        ({"x-api-key": token()}, 200),
        ({"x-api-key": "garbage"}, 401),
        ({"x-api-key": token(), "Authorization": "Bearer garbage"}, 401),
    ):
        assert requests.post(server.url + PATH, json=GOOD, headers=headers, timeout=10).status_code == status


@pytest.mark.parametrize(
    ("model", "message", "status", "code"),
    [
        ("failing", "deliberate", 502, "backend_error"),
        ("failing", "exception", 500, "internal"),
        ("failing", "large", 500, "answer_too_large"),
        ("slow", "30", 504, "timeout"),
    ],
)
def test_a_failure_is_never_presented_as_an_answer(
    server: ServerProcess, model: str, message: str, status: int, code: str
):
    """A whole response has its status and x-should-retry; a stream has an error."""
    response = ask(server, model, message)
    assert response.status_code == status
    assert (error(response)["code"], error(response)["type"]) == (code, "server_error")
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["X-Run-Id"]
    assert "a secret detail" not in response.text
    streamed = ask(server, model, message, stream=True)
    assert streamed.status_code == 200
    *before, last = chunks(streamed)
    assert last == response.json()
    assert [each["choices"][0]["finish_reason"] for each in before] == [None] * len(before)


def test_any_run_is_resumed_in_any_protocol(server: ServerProcess):
    """A native run in OpenAI's protocol, also from the middle, and the reverse."""
    ours = server.post("/api/stream_chat", {"username": "echo", "message": TEXT})
    events = f"/api/runs/{ours.headers['X-Run-Id']}/events"
    assert content(chunks(server.get(events, params={"protocol": "openai"}))) == TEXT
    run_id = ours.headers["X-Run-Id"]
    for params, headers in (({"from": 50}, {}), ({}, {"Last-Event-ID": f"{run_id}/3.50"})):
        rest = chunks(server.get(events, params={"protocol": "openai", **params}, headers=headers))
        assert content(rest) == TEXT[50:]
        assert all("role" not in each["choices"][0]["delta"] for each in rest)
    # `dialect` is the old name of the parameter.
    assert server.get(events, params={"dialect": "openai", "from": len(TEXT)}).text.endswith("[DONE]\n\n")
    assert server.get(events, params={"dialect": "klingon"}).status_code == 400

    theirs = ask(server, "echo", TEXT, stream=True)
    got = read(server.get(theirs.headers["Location"]))
    assert answer(got) == TEXT
    assert (got[0].data["status"], got[0].data["interval"]) == ("initializing", 2.0)
    at_end = server.get(
        theirs.headers["Location"], params={"protocol": "openai"}, headers={"Last-Event-ID": got[-1].id}
    )
    assert at_end.status_code == 204


def test_a_cancelled_stream_ends_with_an_error(server: ServerProcess):
    """As after any other failure."""
    body = {"model": "slow", "messages": [{"role": "user", "content": "5.5"}], "stream": True}
    response = server.post(PATH, body, stream=True)
    server.post(f"/api/runs/{response.headers['X-Run-Id']}/cancel")
    assert chunks(response)[-1]["error"]["code"] == "cancelled"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages"])
def test_a_retry_after_a_rate_limit_runs_the_query_anew(server: ServerProcess, path: str):
    """As ``Retry-After`` promises; after a failure that a retry would only repeat, it gets the same failure."""

    def attempt(message: str, number: int) -> requests.Response:
        asked = (
            {"prompt": message} if path == "/v1/completions" else {"messages": [{"role": "user", "content": message}]}
        )
        headers = {"X-Stainless-Retry-Count": str(number)}
        return server.post(path, {"model": "failing", "max_tokens": 9, **asked}, headers=headers)

    busy = [attempt("busy", number) for number in range(3)]
    assert [(each.status_code, each.headers["Retry-After"]) for each in busy] == [(429, "3")] * 3
    assert len({each.headers["X-Run-Id"] for each in busy}) == 3
    failed = [attempt("deliberate", number) for number in range(3)]
    assert [(each.status_code, each.headers["x-should-retry"]) for each in failed] == [(502, "false")] * 3
    assert len({each.headers["X-Run-Id"] for each in failed}) == 1


def test_a_retry_joins_its_run_and_so_does_an_idempotency_key(server: ServerProcess):
    """A lost connection never runs the backend twice; a key identifies one request."""
    first = ask(server, "echo", "once", headers={"X-Stainless-Retry-Count": "0"})
    again = ask(server, "echo", "once", headers={"X-Stainless-Retry-Count": "1"})
    anew = ask(server, "echo", "once", headers={"X-Stainless-Retry-Count": "0"})
    assert first.json()["id"] == again.json()["id"] != anew.json()["id"]
    key = {"Idempotency-Key": "openai-1"}
    assert ask(server, "echo", "a", headers=key).json()["id"] == ask(server, "echo", "a", headers=key).json()["id"]
    conflict = ask(server, "echo", "b", headers=key)
    assert conflict.status_code == 409
    assert error(conflict)["code"] == "conflict"
    assert conflict.headers["x-should-retry"] == "false"
    assert error(ask(server, "echo", "b", headers={"Idempotency-Key": "a b"}))["param"] == "Idempotency-Key"


def test_the_list_of_models_is_never_empty(server: ServerProcess):
    """Without personas it has the backend, and any name is accepted."""
    assert server.get("/v1/models").json() == {
        "object": "list",
        "data": [
            {"id": "tests.backends_for_tests:chosen", "object": "model", "created": 0, "owned_by": "persona_stream"},
        ],
    }
    assert server.get("/v1/models/any/name").json()["id"] == "any/name"


def test_at_capacity_a_retry_is_suggested():
    """429 has Retry-After and never forbids a retry."""
    server = serve("tests.backends_for_tests:chosen", max_runs=1, max_queue=0)
    try:
        body = {"model": "slow", "messages": [{"role": "user", "content": "20"}], "stream": True}
        with server.post(PATH, body, stream=True):
            refused = ask(server, "quick", "Hi")
            assert refused.status_code == 429
            assert error(refused)["type"] == "rate_limit_error"
            assert int(refused.headers["Retry-After"]) >= 1
            assert "x-should-retry" not in refused.headers
    finally:
        assert server.stop() == 0
