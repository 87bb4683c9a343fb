"""``persona-stream chat`` and ``test_streaming_client.py``, as people and scripts use them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from persona_stream.cli.chat import chat
from persona_stream.state_dir import load_or_create_secret
from tests.client.fakes import COMPLETE, OPENING, RUN, Exchange, FakeServer, chunk, failure, processing

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, str(ROOT / "test_streaming_client.py")]
ENVIRON = {"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "en_US.UTF-8", "PYTHONUTF8": "1", "COLUMNS": "80"}
ENVIRON["XDG_STATE_HOME"] = "/nowhere"  # no generated secret
TIMEOUT = 20.0


def stream(*events: tuple[object, str], before: Callable[[], object] = lambda: None) -> Callable[[Exchange], None]:
    """Return a handler that sends the first two events, calls ``before``, sends these events, and disconnects."""

    def handler(exchange: Exchange) -> None:
        exchange.head(chunked=True)
        exchange.event(OPENING, "1.0")
        exchange.event(processing(0.0, 5), "2.0")
        before()
        for payload, position in events:
            exchange.event(payload, position)
        exchange.end()

    return handler


HELLO = (chunk("Hello, "), "2.7")
WORLD = (chunk("世界！\x1b[31m"), "2.15")
END = (COMPLETE, "3.0")


def invoke(*arguments: str, **environ: str | None) -> Result:
    """Run the command in this process."""
    own: dict[str, str | None] = {"PERSONA_STREAM_TOKEN": None, "XDG_STATE_HOME": "/nowhere", "LC_ALL": None}
    given = {**own, "LANG": "en_US.UTF-8", **environ}
    return CliRunner(env=given).invoke(chat, arguments)


def start(arguments: Sequence[str], **more: object) -> subprocess.Popen[bytes]:
    """Start the script in a process of its own."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([*SCRIPT, *arguments], env=ENVIRON, **streams)  # type: ignore[call-overload,no-any-return]  # streams are what Popen takes


def question(server: FakeServer, *options: str) -> list[str]:
    """Return arguments that ask this server."""
    return ["VitalikButerin", "What about AI?", "secret", "--url", server.url, *options]


def test_the_answer_is_on_stdout_and_the_rest_on_stderr() -> None:
    """The three arguments are sent, and the exit code is 0."""
    with FakeServer([stream(HELLO, WORLD, END)]) as server:
        result = invoke(*question(server))
    assert (result.exit_code, result.stdout) == (0, "Hello, 世界！␛[31m\n")
    assert result.stderr.splitlines()[0] == "[   0.0s]      Connecting..."
    assert result.stderr.splitlines()[-1].endswith("To continue the conversation: --conversation-id talk-1")
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("POST", "/api/stream_chat_smart")
    assert json.loads(sent.body) == {"username": "VitalikButerin", "message": "What about AI?", "locale": "en"}
    assert (sent.headers["authorization"], sent.headers["x-persona-resume"]) == ("Bearer secret", "1")
    assert sent.headers["idempotency-key"]


def test_files_are_attached_to_the_question(tmp_path: Path) -> None:
    """With their names; one that cannot be read is wrong usage."""
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    with FakeServer([stream(HELLO, END)]) as server:
        result = invoke(*question(server, "--attach", str(tmp_path / "cat.png"), "--attach", "https://x.example/b.pdf"))
    assert result.exit_code == 0
    assert json.loads(server.requests[0].body)["attachments"] == [
        {"type": "image", "url": "data:image/png;base64,iVBORw==", "name": "cat.png"},
        {"type": "file", "url": "https://x.example/b.pdf"},
    ]
    missing = invoke(*question(server, "--attach", "none.png"))
    assert (missing.exit_code, missing.stderr.splitlines()[-1]) == (
        2,
        "Error: cannot read none.png: No such file or directory",
    )


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


def test_the_chat_endpoint_answers_with_one_object() -> None:
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


def test_json_is_one_sanitised_object_per_line() -> None:
    """As sent, without characters that a terminal would interpret."""
    with FakeServer([stream(HELLO, WORLD, END)]) as server:
        result = invoke(*question(server, "--json"))
    statuses = [json.loads(line)["status"] for line in result.stdout.splitlines()]
    assert statuses == ["initializing", "processing", "streaming", "streaming", "complete"]
    assert "\x1b" not in result.stdout


