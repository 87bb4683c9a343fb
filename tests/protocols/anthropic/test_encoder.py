"""Tests of the encoder of Anthropic's protocol: facts and a clock in, whole transcripts out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.cursor import BEGINNING, Position, position_at_character
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Entry,
    Failed,
    FailureCode,
    ProgressReported,
    ReasoningDelta,
    Started,
)
from persona_stream.core.query import Finish, Usage
from persona_stream.core.sse import encode_all
from persona_stream.protocols.anthropic.encoder import ANTHROPIC, AnthropicEncoder
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.provider_state import SIGNATURE
from tests.core.test_projection import answer_of, runs
from tests.fakes import RUN_ID, accepted, entries, read, subscription_options
from tests.protocols.transcripts import AT, transcript_of

_TERMS = msgspec.structs.replace(accepted(), question_tokens=7)
_BEGUN = ((AT, _TERMS), (AT, Started()))
_USAGE = Usage(input_tokens=412, output_tokens=19)
_CALL = ToolCall("call_1", "weather", '{"city": "Wien"}')
PING = 'event: ping\ndata: {"type":"ping"}\n\n'
STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def frame(name: str, rest: str) -> str:
    return f'event: {name}\ndata: {{"type":"{name}",{rest}}}\n\n'


def start(given: int = 7) -> str:
    return frame(
        "message_start",
        f'"message":{{"id":"msg_{RUN_ID}","type":"message","role":"assistant","model":"VitalikButerin","content":[],'
        f'"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{given},"output_tokens":0}}}}',
    )


def block(index: int, begins: str, *deltas: str) -> str:
    """Return the frames of one block."""
    frames = [frame("content_block_start", f'"index":{index},"content_block":{{{begins}}}')]
    frames += [frame("content_block_delta", f'"index":{index},"delta":{{{delta}}}') for delta in deltas]
    return "".join([*frames, frame("content_block_stop", f'"index":{index}')])


def text_block(index: int, *texts: str) -> str:
    return block(index, '"type":"text","text":""', *(f'"type":"text_delta","text":"{text}"' for text in texts))


def thoughts_block(index: int, *texts: str) -> str:
    deltas = [f'"type":"thinking_delta","thinking":"{text}"' for text in texts]
    return block(
        index, '"type":"thinking","thinking":"","signature":""', *deltas,
        f'"type":"signature_delta","signature":"{SIGNATURE}"',
    )  # fmt: skip


def call_block(index: int, arguments: str) -> str:
    return block(
        index, '"type":"tool_use","id":"call_1","name":"weather","input":{}',
        f'"type":"input_json_delta","partial_json":{arguments}',
    )  # fmt: skip


def end(given: int, taken: int, reason: str = "end_turn") -> str:
    return (
        frame(
            "message_delta",
            f'"delta":{{"stop_reason":"{reason}","stop_sequence":null}},'
            f'"usage":{{"input_tokens":{given},"output_tokens":{taken}}}',
        )
        + STOP
    )


def transcript(journal: Sequence[Entry], begin: Position = BEGINNING, since: float = AT) -> str:
    """Return the whole stream of a subscriber that joins at a moment."""
    return transcript_of(AnthropicEncoder(journal), journal, begin, since)


def test_a_whole_stream_with_pings():
    """The start at once, a ping every two seconds, the chunks in one block, the end."""
    growing = entries(*_BEGUN)
    encoder = AnthropicEncoder(growing)
    run = entries(
        *_BEGUN,
        (AT + 1, ProgressReported("Reading\npage 3", 0.37)),
        (AT + 4.5, Answered("你好，world. And more words")),
    )
    stream = ""
    for at, event in read(run, subscription_options(reasoning=True), since=AT):
        growing[:] = [entry for entry in run if entry.at <= at]
        stream += encode_all(encoder.encode(event)).decode()
    assert stream == start() + 3 * PING + text_block(0, "你好，world. ", "And more words") + end(7, 9)


def test_token_counts_of_the_backend_are_used():
    """At the end, and at the start for a subscriber that joins after the end."""
    run = entries(*_BEGUN, (AT, Answered("Hi.", _USAGE)))
    assert transcript(run) == start(412) + PING + text_block(0, "Hi.") + end(412, 19)


def test_reasoning_is_a_block_before_the_answer():
    """It is closed with a signature before the text starts."""
    run = entries(*_BEGUN, (AT, ReasoningDelta("Six times seven.")), (AT, Answered("42")))
    assert transcript(run) == start() + PING + thoughts_block(0, "Six times seven.") + text_block(1, "42") + end(7, 5)


def test_alternating_reasoning_and_text_are_separate_blocks():
    """Each block is closed before the next one starts; pings may come within a block."""
    run = entries(
        *_BEGUN,
        (AT, ReasoningDelta("Hm.")),
        (AT, AnswerDelta("Six")),
        (AT + 3, ReasoningDelta("Well.")),
        (AT + 3, Answered(" times.")),
    )
    stream = transcript(run)
    # The last letter is held back, as an accent may follow; and then it goes out as it is.
    middle = text_block(1, "Si", "x").replace(
        frame("content_block_delta", '"index":1,"delta":{"type":"text_delta","text":"x"}'),
        PING + frame("content_block_delta", '"index":1,"delta":{"type":"text_delta","text":"x"}'),
    )
    assert stream == (
        start() + PING + thoughts_block(0, "Hm.") + middle + thoughts_block(2, "Well.") + text_block(3, " times.")
        + end(7, 5)
    )  # fmt: skip


def test_tool_calls_are_blocks_of_their_own():
    """All arguments are in one delta."""
    run = entries(*_BEGUN, (AT, Answered("I look.", _USAGE, "tools", (_CALL, _CALL))))
    arguments = r'"{\"city\": \"Wien\"}"'
    assert transcript(run) == (
        start(412) + PING + text_block(0, "I look.") + call_block(1, arguments) + call_block(2, arguments)
        + end(412, 19, "tool_use")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "sent", "decoded"),
    [
        ('{"a":1}', '{"a":1}', {"a": 1}),
        ("", "{}", {}),
        (" \n", "{}", {}),
        ('{"a":', r'{"arguments":"{\"a\":"}', {"arguments": '{"a":'}),
        ("[1]", '{"arguments":"[1]"}', {"arguments": "[1]"}),
        ("null", '{"arguments":"null"}', {"arguments": "null"}),
        ("weather in Wien", '{"arguments":"weather in Wien"}', {"arguments": "weather in Wien"}),
        ("[" * 100_000, '{"arguments":"' + "[" * 100_000 + '"}', {"arguments": "[" * 100_000}),
        ('{"a":NaN}', r'{"arguments":"{\"a\":NaN}"}', {"arguments": '{"a":NaN}'}),
    ],
)
def test_arguments_are_always_an_object(written: str, sent: str, decoded: dict[str, Any]):
    """Clients fail on anything else; malformed arguments are wrapped, not lost."""
    run = entries(*_BEGUN, (AT, Answered("", _USAGE, "tools", (ToolCall("call_1", "weather", written),))))
    assert transcript(run) == start(412) + PING + call_block(0, json.dumps(sent)) + end(412, 19, "tool_use")
    assert json.loads(dump_json(ANTHROPIC.response(run)[1]))["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": decoded}
    ]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tools", "tool_use"), ("filter", "refusal")],
)
def test_finish_reasons_become_stop_reasons(finish: Finish, reason: str):
    """An answer may have no text."""
    run = entries(*_BEGUN, (AT, Answered("", finish=finish)))
    assert transcript(run) == start() + PING + end(7, 0, reason)
    assert ANTHROPIC.response(run)[1]["stop_reason"] == reason


EXTRAS = {
    "content": [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "Wien"}}, 5, {"a": 1}],
    "message": {"stop_reason": "pause_turn", "stop_sequence": "END", "id": "x", "role": "x", "container": {"id": "c"}},
    "usage": {"input_tokens": 1, "cache_read_input_tokens": 3},
}


def test_fields_of_an_anthropic_provider_are_passed_on():
    """Its blocks, its exact stop reason and its counters, without overriding the server's own fields."""
    run = entries(*_BEGUN, (AT, Answered("Hi.", _USAGE, "stop", (_CALL,), ProviderFields("anthropic", EXTRAS))))
    assert transcript(run) == (
        start(412) + PING + text_block(0, "Hi.")
        + block(1, '"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"Wien"}')
        + call_block(2, r'"{\"city\": \"Wien\"}"')
        + frame("message_delta",
                '"delta":{"stop_reason":"pause_turn","stop_sequence":"END","container":{"id":"c"}},'
                '"usage":{"input_tokens":409,"output_tokens":19,"cache_read_input_tokens":3}')
        + STOP
    )  # fmt: skip
    assert dump_json(ANTHROPIC.response(run)[1]).decode() == (
        f'{{"id":"msg_{RUN_ID}","type":"message","role":"assistant","model":"VitalikButerin","content":['
        '{"type":"text","text":"Hi."},'
        '{"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"Wien"}},'
        '{"type":"tool_use","id":"call_1","name":"weather","input":{"city":"Wien"}}],'
        '"stop_reason":"pause_turn","stop_sequence":"END",'
        '"usage":{"input_tokens":409,"output_tokens":19,"cache_read_input_tokens":3},"container":{"id":"c"}}'
    )


