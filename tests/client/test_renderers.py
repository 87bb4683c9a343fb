"""Output of the renderers, as whole transcripts."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable

import pytest
from msgspec import structs

from persona_stream.client.main import create_renderers
from persona_stream.client.models import ExitCode, parse_reply
from persona_stream.client.policy import Fail
from persona_stream.client.session import (
    CancelRequested,
    Connecting,
    Received,
    Reconnecting,
    SessionFinished,
    Tick,
    Update,
)
from persona_stream.client.terminal import Terminal
from persona_stream.client.texts import Texts
from persona_stream.core.sse import ServerSentEvent
from tests.client.fakes import COMPLETE, EN, OPENING, ZH, chunk, failure, pipe, processing, tty


def received(payload: dict[str, object]) -> Received:
    """Return the update of an event."""
    data = json.dumps(payload, ensure_ascii=False).encode()
    return Received(parse_reply(payload), ServerSentEvent(data, id="run-1/1.0"))


def finished(outcome: ExitCode = ExitCode.ANSWERED, code: str = "complete", **more: object) -> SessionFinished:
    """Return the end of a session."""
    known = {
        "detail": "",
        "reply": None,
        "retry_after": None,
        "characters": 11,
        "run_id": "run-1",
        "is_stopped": None,
        **more,
    }
    end = Fail(outcome, code, known["detail"], reply=known["reply"], retry_after=known["retry_after"])  # type: ignore[arg-type]  # a table of cases
    return SessionFinished(end, known["run_id"], "talk-1", known["characters"], 8.24, known["is_stopped"])  # type: ignore[arg-type]  # a table of cases


ANSWER: list[Update] = [
    Connecting(),
    received(OPENING),
    received(processing(0.0, 5, "正在处理您的请求...")),
    Tick(),
    received(processing(2.0, 6, eta=6.5)),
    received({"status": "processing_complete", "progress": 100, "message": "处理完成 (耗时 3.5秒)，正在发送回复..."}),
    received(chunk("Hello ")),
    Tick(),
    received(chunk("世界\x1b[2J")),
    received(COMPLETE),
    finished(),
]


def show(
    updates: Iterable[Update],
    out: tuple[Terminal, io.StringIO],
    err: tuple[Terminal, io.StringIO],
    texts: Texts = ZH,
    *,
    json: bool = False,
    events: bool = False,
    raw: bool = True,
) -> tuple[str, str]:
    """Return the output for these updates, half a second apart, on both streams."""
    now = [0.0]
    renderers = create_renderers(out[0], err[0], texts, lambda: now[0], json=json, events=events, raw=raw)
    for update in updates:
        for render in renderers:
            render(update)
        now[0] += 0.5
    return out[1].getvalue(), err[1].getvalue()


def test_in_pipes_answer_and_progress_are_plain_lines() -> None:
    """The answer alone on stdout, a line for each status on stderr."""
    out, err = show(ANSWER, pipe(), pipe())
    assert out == "Hello 世界␛[2J\n"
    assert err.splitlines() == [
        "[   0.0s]      正在连接...",
        "[   0.5s]   5% 正在初始化连接...",
        "[   1.0s]   5% 正在处理您的请求...",
        "[   2.0s]   6% 正在检索相关信息...",
        "[   2.5s] 100% 处理完成 (耗时 3.5秒)，正在发送回复...",
        "回答完毕，用时 8.2 秒。 继续对话请加 --conversation-id talk-1",
    ]


def test_on_a_terminal_the_bar_is_redrawn_and_erased() -> None:
    """Each frame starts with erasing the line, and nothing is left when the answer begins."""
    out, err = show(ANSWER, tty(), tty())
    assert out == "Hello 世界␛[2J\n"
    assert err.split("\r\x1b[2K") == [
        "⠙ ▱▰▰▰▱▱▱▱▱▱▱▱▱▱▱  0.0秒  正在连接...",
        "⠹ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    5%  0.5秒  正在初始化连接...",
        "⠸ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    5%  1.0秒  最多剩 2:30  正在处理您的请求...",
        "⠼ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    5%  1.5秒  最多剩 2:30  正在处理您的请求...",
        "⠴ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    6%  2.0秒  约剩 6秒  正在检索相关信息...",
        "⠦ ▰▰▰▰▰▰▰▰▰▰▰▰▰▰▰  100%  2.5秒  处理完成 (耗时 3.5秒)，正在发送回复...",
        "⠦ ▰▰▰▰▰▰▰▰▰▰▰▰▰▰▰  100%  2.5秒  处理完成 (耗时 3.5秒)，正在发送回复...\n\r\x1b[1A\x1b[2K"
        "回答完毕，用时 8.2 秒。 继续对话请加 --conversation-id talk-1\n",
    ]


def test_colours_are_used_on_stderr_only() -> None:
    """The answer has none."""
    out, err = show(ANSWER, tty(colour=True), tty(colour=True))
    assert "\x1b[" not in out
    assert "\x1b[36m" in err
    assert err.endswith("\x1b[90m回答完毕，用时 8.2 秒。 继续对话请加 --conversation-id talk-1\x1b[0m\n")


def test_an_estimate_beyond_the_deadline_is_shown_as_the_time_until_then() -> None:
    """The message of the server announces it; a run that waits has no deadline yet."""
    late = {"status": "processing", "message": "May exceed the limit of 150 s. Working...", "progress": 5}
    updates = [
        Connecting(),
        received({"status": "initializing", "deadline": 150}),
        received({"status": "queued", "position": 1, "eta": 400.0, "elapsed_time": 20.0}),
        received({**late, "eta": 400.0, "elapsed_time": 20.0}),
        received({**late, "eta": 90.0, "elapsed_time": 24.0}),
        finished(ExitCode.CANCELLED, "cancelled"),
    ]
    _, err = show(updates, pipe(), tty(), EN)
    assert list(dict.fromkeys(re.findall(r"[~<]\S+ left", err))) == ["~6-7min left", "<2:10 left", "~1-2min left"]


def test_queueing_reconnecting_and_cancelling_are_reported() -> None:
    """In either language."""
    updates = [
        received({"status": "queued", "position": 3, "eta": 12.0, "elapsed_time": 1.0}),
        Reconnecting("connection_lost", 1.25),
        Reconnecting("busy", 4.0),
        CancelRequested(),
        finished(ExitCode.CANCELLED, "cancelled", is_stopped=False),
    ]
    assert show(updates, pipe(), pipe(), EN)[1].splitlines() == [
        "[   0.0s]      Queued (position 3)",
        "[   0.5s]      Connection lost; retrying in 1.2 s",
        "[   1.0s]      The server is not ready; retrying in 4.0 s",
        "[   1.5s]      Cancelling...",
        "Cancelled. The server did not confirm it; the run stops once it has no subscribers.",
    ]
    assert "正在排队（第 3 位）" in show(updates, pipe(), pipe(), ZH)[1]


def test_statuses_do_not_interrupt_the_answer() -> None:
    """Once text has begun, only a lost connection is reported."""
    updates = [
        received(chunk("a")),
        received(processing(9.0)),
        Reconnecting("silence", 1.0),
        received(chunk("b")),
        finished(),
    ]
    out, err = show(updates, pipe(), pipe(), EN)
    assert out == "ab\n"
    assert [line[15:] for line in err.splitlines()[:-1]] == ["The server stopped responding; retrying in 1.0 s"]
    assert show(updates[:-1], tty(), tty())[1] == ""


@pytest.mark.parametrize(("text", "written"), [("a\n", "a\n"), ("a", "a\n"), ("a\n\n", "a\n\n"), ("", "")])
def test_the_last_line_ends_once(text: str, written: str) -> None:
    """The prompt of a shell starts on a line of its own."""
    assert show([received(chunk(text)), finished()], pipe(), pipe())[0] == written


def thought(text: str) -> Received:
    """Return the update of a chunk of reasoning."""
    return received({"success": True, "data": "", "status": "reasoning", "reasoning": text, "is_complete": False})


THOUGHTFUL: list[Update] = [
    thought("Let me"),
    thought(" see\x07"),
    received(chunk("Hello")),
    received(COMPLETE),
    finished(),
]


def test_reasoning_is_grey_and_on_stderr() -> None:
    """An empty line follows before the answer begins."""
    out, err = show(THOUGHTFUL, pipe(), tty(colour=True))
    assert out == "Hello\n"
    assert err.startswith("\x1b[90mLet me\x1b[0m\x1b[90m see␇\x1b[0m\n\n\x1b[90m回答完毕")


def test_reasoning_in_a_pipe_is_plain_text() -> None:
    """Whole lines without colours, none of them on stdout."""
    out, err = show([*ANSWER[:3], *THOUGHTFUL], pipe(), pipe(), EN)
    assert out == "Hello\n"
    assert err.splitlines()[-4:] == [
        "[   1.0s]   5% 正在处理您的请求...",
        "Let me see␇",
        "",
        "Answered in 8.2 s. To continue the conversation: --conversation-id talk-1",
    ]


def test_the_bar_is_erased_before_the_reasoning_begins() -> None:
    """It does not return while the model continues."""
    _, err = show([*ANSWER[:3], thought("Hm."), received(processing(4.0)), *THOUGHTFUL], pipe(), tty())
    assert err.split("\x1b[2K")[-1].startswith("Hm.Let me see␇\n\n回答完毕")


def test_reasoning_and_other_output_have_lines_of_their_own() -> None:
    """Also if the connection breaks in the middle of it, or the model reasons again in the middle of the answer."""
    updates = [thought("Let me"), Reconnecting("silence", 1.0), thought(" see.\n"), received(chunk("Hello"))]
    updates += [thought("No"), received(chunk(" world")), finished()]
    _, err = show(updates, pipe(), pipe(), EN)
    assert err.splitlines() == [
        "Let me",
        "[   0.5s]      The server stopped responding; retrying in 1.0 s",
        " see.",
        "",
        "No",
        "",
        "Answered in 8.2 s. To continue the conversation: --conversation-id talk-1",
    ]
    shared = tty()
    out, _ = show(updates, shared, shared, EN)
    assert out.splitlines()[:-1] == ["Let me", " see.", "", "Hello", "No", "", " world"]


def test_an_error_after_reasoning_starts_a_line() -> None:
    """An error of the server and one of the connection."""
    for failed in (received(failure("lost", "gone")), Reconnecting("silence", 1.0)):
        _, err = show([thought("Hm"), failed, finished(ExitCode.FAILED, "lost", characters=0)], pipe(), pipe(), EN)
        assert "Hm\n" in err
        assert err.splitlines()[-2].startswith("error: ")


def test_json_includes_the_reasoning() -> None:
    """As the server sent it; stderr does not have it."""
    out, err = show(THOUGHTFUL, pipe(), tty(colour=True), EN, json=True)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("reasoning") or line["data"] for line in lines] == ["Let me", " see\x07", "Hello", ""]
    assert "Let me" not in err


def test_json_is_one_object_per_line() -> None:
    """As the server sent it; stderr has only the summary."""
    out, err = show(ANSWER, pipe(), pipe(), json=True)
    sent = [dict(update.reply.payload) for update in ANSWER if isinstance(update, Received)]
    assert [json.loads(line) for line in out.splitlines()] == sent
    assert "世界" in out
    assert "\x1b" not in out
    assert err == "回答完毕，用时 8.2 秒。 继续对话请加 --conversation-id talk-1\n"


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (
            finished(ExitCode.TIMEOUT, "client_timeout", detail="180"),
            {"code": "client_timeout", "status": "timeout", "error": "180 秒内未得到完整回答，已取消运行"},
        ),
        (finished(ExitCode.CANCELLED, "cancelled"), {"code": "cancelled", "status": "cancelled", "error": "已取消"}),
        (
            finished(ExitCode.FAILED, "unreachable", detail="Connection refused"),
            {"code": "unreachable", "status": "error", "error": "无法连接服务器：Connection refused"},
        ),
    ],
)
def test_json_always_ends_with_a_terminal_event(end: SessionFinished, last: dict[str, str]) -> None:
    """The client writes one if the server sent none."""
    out, _ = show([received(OPENING), end], pipe(), pipe(), json=True)
    assert json.loads(out.splitlines()[-1]) == {**last, "success": False, "is_complete": True, "elapsed_time": 8.2}


def test_json_includes_the_refusal() -> None:
    """The object as the server sent it."""
    refusal = failure("unauthorized", "expired")
    out, err = show(
        [Connecting(), finished(ExitCode.REFUSED, "unauthorized", reply=parse_reply(refusal))],
        pipe(),
        pipe(),
        json=True,
    )
    assert json.loads(out) == refusal
    assert err.startswith("错误：令牌无效或已过期（expired）（运行 run-1）\n提示：")


def test_json_in_another_encoding_is_ascii() -> None:
    """Latin-1 would turn Chinese into question marks."""
    raw = io.BytesIO()
    latin = Terminal(io.TextIOWrapper(raw, "latin-1"), {})
    show([received(chunk("世界"))], (latin, io.StringIO()), pipe(), json=True)
    assert b"\\u4e16\\u754c" in raw.getvalue()


def test_raw_events_have_time_id_and_data() -> None:
    """Sanitised, one per line; the answer is still on stdout."""
    out, err = show(ANSWER[5:], pipe(), pipe(), events=True)
    assert out == "Hello 世界␛[2J\n"
    assert show([received({"status": "reasoning", "reasoning": "hm"})], pipe(), pipe(), events=True)[1].count("hm") == 1
    lines = err.splitlines()
    assert lines[1] == f"+0.500s id=run-1/1.0 {json.dumps(chunk('Hello '))}"
    assert len(lines) == 5


def test_on_a_terminal_the_answer_follows_the_raw_events() -> None:
    """Otherwise both would share lines."""
    shared = tty()
    out, _ = show(ANSWER[5:], shared, shared, events=True)
    assert out.splitlines()[-2] == "Hello 世界␛[2J"


@pytest.mark.parametrize(
    ("end", "summary"),
    [
        (
            finished(
                ExitCode.REFUSED,
                "busy",
                reply=parse_reply(failure("busy", "full\x1b[0m\nhouse")),
                retry_after=7.0,
                run_id="",
                characters=0,
            ),
            "error: full␛[0m house\nhint: The server is at capacity. Ask again later. Retry in 7 s.\n",
        ),
        (
            finished(ExitCode.FAILED, "lost", reply=parse_reply(failure("lost", "gone")), characters=5),
            "error: gone (run run-1)\n"
            "hint: The answer above is incomplete. The process that executed the run ended unexpectedly. Ask again.\n",
        ),
        (
            finished(ExitCode.FAILED, "unreachable", detail="refused", characters=0),
            "error: cannot reach the server: refused (run run-1)\n"
            "hint: Is the server running? `persona-stream serve` starts one here; --url selects another.\n",
        ),
        (finished(ExitCode.CANCELLED, "cancelled", is_stopped=True), "Cancelled.\n"),
    ],
)
def test_the_summary_has_the_error_and_the_next_step(end: SessionFinished, summary: str) -> None:
    """The server's error text, the run id if there is one, and a hint."""
    assert show([end], pipe(), pipe(), EN)[1] == summary