def test_a_broken_connection_is_resumed() -> None:
    """By run id and event id, with one POST, and no character twice."""

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
    assert "Connection lost; retrying" in result.stderr
    second = server.requests[1]
    assert (second.method, second.path) == ("GET", f"/api/runs/{RUN}/events")
    assert (second.headers["last-event-id"], second.headers["x-persona-resume"]) == (f"{RUN}/2.7", "1")


def thought(text: str) -> dict[str, object]:
    """Return a chunk of reasoning."""
    return {"success": True, "data": "", "status": "reasoning", "reasoning": text, "is_complete": False}


def test_reasoning_is_resumed() -> None:
    """On stderr, sanitised, nothing of it twice; the answer alone is on stdout."""
    first, same, second = thought("Let me"), thought("Let me"), thought(" see\x1b[2J.")

    def breaks(exchange: Exchange) -> None:
        stream((first, "2.6"))(exchange)
        exchange.reset()

    def resumed(exchange: Exchange) -> None:
        exchange.head()
        for payload, position in ((same, "2.6"), (second, "2.15"), (chunk("42"), "3.2"), (COMPLETE, "4.0")):
            exchange.event(payload, position)

    with FakeServer([breaks, resumed]) as server:
        result = invoke(*question(server, "--reasoning"))
    assert (result.exit_code, result.stdout) == (0, "42\n")
    assert [line for line in result.stderr.splitlines() if not line.startswith("[")][:2] == ["Let me", " see␛[2J."]
    assert json.loads(server.requests[0].body)["reasoning"] is True
    assert server.requests[1].headers["last-event-id"] == f"{RUN}/2.6"


def test_json_includes_the_reasoning() -> None:
    """As an event among the others."""
    with FakeServer([stream((thought("Hm."), "3.0"), (chunk("42"), "3.2"), (COMPLETE, "4.0"))]) as server:
        result = invoke(*question(server, "--reasoning", "--json"))
    statuses = [json.loads(line)["status"] for line in result.stdout.splitlines()]
    assert statuses == ["initializing", "processing", "reasoning", "streaming", "complete"]
    assert "Hm." not in result.stderr


@pytest.mark.parametrize(
    ("handler", "code", "text"),
    [
        (stream(HELLO, (failure("backend_error", "no money left"), "3.0")), 1, "error: no money left"),
        (stream((failure("timeout", "处理超时", status="timeout"), "3.0")), 3, "error: 处理超时"),
        (stream((failure("cancelled", "请求已取消", status="cancelled"), "3.0")), 130, "Cancelled."),
        (lambda exchange: exchange.answer(401, failure("unauthorized", "expired")), 4, "persona-stream token --user"),
        (lambda exchange: exchange.answer(404, failure("not_found", "User profile not found")), 4, "/api/profiles"),
        (lambda exchange: exchange.answer(429, failure("busy"), {"retry-after": "7"}), 4, "Retry in 7 s."),
        (lambda exchange: exchange.answer(503, failure("draining"), {"retry-after": "1"}), 4, "server is restarting"),
        (lambda exchange: exchange.answer(500, failure("internal")), 1, "The server's log"),
    ],
)
def test_every_outcome_has_its_exit_code(handler: Callable[[Exchange], None], code: int, text: str) -> None:
    """And a hint on stderr."""
    with FakeServer([handler]) as server:
        result = invoke(*question(server))
    assert result.exit_code == code
    assert text in result.stderr


def test_an_unreachable_server_is_a_failure() -> None:
    """After few attempts, with a hint how to start one."""
    with FakeServer([]) as server:
        url = server.url
    result = invoke("u", "m", "t", "--url", url, "--locale", "zh")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(
        "错误：无法连接服务器：Connection refused\n"
        "提示：服务器启动了吗？可用 `persona-stream serve` 在本机启动，或用 --url 指定其他地址。\n"
    )