@pytest.mark.parametrize(
    "extras",
    [
        ProviderFields("openai", EXTRAS),
        ProviderFields("anthropic", {}),
        ProviderFields("anthropic", {"content": "x", "message": [], "usage": 5}),
        ProviderFields("anthropic", {"content": {}, "message": {"stop_reason": 5}, "usage": None}),
        ProviderFields("anthropic", {"content": [None, {"type": 5}], "message": {"stop_reason": ""}}),
    ],
)
def test_fields_of_other_providers_and_malformed_fields_are_dropped(extras: ProviderFields):
    """They mean nothing in this protocol."""
    run = entries(*_BEGUN, (AT, Answered("Hi.", _USAGE, extras=extras)))
    assert transcript(run) == start(412) + PING + text_block(0, "Hi.") + end(412, 19)


@pytest.mark.parametrize(
    ("code", "text", "kind", "message"),
    [
        ("backend_error", "Closed today.", "api_error", "Closed today."),
        ("internal", None, "api_error", "处理过程中发生错误"),
        ("timeout", None, "timeout_error", "处理超时，请稍后重试"),
        ("cancelled", None, "api_error", "请求已取消"),
        ("lost", None, "api_error", "处理进程意外中断，请重试"),
        ("draining", None, "overloaded_error", "服务器正在关闭，请稍后重试"),
        ("answer_too_large", None, "api_error", "回复过长，无法发送"),
    ],
)
def test_a_failure_is_an_error_event(code: FailureCode, text: str | None, kind: str, message: str):
    """Text before it stays, in a block that stays open."""
    run = entries(*_BEGUN, (AT, AnswerDelta("Half of ")), (AT, Failed(code, text)))
    error = frame("error", f'"error":{{"type":"{kind}","message":"{message}"}}')
    open_block = text_block(0, "Half of", " ").removesuffix(frame("content_block_stop", '"index":0'))
    assert transcript(run) == start() + PING + open_block + error


