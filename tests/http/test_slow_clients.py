"""Clients that hold connections are cut off after a time limit and delay no others."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import pytest
import requests

from tests.faults.process_stats import open_files
from tests.http.bare import connect, head, post, read_to_end, statuses
from tests.http.test_other_servers import running
from tests.polling import wait_for
from tests.server_process import serve, token
from tests.sse_client import read

BODY = b'{"username":"quick","message":"Hi"}'
LENGTH = b"Content-Length: 100000"
CHUNKED = b"Transfer-Encoding: chunked"
# The time limit is two seconds; this allows for a loaded machine.
BOUND = 20.0
MANY = 400


@pytest.fixture(scope="module")
def strict_server() -> Iterator[str]:
    """Server with time limits of two seconds."""
    with running("-m", "tests.http.strict_limits_server", "PORT", "1000") as (url, _):
        yield url


def drip(connection: socket.socket, byte: bytes) -> bytes:
    """Send a byte now and then until the server responds or closes; return the response."""
    began = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - began < BOUND:
        try:
            connection.sendall(byte)
            received = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            received = b""
        return received
    raise AssertionError("the connection was not closed")


DRIPS = {
    "nothing but a method": (b"", b"G", []),
    "an address": (b"GET /", b"a", []),
    "a header": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ", b"a", [408]),
    "headers": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n", [408]),
    "a head behind another request": (head() + b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n", [200, 408]),
    "a body": (post(LENGTH), b" ", [400]),
    "a short body": (post(b"Content-Length: 5000"), b" ", [400]),
    "a short body behind another request": (
        post(b"Content-Length: %d" % len(BODY)) + BODY + post(b"Content-Length: 5000"), b" ", [200, 400],
    ),
    "a body in chunks": (post(CHUNKED), b"1\r\n \r\n", [400]),
    "a chunk's size": (post(CHUNKED), b"0", [400]),
    "a chunk's extension": (post(CHUNKED) + b"1;", b"a", [400]),
    "trailers": (post(CHUNKED) + b"0\r\n", b"a: b\r\n", [400]),
    "a body that was refused": (head("POST /api/chat", LENGTH), b" ", [401]),
    "a body for a page": (head("POST /", CHUNKED), b"1\r\n \r\n", [405]),
    "a login": (head("POST /dashboard/login", LENGTH, b"X-Persona-Dashboard: 1"), b" ", [400]),
}  # fmt: skip


@pytest.fixture(scope="module")
def dripped(strict_server: str) -> dict[str, bytes]:
    """Responses to all kinds of dripping clients, which connect at the same time."""

    def attack(kind: str) -> bytes:
        begin, byte, _ = DRIPS[kind]
        with connect(strict_server) as connection:
            connection.sendall(begin)
            received = drip(connection, byte)
            with suppress(OSError):  # closed while the client was sending
                received += read_to_end(connection)
            return received

    with ThreadPoolExecutor(len(DRIPS)) as attackers:
        return dict(zip(DRIPS, attackers.map(attack, DRIPS), strict=True))


@pytest.mark.parametrize("kind", DRIPS)
def test_a_dripping_client_is_cut_off(dripped: dict[str, bytes], kind: str) -> None:
    """The total time counts, not the pauses between bytes."""
    expected = DRIPS[kind][2]
    assert statuses(dripped[kind]) in (expected, expected[:-1])  # a reset can lose the last response


def test_a_silent_client_is_cut_off(strict_server: str) -> None:
    """It is silent before a request, within one, or after a response."""
    silent = {b"": [], b"GET /he": [], head(): [200], post(LENGTH) + b"{": [400]}
    held = {sent: connect(strict_server, BOUND) for sent in silent}
    for sent, connection in held.items():
        connection.sendall(sent)
    for sent, connection in held.items():
        with connection:
            assert statuses(read_to_end(connection)) == silent[sent]


def test_a_body_at_the_minimum_rate_may_take_longer(strict_server: str) -> None:
    """Slow connections are served."""
    padded = BODY + b" " * 300_000
    with connect(strict_server, BOUND) as connection:
        connection.sendall(post(b"Content-Length: %d" % len(padded), b"Connection: close") + padded[:-10])
        time.sleep(2.5)  # beyond the plain time limit, and within that for 300 kB
        connection.sendall(padded[-10:])
        assert statuses(read_to_end(connection)) == [200]


ATTACKS: dict[str, Callable[[socket.socket], None]] = {
    "idle": lambda connection: None,
    "half a head": lambda connection: connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n"),
    "half a body": lambda connection: connection.sendall(post(LENGTH) + b"{"),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_hundreds_of_held_connections_delay_no_others_and_are_cut_off(strict_server: str, kind: str) -> None:
    """Other clients are served meanwhile, and all held connections close within the time limit."""
    held = [connect(strict_server, BOUND) for _ in range(MANY)]
    try:
        for connection in held:
            ATTACKS[kind](connection)
        headers = {"Authorization": f"Bearer {token('another')}"}
        served = [
            requests.post(
                f"{strict_server}/api/chat", json={"username": "quick", "message": "Hi"}, headers=headers, timeout=BOUND
            )
            for _ in range(5)
        ]
        assert [response.status_code for response in served] == [200] * 5
        until = time.monotonic() + BOUND
        for connection in held:
            assert len(read_to_end(connection)) < 2000
        assert time.monotonic() < until
    finally:
        for connection in held:
            connection.close()


def test_a_client_that_reads_nothing_is_cut_off_quietly(strict_server: str) -> None:
    """It requests a thousand pages and reads none."""
    with connect(strict_server, BOUND) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sender = threading.Thread(target=_send_requests, args=(connection,), daemon=True)
        sender.start()
        assert requests.get(f"{strict_server}/healthz", timeout=BOUND).status_code == 200
    sender.join(BOUND)
    assert not sender.is_alive()
    assert requests.get(f"{strict_server}/healthz", timeout=BOUND).status_code == 200


def _send_requests(connection: socket.socket) -> None:
    with suppress(OSError):  # closed by the server
        for _ in range(1000):
            connection.sendall(head("GET /openapi.json"))


def test_connections_leave_files_for_the_server_itself() -> None:
    """Connections beyond the limit wait in the backlog and are served when others close."""
    with running("-m", "tests.http.strict_limits_server", "PORT", "150") as (url, process):
        held = [connect(url, BOUND) for _ in range(200)]
        try:
            assert requests.get(f"{url}/healthz", timeout=BOUND).status_code == 200
            assert open_files(process.pid) < 100
            for connection in held:
                assert read_to_end(connection) == b""
        finally:
            for connection in held:
                connection.close()


@pytest.mark.heavy
def test_ten_thousand_idle_connections_delay_no_stream_and_are_cut_off() -> None:
    """The limits are the default ones, and all files are closed afterwards."""
    crowd = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
    served = serve("tests.backends_for_tests:chosen", max_runs=crowd)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    try:
        files = open_files(served.process.pid)
        held = [connect(served.url, 60.0) for _ in range(crowd)]
        wait_for(lambda: open_files(served.process.pid) >= files + crowd)
        got = read(served.post("/api/stream_chat_smart", {"username": "slow", "message": "8"}, stream=True))
        assert got[-1].data["status"] == "complete"
        ticks = [event.at for event in got if event.data["status"] == "processing"]
        assert max(later - earlier for earlier, later in pairwise(ticks)) < 3.5  # the interval is 2
        assert [read_to_end(connection) for connection in held] == [b""] * crowd
        wait_for(lambda: open_files(served.process.pid) <= files + 5)
        for connection in held:
            connection.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert served.stop() == 0
