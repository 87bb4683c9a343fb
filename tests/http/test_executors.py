"""Where queries run, seen by a client: processes that crash or are killed, and a backend that has to move."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.server_process import ENVIRON, ROOT, ServerProcess, serve
from tests.sse_client import answer, events, read

SMART = "/api/stream_chat_smart"


def start(server: ServerProcess, message: str, username: str = "slow"):
    return server.post(SMART, {"username": username, "message": message}, stream=True)


@pytest.fixture(scope="module")
def processes() -> Iterator[ServerProcess]:
    """A server whose queries run in processes."""
    served = serve(
        "tests.backends_for_tests:chosen", executor="process", threads=3, timeout=6, max_answer_bytes=1_000_000
    )
    yield served
    pids = children(served)
    assert pids
    assert served.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids), "a process outlived its server"


def children(server: ServerProcess) -> list[str]:
    """Give the processes that a server has started."""
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()


def test_a_process_answers_as_anybody_does(processes: ServerProcess):
    """With progress, reports, and the answer to the character."""
    got = read(start(processes, "0"))
    assert (answer(got), got[-1].data["status"]) == (ENGLISH + CHINESE, "complete")
    got = read(start(processes, "2.3", "reporting"))
    assert any("Reading page 3 of 8" in event.data.get("message", "") for event in got)
    assert answer(got) == "Read."


@pytest.mark.parametrize(
    ("message", "code"),
    [("deliberate", "backend_error"), ("exception", "internal"), ("huge", "answer_too_large"), ("number", "internal")],
)
def test_a_process_fails_as_anybody_does(processes: ServerProcess, message: str, code: str):
    """The client reads what it is to read, and the log has the rest."""
    ending = read(start(processes, message, "failing"))[-1].data
    assert ending["code"] == code
    assert "secret" not in ending["error"]
    if message == "exception":
        processes.wait_for_log("ValueError: a secret detail")
        assert "in failing" in processes.log


def test_a_process_that_dies_fails_its_run(processes: ServerProcess):
    """Honestly, with the signal in the log, each time; and the next query finds another one."""
    said = "the process of process_query ended while it was at work: killed by SIGSEGV  run="
    for _ in range(5):
        got = read(start(processes, "x", "crashing"))
        assert got[-1].data["code"] == "internal"
        processes.wait_for_log(said + got[0].data["run_id"])
    assert answer(read(start(processes, "Hi", "quick"))) == "You said: Hi"


def test_a_process_is_killed_at_the_deadline_and_on_cancel(processes: ServerProcess):
    """It has no way to hold out; its place is free again, and nothing is said to go on."""
    assert read(start(processes, "60", "spinning"))[-1].data["status"] == "timeout"
    streams = [events(start(processes, "60", "stubborn")) for _ in range(3)]
    runs = [f"/api/runs/{next(stream).data['run_id']}" for stream in streams]
    for run in runs:
        processes.post(f"{run}/cancel")
    assert [list(stream)[-1].data["status"] for stream in streams] == ["cancelled"] * 3
    assert answer(read(start(processes, "Hi", "quick"))) == "You said: Hi"
    assert not any("still_running" in processes.get(run).json() for run in runs)


def test_a_killed_process_closes_its_connections(processes: ServerProcess):
    """Whoever it asked is told within a second or so."""
    with socket.create_server(("127.0.0.1", 0)) as provider:
        host, port = provider.getsockname()
        stream = events(start(processes, f"{host}:{port}", "upstream"))
        run = f"/api/runs/{next(stream).data['run_id']}"
        connection, _ = provider.accept()
        with connection:
            connection.settimeout(5)
            processes.post(f"{run}/cancel")
            assert connection.recv(1) == b""
        list(stream)


def test_a_function_without_a_name_cannot_go_to_a_process():
    """The sentence says what to do."""
    code = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from persona_stream import create_app\n"
        "create_app(process_query=lambda message: message)\n"
    )
    environ = {**os.environ, **ENVIRON, "PERSONA_STREAM_EXECUTOR": "process"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert "ConfigurationError: executor process has the backend imported in processes of their own" in ended.stderr


def test_a_backend_that_blocks_the_hub_moves_to_threads():
    """With executor auto: the first time everybody waits, and from then on nobody does."""
    server = serve("tests.backends_for_tests:chosen", executor="auto")
    assert read(start(server, "2.2", "spinning"))[-1].data["status"] == "complete"
    server.wait_for_log("the event loop is free again")
    said = next(line for line in server.log.splitlines() if "has been blocked" in line)
    assert "by spinning() at " in said
    assert "Later queries of tests.backends_for_tests:chosen run in threads" in said
    spinning = start(server, "2.5", "spinning")
    began = time.monotonic()
    assert server.get("/healthz").status_code == 200
    assert time.monotonic() - began < 2.0
    assert read(spinning)[-1].data["status"] == "complete"
    assert server.log.count("has been blocked") == 1
    assert server.stop() == 0
