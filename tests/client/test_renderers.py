"""What people and programs see, as whole transcripts."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable

import pytest

from persona_stream.client.main import OutputOptions, choose
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
from persona_stream.client.texts import EN, ZH, Texts
from persona_stream.core.sse import ServerSentEvent
from tests.client.fakes import COMPLETE, OPENING, failure, piece, processing, screen


def came(payload: dict[str, object]) -> Received:
    """Give the update of an event."""
    return Received(parse_reply(payload), ServerSentEvent(json.dumps(payload, ensure_ascii=False), id="run-1/1.0"))


def ended(outcome: ExitCode = ExitCode.ANSWERED, code: str = "complete", **more: object) -> SessionFinished:
    """Give the end."""
    known = {"detail": "", "reply": None, "retry_after": None, "characters": 11, "stopped": None, **more}
    end = Fail(outcome, code, known["detail"], reply=known["reply"], retry_after=known["retry_after"])  # type: ignore[arg-type]  # a table of cases
    return SessionFinished(end, "run-1", "talk-1", known["characters"], 8.24, known["stopped"])  # type: ignore[arg-type]  # a table of cases


ANSWER: list[Update] = [
    Connecting(),
    came(OPENING),
    came(processing(0.0, 5, "正在处理您的请求...")),
    Tick(),
    came(processing(2.0, 6, eta=6.5)),
    came({"status": "processing_complete", "progress": 100, "message": "处理完成 (耗时 3.5秒)，正在发送回复..."}),
    came(piece("Hello ")),
    Tick(),
    came(piece("世界\x1b[2J")),
    came(COMPLETE),
    ended(),
]


def show(
    updates: Iterable[Update],
    out: tuple[Terminal, io.StringIO],
    err: tuple[Terminal, io.StringIO],
    texts: Texts = ZH,
    **manner: bool,
) -> tuple[str, str]:
    """Show the updates, with a clock that goes on by half a second each time; give what was written."""
    now = [0.0]
    views = choose(OutputOptions(**manner), out[0], err[0], texts, lambda: now[0])
    for update in updates:
        for view in views:
            view.render(update)
        now[0] += 0.5
    return out[1].getvalue(), err[1].getvalue()


def test_in_pipes_the_answer_and_the_progress_are_plain() -> None:
    """The answer alone on stdout, a line for each thing that happens on stderr."""
    out, err = show(ANSWER, screen(), screen())
    assert out == "Hello 世界␛[2J\n"
    assert err.splitlines() == [
        "[   0.0s]      正在连接...",
        "[   0.5s]   5% 正在初始化连接...",
        "[   1.0s]   5% 正在处理您的请求...",
        "[   2.0s]   6% 正在检索相关信息...",
        "[   2.5s] 100% 处理完成 (耗时 3.5秒)，正在发送回复...",
        "已答复，用时 8.2 秒。 继续对话请加 --conversation-id talk-1",
    ]


def test_on_a_terminal_a_bar_is_redrawn_and_erased() -> None:
    """Each drawing begins with clearing the line, and nothing is left when the answer begins."""
    out, err = show(ANSWER, screen(terminal=True), screen(terminal=True))
    assert out == "Hello 世界␛[2J\n"
    assert err.split("\r\x1b[K") == [
        "",
        "⠙ ▱▰▰▰▱▱▱▱▱▱▱▱▱▱▱  0.0秒  正在连接...",
        "⠹ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    5%  0.5秒  正在初始化连接...",
        "⠸ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    5%  1.0秒  最多剩 2:30  正在处理您的请求...",
        "⠼ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    5%  1.5秒  最多剩 2:30  正在处理您的请求...",
        "⠴ ▱▱▱▱▱▱▱▱▱▱▱▱▱▱▱    6%  2.0秒  约剩 6秒  正在检索相关信息...",
        "⠦ ▰▰▰▰▰▰▰▰▰▰▰▰▰▰▰  100%  2.5秒  处理完成 (耗时 3.5秒)，正在发送回复...",
        "已答复，用时 8.2 秒。 继续对话请加 --conversation-id talk-1\n",
    ]


def test_colours_are_used_where_they_are_wanted() -> None:
    """And never on stdout."""
    out, err = show(ANSWER, screen(terminal=True, colour=True), screen(terminal=True, colour=True))
    assert "\x1b[" not in out
    assert "\x1b[36m" in err
    assert err.endswith("\x1b[90m已答复，用时 8.2 秒。 继续对话请加 --conversation-id talk-1\x1b[0m\n")


def test_a_queue_a_reconnect_and_a_cancellation_are_told() -> None:
    """In either language."""
    updates = [
        came({"status": "queued", "position": 3, "eta": 12.0, "elapsed_time": 1.0}),
        Reconnecting("connection_lost", 1.25, 1),
        Reconnecting("busy", 4.0, 2),
        CancelRequested(),
        ended(ExitCode.CANCELLED, "cancelled", stopped=False),
    ]
    assert show(updates, screen(), screen(), EN)[1].splitlines() == [
        "[   0.0s]      Waiting for a free place (number 3)",
        "[   0.5s]      Connection lost; trying again in 1.2 s",
        "[   1.0s]      The server is not ready; trying again in 4.0 s",
        "[   1.5s]      Cancelling...",
        "Cancelled. The server did not confirm; it stops by itself when nobody reads.",
    ]
    assert "正在排队（第 3 位）" in show(updates, screen(), screen(), ZH)[1]


def test_statuses_do_not_interrupt_the_answer() -> None:
    """Once there is text, only the loss of the connection is worth a line."""
    updates = [came(piece("a")), came(processing(9.0)), Reconnecting("silence", 1.0, 1), came(piece("b")), ended()]
    out, err = show(updates, screen(), screen(), EN)
    assert out == "ab\n"
    assert [line[15:] for line in err.splitlines()[:-1]] == ["The server has fallen silent; trying again in 1.0 s"]
    assert show(updates[:-1], screen(terminal=True), screen(terminal=True))[1] == ""


@pytest.mark.parametrize(("text", "written"), [("a\n", "a\n"), ("a", "a\n"), ("a\n\n", "a\n\n"), ("", "")])
def test_the_last_line_is_ended_once(text: str, written: str) -> None:
    """A shell's prompt belongs on a line of its own."""
    assert show([came(piece(text)), ended()], screen(), screen())[0] == written


