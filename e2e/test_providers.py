"""Both provider backends with LiteLLM's proxy, which itself uses an OpenAI-compatible provider."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import UNSET

from e2e.conftest import KEY, TEXT
from persona_stream.backends.anthropic.backend import anthropic_backend
from persona_stream.backends.base import Backend
from persona_stream.backends.openai.backend import openai_backend
from persona_stream.core.content import Attachment, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Answer, Turn, Usage
from persona_stream.errors import BackendError, BackendUnavailable
from tests.backends.fake_provider import DONE, Provider, Recorder, chunk, chunks, completion, http, stream
from tests.polling import wait_for

Make = Callable[..., Backend]

HEAD = {"created": 1, "model": "m1"}
COUNTS = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
CAT = "data:image/png;base64,iVBORw0KGgo="


def said(content: object = None, **more: Any) -> bytes:
    return chunks(chunk(content, **HEAD | more))


STREAM = stream(
    said(delta={"role": "assistant", "content": ""}),
    said(delta={"reasoning_content": "6 × 7"}),
    said("Forty"),
    said("-two."),
    said(delta={"tool_calls": [CALL | {"index": 0}]}),
    said(finish_reason="tool_calls"),
    said(choices=[], usage=COUNTS),
    DONE,
)
WHOLE = http(
    200,
    completion(
        "Forty-two.",
        message={"reasoning_content": "6 × 7", "tool_calls": [CALL]},
        finish_reason="tool_calls",
        usage=COUNTS,
        **HEAD,
    ),
    "Content-Type: application/json",
)
each_protocol = pytest.mark.parametrize("make", [openai_backend, anthropic_backend], ids=["openai", "anthropic"])


def ask(make: Make, port: int, recorder: Recorder, *, streams: bool, model: str = "relayed", **fields: Any) -> Answer:
    made = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": KEY, "model": model, "sleep": lambda seconds: None}
    answer = make(**made, stream=streams).process_query(recorder.query(**fields))
    assert isinstance(answer, Answer)
    return answer


@each_protocol
@pytest.mark.parametrize("streams", [False, True])
def test_every_feature_passes_in_both_directions(make: Make, streams: bool, litellm: int, behind: Provider) -> None:
    """Tools, images, calls and results reach the provider; reasoning, text, calls, tokens and finish reason return."""
    behind.replies = [STREAM if streams else WHOLE]
    recorder = Recorder()
    behind.requests.clear()
    answer = ask(
        make,
        litellm,
        recorder,
        streams=streams,
        tools=(Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}}),),
        tool_choice=ToolChoice("auto"),
        parts=("How many?", Attachment(CAT)),
        tool_turns=(
            Turn("assistant", "", calls=(ToolCall("call_0", "look", '{"at": "sea"}'),)),
            Turn("tool", "blue", call_id="call_0"),
        ),
        parameters={"max_tokens": 99},
    )
    assert (recorder.reasoning + (answer.reasoning or ""), recorder.text + answer.text) == ("6 × 7", "Forty-two.")
    assert answer.usage is not None
    # In a stream the proxy adds its own count of the reasoning.
    usage = replace(answer.usage, reasoning_tokens=UNSET)
    assert (answer.finish, usage) == ("tools", Usage(input_tokens=7, output_tokens=9))
    [call] = answer.calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("call_1", "look", {"at": "sky"})
    [request] = [request for request in behind.requests if request.body]
    asked, called, result = request.body["messages"]
    assert [part["type"] for part in asked["content"]] == ["text", "image_url"]
    assert asked["content"][1]["image_url"]["url"] == CAT
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] == "call_0"
    assert result["content"] == "blue"
    assert (request.body["max_tokens"], request.body["tool_choice"]) == (99, "auto")
    assert request.body["tools"][0]["function"]["name"] == "look"


@each_protocol
def test_a_stream_that_breaks_off_behind_the_proxy_is_an_error(make: Make, litellm: int, behind: Provider) -> None:
    """In every form of the proxy it is an error without a fallback."""
    recorder = Recorder()

    def break_off(connection: socket.socket) -> None:
        connection.sendall(stream(said("Forty-"), said("two"), said("-three"), is_whole=False))
        wait_for(lambda: recorder.sent)

    behind.replies = [break_off]
    with pytest.raises(BackendError) as failed:
        ask(make, litellm, recorder, streams=True)
    assert recorder.text.startswith("Forty-")
    assert type(failed.value) is BackendError


@each_protocol
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("model", "words", "error"),
    [
        ("busy", "The model provider's rate limit is reached", BackendUnavailable),
        ("failing", "The model provider failed", BackendUnavailable),
        ("crowded", "The conversation is longer than the model's context length", BackendError),
        ("unknown", "The model provider rejected the request", BackendError),
    ],
)
def test_errors_are_translated_in_both_protocols(
    make: Make, streams: bool, model: str, words: str, error: type[BackendError], litellm: int
) -> None:
    """The same text, and the same eligibility for a fallback."""
    with pytest.raises(BackendError, match=words) as failed:
        ask(make, litellm, Recorder(), streams=streams, model=model)
    assert type(failed.value) is error


@each_protocol
def test_the_text_arrives_to_the_character(make: Make, litellm: int) -> None:
    """Also if the proxy splits an emoji."""
    recorder = Recorder()
    answer = ask(make, litellm, recorder, streams=True, model="quick")
    assert recorder.text + answer.text == TEXT