@pytest.mark.parametrize("characters", range(len("你好，world. And more words") + 1))
def test_a_client_that_resumes_mid_stream_receives_a_new_message_start(characters: int):
    """Clients reject events before it."""
    text = "你好，world. And more words"
    stream = transcript(entries(*_BEGUN, (AT, Answered(text))), Position(2, characters))
    assert stream.startswith(start())
    assert StreamChecker(stream).text == text[characters:]


@pytest.mark.parametrize("begin", [Position(2, 0), Position(2, 4), Position(3, 0)])
def test_a_client_that_resumes_before_a_failure_receives_the_failure(begin: Position):
    """After a message_start and the text that it lacks."""
    run = entries(*_BEGUN, (AT, AnswerDelta("Half")), (AT, Failed("timeout")))
    stream = transcript(run, begin)
    assert stream.startswith(start())
    assert stream.endswith(frame("error", '"error":{"type":"timeout_error","message":"处理超时，请稍后重试"}'))
    assert StreamChecker(stream).text == "Half"[begin.characters :] * (begin.facts == 2)


class StreamChecker:
    """Client that assembles a stream and fails on any violation of the protocol."""

    def __init__(self, stream: str) -> None:
        self.blocks: list[dict[str, Any]] = []
        self.usage: dict[str, int] = {}
        self.reason: str | None = None
        self.failed: dict[str, str] | None = None
        self._open: int | None = None
        frames = stream.removesuffix("\n\n").split("\n\n")
        for number, lines in enumerate(frames):
            name, _, data = lines.partition("\n")
            body = json.loads(data.removeprefix("data: "))
            assert name == f"event: {body['type']}"
            assert (number == 0) == (body["type"] == "message_start")
            assert (number == len(frames) - 1) == (body["type"] in ("message_stop", "error"))
            getattr(self, body["type"], self.other)(body)

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")

    @property
    def thoughts(self) -> str:
        return "".join(block["thinking"] for block in self.blocks if block["type"] == "thinking")

    def other(self, body: dict[str, Any]) -> None:
        assert body["type"] in ("message_start", "ping", "message_stop"), body
        if body["type"] == "message_start":
            assert body["message"]["content"] == []

    def content_block_start(self, body: dict[str, Any]) -> None:
        assert self._open is None
        assert self.reason is None
        assert body["index"] == len(self.blocks)
        self._open = body["index"]
        self.blocks.append(body["content_block"])

    def content_block_delta(self, body: dict[str, Any]) -> None:
        assert body["index"] == self._open
        block, delta = self.blocks[-1], body["delta"]
        match delta["type"]:
            case "text_delta":
                assert delta["text"]
                block["text"] += delta["text"]
            case "thinking_delta":
                assert delta["thinking"]
                assert not block["signature"]
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "input_json_delta":
                block["input"] = json.loads(delta["partial_json"])

    def content_block_stop(self, body: dict[str, Any]) -> None:
        assert body["index"] == self._open
        assert self.blocks[-1].get("signature", "x")
        self._open = None

    def message_delta(self, body: dict[str, Any]) -> None:
        assert self._open is None
        self.reason = body["delta"]["stop_reason"]
        self.usage = body["usage"]

    def error(self, body: dict[str, Any]) -> None:
        self.failed = body["error"]