def thought(text: str) -> Received:
    """Give the update of a part of the reasoning."""
    return came({"success": True, "data": "", "status": "reasoning", "reasoning": text, "is_complete": False})


THOUGHTFUL: list[Update] = [thought("Let me"), thought(" see\x07"), came(piece("Hello")), came(COMPLETE), ended()]


def test_reasoning_is_grey_and_apart() -> None:
    """On stderr, closed before the answer begins."""
    out, err = show(THOUGHTFUL, screen(), screen(terminal=True, colour=True))
    assert out == "Hello\n"
    assert err.startswith("\x1b[90mLet me\x1b[0m\x1b[90m see␇\x1b[0m\n\n\x1b[90m已答复")


def test_reasoning_in_a_pipe_is_plain_text() -> None:
    """Without colours, whole lines, and nothing of it on stdout."""
    out, err = show([*ANSWER[:3], *THOUGHTFUL], screen(), screen(), EN)
    assert out == "Hello\n"
    assert err.splitlines()[-4:] == [
        "[   1.0s]   5% 正在处理您的请求...",
        "Let me see␇",
        "",
        "Answered in 8.2 s. Go on with --conversation-id talk-1",
    ]


def test_a_bar_is_gone_before_the_reasoning_begins() -> None:
    """And does not come back while the model goes on."""
    _, err = show([*ANSWER[:3], thought("Hm."), came(processing(4.0)), *THOUGHTFUL], screen(), screen(terminal=True))
    assert err.split("\r\x1b[K")[-1].startswith("Hm.Let me see␇\n\n已答复")


def test_reasoning_and_what_else_is_said_have_lines_of_their_own() -> None:
    """Also where the connection breaks in the middle of a thought, or the model thinks again in the answer."""
    updates = [thought("Let me"), Reconnecting("silence", 1.0, 1), thought(" see.\n"), came(piece("Hello"))]
    updates += [thought("No"), came(piece(" world")), ended()]
    _, err = show(updates, screen(), screen(), EN)
    assert err.splitlines() == [
        "Let me",
        "[   0.5s]      The server has fallen silent; trying again in 1.0 s",
        " see.",
        "",
        "No",
        "",
        "Answered in 8.2 s. Go on with --conversation-id talk-1",
    ]
    shared = screen(terminal=True)
    out, _ = show(updates, shared, shared, EN)
    assert out.splitlines()[:-1] == ["Let me", " see.", "", "Hello", "No", "", " world"]


def test_a_failure_after_reasoning_begins_a_line() -> None:
    """Whether the server says so, or we do."""
    for failed in (came(failure("lost", "gone")), Reconnecting("silence", 1.0, 1)):
        _, err = show([thought("Hm"), failed, ended(ExitCode.FAILED, "lost", characters=0)], screen(), screen(), EN)
        assert "Hm\n" in err
        assert err.splitlines()[-2].startswith("error: ")


