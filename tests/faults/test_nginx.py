"""Streams behind nginx with ``deploy/nginx.conf``: buffering, disconnects and rolling restarts."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

from tests.faults.cluster import Cluster
from tests.faults.follower import Follower
from tests.faults.nginx import CURL, Nginx, needs_nginx
from tests.faults.recording_backend import answer
from tests.polling import wait_for
from tests.redis_server import needs_redis
from tests.server_process import token
from tests.sse_client import ReceivedEvent, events
from tests.websocket_client import UPGRADE, frame

pytestmark = [needs_nginx, needs_redis]

SMART = "/api/stream_chat_smart"
GRACE = 6.0  # seconds; clients on a busy machine need some to resume
HEADERS = {"Authorization": f"Bearer {token()}"}

# Configurations that break streams, and harmless ones. ``/two`` passes through nginx twice.
MORE = """
server {
    listen 127.0.0.1:PORT;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    gzip_types *;
    location /plain/           { proxy_pass http://persona_stream/; }
    location /gzip/            { proxy_pass http://persona_stream/; gzip on; }
    location /ignored/         { proxy_pass http://persona_stream/; proxy_ignore_headers X-Accel-Buffering; }
    location /ignored/gzip/    {
        proxy_pass http://persona_stream/;
        proxy_ignore_headers X-Accel-Buffering;
        gzip on;
    }
    location /two/gzip/        { proxy_pass http://127.0.0.1:PORT/plain/; gzip on; }
    location /two/gzip/told/   { proxy_pass http://127.0.0.1:PORT/told/; gzip on; }
    location /told/            { proxy_pass http://persona_stream/; proxy_pass_header X-Accel-Buffering; }
    location /shipped/gzip/    { proxy_pass SITE/; gzip on; }
}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), retention="60s", disconnect_grace=GRACE) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def nginx(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), [url.removeprefix("http://") for url in cluster.urls], MORE)
    yield nginx
    nginx.close()


@pytest.fixture(autouse=True)
def trust(nginx: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(nginx.certificate))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def body(message: str) -> dict[str, str]:
    return {"username": "x", "message": message, "locale": "en"}


def ask(url: str, message: str) -> tuple[list[float], requests.Response]:
    """Return the arrival time of each event in seconds after the request, and the response."""
    began = time.monotonic()
    with requests.post(url + SMART, json=body(message), headers=HEADERS, stream=True, timeout=30) as response:
        assert response.status_code == 200
        got: list[ReceivedEvent] = list(events(response))
    assert "".join(each.data["data"] for each in got if each.data["status"] == "streaming") == answer(message)
    return [each.at - began for each in got], response


class Curl:
    """curl process with concurrent streams over one HTTP/2 connection.

    Attributes:
        got: the events of each stream.
        connections: the HTTP version and the number of opened connections of each stream, after its end.
    """

    def __init__(self, nginx: Nginx, messages: list[str]) -> None:
        self.got: list[list[ReceivedEvent]] = [[] for _ in messages]
        self.connections: list[str] = []
        pipes = [os.pipe() for _ in messages]
        command = [CURL, "--no-progress-meter", "--parallel", "--no-buffer", "--http2"]
        for message, (_, sink) in zip(messages, pipes, strict=True):
            command += [] if sink == pipes[0][1] else ["--next", "--no-buffer", "--http2"]
            command += ["--cacert", str(nginx.certificate), "--output", f"/dev/fd/{sink}", "--write-out"]
            command += ["%{stderr}%{http_version} %{num_connects}\n", "--json", json.dumps(body(message))]
            command += ["--header", f"Authorization: {HEADERS['Authorization']}", nginx.url + SMART]
        self.process = subprocess.Popen(
            command, pass_fds=[sink for _, sink in pipes], stderr=subprocess.PIPE, text=True
        )
        for _, sink in pipes:
            os.close(sink)
        self._threads = [
            threading.Thread(target=self._read, args=(source, got), daemon=True)
            for (source, _), got in zip(pipes, self.got, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, source: int, got: list[ReceivedEvent]) -> None:
        with open(source, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("data: "):
                    got.append(ReceivedEvent(time.monotonic(), None, json.loads(line[6:])))

    def finish(self) -> None:
        """Wait for the end of all streams."""
        _, output = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, output
        self.connections = output.splitlines()
        for thread in self._threads:
            thread.join(10)


def test_streams_share_an_http2_connection_without_blocking_each_other(nginx: Nginx):
    """A slow stream does not delay the others."""
    messages = ["4.2 slow", *(f"0 quick {number}" for number in range(7))]
    curl = Curl(nginx, messages)
    curl.finish()
    assert sorted(curl.connections) == ["2 0"] * 7 + ["2 1"]
    for message, got in zip(messages, curl.got, strict=True):
        assert "".join(each.data["data"] for each in got if each.data["status"] == "streaming") == answer(message)
    slow, *quick = curl.got
    assert all(got[-1].at < slow[-1].at - 2 for got in quick)
    ticks = [each.at for each in slow if each.data["status"] == "processing"]
    assert ticks[2] - ticks[1] == pytest.approx(2.0, abs=0.7)


def test_a_websocket_passes_through(nginx: Nginx):
    """Its upgrade, its messages, and the name of the site."""
    parts = urlsplit(nginx.url)
    fields = {"Host": parts.netloc, **UPGRADE, **HEADERS}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    context = ssl.create_default_context(cafile=nginx.certificate)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        connection.sendall(f"GET /api/ws HTTP/1.1\r\n{head}\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        connection.sendall(frame(1, b'{"type":"ping","id":1}'))
        assert b'"type":"pong"' in connection.recv(4096)


def test_nginx_configurations_that_pass_streams_through(nginx: Nginx):
    """X-Accel-Buffering prevents buffering by compression, unless it is ignored or removed by another nginx."""
    ways = {
        "plain": True,
        "gzip": True,
        "ignored": True,
        "ignored/gzip": False,
        "two/gzip": False,
        "two/gzip/told": True,
        "shipped/gzip": True,
    }
    with ThreadPoolExecutor(len(ways) + 1) as pool:
        directly = pool.submit(ask, nginx.url, "3 directly")
        asked = {way: pool.submit(ask, f"http://127.0.0.1:{nginx.more}/{way}", f"3 {way}") for way in ways}
    assert {way: each.result()[0][0] < 2.5 for way, each in asked.items()} == ways
    for way, each in asked.items():
        came, response = each.result()
        assert response.headers.get("Content-Encoding") == ("gzip" if "gzip" in way else None)
        # Buffered to the end, or until the buffer is full.
        assert ways[way] or came[0] > 3.0
    # With the shipped configuration, progress and chunks arrive when they are sent.
    came, response = directly.result()
    assert came[0] < 1.5
    assert came[2] - came[1] == pytest.approx(2.0, abs=0.7)
    assert came[-1] - came[0] > 3.0
    assert len({round(at, 2) for at in came}) > 10
    assert "Content-Encoding" not in response.headers


def test_disconnects_are_detected_behind_nginx(nginx: Nginx, cluster: Cluster):
    """Of a client that closes its connection, and of one that only closes its HTTP/2 stream."""
    with requests.post(nginx.url + SMART, json=body("40 h1"), headers=HEADERS, stream=True, timeout=30) as left:
        next(events(left))
        run_ids = [left.headers["X-Run-Id"]]
    curl = Curl(nginx, ["40 h2"])
    wait_for(lambda: curl.got[0], 20)
    run_ids.append(curl.got[0][0].data["run_id"])
    curl.process.terminate()
    curl.process.communicate()
    left_at = time.monotonic()
    for run_id in run_ids:
        shown = f"/api/runs/{run_id}"
        wait_for(lambda shown=shown: cluster.servers[0].get(shown).json()["status"] == "cancelled", 20)
    assert time.monotonic() - left_at < 2.0 + 2 * GRACE + 3


def test_a_rolling_restart_loses_no_text_and_repeats_no_run(nginx: Nginx, cluster: Cluster):
    """Resuming clients continue at the other server, the others are served to the end, new requests are accepted."""

    def follow(message: str, **more: bool) -> Follower:
        return Follower([nginx.url], body(message), key=message.replace(" ", "-"), **more)

    going_on = [follow(f"6 going on {number}") for number in range(12)]
    staying = [follow(f"6 staying {number}", resumes=False) for number in range(6)]
    for follower in (*going_on, *staying):
        assert follower.opened.wait(20)
    new: list[Follower] = []
    done = threading.Event()

    def ask_on() -> None:
        while not done.wait(0.1):
            new.append(follow(f"0 new {len(new)}"))

    asker = threading.Thread(target=ask_on, daemon=True)
    asker.start()
    old = list(cluster.servers)
    try:
        for index, server in enumerate(old):
            server.process.send_signal(signal.SIGTERM)
            port = int(server.url.rpartition(":")[2])
            wait_for(lambda port=port: not listens(port), 20)
            cluster.servers[index] = cluster.serve(port=port)
            time.sleep(1)  # a rolling restart
    finally:
        done.set()
        asker.join()
        cluster.servers += [server for server in old if server not in cluster.servers]
    for follower in (*going_on, *staying, *new):
        assert follower.result()["status"] == "complete"
        message = follower.body["message"]
        assert follower.text == answer(message)
        assert cluster.times_run(message) == 1
    assert sum(follower.breaks > 0 for follower in going_on) >= 4  # at least those of the first server
    assert all(follower.breaks == 0 for follower in staying)
    # nginx responds with 502 to a POST that it sends while its idle upstream connection is closed.
    refusals = [refusal for follower in (*going_on, *staying, *new) for refusal in follower.refusals]
    assert set(refusals) <= {502}
    assert len(refusals) <= 2 * len(old)
    assert [server.process.wait(timeout=30) for server in old] == [0, 0]
