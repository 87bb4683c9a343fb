"""Clients of each protocol through providers of each protocol, streamed on either side or not, on real servers.

The providers are servers of this project whose backend has every capability.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests

from tests.http import test_anthropic as anthropic
from tests.http import test_openai as openai
from tests.server_process import ServerProcess, serve, token

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = {"city": "Wien"}
PICTURE = "data:image/png;base64,AAAA"


class Received(NamedTuple):
    """Response of a client, independent of its protocol."""

    text: str
    thoughts: str
    calls: list[tuple[str, str, Any]]
    finish: str


class Route(NamedTuple):
    """Server whose backend is a provider, and a protocol for its clients."""

    server: ServerProcess
    client: str
    stream: bool

    def ask(self, message: str, **more: Any) -> requests.Response:
        """Send a request with a tool, and on request with a tool call and its result."""
        return getattr(self, f"_ask_{self.client}")(message, **more)

    def received(self, response: requests.Response) -> Received:
        """Return the response."""
        assert response.status_code == 200, response.text
        return getattr(self, f"_said_{self.client}")(response)

    def _ask_openai(self, message: str, *, shown: bool = False) -> requests.Response:
        content: Any = message
        since: list[Any] = []
        if shown:
            content = [{"type": "text", "text": message}, {"type": "image_url", "image_url": {"url": PICTURE}}]
            function = {"name": "weather", "arguments": json.dumps(CALL)}
            since = [
                {"role": "assistant", "content": None,
                 "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
                {"role": "tool", "content": "Sun.", "tool_call_id": "c1"},
            ]  # fmt: skip
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}, *since]
        function = {"name": "weather", "description": "Tell it.", "parameters": SCHEMA}
        body = {"model": "x", "max_tokens": 50, "messages": messages, "stream": self.stream}
        if shown:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
        return self.server.post(openai.PATH, {**body, "tools": [{"type": "function", "function": function}]})

    def _ask_anthropic(self, message: str, *, shown: bool = False) -> requests.Response:
        content: Any = message
        since: list[Any] = []
        if shown:
            content = [{"type": "text", "text": message}, anthropic.PICTURE]
            called = {"type": "tool_use", "id": "c1", "name": "weather", "input": CALL}
            found = {"type": "tool_result", "tool_use_id": "c1", "content": "Sun."}
            since = [{"role": "assistant", "content": [called]}, {"role": "user", "content": [found]}]
        messages = [{"role": "user", "content": content}, *since]
        tool = {"name": "weather", "description": "Tell it.", "input_schema": SCHEMA}
        body = {"model": "x", "max_tokens": 50, "messages": messages, "stream": self.stream, "tools": [tool]}
        if shown:
            body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        return self.server.post(anthropic.PATH, {**body, "system": "Be brief."})

    def _said_openai(self, response: requests.Response) -> Received:
        if self.stream:
            received = [each["choices"][0] for each in openai.chunks(response)]
            deltas = [each["delta"] for each in received]
            finish = received[-1]["finish_reason"]
        else:
            [choice] = response.json()["choices"]
            deltas, finish = [choice["message"]], choice["finish_reason"]
        calls = [call for each in deltas for call in each.get("tool_calls", ())]
        return Received(
            "".join(each.get("content") or "" for each in deltas),
            "".join(each.get("reasoning_content") or "" for each in deltas),
            [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls],
            {"stop": "whole", "length": "cut", "tool_calls": "calls"}[finish],
        )

    def _said_anthropic(self, response: requests.Response) -> Received:
        if self.stream:
            received = anthropic.events(response)
            blocks = [each["content_block"] for each in received if each["type"] == "content_block_start"]
            text, thoughts = anthropic.deltas(received, "text"), anthropic.deltas(received, "thinking")
            inputs = iter([each["delta"]["partial_json"] for each in received
                           if each["type"] == "content_block_delta" and "partial_json" in each["delta"]])  # fmt: skip
            finish = received[-2]["delta"]["stop_reason"]
        else:
            body = response.json()
            blocks, finish = body["content"], body["stop_reason"]
            text = "".join(block["text"] for block in blocks if block["type"] == "text")
            thoughts = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
            inputs = iter([json.dumps(block["input"]) for block in blocks if block["type"] == "tool_use"])
        calls = [(each["id"], each["name"], json.loads(next(inputs))) for each in blocks if each["type"] == "tool_use"]
        return Received(text, thoughts, calls, {"end_turn": "whole", "max_tokens": "cut", "tool_use": "calls"}[finish])


@pytest.fixture(scope="module")
def provider() -> Iterator[ServerProcess]:
    """Server that acts as the provider."""
    served = serve("tests.backends_for_tests:able", timeout=20)
    yield served
    assert served.stop() == 0


@pytest.fixture(
    scope="module",
    params=[("openai", "off"), ("openai", "on"), ("anthropic", "off"), ("anthropic", "on")],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def between(request: pytest.FixtureRequest, provider: ServerProcess) -> Iterator[ServerProcess]:
    """Server in between, for each provider protocol, with and without provider streaming."""
    protocol, streams = request.param
    settings = {"base_url": f"{provider.url}/v1", "api_key": token(), "model": "able", "stream": streams}
    served = serve(protocol, timeout=20, **{f"{protocol}_{name}": value for name, value in settings.items()})
    yield served
    assert served.stop() == 0


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Whether the client requests a stream."""
    wants: bool = request.param
    return wants


@pytest.fixture(params=["openai", "anthropic"])
def route(request: pytest.FixtureRequest, between: ServerProcess, stream: bool) -> Route:
    """One of all combinations."""
    return Route(between, request.param, stream)


def test_a_truncated_answer(route: Route):
    """With its reasoning, to the character, and with the true finish reason."""
    assert route.received(route.ask("send one two three")) == Received("one two three ", "Hm.", [], "cut")


def test_a_tool_call(route: Route):
    """Whole, with its name and the text before it."""
    assert route.received(route.ask("call I look.")) == Received("I look.", "", [("call_1", "weather", CALL)], "calls")


def test_the_whole_request_reaches_the_backend(route: Route):
    """Image, tool, tool call and result, parameters, response format."""
    shown = json.loads(route.received(route.ask("show", shown=True)).text)
    assert shown["parts"] == ["show", {"url": PICTURE, "detail": None, "type": "image", "name": None}]
    calls = [call for turn in shown["since"] for call in turn["calls"]]
    assert [(call["id"], call["name"], json.loads(call["arguments"])) for call in calls] == [("c1", "weather", CALL)]
    assert [(turn["role"], turn["content"], turn["call_id"]) for turn in shown["since"]] == [
        ("assistant", "", None), ("tool", "Sun.", "c1"),
    ]  # fmt: skip
    assert [(tool["name"], tool["description"], tool["schema"]) for tool in shown["tools"]] == [
        ("weather", "Tell it.", SCHEMA)
    ]
    assert shown["parameters"]["max_tokens"] == 50
    assert shown["parameters"]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_a_failing_provider(route: Route):
    """With the server's own text, and never as an answer."""
    response = route.ask("fail")
    assert "The model provider failed" in response.text
    assert response.status_code == (200 if route.stream else 502)
    if route.stream:
        received = openai.chunks(response) if route.client == "openai" else anthropic.events(response)
        assert "error" in received[-1]
