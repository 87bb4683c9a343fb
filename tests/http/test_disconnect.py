"""Disconnects are detected without writing, and end a run after the grace period."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.faults.process_stats import memory_bytes, open_files
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve, token
from tests.sse_client import answer, read

GRACE = 1.0
INTERVAL = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    served = serve(
        "tests.backends_for_tests:chosen",
        executor="greenlet",  # whose queries are killed where they wait
        disconnect_grace=GRACE,
        disconnect_grace_v1=0,
        max_runs_per_user=5000,
        retention_bytes=100_000,
    )
    yield served
    assert served.stop() == 0


def connect(server: ServerProcess) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def post(server: ServerProcess, path: str, username: str, message: str, user: str = "alice") -> socket.socket:
    """Send a request on a bare connection."""
    body = f'{{"username":"{username}","message":"{message}"}}'
    connection = connect(server)
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return connection


def statuses(server: ServerProcess, user: str = "alice") -> list[str]:
    response = server.get("/api/runs", user, params={"limit": 100})
    assert response.ok, (response.status_code, response.text, server.log[-3000:])
    return [run["status"] for run in response.json()["runs"]]


def test_a_disconnect_is_detected_within_an_interval_and_ends_the_run_after_the_grace(server: ServerProcess):
    """Its upstream connection is closed too."""
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


def test_a_client_that_reconnects_within_the_grace_keeps_its_run(server: ServerProcess):
    """Disconnecting is not cancelling."""
    response = server.post("/api/stream_chat_smart", {"username": "slow", "message": "6"}, user="bob", stream=True)
    run_id = response.headers["X-Run-Id"]
    response.raw.read(10)
    response.close()
    for _ in range(3):
        time.sleep(0.6)  # less than the grace
        again = server.get(f"/api/runs/{run_id}/events", "bob", stream=True)
        next(again.iter_lines())
        again.close()
    assert server.get(f"/api/runs/{run_id}", "bob").json()["status"] == "processing"
    wait_for(lambda: server.get(f"/api/runs/{run_id}", "bob").json()["status"] == "cancelled")


def test_a_disconnect_from_chat_ends_the_run_at_once(server: ServerProcess):
    """Its clients disconnect to stop."""
    connection = post(server, "/api/chat", "slow", "20", user="carol")
    wait_for(lambda: statuses(server, "carol") == ["processing"])
    connection.close()
    wait_for(lambda: statuses(server, "carol") == ["cancelled"], INTERVAL + 3)


@pytest.mark.parametrize("stream", [False, True])
def test_a_disconnect_from_a_completion_ends_the_run_at_once(server: ServerProcess, stream: bool):
    """With and without a stream."""
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


def test_a_connection_reset_is_detected(server: ServerProcess):
    """As when a phone loses its network and the proxy resets."""
    connection = post(server, "/api/stream_chat_smart", "slow", "20", user="dave")
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
    wait_for(lambda: statuses(server, "dave") == ["cancelled"], INTERVAL + GRACE + 3)


@pytest.mark.alone
def test_a_thousand_abandoned_streams_leak_nothing(server: ServerProcess):
    """No open file, run, greenlet or memory."""
    process = server.process.pid

    def abandon(number: int) -> None:
        connections = [post(server, "/api/stream_chat_smart", "slow", "60", user="many") for _ in range(number)]
        for connection in connections:
            connection.recv(300)
        for connection in connections:
            connection.close()
        wait_for(lambda: open_files(server.process.pid) <= before, 60)
        wait_for(lambda: "processing" not in statuses(server, "many"), 30)

    server.get("/healthz")
    before = open_files(server.process.pid) + 2
    abandon(1000)
    warm = memory_bytes(process)
    abandon(1000)
    # A thousand streams hold more than 30 MiB while they live, and leave some 4 MiB to a collector that comes seldom:
    # leaking a quarter of what they hold would show.
    assert memory_bytes(process) - warm < 8192 * 1024
    assert server.log.count("Traceback") == 0


def test_a_waiting_stream_takes_two_greenlets(server: ServerProcess):
    """One for its connection and one for its query; timers belong to the event loop."""
    before = int(server.post("/api/chat", {"username": "census", "message": "Hi"}).json()["data"])
    connections = [post(server, "/api/stream_chat_smart", "slow", "60", user="two") for _ in range(50)]
    for connection in connections:
        connection.recv(300)
    during = int(server.post("/api/chat", {"username": "census", "message": "Hi"}).json()["data"])
    assert during - before <= 2 * len(connections) + 2
    for connection in connections:
        connection.close()


def test_clients_that_stop_reading_are_disconnected_and_may_resume():
    """After half a minute, with one log line and no traceback; other clients are not delayed."""
    server = serve("tests.backends_for_tests:chosen")
    assert server.post("/api/chat", {"username": "quick", "message": "Hi"}).json()["success"]
    files, before = open_files(server.process.pid), memory_bytes(server.process.pid)
    stream = post(server, "/api/stream_chat", "failing", "huge", user="stalled")
    whole = post(server, "/api/chat", "failing", "huge", user="stalled")
    heads = [connection.recv(4096) for connection in (stream, whole)]
    runs = [re.search(rb"X-Run-Id: (\w+)", head)[1].decode() for head in heads]
    asked = 0
    while "client read nothing" not in server.log:
        assert server.post("/api/chat", {"username": "quick", "message": "Hi"}).json()["success"]
        asked += 1
        assert asked < 100_000, "they were never cut"
    assert asked > 20, "if those held up others, these had not been answered meanwhile"
    wait_for(lambda: server.log.count("client read nothing for 30 s; closing its connection") == 2, 40)
    wait_for(lambda: open_files(server.process.pid) <= files + 1)
    # Two answers of 12 MB, one of which was split into chunks.
    assert memory_bytes(server.process.pid) - before < 150 * 2**20
    assert all(run in server.log for run in runs)
    assert "Traceback" not in server.log

    got = re.findall(r"id: (\S+)\ndata: (\{.*\})\n\n", (heads[0] + rest_of(stream)).decode(errors="replace"))
    had = "".join(json.loads(data)["data"] for _, data in got)
    assert 0 < len(had) < 12_000_000
    again = server.get(f"/api/runs/{runs[0]}/events", "stalled", headers={"Last-Event-ID": got[-1][0]}, stream=True)
    assert had + answer(read(again)) == "0123456789" * 1_200_000
    whole.close()
    assert server.get(f"/api/runs/{runs[1]}", "stalled").json()["data"] == "0123456789" * 1_200_000
    assert server.stop() == 0


def rest_of(connection: socket.socket) -> bytes:
    """Read to the end of the connection."""
    got = []
    while data := connection.recv(2**20):
        got.append(data)
    connection.close()
    return b"".join(got)
