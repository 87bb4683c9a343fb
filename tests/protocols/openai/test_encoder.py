"""Tests of the encoder of OpenAI's protocol: facts and a clock in, whole transcripts out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from persona_stream.core.content import ProviderFields, ToolCall
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
from persona_stream.core.query import Finish, Usage
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.openai.encoder import OPENAI, OpenAIEncoder
from tests.fakes import RUN_ID, accepted, entries
from tests.protocols.transcripts import AT, BEGUN, transcript_of

_USAGE = Usage(input_tokens=412, output_tokens=19)
HEAD = (
    f'data: {{"id":"chatcmpl-{RUN_ID}","object":"chat.completion.chunk","created":1795154400,'
    '"model":"VitalikButerin","system_fingerprint":null,"choices":['
)
DONE = "data: [DONE]\n\n"


def chunk(delta: str, finish: str = "null", more: str = "") -> str:
    return f'{HEAD}{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{finish}}}]{more}}}\n\n'


def transcript(journal: Sequence[Entry], start: Position = BEGINNING, **how: Any) -> str:
    """Return the whole stream of a subscriber that joins at once."""
    return transcript_of(OpenAIEncoder(journal, **how), journal, start)


ROLE = chunk('"role":"assistant","content":""')


def test_a_whole_stream_with_comments():
    """The role at once, a comment of one line every two seconds, the chunks, the end."""
    run = entries(
        *BEGUN,
        (AT + 1, ProgressReported("Reading\npage 3", 0.37)),
        (AT + 4.5, Answered("你好，world. And more words")),
    )
    assert transcript(run) == (
        ROLE
        + ": processing 0.0s 5% 正在处理您的请求...\n"
        + ": processing 2.0s 37% Reading page 3\n"
        + ": processing 4.0s 37% Reading page 3\n"
        + chunk('"content":"你好，world. "')
        + chunk('"content":"And more words"')
        + chunk("", '"stop"')
        + DONE
    )


def status(description: str, done: str = "false", more: str = "") -> str:
    event = f'"event":{{"type":"status","data":{{"description":"{description}","done":{done}}}}}'
    return chunk("", more=f",{event}{more}")


def test_a_whole_stream_with_statuses():
    """In the form of Open WebUI (open-webui #8453): in chunks with a choice; the last one, before the text, is done."""
    run = entries(
        *BEGUN,
        (AT + 1, ProgressReported("Reading page 3", 0.37)),
        (AT + 4.5, Answered("你好，world.")),
    )
    assert transcript(run, heartbeat="status", locale="zh") == (
        ROLE
        + status("正在处理您的请求... 5%")
        + status("Reading page 3 37%")
        + status("Reading page 3 37%")
        + status("处理完成，耗时 4.5 秒", "true")
        + chunk('"content":"你好，world."')
        + chunk("", '"stop"')
        + DONE
    )


def progress(percent: int, time_ms: int) -> str:
    return f',"prompt_progress":{{"total":100,"cache":0,"processed":{percent},"time_ms":{time_ms}}}'


def test_a_whole_stream_with_progress_in_numbers():
    """In the form of llama.cpp (PR 15827), in place of comments; with statuses, both are in the same chunk."""
    run = entries(*BEGUN, (AT + 1, ProgressReported("Reading", 0.37)), (AT + 2.5, Answered("Hi.")))
    end = chunk('"content":"Hi."') + chunk("", '"stop"') + DONE
    numbers = chunk("", more=progress(5, 0)) + chunk("", more=progress(37, 2000)) + chunk("", more=progress(100, 2500))
    assert transcript(run, return_progress=True) == ROLE + numbers + end
    assert transcript(run, return_progress=True, heartbeat="delta") == ROLE + numbers + end
    assert transcript(run, return_progress=True, heartbeat="status") == (
        ROLE
        + status("正在处理您的请求... 5%", more=progress(5, 0))
        + status("Reading 37%", more=progress(37, 2000))
        + status("Done in 2.5 s", "true", more=progress(100, 2500))
        + end
    )
    assert transcript(run, return_progress=True, heartbeat="off") == ROLE + end


def test_a_failure_ends_the_status():
    """Otherwise the client shows the activity for ever; the text is the error's."""
    run = entries(*BEGUN, (AT + 1, Failed("backend_error", "It is closed.")))
    error = '{"error":{"message":"It is closed.","type":"server_error","param":null,"code":"backend_error"}}'
    assert transcript(run, heartbeat="status") == (
        ROLE + status("正在处理您的请求... 5%") + status("It is closed.", "true") + f"data: {error}\n\n" + DONE
    )


def test_no_status_follows_the_first_text():
    """While a streaming backend pauses, and for a subscriber that resumes then, heartbeats are empty or end at once."""
    run = entries(*BEGUN, (AT + 1, AnswerDelta("One. Two")), (AT + 6, Answered(" three")))
    end = chunk('"content":"o three"') + chunk("", '"stop"') + DONE
    assert transcript(run, heartbeat="status") == (
        ROLE
        + status("正在处理您的请求... 5%")
        + status("Done in 1.0 s", "true")
        + chunk('"content":"One. Tw"')
        + chunk("")
        + chunk("")
        + end
    )


def test_a_queued_run_has_a_status():
    """With its position."""
    run = entries((AT, accepted()), (AT + 1, Queued(3, None)), (AT + 2, Started()), (AT + 2, Answered("Hi.")))
    assert transcript(run, heartbeat="status", return_progress=True, locale="zh") == (
        ROLE
        + status("排队等待中，第 3 位", more=progress(0, 1000))
        + status("正在处理您的请求... 5%", more=progress(5, 0))
        + status("处理完成，耗时 0.0 秒", "true", more=progress(100, 0))
        + chunk('"content":"Hi."')
        + chunk("", '"stop"')
        + DONE
    )


def test_usage_is_sent_on_request():
    """In a chunk of its own without choices; in all others it is null."""
    null = ',"usage":null'
    assert transcript(entries(*BEGUN, (AT, Answered("Hi.", _USAGE))), include_usage=True) == (
        chunk('"role":"assistant","content":""', more=null)
        + ": processing 0.0s 5% 正在处理您的请求...\n"
        + chunk('"content":"Hi."', more=null)
        + chunk("", '"stop"', null)
        + f'{HEAD}],"usage":{{"prompt_tokens":412,"completion_tokens":19,"total_tokens":431}}}}\n\n'
        + DONE
    )


def test_reasoning_is_never_part_of_the_content():
    """It comes before the answer in reasoning_content."""
    run = entries(*BEGUN, (AT, ReasoningDelta("Six times seven.")), (AT, Answered("42")))
    assert transcript(run, heartbeat="off") == (
        ROLE + chunk('"reasoning_content":"Six times seven."') + chunk('"content":"42"') + chunk("", '"stop"') + DONE
    )


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "stop"), ("length", "length"), ("tools", "tool_calls"), ("filter", "content_filter")],
)
def test_the_finish_reason_is_sent(finish: Finish, reason: str):
    """A truncated answer is never presented as complete, streamed or not."""
    run = entries(*BEGUN, (AT, Answered("Half of", finish=finish)))
    assert transcript(run, heartbeat="off") == (ROLE + chunk('"content":"Half of"') + chunk("", f'"{reason}"') + DONE)
    assert json.loads(dump_json(OPENAI.response(run)[1]))["choices"][0]["finish_reason"] == reason