CALLS = st.lists(st.builds(ToolCall, st.just("call_1"), st.just("f"), st.sampled_from(["", "{}", "[", '{"a":[1]}'])))


@given(runs(), CALLS, st.booleans(), st.data(), st.floats(0, 80))
def test_any_run_from_any_position_is_a_well_formed_message(
    run: list[Entry], calls: list[ToolCall], extra: bool, data: st.DataObject, since: float
):
    """With exactly the remaining text; from the beginning it is the whole message."""
    last = run[-1].fact
    if isinstance(last, Answered):
        extras = ProviderFields("anthropic", EXTRAS) if extra else None
        run[-1] = Entry(run[-1].at, msgspec.structs.replace(last, calls=tuple(calls), extras=extras))
    answer = answer_of(run)
    held = data.draw(st.integers(0, len(answer)))
    begin = position_at_character(held, run)
    checker = StreamChecker(transcript(run, begin, since=max(since, 0.0 if begin == BEGINNING else run[-1].at)))
    assert answer[:held] + checker.text == answer
    status, whole = ANTHROPIC.response(run)
    if isinstance(last, Failed):
        assert checker.failed == json.loads(dump_json(whole))["error"]
        assert status != 200
        return
    body = json.loads(dump_json(whole))
    assert (checker.reason, checker.usage) == (body["stop_reason"], body["usage"])
    if held == 0:
        assert checker.thoughts == "".join(each["thinking"] for each in body["content"] if each["type"] == "thinking")
        assert checker.text == "".join(each["text"] for each in body["content"] if each["type"] == "text")
    own_blocks = ("text", "thinking")
    assert [each for each in checker.blocks if each["type"] not in own_blocks] == [
        each for each in body["content"] if each["type"] not in own_blocks
    ]


