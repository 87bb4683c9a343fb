"""``persona-stream chat`` and its thin face, as people and scripts use them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from persona_stream.cli.chat import chat
from tests.client.fakes import COMPLETE, OPENING, RUN, Exchange, FakeServer, failure, piece, processing

ROOT = Path(__file__).parents[2]
FACE = [sys.executable, str(ROOT / "test_streaming_client.py")]
ENVIRON = {"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "en_US.UTF-8", "PYTHONUTF8": "1", "COLUMNS": "80"}
PATIENT = 20.0


def stream(*events: tuple[object, str], before: Callable[[], object] = lambda: None) -> Callable[[Exchange], None]:
    """Give a handler that sends an opening, these events, and hangs up."""

    def handler(exchange: Exchange) -> None:
        exchange.head(chunked=True)
        exchange.event(OPENING, "1.0")
        exchange.event(processing(0.0, 5), "2.0")
        before()
        for payload, position in events:
            exchange.event(payload, position)
        exchange.end()

    return handler


HELLO = (piece("Hello, "), "2.7")
WORLD = (piece("世界！\x1b[31m"), "2.15")
END = (COMPLETE, "3.0")


def invoke(*arguments: str, **environ: str | None) -> Result:
    """Run the command in this process."""
    given: dict[str, str | None] = {"PERSONA_STREAM_TOKEN": None, "LANG": "en_US.UTF-8", "LC_ALL": None, **environ}
    return CliRunner(env=given).invoke(chat, arguments)


def start(arguments: Sequence[str], **more: object) -> subprocess.Popen[bytes]:
    """Run the thin face in a process of its own."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([*FACE, *arguments], env=ENVIRON, **streams)  # type: ignore[call-overload,no-any-return]  # streams are what Popen takes


def question(server: FakeServer, *options: str) -> list[str]:
    """Give arguments that ask this server."""
    return ["VitalikButerin", "What about AI?", "secret", "--url", server.url, *options]


def test_the_answer_is_on_stdout_and_the_rest_on_stderr() -> None:
    """The three arguments are sent as they should be, and the exit code is 0."""
    with FakeServer([stream(HELLO, WORLD, END)]) as server:
        result = invoke(*question(server))
    assert (result.exit_code, result.stdout) == (0, "Hello, 世界！␛[31m\n")
    assert result.stderr.splitlines()[0] == "[   0.0s]      Connecting..."
    assert result.stderr.splitlines()[-1].endswith("Go on with --conversation-id talk-1")
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("POST", "/api/stream_chat_smart")
    assert json.loads(sent.body) == {"username": "VitalikButerin", "message": "What about AI?", "locale": "en"}
    assert (sent.headers["authorization"], sent.headers["x-persona-resume"]) == ("Bearer secret", "1")
    assert sent.headers["idempotency-key"]


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [("smart", "stream_chat_smart"), ("advanced", "stream_chat_advanced"), ("basic", "stream_chat")],
)
def test_every_option_is_sent(endpoint: str, path: str) -> None:
    """Under its name on the wire, to its endpoint."""
    options = ["--prompt", "p", "--prompt-mode", "replace", "--conversation-id", "c"]
    options += ["--chunking", "words", "--locale", "zh", "--reasoning"]
    with FakeServer([stream(END)]) as server:
        assert invoke(*question(server, "--endpoint", endpoint, *options)).exit_code == 0
    assert server.requests[0].path == f"/api/{path}"
    assert json.loads(server.requests[0].body) == {
        "username": "VitalikButerin", "message": "What about AI?", "prompt": "p", "prompt_mode": "replace",
        "conversation_id": "c", "chunking": "words", "locale": "zh", "reasoning": True,
    }  # fmt: skip


def test_chat_is_one_object() -> None:
    """Its text is the answer; with ``--json`` it is the line."""
    answer = {**COMPLETE, "data": "Hello", "run_id": RUN, "conversation_id": "c"}
    handlers = [lambda exchange: exchange.answer(200, answer)] * 2
    with FakeServer(handlers) as server:
        plain = invoke(*question(server, "--endpoint", "chat"))
        lines = invoke(*question(server, "--endpoint", "chat", "--json"))
    assert (plain.exit_code, plain.stdout) == (0, "Hello\n")
    assert plain.stderr.startswith("[   0.0s]      Waiting for the answer...\n")
    assert json.loads(lines.stdout) == answer
    assert server.requests[0].headers["accept"] == "application/json"