CALLS = (ToolCall("call_1", "weather", '{"city":"Wien"}'), ToolCall("call_2", "time", "{}"))


def test_tool_calls_follow_the_text():
    """Each is whole, in a chunk of its own, with its index."""
    run = entries(*BEGUN, (AT, Answered("I look.", finish="tools", calls=CALLS)))
    call = '"tool_calls":[{"id":"call_%d","type":"function","function":{"name":"%s","arguments":"%s"},"index":%d}]'
    assert transcript(run, heartbeat="off") == (
        ROLE
        + chunk('"content":"I look."')
        + chunk(call % (1, "weather", r"{\"city\":\"Wien\"}", 0))
        + chunk(call % (2, "time", "{}", 1))
        + chunk("", '"tool_calls"')
        + DONE
    )


def test_a_message_with_tool_calls_only_has_null_content():
    """As the official clients expect."""
    status, body = OPENAI.response(entries(*BEGUN, (AT, Answered("", finish="tools", calls=CALLS[1:]))))
    assert (status, json.loads(dump_json(body))["choices"][0]["message"]) == (
        200,
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}}],
        },
    )


MORE = {
    "message": {"annotations": [{"type": "note"}], "content": "forged"},
    "completion": {"service_tier": "flex", "id": "forged", "system_fingerprint": "fp_1"},
    "usage": {"prompt_tokens_details": {"cached_tokens": 400}, "total_tokens": 0},
}