def test_a_stream_has_only_event_and_data_lines():
    """No text breaks a line or a frame, and there are no ids."""
    text = "data: x\n\nid: 1\revent: y\u2028z\u2029\u0085\x00 retry: 5"
    stream = transcript(entries(*_BEGUN, (AT + 3, ReasoningDelta(text)), (AT + 9, Answered(text, calls=(_CALL,)))))
    assert {line.partition(":")[0] for line in stream.split("\n")} == {"event", "data", ""}
    assert not set(stream.replace("\n", "")) & set("\r\u2028\u2029\u0085\x00")
    assert StreamChecker(stream).text == StreamChecker(stream).thoughts == text


def test_the_whole_message():
    """The response of a request without a stream."""
    run = entries(
        *_BEGUN, (AT, ReasoningDelta("Six times ")), (AT, ReasoningDelta("seven.")), (AT + 3.5, Answered("42", _USAGE))
    )
    status, body = ANTHROPIC.response(run)
    assert status == 200
    assert dump_json(body).decode() == (
        f'{{"id":"msg_{RUN_ID}","type":"message","role":"assistant","model":"VitalikButerin","content":['
        f'{{"type":"thinking","thinking":"Six times seven.","signature":"{SIGNATURE}"}},{{"type":"text","text":"42"}}],'
        '"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":412,"output_tokens":19}}'
    )


def test_a_running_run_has_no_whole_message():
    """It is a programming error to ask for it."""
    with pytest.raises(TypeError, match="has not ended"):
        ANTHROPIC.response(entries(*_BEGUN))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("backend_error", 502), ("lost", 502), ("internal", 500), ("answer_too_large", 500), ("timeout", 504),
        ("cancelled", 409), ("draining", 503),
    ],
)  # fmt: skip
def test_a_failed_run_has_its_http_status(code: FailureCode, status: int):
    """In a response without a stream."""
    assert ANTHROPIC.response(entries(*_BEGUN, (AT, Failed(code))))[0] == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (404, "not_found_error"), (405, "invalid_request_error"),
        (406, "invalid_request_error"), (409, "invalid_request_error"), (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"), (500, "api_error"), (503, "overloaded_error"), (504, "timeout_error"),
    ],
)  # fmt: skip
def test_errors_have_anthropics_form(status: int, kind: str):
    """One object for every error."""
    body = dump_json(ANTHROPIC.error(ErrorInfo(status, "code", "n: no", "n"))).decode()
    assert body == f'{{"type":"error","error":{{"type":"{kind}","message":"n: no"}}}}'


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        ("context_length_exceeded", None, ("invalid_request_error", "prompt is too long: 对话超出了模型的上下文长度")),
        ("context_length_exceeded", "The prompt is too long.", ("invalid_request_error", "The prompt is too long.")),
        ("content_filter", "No.", ("invalid_request_error", "Output blocked by content filtering policy: No.")),
        ("rate_limited", "Later.", ("rate_limit_error", "Later.")),
        ("model_not_found", "No.", ("not_found_error", "No.")),
        ("overloaded", "Later.", ("overloaded_error", "Later.")),
    ],
)
def test_a_failure_with_a_meaning_has_the_words_of_the_protocol(
    code: FailureCode, text: str | None, error: tuple[str, str]
):
    """Clients choose their exception by the type, and by words of the message."""
    _, body = ANTHROPIC.response(entries(*_BEGUN, (AT, Failed(code, text))))
    found = json.loads(dump_json(body))["error"]
    assert (found["type"], found["message"]) == error
