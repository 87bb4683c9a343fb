"""A process that leaves others to go on keeps no connection for another request, and cuts off none that it answers."""

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


def test_connections_close_when_they_carry_no_answer(tmp_path: Path):
    """One that is idle closes at once; one whose first request comes late is answered, and closes then."""
    with Cluster(tmp_path, count=1) as cluster:
        server = cluster.servers[0]
        idle, late = connect(server), connect(server)
        assert get(idle, "/healthz") == (200, None)
        follower = cluster.ask("3 still running", resumes=False)
        assert follower.opened.wait(10)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""
        assert time.monotonic() - told < 1.5
        assert get(late, "/healthz") == (200, "close")
        assert late.sock is None  # the client has done as it was told
        assert follower.result()["status"] == "complete"
        assert follower.breaks == 0
        assert server.process.wait(timeout=20) == 0
        idle.close()