def test_json_and_the_bar_never_share_a_terminal() -> None:
    """The bar is drawn only if the lines go to another stream."""
    both = show(ANSWER[:3], tty(), tty(), json=True)
    apart = show(ANSWER[:3], pipe(), tty(), json=True)
    assert (both[1], "▱" in apart[1]) == ("", True)


def test_the_delivery_is_told_apart_from_the_answer() -> None:
    """The page shows the same times."""
    end = structs.replace(finished(), answered_after=5.4)
    _, err = show([end], pipe(), pipe())
    assert err == "5.4 秒后得到回答，2.8 秒内发送完毕。 继续对话请加 --conversation-id talk-1\n"


def test_tool_calls_follow_the_answer() -> None:
    """Each once, although a resumed stream repeats it, and without control characters."""
    call = {"status": "tool_call", "tool_call": {"id": "1", "name": "weather", "arguments": '{"city":"\x1bWien"}'}}
    out, err = show(
        [*ANSWER[:3], received(chunk("Hello")), received(call), received(call), finished()], pipe(), pipe(), EN
    )
    assert out == "Hello\n"
    assert err.splitlines()[-2] == 'tool call: weather({"city":"␛Wien"})'
    assert err.count("tool call") == 1


def test_tool_calls_follow_rendered_markdown() -> None:
    """On a terminal, where the answer may have no text."""
    call = {"status": "tool_call", "tool_call": {"id": "1", "name": "weather", "arguments": "{}"}}
    out, err = show([*ANSWER[:3], received(call), finished()], tty(), tty(), EN, raw=False)
    assert out == ""
    assert err.splitlines()[-2].endswith("tool call: weather({})")
