"""Connections of a draining process are closed when they are idle, and never during a response."""

from __future__ import annotations

import http.client
import signal
import time
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.redis_server import needs_redis
from tests.server_process import ServerProcess

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
        assert time.monotonic() - stopped_at < 1.5
        assert get(late, "/healthz") == (200, "close")
        assert late.sock is None  # the client obeyed the Connection header
        assert follower.result()["status"] == "complete"
        assert follower.breaks == 0
        assert server.process.wait(timeout=20) == 0
        idle.close()
