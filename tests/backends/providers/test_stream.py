"""Tests of the stream reader without I/O, in both API formats."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from persona_stream.backends.anthropic.backend import anthropic_adapter
from persona_stream.backends.openai.backend import OPENAI_ADAPTER as OPENAI
from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.stream import StreamReader, is_stream, read_prefix
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage
from tests.backends.fake_provider import (
    DONE,
    PING,
    STOPPED,
    FakeResponse,
    FakeSleep,
    Recorder,
    begun,
    block,
    chunk,
    chunks,
    cuts,
    ended,
    part,
    parts,
)
from tests.fakes import FakeClock

ANTHROPIC = anthropic_adapter(4096)
STOP = chunk(finish_reason="stop")


def read_stream(
    adapter: ProviderAdapter, response: FakeResponse, recorder: Recorder, limit: int = 10_000_000
) -> Answer:
    first = read_prefix(response.chunks)
    assert is_stream(first)
    return StreamReader(adapter, recorder.query(), FakeClock(), idle_timeout=60.0, max_chars=limit).read(
        response, first
    )  # type: ignore[arg-type]  # a fake


@pytest.mark.parametrize(
    ("adapter", "stream", "text", "finish"),
    [
        pytest.param(OPENAI, chunks("Forty", "-two.", STOP, DONE), "Forty-two.", "stop", id="as it should be"),
        pytest.param(OPENAI, chunks("42", STOP), "42", "stop", id="no [DONE]"),
        pytest.param(OPENAI, chunks("42", DONE), "42", "stop", id="no finish_reason"),
        pytest.param(OPENAI, chunks("42", STOP, DONE, "!", b"data: {", DONE), "42", "stop", id="parts after the end"),
        pytest.param(OPENAI, chunks("4", STOP, "2", DONE), "42", "stop", id="parts after the reason"),
        pytest.param(OPENAI, chunks("42", chunk(finish_reason="length"), DONE), "42", "length", id="length"),
        pytest.param(
            OPENAI, b": hi\n\n" + chunks("42", b": hi\n", b"data:\n\n", STOP, DONE), "42", "stop", id="comments"
        ),
        pytest.param(OPENAI, chunks("42", STOP, DONE).replace(b"\n", b"\r\n"), "42", "stop", id="CRLF"),
        pytest.param(OPENAI, chunks("42", STOP, DONE).replace(b"data: ", b"data:"), "42", "stop", id="no spaces"),
        pytest.param(OPENAI, b"\xef\xbb\xbf\n\n" + chunks("42", STOP, DONE), "42", "stop", id="BOM and blank lines"),
        pytest.param(OPENAI, chunks("x" * 2**20, STOP, DONE), "x" * 2**20, "stop", id="a line of 1 MB"),
        pytest.param(OPENAI, chunks("你好 👩‍👩‍👧", STOP, DONE), "你好 👩‍👩‍👧", "stop", id="Unicode"),
        pytest.param(
            OPENAI,
            chunks(b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', STOP),
            "\ud83d",
            "stop",
            id="half",
        ),
        pytest.param(OPENAI, chunks(b"data: {\ndata: }\n\n", "42", STOP), "42", "stop", id="several lines of data"),
        pytest.param(OPENAI, b"id: 1\nevent: x\nretry: 1\n" + chunks("42", STOP), "42", "stop", id="other fields"),
        pytest.param(
            OPENAI,
            chunks("4", "2", STOP, DONE).replace(b"\n\n", b"\n"),
            "42",
            "stop",
            id="rexxars/eventsource-parser PR 31, anomalyco/opencode #27365: no blank lines between events",
        ),
        pytest.param(
            OPENAI,
            b"data: : OPENROUTER PROCESSING\n\n" + chunks("42", b"data: ping\n\n", STOP, b'data: "[DONE]"\n\n'),
            "42",
            "stop",
            id="mnfst/llm-gateway #2053, aaif-goose/goose PR 11816: keep-alive messages as data",
        ),
        pytest.param(ANTHROPIC, parts(begun(), PING, block(), "42", ended(), STOPPED), "42", "stop", id="Anthropic's"),
        pytest.param(ANTHROPIC, parts(block(), "42", ended()), "42", "stop", id="Anthropic's without its last event"),
        pytest.param(ANTHROPIC, parts(block(), "42", STOPPED, "!"), "42", "stop", id="Anthropic's after its end"),
        pytest.param(
            ANTHROPIC, parts(block(), "42", ended("max_tokens"), DONE), "42", "length", id="Anthropic's with [DONE]"
        ),
    ],
)
def test_valid_streams_give_an_answer(adapter: ProviderAdapter, stream: bytes, text: str, finish: str) -> None:
    """The content is forwarded, except for anything after the end."""
    recorder = Recorder()
    answer = read_stream(adapter, FakeResponse(stream), recorder)
    assert (recorder.text, answer.text, answer.finish) == (text, "", finish)


HTML = b"<!doctype html><title>502 Bad Gateway</title>"


def error(**fields: object) -> dict[str, object]:
    return {"error": {"message": "x"} | fields}


@pytest.mark.parametrize(
    ("adapter", "stream", "kind", "again"),
    [
        pytest.param(OPENAI, b": hi\n\n", "broken_off", True, id="a comment and no more"),
        pytest.param(OPENAI, chunks(chunk("")), "broken_off", True, id="cut before a word"),
        pytest.param(OPENAI, chunks({}, {"choices": None}), "broken_off", True, id="no choices"),
        pytest.param(OPENAI, chunks("42", STOP)[:20], "broken_off", True, id="cut in a line"),
        pytest.param(OPENAI, chunks(DONE), "empty", False, id="nothing"),
        pytest.param(OPENAI, chunks({"choices": []}, DONE), "empty", False, id="no choices, but [DONE]"),
        pytest.param(OPENAI, chunks(STOP, DONE), "empty", False, id="no word"),
        pytest.param(OPENAI, chunks(chunk(finish_reason="content_filter"), DONE), "filtered", False, id="filtered"),
        pytest.param(OPENAI, b"data: {\n\n" + DONE, "unreadable", False, id="broken JSON"),
        pytest.param(OPENAI, b"data: null\n\n", "unreadable", False, id="null"),
        pytest.param(OPENAI, b"data: 7\n\n", "unreadable", False, id="a number"),
        pytest.param(OPENAI, b"data: [" + b"[" * 100_000 + b"\n\n", "unreadable", False, id="deep JSON"),
        pytest.param(OPENAI, b"data: " + b"9" * 5000 + b"\n\n", "unreadable", False, id="a long number"),
        pytest.param(OPENAI, b"data: \xff\xfe\n\n", "unreadable", False, id="no UTF-8"),
        pytest.param(OPENAI, chunks(error()), "failed", False, id="an error"),
        pytest.param(OPENAI, chunks({"error": "x"}), "failed", False, id="an error that is a text"),
        pytest.param(OPENAI, chunks(error(code=429)), "rate_limited", True, id="an error with a status"),
        pytest.param(
            OPENAI, chunks(error(code="rate_limit_exceeded")), "rate_limited", True, id="an error with a code"
        ),
        pytest.param(OPENAI, chunks(error(code="insufficient_quota")), "credit", False, id="an error for good"),
        pytest.param(OPENAI, b"event: error\ndata: out of memory\n\n", "failed", False, id="an error of no form"),
        pytest.param(OPENAI, chunks({"object": "error", "message": "x", "code": 503}), "busy", True, id="vLLM's error"),
        pytest.param(OPENAI, chunks({"choices": [{"error": {"code": 502}}]}), "failed", True, id="a gateway's error"),
        pytest.param(ANTHROPIC, parts(PING, PING), "broken_off", True, id="Anthropic's pings"),
        pytest.param(ANTHROPIC, parts(begun(), block()), "broken_off", True, id="Anthropic's cut before a word"),
        pytest.param(ANTHROPIC, parts(STOPPED), "empty", False, id="Anthropic's nothing"),
        pytest.param(
            ANTHROPIC, parts({"type": "error", "error": {"type": "overloaded_error"}}), "busy", True, id="overloaded"
        ),
        pytest.param(
            ANTHROPIC, parts({"type": "error", "error": {"type": "api_error"}}), "failed", False, id="Anthropic's error"
        ),
        pytest.param(ANTHROPIC, chunks("42", STOP, DONE), "empty", False, id="the other adapter"),
        pytest.param(OPENAI, parts(begun(), block(), "42", ended(), STOPPED), "broken_off", True, id="and vice versa"),
    ],
)
def test_invalid_streams_raise_an_error_of_the_right_kind(
    adapter: ProviderAdapter, stream: bytes, kind: str, again: bool
) -> None:
    """Before the first output, an error may be retryable, and allow a fallback."""
    recorder = Recorder()
    with pytest.raises(ProviderError) as found:
        read_stream(adapter, FakeResponse(stream), recorder)
    assert (found.value.kind, found.value.retryable, recorder.sent) == (kind, again, [])
    assert found.value.fallback_allowed == (kind in ("broken_off", "busy", "failed", "credit", "rate_limited"))


@pytest.mark.parametrize(
    ("adapter", "stream", "kind"),
    [
        pytest.param(OPENAI, chunks("Forty-"), "broken_off", id="cut"),
        pytest.param(OPENAI, chunks(chunk(delta={"reasoning": "Hm"})), "broken_off", id="cut in its thoughts"),
        pytest.param(OPENAI, chunks("Forty-", b"data: {"), "broken_off", id="cut in a line"),
        pytest.param(OPENAI, chunks("Forty-", b"data: {\n\n"), "unreadable", id="broken JSON"),
        pytest.param(OPENAI, chunks("Forty-", error(code=429), DONE), "rate_limited", id="an error"),
        pytest.param(OPENAI, chunks("Forty-", STOP, error(code=502), DONE), "failed", id="an error after the reason"),
        pytest.param(OPENAI, chunks("Forty-", chunk(finish_reason="error"), DONE), "failed", id="an error as reason"),
        pytest.param(OPENAI, chunks(" \n", STOP, DONE), "empty", id="white space"),
        pytest.param(ANTHROPIC, parts(begun(), block(), "Forty-"), "broken_off", id="Anthropic's cut"),
        pytest.param(
            ANTHROPIC,
            parts(block(), "Forty-", {"type": "error", "error": {"type": "overloaded_error"}}),
            "busy",
            id="overloaded",
        ),
    ],
)
def test_errors_after_the_first_output_are_final(adapter: ProviderAdapter, stream: bytes, kind: str) -> None:
    """A part of the answer was sent, so neither a retry nor a fallback can start it again."""
    recorder = Recorder()
    with pytest.raises(ProviderError) as found:
        read_stream(adapter, FakeResponse(stream), recorder)
    assert recorder.sent != []
    assert (found.value.kind, found.value.retryable, found.value.fallback_allowed) == (kind, False, False)


@pytest.mark.parametrize(
    ("said", "kind", "again"),
    [((), "unreachable", True), (("Forty-",), "broken_off", False), (("Forty-two.", STOP), None, False)],
)
def test_a_broken_connection_matters_until_the_finish_reason(said: tuple[object, ...], kind: str, again: bool) -> None:
    """Before the first output it is retryable, then an error, and after the finish reason it is ignored."""
    lost = ProviderError("unreachable", "reset", retryable=True, fallback_allowed=True)
    response = FakeResponse(b": hi\n\n" + chunks(*said), error=lost)
    if kind is None:
        assert read_stream(OPENAI, response, Recorder()) == Answer("")
        return
    with pytest.raises(ProviderError) as found:
        read_stream(OPENAI, response, Recorder())
    assert (found.value.kind, found.value.retryable) == (kind, again)


def test_parts_of_a_tool_call_are_not_output() -> None:
    """Clients get whole calls only, so a stream that breaks off before is retryable."""
    call = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": "{"}}]}
    with pytest.raises(ProviderError) as found:
        read_stream(OPENAI, FakeResponse(chunks(chunk(delta=call))), Recorder())
    assert (found.value.kind, found.value.retryable) == ("broken_off", True)


ENDLESS = {
    "a line": (OPENAI, [b"data: ", b"x" * 100_000]),
    "an event": (OPENAI, [b"data: x\n" * 1000]),
    "a text": (OPENAI, [chunks("x" * 1000)]),
    "letters": (OPENAI, [chunks("x")]),
    "thoughts": (OPENAI, [chunks(chunk(delta={"reasoning": "x" * 1000}))]),
    "arguments": (OPENAI, [chunks(chunk(delta={"tool_calls": [{"index": 0, "function": {"arguments": "x" * 1000}}]}))]),
    "odd fields": (OPENAI, [chunks(chunk(delta={"odd": "x" * 1000}))]),
    "blocks": (ANTHROPIC, [parts(block())]),
    "blocks of others": (ANTHROPIC, [parts(block(0, type="odd", x="x" * 1000))]),
}


@pytest.mark.parametrize(("adapter", "parts"), ENDLESS.values(), ids=ENDLESS)
def test_endless_streams_end_at_the_size_limit(adapter: ProviderAdapter, parts: list[bytes]) -> None:
    """It bounds single events, and the kept part of a stream."""
    response = FakeResponse(*chain(parts[:-1], [parts[-1]] * 20_000))
    with pytest.raises(ProviderError) as found:
        read_stream(adapter, response, Recorder(), limit=100_000)
    assert found.value.kind == "too_large"


@pytest.mark.parametrize("body", [b'{"choices": []}', b" \n[1]", HTML, b"\xef\xbb\xbf{", b"", b" \r\n"])
def test_json_and_html_are_not_streams(body: bytes) -> None:
    """They are read as whole responses."""
    assert not is_stream(read_prefix(iter([body[at : at + 1] for at in range(len(body))])))


@pytest.mark.parametrize("body", [b"upstream gone", b"null\n\n", b'"x"'])
def test_plain_text_is_an_error(body: bytes) -> None:
    """It is not retryable."""
    with pytest.raises(ProviderError) as found:
        read_stream(OPENAI, FakeResponse(body, kind="text/plain"), Recorder())
    assert (found.value.kind, found.value.retryable) == ("unreadable", False)


CALL = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"at": "天"}'}}]}
WHOLE = {
    OPENAI: chunks(
        chunk(delta={"role": "assistant", "reasoning_content": "六×七"}),
        b": keep-alive\r\n\r\n",
        "四十二 👩‍👩‍👧",
        b"data: {}\r\r",
        chunk("!", delta=CALL | {"x": 1}),
        STOP,
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}},
        DONE,
    ),
    ANTHROPIC: parts(
        begun(input_tokens=7),
        block(0, type="thinking", thinking=""),
        part("六×七", 0, "thinking"),
        PING,
        block(1),
        part("四十二 👩‍👩‍👧", 1),
        part("!", 1),
        block(2, type="tool_use", id="a", name="look", input={}),
        part('{"at": ', 2, "input_json"),
        part('"天"}', 2, "input_json"),
        ended("tool_use", output_tokens=9),
        STOPPED,
    ),
}
EXTRAS = {
    OPENAI: ProviderFields("openai", {"message": {"x": 1}}),
    ANTHROPIC: ProviderFields("anthropic", {"message": {"stop_reason": "tool_use"}}),
}


@pytest.mark.parametrize("adapter", WHOLE, ids=["openai", "anthropic"])
@given(data=st.data())
def test_the_result_does_not_depend_on_how_the_bytes_are_split(adapter: ProviderAdapter, data: st.DataObject) -> None:
    """In the middle of a character or a line end, at once or byte by byte."""
    stream = WHOLE[adapter]
    parts = cuts(data, stream) if data.draw(st.booleans()) else [stream[at : at + 1] for at in range(len(stream))]
    recorder = Recorder()
    assert read_stream(adapter, FakeResponse(*parts), recorder) == Answer(
        "",
        usage=Usage(input_tokens=7, output_tokens=9),
        finish="tools",
        calls=(ToolCall("a", "look", '{"at": "天"}'),),
        extras=EXTRAS[adapter],
    )
    assert recorder.joined == [("reasoning", "六×七"), ("text", "四十二 👩‍👩‍👧!")]


def test_deltas_of_one_read_are_forwarded_together() -> None:
    """Grouped by kind."""
    recorder = Recorder()
    stream = chunks(chunk(delta={"reasoning": "6 "}), chunk(delta={"reasoning": "× 7"}), "Forty", "-two", ".", STOP)
    assert read_stream(OPENAI, FakeResponse(stream), recorder) == Answer("")
    assert recorder.sent == [("reasoning", "6 × 7"), ("text", "Forty-two.")]


def test_content_before_an_error_is_forwarded() -> None:
    """Also if both arrive in one read."""
    recorder = Recorder()
    with pytest.raises(ProviderError):
        read_stream(OPENAI, FakeResponse(chunks("Forty", "-two.", {"error": "x"}, "!")), recorder)
    assert recorder.sent == [("text", "Forty-two.")]


@pytest.mark.parametrize(
    ("is_buffered", "seconds"),
    [pytest.param(False, [0.05, 0.05], id="one by one"), pytest.param(True, [], id="all at once")],
)
def test_reads_are_coalesced_between_deltas(is_buffered: bool, seconds: list[float]) -> None:
    """Not after the last delta, after events without content, or if more has already arrived."""
    waits, recorder = FakeSleep(), Recorder()
    parts = (b": hi\n\n", chunks(chunk("")), chunks("Forty"), b": hi\n\n", chunks("-two."), chunks(STOP), DONE)
    response = FakeResponse(*parts, is_buffered=is_buffered)
    reader = StreamReader(
        OPENAI, recorder.query(), FakeClock(), idle_timeout=60.0, max_chars=10_000_000, coalesce=waits
    )
    reader.read(response, read_prefix(response.chunks))  # type: ignore[arg-type]  # a fake
    assert (waits.seconds, recorder.sent) == (seconds, [("text", "Forty"), ("text", "-two.")])


@pytest.mark.parametrize("adapter", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@given(
    stream=st.binary(min_size=1)
    | st.lists(st.sampled_from([b"data: ", b"\n\n", DONE, b"{}", b"event: error\n"])).map(b"".join)
)
@example(stream=b"data: [DONE]\n\n")
def test_any_bytes_are_an_error(adapter: ProviderAdapter, stream: bytes) -> None:
    """No other exception escapes."""
    first = read_prefix(iter([stream]))
    if is_stream(first):
        with pytest.raises(ProviderError):
            read_stream(adapter, FakeResponse(stream), Recorder())


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        # coddy-project/coddy-agent #106, janhq/jan #5807: llama.cpp until 2025
        (b'error: {"code":400,"message":"the request exceeds the available context size","type":"x"}\n\n', "too_long"),
        (b'error: {"code":503,"message":"Loading model","type":"unavailable_error"}\n\n' + DONE, "busy"),
        # ggml-org/llama.cpp #14566: the same as an event
        (chunks({"error": {"code": 400, "message": "the request exceeds the available context size"}}), "too_long"),
        # agentjido/req_llm #661: a bare text
        (chunks({"error": "prompt is too long"}), "too_long"),
        # JSON without a field
        (b': ping\n\n{"error":{"message":"Too many requests","code":429}}\n', "rate_limited"),
        # without the blank line of its last event
        (b'data: {"error":{"message":"Too many requests","code":429}}', "rate_limited"),
        (b'event: error\ndata: {"detail":"overloaded"}\n\n', "busy"),
    ],
)
def test_errors_in_every_form_of_a_stream_are_recognized(body: bytes, kind: str) -> None:
    """None of them is a connection that broke off."""
    with pytest.raises(ProviderError) as found:
        read_stream(OPENAI, FakeResponse(body), Recorder())
    assert found.value.kind == kind


def test_a_stream_without_its_last_blank_line_is_whole() -> None:
    """Its last event would be discarded by the standard."""
    recorder = Recorder()
    answer = read_stream(OPENAI, FakeResponse(chunks("Forty-two.", STOP).rstrip()), recorder)
    assert (recorder.sent, answer.finish) == ([("text", "Forty-two.")], "stop")


def test_an_event_that_was_cut_is_not_parsed() -> None:
    """The stream broke off."""
    with pytest.raises(ProviderError, match="broken_off"):
        read_stream(OPENAI, FakeResponse(chunks("Forty-") + b'data: {"choi'), Recorder())