def test_json_has_the_reasoning_and_stderr_does_not() -> None:
    """As the server sent it, in its place."""
    out, err = show(THOUGHTFUL, screen(), screen(terminal=True, colour=True), EN, json=True)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("reasoning") or line["data"] for line in lines] == ["Let me", " see\x07", "Hello", ""]
    assert "Let me" not in err


def test_json_is_one_object_a_line() -> None:
    """As the server sent it, and stderr has only the last words."""
    out, err = show(ANSWER, screen(), screen(), json=True)
    sent = [dict(update.reply.payload) for update in ANSWER if isinstance(update, Received)]
    assert [json.loads(line) for line in out.splitlines()] == sent
    assert "世界" in out
    assert "\x1b" not in out
    assert err == "已答复，用时 8.2 秒。 继续对话请加 --conversation-id talk-1\n"


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (
            ended(ExitCode.TIMEOUT, "client_timeout", detail="180"),
            {"code": "client_timeout", "status": "timeout", "error": "180 秒内未得到完整回复，已撤回提问"},
        ),
        (ended(ExitCode.CANCELLED, "cancelled"), {"code": "cancelled", "status": "cancelled", "error": "已取消"}),
        (
            ended(ExitCode.FAILED, "unreachable", detail="Connection refused"),
            {"code": "unreachable", "status": "error", "error": "无法连接服务器：Connection refused"},
        ),
    ],
)
def test_json_always_has_a_last_object(end: SessionFinished, last: dict[str, str]) -> None:
    """Also when the server said nothing of the end, in the form of a terminal event."""
    out, _ = show([came(OPENING), end], screen(), screen(), json=True)
    assert json.loads(out.splitlines()[-1]) == {**last, "success": False, "is_complete": True, "elapsed_time": 8.2}


def test_json_has_the_refusal_itself() -> None:
    """The object that the server sent."""
    refusal = failure("unauthorized", "expired")
    out, err = show(
        [Connecting(), ended(ExitCode.REFUSED, "unauthorized", reply=parse_reply(refusal))],
        screen(),
        screen(),
        json=True,
    )
    assert json.loads(out) == refusal
    assert err.startswith("错误：expired\n提示：")


def test_json_on_another_encoding_is_ascii() -> None:
    """Else a stream in Latin-1 would turn Chinese into question marks."""
    stream = io.StringIO()
    show([came(piece("世界"))], (Terminal(stream), stream), screen(), json=True)
    assert "\\u4e16\\u754c" in stream.getvalue()


def test_events_are_shown_raw() -> None:
    """Time, id and data, harmless, each on its line; and the answer still on stdout."""
    out, err = show(ANSWER[5:], screen(), screen(), events=True)
    assert out == "Hello 世界␛[2J\n"
    assert show([came({"status": "reasoning", "reasoning": "hm"})], screen(), screen(), events=True)[1].count("hm") == 1
    lines = err.splitlines()
    assert lines[1] == f"+0.500s id=run-1/1.0 {json.dumps(piece('Hello '))}"
    assert len(lines) == 5


def test_on_a_terminal_raw_events_come_before_the_answer() -> None:
    """They would be written into each other's lines."""
    shared = screen(terminal=True)
    out, _ = show(ANSWER[5:], shared, shared, events=True)
    assert out.splitlines()[-2] == "Hello 世界␛[2J"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            ended(
                ExitCode.REFUSED,
                "busy",
                reply=parse_reply(failure("busy", "full\x1b[0m\nhouse")),
                retry_after=7.0,
                characters=0,
            ),
            "error: full␛[0m house\nhint: Every place is taken. Ask again a little later. Try again in 7 s.\n",
        ),
        (
            ended(ExitCode.FAILED, "lost", reply=parse_reply(failure("lost", "gone")), characters=5),
            "error: gone\nhint: The answer above is incomplete. The process that was working on it died. Ask again.\n",
        ),
        (
            ended(ExitCode.FAILED, "unreachable", detail="refused", characters=0),
            "error: cannot reach the server: refused\n"
            "hint: Is it running? `persona-stream serve` starts one here; --url names another.\n",
        ),
        (ended(ExitCode.CANCELLED, "cancelled", stopped=True), "Cancelled.\n"),
    ],
)
def test_the_last_words_say_what_to_do(end: SessionFinished, said: str) -> None:
    """What happened, in the server's words when it has some, and what to do now."""
    assert show([end], screen(), screen(), EN)[1] == said


def test_json_shares_a_terminal_with_nobody() -> None:
    """A bar is drawn only when the lines go elsewhere."""
    both = show(ANSWER[:3], screen(terminal=True), screen(terminal=True), json=True)
    apart = show(ANSWER[:3], screen(), screen(terminal=True), json=True)
    assert (both[1], "▱" in apart[1]) == ("", True)