def test_fields_of_an_openai_provider_are_passed_on():
    """Without overriding the server's own fields."""
    run = entries(*BEGUN, (AT, Answered("Hi.", _USAGE, extras=ProviderFields("openai", MORE))))
    stream = [json.loads(line[6:]) for line in transcript(run, include_usage=True).split("\n") if line[6:7] == "{"]
    body = json.loads(dump_json(OPENAI.response(run)[1]))
    assert stream[2]["choices"][0]["delta"] == {"annotations": [{"type": "note"}]}
    for completed in (stream[3], body):
        assert (completed["service_tier"], completed["system_fingerprint"]) == ("flex", "fp_1")
        assert completed["id"] == f"chatcmpl-{RUN_ID}"
    for counted in (stream[4]["usage"], body["usage"]):
        assert counted == {
            "prompt_tokens": 412,
            "completion_tokens": 19,
            "total_tokens": 431,
            "prompt_tokens_details": {"cached_tokens": 400},
        }
    assert body["choices"][0]["message"] == {
        "role": "assistant", "content": "Hi.", "refusal": None, "annotations": [{"type": "note"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "extras", [ProviderFields("anthropic", MORE), ProviderFields("openai", {"message": "?"}), None]
)
def test_fields_of_other_providers_are_dropped(extras: ProviderFields | None):
    """They mean nothing in this protocol."""
    plain = entries(*BEGUN, (AT, Answered("Hi.")))
    run = entries(*BEGUN, (AT, Answered("Hi.", extras=extras)))
    assert transcript(run) == transcript(plain)
    assert dump_json(OPENAI.response(run)[1]) == dump_json(OPENAI.response(plain)[1])


@pytest.mark.parametrize(
    ("code", "text", "message"),
    [
        ("backend_error", "Closed today.", "Closed today."),
        ("internal", None, "处理过程中发生错误"),
        ("timeout", None, "处理超时，请稍后重试"),
        ("cancelled", None, "请求已取消"),
        ("lost", None, "处理进程意外中断，请重试"),
        ("draining", None, "服务器正在关闭，请稍后重试"),
        ("answer_too_large", None, "回复过长，无法发送"),
    ],
)
def test_a_failure_is_an_error_chunk(code: FailureCode, text: str | None, message: str):
    """Text before it stays."""
    run = entries(*BEGUN, (AT, AnswerDelta("Half of ")), (AT, Failed(code, text)))
    error = f'{{"message":"{message}","type":"server_error","param":null,"code":"{code}"}}'
    chunks = chunk('"content":"Half of"') + chunk('"content":" "')
    assert transcript(run, heartbeat="off") == ROLE + chunks + f'data: {{"error":{error}}}\n\n' + DONE


def test_deltas_of_the_backend_are_chunks():
    """While the backend pauses, progress is sent again."""
    run = entries(*BEGUN, (AT + 1, AnswerDelta("One ")), (AT + 4, AnswerDelta("two")), (AT + 4, Answered("")))
    assert transcript(run) == (
        ROLE
        + ": processing 0.0s 5% 正在处理您的请求...\n"
        + chunk('"content":"One"')
        + ": processing 3.0s 100% 正在分析用户请求...\n"
        + chunk('"content":" tw"')
        + chunk('"content":"o"')
        + chunk("", '"stop"')
        + DONE
    )


def test_a_long_silence_has_an_empty_chunk_about_every_fifteen_seconds():
    """Some clients time out when only comments arrive."""
    stream = transcript(entries(*BEGUN, (AT + 47, Answered("Hi."))))
    beats = [lines for lines in stream.split("\n") if lines.startswith((":", "data:"))]
    empty = [beats[index - 1].split()[2] for index, line in enumerate(beats) if line == chunk("").strip()]
    assert empty == ["16.0s", "30.0s", "46.0s"]
    assert [line.split()[2] for line in beats if line[0] == ":"] == [f"{second}.0s" for second in range(0, 47, 2)]


@pytest.mark.parametrize(("kind", "beat"), [("delta", chunk("")), ("off", "")])
def test_a_heartbeat_may_be_empty_chunks_or_nothing(kind: str, beat: str):
    """In place of comments."""
    stream = transcript(entries(*BEGUN, (AT + 31, Answered("Hi."))), heartbeat=kind)
    assert stream == ROLE + 16 * beat + chunk('"content":"Hi."') + chunk("", '"stop"') + DONE


@pytest.mark.parametrize("characters", range(len("你好，world. And more words") + 1))
def test_a_client_that_resumes_receives_the_rest(characters: int):
    """Without the role, to the character."""
    text = "你好，world. And more words"
    stream = transcript(entries(*BEGUN, (AT, Answered(text))), Position(2, characters), heartbeat="off")
    frames = [json.loads(frame[6:]) for frame in stream.removesuffix(DONE).split("\n\n") if frame]
    assert "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames) == text[characters:]
    assert "role" not in stream


def test_a_stream_has_only_data_lines_and_comments():
    """No text ends a frame, names an event or breaks a line."""
    text = "data: x\n\nid: 1\revent: y\u2028z\u2029\u0085\x00 retry: 5"
    stream = transcript(
        entries(*BEGUN, (AT + 3, ProgressReported(text.replace("\x00", ""), None)), (AT + 9, Answered(text)))
    )
    assert {line.partition(":")[0] for line in stream.split("\n")} == {"data", ""}
    assert not set(stream.replace("\n", "")) & set("\r\u2028\u2029\u0085\x00")


def test_the_whole_completion():
    """The response of a request without a stream."""
    run = entries(*BEGUN, (AT, ReasoningDelta("Six times seven.")), (AT + 3.5, Answered("42", _USAGE)))
    status, body = OPENAI.response(run)
    assert status == 200
    assert dump_json(body).decode() == (
        f'{{"id":"chatcmpl-{RUN_ID}","object":"chat.completion","created":1795154400,"model":"VitalikButerin",'
        '"choices":[{"index":0,"message":{"role":"assistant","content":"42","refusal":null,'
        '"reasoning_content":"Six times seven."},"logprobs":null,"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":412,"completion_tokens":19,"total_tokens":431},"system_fingerprint":null}'
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("backend_error", 502), ("lost", 502), ("internal", 500), ("answer_too_large", 500), ("timeout", 504),
        ("cancelled", 409), ("draining", 503),
    ],
)  # fmt: skip
def test_a_failed_run_has_its_http_status(code: FailureCode, status: int):
    """In a response without a stream."""
    assert OPENAI.response(entries(*BEGUN, (AT, Failed(code))))[0] == status


@pytest.mark.parametrize(
    ("refused", "body"),
    [
        (ErrorInfo(400, "invalid_request", "n: no", "n"),
         '{"error":{"message":"n: no","type":"invalid_request_error","param":"n","code":"invalid_request"}}'),
        (ErrorInfo(401, "unauthorized", "No."),
         '{"error":{"message":"No.","type":"authentication_error","param":null,"code":"invalid_api_key"}}'),
        (ErrorInfo(403, "forbidden", "No."),
         '{"error":{"message":"No.","type":"permission_error","param":null,"code":"forbidden"}}'),
        (ErrorInfo(404, "model_not_found", "No.", "model"),
         '{"error":{"message":"No.","type":"invalid_request_error","param":"model","code":"model_not_found"}}'),
        (ErrorInfo(429, "busy", "Later."),
         '{"error":{"message":"Later.","type":"rate_limit_error","param":null,"code":"busy"}}'),
        (ErrorInfo(503, "draining", "Later."),
         '{"error":{"message":"Later.","type":"server_error","param":null,"code":"draining"}}'),
    ],
)  # fmt: skip
def test_errors_have_openais_form(refused: ErrorInfo, body: str):
    """One object for every error."""
    assert dump_json(OPENAI.error(refused)).decode() == body


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        ("context_length_exceeded", None,
         ("This model's maximum context length is exceeded: 对话超出了模型的上下文长度", "invalid_request_error",
          "messages", "context_length_exceeded")),
        ("context_length_exceeded", "It is longer than the model's context length.",
         ("It is longer than the model's context length.", "invalid_request_error", "messages",
          "context_length_exceeded")),
        ("content_filter", "No.",
         ("The request was rejected as a result of the safety system: No.", "invalid_request_error", None,
          "content_policy_violation")),
        ("rate_limited", "Later.",
         ("Rate limit reached: Later.", "rate_limit_error", None, "rate_limit_exceeded")),
        ("model_not_found", "No.", ("No.", "invalid_request_error", "model", "model_not_found")),
        ("overloaded", "Later.", ("Later.", "server_error", None, "overloaded")),
    ],
)  # fmt: skip
def test_a_failure_with_a_meaning_has_the_words_of_the_protocol(
    code: FailureCode, text: str | None, error: tuple[str, str, str | None, str]
):
    """Clients choose their exception by the type and the code, and LiteLLM by words of the message."""
    _, body = OPENAI.response(entries(*BEGUN, (AT, Failed(code, text))))
    found = json.loads(dump_json(body))["error"]
    assert (found["message"], found["type"], found["param"], found["code"]) == error