def test_json_is_for_machines() -> None:
    """One object a line, as sent, with nothing that a terminal could obey."""
    with FakeServer([stream(HELLO, WORLD, END)]) as server:
        result = invoke(*question(server, "--json"))
    statuses = [json.loads(line)["status"] for line in result.stdout.splitlines()]
    assert statuses == ["initializing", "processing", "streaming", "streaming", "complete"]
    assert "\x1b" not in result.stdout


def test_a_broken_connection_is_taken_up_again() -> None:
    """By run and by event id, with one POST, and no character twice."""

    def breaks(exchange: Exchange) -> None:
        stream(HELLO)(exchange)
        exchange.reset()

    def resumed(exchange: Exchange) -> None:
        exchange.head()
        for payload, position in (WORLD, END):
            exchange.event(payload, position)

    with FakeServer([breaks, resumed]) as server:
        result = invoke(*question(server))
    assert (result.exit_code, result.stdout) == (0, "Hello, 世界！␛[31m\n")
    assert "Connection lost; trying again" in result.stderr
    second = server.requests[1]
    assert (second.method, second.path) == ("GET", f"/api/runs/{RUN}/events")
    assert (second.headers["last-event-id"], second.headers["x-persona-resume"]) == (f"{RUN}/2.7", "1")


def thought(text: str) -> dict[str, object]:
    """Give a part of the reasoning."""
    return {"success": True, "data": "", "status": "reasoning", "reasoning": text, "is_complete": False}


def test_reasoning_goes_on_where_it_broke() -> None:
    """On stderr, harmless, nothing of it twice; and the answer alone on stdout."""
    first, same, second = thought("Let me"), thought("Let me"), thought(" see\x1b[2J.")

    def breaks(exchange: Exchange) -> None:
        stream((first, "2.6"))(exchange)
        exchange.reset()

    def resumed(exchange: Exchange) -> None:
        exchange.head()
        for payload, position in ((same, "2.6"), (second, "2.15"), (piece("42"), "3.2"), (COMPLETE, "4.0")):
            exchange.event(payload, position)

    with FakeServer([breaks, resumed]) as server:
        result = invoke(*question(server, "--reasoning"))
    assert (result.exit_code, result.stdout) == (0, "42\n")
    assert [line for line in result.stderr.splitlines() if not line.startswith("[")][:2] == ["Let me", " see␛[2J."]
    assert json.loads(server.requests[0].body)["reasoning"] is True
    assert server.requests[1].headers["last-event-id"] == f"{RUN}/2.6"


def test_json_has_the_reasoning() -> None:
    """As an event among the others."""
    with FakeServer([stream((thought("Hm."), "3.0"), (piece("42"), "3.2"), (COMPLETE, "4.0"))]) as server:
        result = invoke(*question(server, "--reasoning", "--json"))
    statuses = [json.loads(line)["status"] for line in result.stdout.splitlines()]
    assert statuses == ["initializing", "processing", "reasoning", "streaming", "complete"]
    assert "Hm." not in result.stderr


@pytest.mark.parametrize(
    ("handler", "code", "said"),
    [
        (stream(HELLO, (failure("backend_error", "no money left"), "3.0")), 1, "error: no money left"),
        (stream((failure("timeout", "处理超时", status="timeout"), "3.0")), 3, "error: 处理超时"),
        (stream((failure("cancelled", "请求已取消", status="cancelled"), "3.0")), 130, "Cancelled."),
        (lambda exchange: exchange.answer(401, failure("unauthorized", "expired")), 4, "persona-stream token --user"),
        (lambda exchange: exchange.answer(404, failure("not_found", "User profile not found")), 4, "/api/profiles"),
        (lambda exchange: exchange.answer(429, failure("busy"), {"retry-after": "7"}), 4, "Try again in 7 s."),
        (lambda exchange: exchange.answer(503, failure("draining"), {"retry-after": "1"}), 4, "being restarted"),
        (lambda exchange: exchange.answer(500, failure("internal")), 1, "The server's log"),
    ],
)
def test_every_end_has_its_exit_code(handler: Callable[[Exchange], None], code: int, said: str) -> None:
    """And says what to do."""
    with FakeServer([handler]) as server:
        result = invoke(*question(server))
    assert result.exit_code == code
    assert said in result.stderr


def test_a_server_that_is_not_there_is_a_failure() -> None:
    """Soon, and with the command that starts one."""
    with FakeServer([]) as server:
        url = server.url
    result = invoke("u", "m", "t", "--url", url, "--locale", "zh")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(
        "错误：无法连接服务器：Connection refused\n"
        "提示：服务器启动了吗？可用 `persona-stream serve` 在本机启动，或用 --url 指定其他地址。\n"
    )


