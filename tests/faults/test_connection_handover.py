"""Connections of a draining process are closed when they are idle, and never during a response."""

from __future__ import annotations

import http.client
import signal
import time
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.recording_backend import answer
from tests.redis_server import needs_redis
from tests.server_process import ServerProcess
from tests.sse_client import read
from tests.websocket_client import WebSocketClient

pytestmark = needs_redis


def connect(server: ServerProcess) -> http.client.HTTPConnection:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.connect()
    return connection


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, str | None]:
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status, response.getheader("Connection")


def test_idle_connections_are_closed_and_active_ones_after_their_response(tmp_path: Path):
    """A connection whose first request arrives late is served and then closed."""
    with Cluster(tmp_path, count=1) as cluster:
        server = cluster.servers[0]
        idle = connect(server)
        late = connect(server)
        assert get(idle, "/healthz") == (200, None)
        follower = cluster.ask("3 still running", resumes=False)
        assert follower.opened.wait(10)
        stopped_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""
        assert time.monotonic() - stopped_at < 2.8  # seconds; the run takes 3
        assert get(late, "/healthz") == (200, "close")
        assert late.sock is None  # the client obeyed the Connection header
        assert follower.result()["status"] == "complete"
        assert follower.breaks == 0
        assert server.process.wait(timeout=20) == 0
        idle.close()


def test_a_websocket_is_handed_over(tmp_path: Path):
    """With 1012, after every character that was due; another process sends the rest. A second client is served here."""
    with Cluster(tmp_path) as cluster:
        here, there = cluster.servers
        with (
            WebSocketClient(there.url, "/api/ws?resume=1") as client,
            WebSocketClient(there.url) as staying,
            WebSocketClient(there.url, "/api/ws?resume=1") as idle,
        ):
            client.send("start", request={"username": "x", "message": "6 handed over"})
            opening = client.receive()
            staying.send("subscribe", run_id=opening["run_id"])
            assert staying.receive()["status"] == "initializing"
            there.process.terminate()
            assert client.read_close() == 1012
            assert idle.read_close() == 1012
            with WebSocketClient(here.url) as resumed:
                resumed.send("subscribe", run_id=opening["run_id"], last_event_id=opening["event_id"])
                rest = resumed.receive_run()
                assert "".join(message["data"] for message in rest) == answer("6 handed over")
            assert "".join(message["data"] for message in staying.receive_run()) == answer("6 handed over")
            assert staying.read_close() in (1001, 1012)
        assert there.process.wait(timeout=20) == 0
        events = read(here.get(f"/api/runs/{opening['run_id']}/events", stream=True))
        assert events[-1].data["status"] == "complete"
