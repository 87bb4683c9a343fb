"""Tests of the encoder of the AI SDK's UI message streams: facts and a clock in, whole transcripts out."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from persona_stream.core.content import ToolCall
from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Entry,
    Failed,
    FailureCode,
    ProgressReported,
    Queued,
    ReasoningDelta,
    Started,
)
from persona_stream.core.query import Finish
from persona_stream.protocols.ai_sdk_ui.encoder import AI_SDK_UI, AISDKUIEncoder
from persona_stream.protocols.base import dump_json
from tests.fakes import RUN_ID, accepted, entries
from tests.protocols.transcripts import AT, BEGUN, transcript_of

DONE = "data: [DONE]\n\n"


def part(fields: str) -> str:
    return f'data: {{"type":{fields}}}\n\n'


def progress(message: str, percent: int, elapsed: float, more: str = "") -> str:
    data = f'"message":"{message}","percent":{percent},"elapsed":{elapsed}{more}'
    return part(f'"data-progress","id":"progress","data":{{{data}}},"transient":true')


def text(*deltas: str, kind: str = "text") -> str:
    inner = "".join(part(f'"{kind}-delta","id":"{kind}","delta":"{delta}"') for delta in deltas)
    return part(f'"{kind}-start","id":"{kind}"') + inner + part(f'"{kind}-end","id":"{kind}"')


START = part(f'"start","messageId":"msg_{RUN_ID}"') + part('"start-step"')
FIRST = START + progress("正在处理您的请求...", 5, 0.0)
FINISH = part('"finish-step"') + part('"finish","finishReason":"stop"') + DONE


def transcript(journal: Sequence[Entry], start: Position = BEGINNING, message_id: str = "") -> str:
    """Return the whole stream of a subscriber that joins at once."""
    return transcript_of(AISDKUIEncoder(journal, "zh", message_id), journal, start)


def test_a_whole_stream_with_progress():
    """The start at once, transient progress of one id every two seconds, the text, the end."""
    run = entries(
        *BEGUN,
        (AT + 1, ProgressReported("Reading page 3", 0.37)),
        (AT + 3, ProgressReported("Reading page 5", 0.6)),
        (AT + 4.5, Answered("你好，world. And more words")),
    )
    assert transcript(run) == (
        FIRST
        + progress("Reading page 3", 37, 2.0)
        + progress("Reading page 5", 71, 4.0, ',"eta":2.5')
        + progress("处理完成，耗时 4.5 秒", 100, 4.5)
        + text("你好，world. ", "And more words")
        + FINISH
    )


def test_reasoning_is_a_part_of_its_own_before_the_text():
    """The two do not overlap."""
    run = entries(*BEGUN, (AT, ReasoningDelta("Six times seven.")), (AT, Answered("42")))
    assert transcript(run) == (
        FIRST
        + text("Six times seven.", kind="reasoning").removesuffix(part('"reasoning-end","id":"reasoning"'))
        + progress("处理完成，耗时 0.0 秒", 100, 0.0)
        + part('"reasoning-end","id":"reasoning"')
        + text("42")
        + FINISH
    )


def test_a_queued_run_shows_its_position():
    """At zero percent."""
    run = entries((AT, accepted()), (AT, Queued(2, 3.0)), (AT + 1, Started()), (AT + 1, Answered("Hi.")))
    assert transcript(run) == (
        START
        + progress("排队等待中，第 2 位", 0, 0.0)
        + progress("正在处理您的请求...", 5, 0.0)
        + progress("处理完成，耗时 0.0 秒", 100, 0.0)
        + text("Hi.")
        + FINISH
    )


def test_tool_calls_follow_the_text():
    """Each is whole; arguments that are not JSON are an error of the call, which the client shows."""
    calls = (ToolCall("call_1", "weather", '{"city":"Wien"}'), ToolCall("call_2", "time", ""), ToolCall("3", "x", "{"))
    run = entries(*BEGUN, (AT, Answered("I look.", finish="tools", calls=calls)))
    call = '"tool-input-available","toolCallId":"%s","toolName":"%s","input":%s'
    assert transcript(run) == (
        FIRST
        + progress("处理完成，耗时 0.0 秒", 100, 0.0)
        + text("I look.")
        + part(call % ("call_1", "weather", '{"city":"Wien"}'))
        + part(call % ("call_2", "time", "{}"))
        + part(
            '"tool-input-error","toolCallId":"3","toolName":"x","input":"{",'
            '"errorText":"The arguments are not valid JSON"'
        )
        + part('"finish-step"')
        + part('"finish","finishReason":"tool-calls"')
        + DONE
    )


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tools", "tool-calls"),
        ("filter", "content-filter"),
        ("refusal", "content-filter"),
    ],
)
def test_the_finish_reason_is_sent(finish: Finish, reason: str):
    """A truncated answer is never presented as complete."""
    assert f'"finishReason":"{reason}"' in transcript(entries(*BEGUN, (AT, Answered("Half of", finish=finish))))


def test_a_failure_is_an_error_after_the_text():
    """Without ``finish``."""
    run = entries(*BEGUN, (AT + 1, AnswerDelta("One. Two")), (AT + 2, Failed("backend_error", "It is closed.")))
    assert transcript(run) == (
        FIRST
        + progress("处理完成，耗时 1.0 秒", 100, 1.0)
        + part('"text-start","id":"text"')
        + part('"text-delta","id":"text","delta":"One. Tw"')
        + part('"text-delta","id":"text","delta":"o"')
        + part('"error","errorText":"It is closed."')
        + DONE
    )


def test_a_cancelled_run_is_aborted():
    """It is no error: the user stopped it."""
    run = entries(*BEGUN, (AT + 1, Failed("cancelled")))
    assert transcript(run) == FIRST + part('"abort","reason":"请求已取消"') + DONE


@pytest.mark.parametrize("start", [Position(2, 0), Position(2, 3)])
def test_a_stream_from_any_position_starts_a_message(start: Position):
    """Its parts are valid for a client that has none."""
    run = entries(*BEGUN, (AT, Answered("One. Two")))
    assert transcript(run, start).startswith(START)
    assert transcript(run, start).endswith(FINISH)


def test_the_answer_continues_the_message_of_the_client():
    """After tool results, the client appends to the message with this id."""
    assert transcript(entries(*BEGUN, (AT, Answered("Hi."))), message_id="m1").startswith(
        part('"start","messageId":"m1"')
    )


def test_a_whole_response_is_a_message():
    """With reasoning, text and tool calls as parts."""
    calls = (ToolCall("call_1", "weather", '{"city":"Wien"}'), ToolCall("2", "x", "{"))
    run = entries(*BEGUN, (AT, ReasoningDelta("Hm.")), (AT, Answered("I look.", finish="tools", calls=calls)))
    status, body = AI_SDK_UI.response(run)
    assert (status, json.loads(dump_json(body))) == (
        200,
        {
            "id": f"msg_{RUN_ID}",
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "text": "Hm."},
                {"type": "text", "text": "I look."},
                {"type": "tool-weather", "toolCallId": "call_1", "state": "input-available", "input": {"city": "Wien"}},
                {
                    "type": "tool-x", "toolCallId": "2", "state": "output-error", "rawInput": "{",
                    "errorText": "The arguments are not valid JSON",
                },
            ],
        },
    )  # fmt: skip


@pytest.mark.parametrize(("code", "status"), [("timeout", 504), ("backend_error", 502), ("cancelled", 409)])
def test_a_failed_response_has_its_status(code: FailureCode, status: int):
    """And the text."""
    answered = AI_SDK_UI.response(entries(*BEGUN, (AT, Failed(code, "No."))))
    assert (answered[0], dump_json(answered[1])) == (status, b'{"error":"No.","code":"%s"}' % code.encode())