def test_the_timeout_is_ours() -> None:
    """It ends with 3, and takes the question back."""
    gone = threading.Event()

    def hang(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.wait_for_leaving()
        gone.set()

    with FakeServer([hang, lambda exchange: exchange.answer(200, {})]) as server:
        result = invoke(*question(server, "--timeout", "0.5"))
        assert gone.wait(PATIENT)
    assert result.exit_code == 3
    assert "no complete answer within 0.5 s" in result.stderr
    assert [request.path for request in server.requests][1:] == [f"/api/runs/{RUN}/cancel"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["u"], "Missing argument"),
        (["u", "m"], "persona-stream token --user NAME"),
        (["u", "", "t"], "the message is empty"),
        (["u", "m", "Bearer t"], "without the word Bearer"),
        (["u", "m", "t", "--url", "localhost:5001"], "http://127.0.0.1:5001"),
        (["u", "m", "t", "--endpoint", "best"], "'smart', 'advanced', 'basic', 'chat'"),
        (["u", "m", "t", "--timeout", "0"], "--timeout"),
        (["u", "m", "t", "--timeout", "nan"], "--timeout"),
        (["u", "m\udcff", "t"], "message is not valid UTF-8"),
        (["u", "m", "t", "--no-such"], "--no-such"),
    ],
)
def test_wrong_usage_is_two(arguments: list[str], said: str) -> None:
    """And says what is wrong with it."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_usage_is_said_in_chinese_too() -> None:
    """By the environment's language, or by the option."""
    assert "缺少令牌" in invoke("u", "m", LANG="zh_CN.UTF-8").stderr
    assert "缺少令牌" in invoke("u", "m", "--locale", "zh").stderr


@pytest.mark.parametrize("way", ["argument", "option", "environment"])
def test_the_token_comes_in_three_ways(way: str) -> None:
    """The one on the command line beats the environment."""
    with FakeServer([stream(END)]) as server:
        arguments = ["u", "m", *(["mine"] if way == "argument" else []), "--url", server.url]
        arguments += ["--token", "mine"] if way == "option" else []
        invoke(*arguments, PERSONA_STREAM_TOKEN="mine" if way == "environment" else "another")
    assert server.requests[0].headers["authorization"] == "Bearer mine"


def test_a_message_may_come_from_stdin() -> None:
    """A dash stands for it."""
    with FakeServer([stream(END)]) as server:
        CliRunner().invoke(chat, ["u", "-", "t", "--url", server.url], input="多行\n消息\n")
    assert json.loads(server.requests[0].body)["message"] == "多行\n消息\n"


def test_the_face_answers_like_the_command() -> None:
    """In a process of its own, with neither gevent nor flask nor anything of the server in it."""
    program = """if True:
        import sys, runpy
        sys.argv = sys.argv[1:]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        finally:
            heavy = {"gevent", "flask", "rich", "persona_stream.app"} & sys.modules.keys()
            print(sorted(heavy), file=sys.stderr)
    """
    with FakeServer([stream(HELLO, END)]) as server:
        arguments = [sys.executable, "-c", program, FACE[1], *question(server)]
        done = subprocess.run(arguments, capture_output=True, env=ENVIRON, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "Hello, \n")
    assert done.stderr.splitlines()[-1] == "[]"


def test_ctrl_c_cancels_the_run() -> None:
    """The server is told, what was written stays, and the exit code is 130."""
    left = threading.Event()

    def hang(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.event(*HELLO)
        exchange.wait_for_leaving()
        left.set()

    with FakeServer([hang, lambda exchange: exchange.answer(200, {"status": "cancelled"})]) as server:
        process = start(question(server))
        assert process.stdout is not None
        assert process.stdout.read(7) == b"Hello, "
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENT)
        assert left.wait(PATIENT)
    assert process.returncode == 130
    assert (out, err.splitlines()[-1]) == (b"\n", b"Cancelled.")
    assert b"Traceback" not in err
    cancel = server.requests[1]
    assert (cancel.method, cancel.path) == ("POST", f"/api/runs/{RUN}/cancel")