def test_the_timeout_cancels_the_run() -> None:
    """The exit code is 3."""
    disconnected = threading.Event()

    def hang(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.wait_for_disconnect()
        disconnected.set()

    with FakeServer([hang, lambda exchange: exchange.answer(200, {})]) as server:
        result = invoke(*question(server, "--timeout", "0.5"))
        assert disconnected.wait(TIMEOUT)
    assert result.exit_code == 3
    assert "no complete answer within 0.5 s" in result.stderr
    assert [request.path for request in server.requests][1:] == [f"/api/runs/{RUN}/cancel"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Missing argument"),
        (["m"], "persona-stream token --user NAME"),
        (["u", "m", "t", "more"], "quote the message"),
        (["m", "--url", "http://example.org"], "persona-stream token --user NAME"),
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
def test_a_usage_error_exits_with_2(arguments: list[str], text: str) -> None:
    """And names the mistake."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_usage_errors_are_in_chinese_too() -> None:
    """By the locale variables, or by the option."""
    assert "缺少令牌" in invoke("u", "m", LANG="zh_CN.UTF-8").stderr
    assert "缺少令牌" in invoke("u", "m", "--locale", "zh").stderr


@pytest.mark.parametrize("source", ["argument", "option", "environment"])
def test_the_token_has_three_sources(source: str) -> None:
    """The command line overrides the environment."""
    with FakeServer([stream(END)]) as server:
        arguments = ["u", "m", *(["mine"] if source == "argument" else []), "--url", server.url]
        arguments += ["--token", "mine"] if source == "option" else []
        invoke(*arguments, PERSONA_STREAM_TOKEN="mine" if source == "environment" else "another")
    assert server.requests[0].headers["authorization"] == "Bearer mine"


def test_a_message_alone_names_no_persona() -> None:
    """The server's own function answers."""
    with FakeServer([stream(END)]) as server:
        invoke("What is new?", "--url", server.url, "--token", "mine")
    assert json.loads(server.requests[0].body) == {"message": "What is new?", "locale": "en"}


def test_without_a_token_the_secret_of_this_machine_signs_one(tmp_path: Path) -> None:
    """For a server on this machine only, and never with keys that this machine does not have."""
    secret, _ = load_or_create_secret(tmp_path / "persona_stream")
    with FakeServer([stream(END)]) as server:
        assert invoke("m", "--url", server.url, XDG_STATE_HOME=str(tmp_path)).exit_code == 0
    token = server.requests[0].headers["authorization"].removeprefix("Bearer ")
    assert jwt.decode(token, secret, algorithms=["HS256"])["sub"] == "demo"
    for arguments, environ in [
        (["m", "--url", "http://example.org"], {}),
        (["m"], {"PERSONA_STREAM_JWKS_URL": "https://example.org/keys"}),
        (["m"], {"PERSONA_STREAM_NO_SUCH": "1"}),
    ]:
        assert "token missing" in invoke(*arguments, XDG_STATE_HOME=str(tmp_path), **environ).stderr


def test_the_message_may_come_from_stdin() -> None:
    """For the argument ``-``."""
    with FakeServer([stream(END)]) as server:
        CliRunner().invoke(chat, ["u", "-", "t", "--url", server.url], input="多行\n消息\n")
    assert json.loads(server.requests[0].body)["message"] == "多行\n消息\n"


def run_and_list_imports(*arguments: str, modules: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the script, and list those of the modules that it imported on the last line of stderr."""
    program = f"""if True:
        import sys, runpy
        sys.argv = sys.argv[1:]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        finally:
            print(*sorted({set(modules)!r} & sys.modules.keys()), file=sys.stderr)
    """
    command = [sys.executable, "-c", program, SCRIPT[1], *arguments]
    return subprocess.run(command, capture_output=True, env=ENVIRON, check=False, text=True)


def test_the_script_answers_without_importing_the_server() -> None:
    """Neither gevent nor flask is imported."""
    with FakeServer([stream(HELLO, END)]) as server:
        done = run_and_list_imports(*question(server), modules=["gevent", "flask", "persona_stream.app"])
    assert (done.returncode, done.stdout) == (0, "Hello, \n")
    assert done.stderr.splitlines()[-1] == ""


@pytest.mark.parametrize("arguments", [["--help"], ["u", "m"]], ids=["help", "usage error"])
def test_help_imports_no_slow_libraries(arguments: list[str]) -> None:
    """The HTTP library and rich are imported when a question is sent."""
    done = run_and_list_imports(*arguments, modules=["gevent", "flask", "requests", "rich"])
    assert done.stderr.splitlines()[-1] == ""


def test_ctrl_c_cancels_the_run() -> None:
    """The text written so far stays, and the exit code is 130."""
    disconnected = threading.Event()

    def hang(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.event(*HELLO)
        exchange.wait_for_disconnect()
        disconnected.set()

    with FakeServer([hang, lambda exchange: exchange.answer(200, {"status": "cancelled"})]) as server:
        process = start(question(server))
        assert process.stdout is not None
        assert process.stdout.read(7) == b"Hello, "
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        assert disconnected.wait(TIMEOUT)
    assert process.returncode == 130
    assert (out, err.splitlines()[-1]) == (b"\n", b"Cancelled.")
    assert b"Traceback" not in err
    cancel = server.requests[1]
    assert (cancel.method, cancel.path) == ("POST", f"/api/runs/{RUN}/cancel")


def test_a_second_ctrl_c_does_not_wait_for_the_server() -> None:
    """It exits at once, although the cancellation is unconfirmed."""
    cancelling = threading.Event()

    def hang(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.event(*HELLO)
        exchange.wait_for_disconnect()

    def unanswered(exchange: Exchange) -> None:
        cancelling.set()
        exchange.wait_for_disconnect()

    with FakeServer([hang, unanswered]) as server:
        process = start(question(server))
        assert process.stdout is not None
        assert process.stdout.read(7) == b"Hello, "
        process.send_signal(signal.SIGINT)
        assert cancelling.wait(TIMEOUT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_closed_pipe_cancels_the_run_quietly() -> None:
    """As in ``| head -1``: without an error message."""
    closed = threading.Event()

    def endless(exchange: Exchange) -> None:
        exchange.head()
        exchange.event(OPENING, "1.0")
        exchange.event(*HELLO)
        assert closed.wait(TIMEOUT)
        exchange.event(*WORLD)
        exchange.wait_for_disconnect()

    with FakeServer([endless, lambda exchange: exchange.answer(200, {})]) as server:
        process = start(question(server))
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(7) == b"Hello, "
        process.stdout.close()
        closed.set()
        err = process.stderr.read()
        process.stderr.close()
        assert process.wait(TIMEOUT) == 1
    # Progress only.
    assert [line for line in err.splitlines() if not line.startswith(b"[")] == []
    assert server.requests[1].path == f"/api/runs/{RUN}/cancel"


def test_a_full_disk_is_reported() -> None:
    """The exit code is 1."""
    with (
        FakeServer([stream(HELLO), lambda exchange: exchange.answer(200, {})]) as server,
        Path("/dev/full").open("wb") as full,
    ):
        process = start(question(server), stdout=full)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert err.splitlines()[-1] == b"error: cannot write the answer: No space left on device"


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "2>&- >&-"])
def test_streams_may_be_closed(closed: str) -> None:
    """The exit code is the same."""
    with FakeServer([stream(HELLO, END)]) as server:
        command = f'exec "$@" {closed}'
        done = subprocess.run(
            ["sh", "-c", command, "sh", *SCRIPT, *question(server)], env=ENVIRON, capture_output=True, check=False
        )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def _on_terminal(arguments: Sequence[str], *, stdout: str | None = None, **environ: str) -> tuple[int, str]:
    """Run the script on a terminal; return its exit code, and everything that it wrote there."""
    ours, theirs = pty.openpty()
    out = theirs if stdout is None else os.open(stdout, os.O_WRONLY)
    process = subprocess.Popen(
        [*SCRIPT, *arguments], stdin=theirs, stdout=out, stderr=theirs, env={**ENVIRON, **environ}
    )
    for descriptor in {theirs, out}:
        os.close(descriptor)
    output = b""
    # Linux reports the exit of the last process on a terminal as an error.
    with suppress(OSError):
        while part := os.read(ours, 65536):
            output += part
    os.close(ours)
    return process.wait(TIMEOUT), output.decode()


def _screen(sent: str) -> list[str]:
    """Return the lines that a terminal shows after this output, without colours."""
    lines = [""]
    row = column = 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", sent, re.DOTALL):
        match token:
            case "\r":
                column = 0
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case "\x1b[1A":
                row -= 1
            case "\x1b[2K":
                lines[row] = ""
            case _ if token.startswith("\x1b"):
                assert token.endswith("m"), f"unexpected escape sequence {token!r}"
            case _:
                lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
                column += 1
    return [line for line in lines if line]


def test_on_a_terminal_the_bar_disappears_before_the_answer() -> None:
    """It is drawn in colour, and nothing of it is left."""
    with FakeServer([stream(HELLO, WORLD, END, before=lambda: time.sleep(1.0))]) as server:
        code, sent = _on_terminal(question(server, "--locale", "zh"))
    assert code == 0
    assert "\r\x1b[2K\x1b[36m⠹ " in sent
    assert sent.count("正在检索相关信息...") > 2
    assert _screen(sent)[0] == "Hello, 世界！␛[31m"
    assert len(_screen(sent)) == 2


def test_on_a_terminal_markdown_is_rendered() -> None:
    """Each block once; in a pipe the source stays as it is."""
    source = "Use **bold** words.\n\n- one\n- two"
    events = [(chunk(source[at : at + 5]), f"2.{at + 5}") for at in range(0, len(source), 5)]
    with FakeServer([stream(*events, END)]) as server:
        _, sent = _on_terminal(question(server))
    assert [line.strip() for line in _screen(sent)][:3] == ["Use bold words.", "• one", "• two"]
    with FakeServer([stream(*events, END)]) as server:
        assert invoke(*question(server)).stdout == f"{source}\n"


def test_the_bar_is_erased_before_a_write_error() -> None:
    """JSON lines go to a full disk while the bar is drawn."""
    with FakeServer([stream(HELLO), lambda exchange: exchange.answer(200, {})]) as server:
        code, sent = _on_terminal(question(server, "--json"), stdout="/dev/full")
    assert (code, _screen(sent)) == (1, ["error: cannot write the answer: No space left on device"])
    assert "\x1b[2K" in sent


def test_on_a_terminal_reasoning_is_grey() -> None:
    """Between the bar and the answer, followed by an empty line."""
    with FakeServer([stream((thought("Six times\nseven."), "3.0"), (chunk("42"), "3.2"), (COMPLETE, "4.0"))]) as server:
        _, sent = _on_terminal(question(server, "--reasoning", "--raw"))
    assert "\x1b[2K\x1b[90mSix times\r\nseven.\x1b[0m\r\n\r\n42\r\n" in sent


@pytest.mark.parametrize(
    ("environ", "escapes"),
    [({}, {"A", "K", "m"}), ({"NO_COLOR": "1"}, {"A", "K"}), ({"TERM": "dumb"}, set())],
    ids=["colours", "NO_COLOR", "dumb"],
)
def test_a_terminal_gets_only_supported_escape_sequences(environ: dict[str, str], escapes: set[str]) -> None:
    """Redrawing and colours, redrawing alone, or plain lines."""
    with FakeServer([stream(HELLO, END)]) as server:
        _, sent = _on_terminal(question(server), **environ)
    assert {part.lstrip("0123456789;")[0] for part in sent.split("\x1b[")[1:]} == escapes


def test_a_narrow_terminal_is_never_wrapped() -> None:
    """``COLUMNS`` sets the width."""
    with FakeServer([stream(END)]) as server:
        _, sent = _on_terminal(question(server), COLUMNS="30", NO_COLOR="1")
    *frames, _ = sent.split("\r\x1b[2K")
    assert max(map(len, frames)) <= 29


@pytest.mark.parametrize(
    ("lang", "text"), [("en_US.UTF-8", "needs the package PySocks"), ("zh_CN.UTF-8", "需要 PySocks")]
)
def test_a_missing_library_for_a_proxy_is_named_at_once(monkeypatch: pytest.MonkeyPatch, lang: str, text: str) -> None:
    """encode/httpx #3195: instead of a connection that is lost repeatedly."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    given = invoke(
        "LuXun", "Hi", "token", "--url", "http://server.example",
        ALL_PROXY="socks5://127.0.0.1:9", HTTP_PROXY=None, http_proxy=None, NO_PROXY=None, no_proxy=None, LANG=lang,
    )  # fmt: skip
    assert (given.exit_code, text in given.output) == (2, True)
    assert "socks5://127.0.0.1:9" in given.output
