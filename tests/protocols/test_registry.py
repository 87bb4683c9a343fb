"""Tests of the registry, and the contract that every registered protocol keeps."""

from __future__ import annotations

import pytest

from persona_stream.core.facts import AnswerDelta, Answered, Failed, ProgressReported, ReasoningDelta, Started
from persona_stream.core.projection import SMART
from persona_stream.core.sse import SSEDecoder, encode_all
from persona_stream.protocols.base import EncoderOptions, ErrorInfo, dump_json
from persona_stream.protocols.registry import PROTOCOLS, find_protocol, is_run_endpoint
from tests.fakes import accepted, entries, read, subscription_options

RUNNING = entries((0.0, accepted()), (0.0, Started()), (1.0, ProgressReported("Reading", 0.5)))
RUNS = {
    "answered": [*RUNNING, *entries((5.0, Answered("你好, world. Some more words.")))],
    "streamed": [*RUNNING, *entries((2.0, AnswerDelta("你好, ")), (3.0, AnswerDelta("world")), (5.0, Answered(".")))],
    "reasoned": [*RUNNING, *entries((2.0, ReasoningDelta("Hm.")), (5.0, Answered("Yes.")))],
    "failed": [*RUNNING, *entries((2.0, AnswerDelta("Half")), (5.0, Failed("backend_error", "Closed.")))],
}
OPTIONS = EncoderOptions(style=SMART, locale="en", events_url="/api/runs/x/events")

protocols = pytest.mark.parametrize("name", PROTOCOLS)


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/", (), "native"),
        ("/api/chat", ("anthropic-version",), "native"),
        ("/api/ui/chat", (), "ui"),
        ("/api/ui/chat/1/stream", ("anthropic-version",), "ui"),
        ("/v1", (), "native"),
        ("/v1/chat/completions", (), "openai"),
        ("/v1/chat/completions", ("anthropic-version",), "openai"),
        ("/v1/completions", ("anthropic-version",), "openai"),
        ("/v1/models", (), "openai"),
        ("/v1/models", ("anthropic-version",), "anthropic"),
        ("/v1/unknown", ("anthropic-version",), "anthropic"),
        ("/v1/messages", (), "anthropic"),
        ("/v1/messages/count_tokens", (), "anthropic"),
    ],
)
def test_a_request_is_matched_to_its_protocol(path: str, headers: tuple[str, ...], name: str) -> None:
    """By the longest path prefix; on paths that protocols share, by the header."""
    assert find_protocol(path, headers).name == name


def test_run_endpoints_are_those_of_the_protocols() -> None:
    """Other paths are not counted separately by metrics."""
    assert is_run_endpoint("/api/stream_chat_smart")
    assert not is_run_endpoint("/v1/models")


@protocols
@pytest.mark.parametrize("run", RUNS)
def test_messages_are_well_formed(name: str, run: str) -> None:
    """No message breaks its frame: the decoder returns the same data and names."""
    encoder = PROTOCOLS[name].encoder(RUNS[run], OPTIONS)
    messages = [
        message
        for _, event in read(RUNS[run], subscription_options(reasoning=True))
        for message in encoder.encode(event)
    ]
    decoded = SSEDecoder().feed(encode_all(messages))
    assert [(each.data, each.event) for each in decoded] == [(each.data, each.event) for each in messages if each.data]


@protocols
def test_a_running_run_has_no_response(name: str) -> None:
    """It is a programming error to ask for it."""
    with pytest.raises(TypeError, match="has not ended"):
        PROTOCOLS[name].response(RUNNING)


@protocols
@pytest.mark.parametrize("run", RUNS)
def test_the_response_of_a_run_has_its_status(name: str, run: str) -> None:
    """And a body that can be encoded."""
    status, body = PROTOCOLS[name].response(RUNS[run])
    assert status == (502 if run == "failed" else 200)
    assert dump_json(body).startswith(b"{")


@protocols
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429, 500, 503])
def test_every_error_has_a_body_with_its_text(name: str, status: int) -> None:
    """For every status."""
    body = PROTOCOLS[name].error(ErrorInfo(status, "invalid_request", "message: is required", "message"))
    assert b'"message: is required"' in dump_json(body)