def test_a_second_ctrl_c_does_not_wait_for_the_server() -> None:
    """It leaves at once, although the cancellation is not answered."""
    cancelling = threading.Event()

    def hang(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.event(*HELLO)
        exchange.wait_for_leaving()

    def unanswered(exchange: Exchange) -> None:
        cancelling.set()
        exchange.wait_for_leaving()

    with FakeServer([hang, unanswered]) as server:
        process = start(question(server))
        assert process.stdout is not None
        assert process.stdout.read(7) == b"Hello, "
        process.send_signal(signal.SIGINT)
        assert cancelling.wait(PATIENT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENT)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    """As in ``| head -1``: no complaint, and the run is cancelled, because nobody wants it."""
    gone = threading.Event()

    def endless(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.event(*HELLO)
        assert gone.wait(PATIENT)
        exchange.event(*WORLD)
        exchange.wait_for_leaving()

    with FakeServer([endless, lambda exchange: exchange.answer(200, {})]) as server:
        process = start(question(server))
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(7) == b"Hello, "
        process.stdout.close()
        gone.set()
        err = process.stderr.read()
        process.stderr.close()
        assert process.wait(PATIENT) == 1
    # Nothing but progress.
    assert [line for line in err.splitlines() if not line.startswith(b"[")] == []
    assert server.requests[1].path == f"/api/runs/{RUN}/cancel"


def test_a_full_disk_is_said() -> None:
    """What cannot be written is a failure."""
    with (
        FakeServer([stream(HELLO), lambda exchange: exchange.answer(200, {})]) as server,
        Path("/dev/full").open("wb") as full,
    ):
        process = start(question(server), stdout=full)
        _, err = process.communicate(timeout=PATIENT)
    assert process.returncode == 1
    assert err.splitlines()[-1] == b"error: cannot write the answer: No space left on device"


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "2>&- >&-"])
def test_streams_may_be_closed(closed: str) -> None:
    """Who closes them does not want to know; the exit code is the same."""
    with FakeServer([stream(HELLO, END)]) as server:
        command = f'exec "$@" {closed}'
        done = subprocess.run(
            ["sh", "-c", command, "sh", *FACE, *question(server)], env=ENVIRON, capture_output=True, check=False
        )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def _on_terminal(arguments: Sequence[str], **environ: str) -> tuple[int, str]:
    """Run the face on a terminal; give its exit code, and all that the terminal was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*FACE, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env={**ENVIRON, **environ}
    )
    os.close(theirs)
    seen = b""
    # Linux reports the end of a terminal's last user as an error.
    with suppress(OSError):
        while part := os.read(ours, 65536):
            seen += part
    os.close(ours)
    return process.wait(PATIENT), seen.decode()


def _screen(sent: str) -> list[str]:
    """Give the lines that are left, on a terminal that knows the three things that we use."""
    lines = [line.rpartition("\r\x1b[K")[2] for line in sent.split("\r\n")]
    return [line for line in lines if line]


def test_on_a_terminal_the_bar_makes_room_for_the_answer() -> None:
    """It is drawn, it has colour, and nothing of it is left."""
    with FakeServer([stream(HELLO, WORLD, END, before=lambda: time.sleep(1.0))]) as server:
        code, sent = _on_terminal(question(server, "--locale", "zh"))
    assert code == 0
    assert "\r\x1b[K\x1b[36m⠙ " in sent
    assert sent.count("正在检索相关信息...") > 2
    assert _screen(sent)[0] == "Hello, 世界！␛[31m"
    assert len(_screen(sent)) == 2


def test_on_a_terminal_reasoning_is_grey() -> None:
    """Between the bar and the answer, with an empty line after it."""
    with FakeServer([stream((thought("Six times\nseven."), "3.0"), (piece("42"), "3.2"), (COMPLETE, "4.0"))]) as server:
        _, sent = _on_terminal(question(server, "--reasoning"))
    assert "\r\x1b[K\x1b[90mSix times\r\nseven.\x1b[0m\r\n\r\n42\r\n" in sent


@pytest.mark.parametrize(
    ("environ", "escapes"),
    [({}, {"K", "m"}), ({"NO_COLOR": "1"}, {"K"}), ({"TERM": "dumb"}, set())],
    ids=["colours", "NO_COLOR", "dumb"],
)
def test_a_terminal_gets_only_what_it_can_and_wants(environ: dict[str, str], escapes: set[str]) -> None:
    """Colours, redrawing, or plain lines."""
    with FakeServer([stream(HELLO, END)]) as server:
        _, sent = _on_terminal(question(server), **environ)
    assert {part.lstrip("0123456789;")[0] for part in sent.split("\x1b[")[1:]} == escapes


def test_a_narrow_terminal_is_not_wrapped() -> None:
    """``COLUMNS`` says how narrow."""
    with FakeServer([stream(END)]) as server:
        _, sent = _on_terminal(question(server), COLUMNS="30", NO_COLOR="1")
    *drawn, _ = sent.split("\r\x1b[K")
    assert max(map(len, drawn)) <= 29
