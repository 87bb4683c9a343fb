"""A client that goes away is noticed without writing to it, and its query ends after the grace."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reading import answer, read
from tests.serving import Served, serve, token
from tests.waiting import wait_for

GRACE = 1.0
INTERVAL = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    served = serve(
        "tests.answering:chosen",
        disconnect_grace=GRACE,
        disconnect_grace_v1=0,
        max_runs_per_user=5000,
        retention_bytes=100_000,
    )
    yield served
    assert served.stop() == 0


def connect(server: Served) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def post(server: Served, path: str, username: str, message: str, user: str = "alice") -> socket.socket:
    """Send a request on a bare connection, and leave the rest to the test."""
    body = f'{{"username":"{username}","message":"{message}"}}'
    connection = connect(server)
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return connection


def statuses(server: Served, user: str = "alice") -> list[str]:
    response = server.get("/api/runs", user, params={"limit": 100})
    assert response.ok, (response.status_code, response.text, server.log[-3000:])
    return [run["status"] for run in response.json()["runs"]]


def test_a_reader_that_left_is_noticed_within_an_interval_and_its_run_ends_after_the_grace(server: Served):
    """Its upstream connection is closed with it."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        connection = post(server, "/api/stream_chat_smart", "upstream", f"127.0.0.1:{upstream.getsockname()[1]}")
        queried, _ = upstream.accept()
        queried.settimeout(15)
        connection.recv(1000)
        connection.close()
        left = time.monotonic()
        assert queried.recv(1) == b"", "the query's own connection was closed"
        assert GRACE - 0.1 < time.monotonic() - left < INTERVAL + GRACE + 1.5
        queried.close()
    assert statuses(server)[0] == "cancelled"


def test_a_reader_that_comes_back_within_the_grace_keeps_its_run(server: Served):
    """Disconnecting is not cancelling."""
    response = server.post("/api/stream_chat_smart", {"username": "slow", "message": "6"}, user="bob", stream=True)
    run_id = response.headers["X-Run-Id"]
    response.raw.read(10)
    response.close()
    for _ in range(3):
        time.sleep(0.6)
        again = server.get(f"/api/runs/{run_id}/events", "bob", stream=True)
        next(again.iter_lines())
        again.close()
    assert server.get(f"/api/runs/{run_id}", "bob").json()["status"] == "processing"
    wait_for(lambda: server.get(f"/api/runs/{run_id}", "bob").json()["status"] == "cancelled")


def test_a_chat_whose_client_left_ends_at_once(server: Served):
    """Its clients say stop by leaving."""
    connection = post(server, "/api/chat", "slow", "20", user="carol")
    wait_for(lambda: statuses(server, "carol") == ["processing"])
    connection.close()
    wait_for(lambda: statuses(server, "carol") == ["cancelled"], INTERVAL + 3)


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_whose_client_left_ends_at_once(server: Served, stream: bool):
    """So do OpenAI's, with and without a stream."""
    user = f"erin-{stream}"
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "slow", "messages": [{"role": "user", "content": "20"}], "stream": stream})
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        wait_for(lambda: statuses(server, user) == ["processing"])
    wait_for(lambda: statuses(server, user) == ["cancelled"], INTERVAL + 3)


def test_a_reset_connection_is_noticed_too(server: Served):
    """As when a phone loses its network and the proxy resets."""
    connection = post(server, "/api/stream_chat_smart", "slow", "20", user="dave")
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
    wait_for(lambda: statuses(server, "dave") == ["cancelled"], INTERVAL + GRACE + 3)


def resident_kib(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.alone
def test_a_thousand_abandoned_streams_leave_nothing_behind(server: Served):
    """No open file, no run, no greenlet, no growth of memory."""
    process = server.process.pid

    def open_files() -> int:
        return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())

    def abandon(number: int) -> None:
        connections = [post(server, "/api/stream_chat_smart", "slow", "60", user="many") for _ in range(number)]
        for connection in connections:
            connection.recv(300)
        for connection in connections:
            connection.close()
        wait_for(lambda: open_files() <= before, 60)
        wait_for(lambda: "processing" not in statuses(server, "many"), 30)

    server.get("/healthz")
    before = open_files() + 2
    abandon(1000)
    warm = resident_kib(process)
    abandon(1000)
    # A thousand streams hold tens of MiB while they live; leaking a tenth of them would show.
    assert resident_kib(process) - warm < 4096
    assert server.log.count("Traceback") == 0


def test_a_waiting_stream_takes_two_greenlets(server: Served):
    """One for its connection and one for its query; time is kept by the loop's own timers."""
    before = int(server.post("/api/chat", {"username": "census", "message": "Hi"}).json()["data"])
    connections = [post(server, "/api/stream_chat_smart", "slow", "60", user="two") for _ in range(50)]
    for connection in connections:
        connection.recv(300)
    during = int(server.post("/api/chat", {"username": "census", "message": "Hi"}).json()["data"])
    assert during - before <= 2 * len(connections) + 2
    for connection in connections:
        connection.close()


def test_a_reader_that_takes_nothing_is_cut_costs_little_and_may_come_back():
    """After half a minute, with a reason in the log; others are not held up, and nothing of the answer is lost."""
    server = serve("tests.answering:chosen")
    before = memory(server)
    stalled = post(server, "/api/stream_chat", "failing", "huge", user="stalled")
    run_id = re.search(rb"X-Run-Id: (\w+)", stalled.recv(4096))[1].decode()
    for _ in range(10):  # the run is read by others meanwhile, at their own pace
        assert server.post("/api/chat", {"username": "quick", "message": "Hi"}).json()["success"]
    server.wait_for_log("a reader took nothing for 30 s", 40)
    stalled.close()
    assert memory(server) - before < 100 * 2**20
    rest = server.get(f"/api/runs/{run_id}/events", "stalled", params={"from": 11_999_000}, stream=True)
    assert answer(read(rest)) == "0123456789" * 100
    assert server.stop() == 0


def memory(server: Served) -> int:
    """Resident bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
