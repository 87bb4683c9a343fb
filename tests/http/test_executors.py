"""Tests of the executors over HTTP: worker processes that crash, are killed or do not respond, and the default."""

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
from tests.polling import wait_for
from tests.server_process import ENVIRON, ROOT, ServerProcess, serve
from tests.sse_client import answer, events, read

SMART = "/api/stream_chat_smart"


def start(server: ServerProcess, message: str, username: str = "slow"):
    return server.post(SMART, {"username": username, "message": message}, stream=True)


@pytest.fixture(scope="module")
def processes() -> Iterator[ServerProcess]:
    """Server whose queries run in worker processes."""
    served = serve(
        "tests.backends_for_tests:chosen", executor="process", threads=3, timeout=6, max_answer_bytes=1_000_000
    )
    yield served
    pids = children(served)
    assert pids
    assert served.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids), "a process outlived its server"


def children(server: ServerProcess) -> list[str]:
    """Return the ids of the processes that a server has started."""
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()


def test_a_process_answers_like_a_greenlet(processes: ServerProcess):
    """With progress, reports, and the exact answer."""
    got = read(start(processes, "0"))
    assert (answer(got), got[-1].data["status"]) == (ENGLISH + CHINESE, "complete")
    got = read(start(processes, "2.3", "reporting"))
    assert any("Reading page 3 of 8" in event.data.get("message", "") for event in got)
    assert answer(got) == "Read."


@pytest.mark.parametrize(
    ("message", "code"),
    [("deliberate", "backend_error"), ("exception", "internal"), ("huge", "answer_too_large"), ("number", "internal")],
)
def test_a_process_fails_like_a_greenlet(processes: ServerProcess, message: str, code: str):
    """The client gets the error code, and the log the details."""
    ending = read(start(processes, message, "failing"))[-1].data
    assert ending["code"] == code
    assert "secret" not in ending["error"]
    if message == "exception":
        processes.wait_for_log("ValueError: a secret detail")
        assert "in failing" in processes.log


def test_a_process_that_crashes_fails_its_run(processes: ServerProcess):
    """The log names the signal each time, and the next query gets another process."""
    line = "worker process ended while it ran a query: killed by SIGSEGV  run="
    for _ in range(5):
        got = read(start(processes, "x", "crashing"))
        assert got[-1].data["code"] == "internal"
        processes.wait_for_log(line + got[0].data["run_id"])
    assert answer(read(start(processes, "Hi", "quick"))) == "You said: Hi"


def test_a_process_is_killed_at_the_deadline_and_on_cancel(processes: ServerProcess):
    """However its code resists; its slot is free again, and no run is reported as still running."""
    assert read(start(processes, "60", "spinning"))[-1].data["status"] == "timeout"
    streams = [events(start(processes, "60", "stubborn")) for _ in range(3)]
    runs = [f"/api/runs/{next(stream).data['run_id']}" for stream in streams]
    for run in runs:
        processes.post(f"{run}/cancel")
    assert [list(stream)[-1].data["status"] for stream in streams] == ["cancelled"] * 3
    assert answer(read(start(processes, "Hi", "quick"))) == "You said: Hi"
    assert not any("still_running" in processes.get(run).json() for run in runs)


def test_a_killed_process_closes_its_connections(processes: ServerProcess):
    """The other side notices within about a second."""
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


def test_a_function_without_an_import_path_cannot_run_in_a_process():
    """The error says what to do."""
    code = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from persona_stream import create_app\n"
        "create_app(process_query=lambda message: message)\n"
    )
    environ = {**os.environ, **ENVIRON, "PERSONA_STREAM_EXECUTOR": "process"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert "ConfigurationError: executor process imports the function in another process" in ended.stderr


def test_by_default_a_function_runs_in_a_worker_process():
    """The banner says where; code that computes, and holds the interpreter lock, delays no stream."""
    server = serve("tests.executors.worker.native_backends:ask")
    assert "tests.executors.worker.native_backends:ask runs in a worker process with 200 threads" in server.greeting
    assert " runs in" not in server.log
    spinning = start(server, "hold_the_lock 4", "x")
    for name in ("subprocess", "asyncio_run", "pool", "own_threads"):
        began = time.monotonic()
        assert server.get("/healthz").status_code == 200
        assert time.monotonic() - began < 2.0
        assert answer(read(start(server, name, "x"))) == f"{name} worked"
    assert answer(read(spinning)) == "hold_the_lock worked"
    pids = children(server)
    assert server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_worker_that_cannot_start_stops_the_start(tmp_path: Path):
    """With the traceback of the worker."""
    (tmp_path / "broken.py").write_text("def ask(message): ...\nraise RuntimeError('no model file')\n")
    environ = {**os.environ, **ENVIRON, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    command = [sys.executable, "-m", "persona_stream", "serve", "--port=0", "--backend=broken:ask"]
    ended = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert "no model file" in ended.stderr
    assert "broken.py" in ended.stderr or "import broken" in ended.stderr


def test_health_shows_a_worker_that_takes_no_more_queries():
    """The process is ready nevertheless: another worker takes them."""
    server = serve("tests.executors.worker.native_backends:ask_async")
    blocking = start(server, "block 20", "x")
    wait_for(lambda: "problems" in server.get("/readyz").json(), 10.0)
    ready = server.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert "its event loop has been blocked for" in ready.json()["problems"][0]
    assert answer(read(start(server, "sleep 0", "x"))) == "sleep worked"
    server.post(f"/api/runs/{blocking.headers['X-Run-Id']}/cancel")
    assert read(blocking)[-1].data["status"] == "cancelled"
    assert server.stop() == 0
