"""Tests of the encoder of the native protocol, byte for byte."""

from __future__ import annotations

import json

import pytest

from persona_stream.core.content import ToolCall
from persona_stream.core.cursor import Position
from persona_stream.core.events import (
    AnswerReady,
    Completed,
    Event,
    Progress,
    ReasoningChunk,
    RunFailed,
    RunOpened,
    TextChunk,
    ToolCalled,
)
from persona_stream.core.facts import Answered
from persona_stream.core.projection import STYLES
from persona_stream.core.query import Usage
from persona_stream.core.sse import encode_all
from persona_stream.protocols.native.encoder import NativeEncoder
from tests.fakes import RUN_ID

AT = Position(2, 20)
ID = f"id: {RUN_ID}/2.20\n"
OPENING = (
    f'"run_id":"{RUN_ID}","conversation_id":"c-1","interval":2.0,"deadline":150.0,"resume_for":900.0,'
    '"events_url":"/api/x"}'
)


def encode(event: Event, style: str = "smart") -> str:
    return encode_all(NativeEncoder(RUN_ID, "/api/x", STYLES[style], "zh").encode(event)).decode()


@pytest.mark.parametrize(
    ("style", "event", "body"),
    [
        (
            "basic",
            RunOpened(AT, "c-1", 2.0, 150.0, 900.0),
            '{"success":true,"data":"","status":"connecting",' + OPENING,
        ),
        (
            "advanced",
            RunOpened(AT, "c-1", 2.0, 150.0, 900.0),
            '{"success":true,"data":"","status":"initializing",' + OPENING,
        ),
        (
            "smart",
            RunOpened(AT, "c-1", 2.0, 150.0, 900.0),
            '{"success":true,"data":"","status":"initializing","message":"正在初始化连接...","progress":5,' + OPENING,
        ),
        (
            "basic",
            ToolCalled(AT, ToolCall("call_1", "weather", "{}")),
            '{"success":true,"data":"","status":"tool_call",'
            '"tool_call":{"id":"call_1","name":"weather","arguments":"{}"},"is_complete":false}',
        ),
        (
            "smart",
            Progress(AT, "正在分析用户请求...", 15, 1.23),
            '{"success":true,"data":"","status":"processing","message":"正在分析用户请求...","progress":15,'
            '"elapsed_time":1.2}',
        ),
        (
            "basic",
            Progress(AT, "Reading", 37, 2.0, 3.44),
            '{"success":true,"data":"","status":"processing","message":"Reading","progress":37,"elapsed_time":2.0,'
            '"eta":3.4}',
        ),
        (
            "smart",
            AnswerReady(AT, 3.51),
            '{"success":true,"data":"","status":"processing_complete","progress":100,'
            '"message":"处理完成 (耗时 3.5秒)，正在发送回复...","total_processing_time":3.5}',
        ),
        (
            "smart",
            ReasoningChunk(AT, "Hm."),
            '{"success":true,"data":"","status":"reasoning","reasoning":"Hm.","is_complete":false}',
        ),
        (
            "basic",
            TextChunk(AT, "你好", 1, 76, 500),
            '{"success":true,"data":"你好","status":"streaming","progress":15.2,"is_complete":false,"total_length":500,'
            '"current_position":76}',
        ),
        (
            "basic",
            TextChunk(AT, "Hi", 1, 76, None),
            '{"success":true,"data":"Hi","status":"streaming","progress":null,"is_complete":false,"total_length":null,'
            '"current_position":76}',
        ),
        (
            "advanced",
            TextChunk(AT, "Hi", 3, 76, 500),
            '{"success":true,"data":"Hi","status":"streaming","chunk_number":3,"is_complete":false}',
        ),
        (
            "smart",
            TextChunk(AT, "Hi", 3, 51, 200),
            '{"success":true,"data":"Hi","status":"streaming","chunk_number":3,"streaming_progress":25.5,'
            '"is_complete":false}',
        ),
        (
            "smart",
            TextChunk(AT, "a\nb\u2028c\u2029d\u0085e\x00", 1, 5, 5),
            '{"success":true,"data":"a\\nb\\u2028c\\u2029d\\u0085e\\u0000","status":"streaming","chunk_number":1,'
            '"streaming_progress":100.0,"is_complete":false}',
        ),
        (
            "basic",
            Completed(AT, 8.21, Answered("")),
            '{"success":true,"data":"","status":"complete","is_complete":true}',
        ),
        (
            "smart",
            Completed(AT, 8.21, Answered("", Usage(input_tokens=5, output_tokens=7, estimated=True))),
            '{"success":true,"data":"","status":"complete","is_complete":true,"total_time":8.2,'
            '"usage":{"input_tokens":5,"output_tokens":7,"estimated":true}}',
        ),
        (
            "basic",
            Completed(AT, 8.21, Answered("", finish="length")),
            '{"success":true,"data":"","status":"complete","is_complete":true,"finish":"length"}',
        ),
        (
            "smart",
            RunFailed(AT, "internal", "处理过程中发生错误", 1.0),
            '{"success":false,"error":"处理过程中发生错误","code":"internal","status":"error","is_complete":true}',
        ),
        (
            "smart",
            RunFailed(AT, "timeout", "处理超时，请稍后重试", 150.52),
            '{"success":false,"error":"处理超时，请稍后重试","code":"timeout","status":"timeout","is_complete":true,'
            '"elapsed_time":150.5}',
        ),
        (
            "smart",
            RunFailed(AT, "cancelled", "请求已取消", 12.31),
            '{"success":false,"error":"请求已取消","code":"cancelled","status":"cancelled","is_complete":true,'
            '"elapsed_time":12.3}',
        ),
    ],
)
def test_each_event_is_encoded_as_documented(style: str, event: Event, body: str):
    """An id line, one data line of compact JSON, a blank line."""
    assert encode(event, style) == f"{ID}data: {body}\n\n"


@pytest.mark.parametrize("text", ["</script>", "\x1b[31m", "data: x\n\nid: y", "\ufeff", "\r\r\n", '"\\', "🇩🇪👩‍👩‍👧"])
def test_any_chunk_is_one_line_that_decodes_to_it(text: str):
    """No text ends a frame or starts another one."""
    lines = encode(TextChunk(AT, text, 1, len(text), None)).split("\n")
    assert [line[:4] for line in lines] == ["id: ", "data", "", ""]
    assert json.loads(lines[1][6:])["data"] == text
    assert not set("".join(lines)) & set("\r\u2028\u2029\u0085")
