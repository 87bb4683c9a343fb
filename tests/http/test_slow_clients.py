"""Clients that hold connections: they are cut after a bound, and delay nobody meanwhile."""

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
# Drips for ever are cut after two seconds; this is for a machine that does other things too.
BOUND = 20.0
MANY = 400


@pytest.fixture(scope="module")
def hurrying() -> Iterator[str]:
    """A server that waits for nobody longer than two seconds."""
    with running("-m", "tests.http.hurrying", "PORT", "1000") as (url, _):
        yield url


def drip(connection: socket.socket, byte: bytes) -> bytes:
    """Send a little now and then until the server has had enough; give its last words."""
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
    raise AssertionError("it was never cut")


DRIPS = {
    "nothing but a method": (b"", b"G", []),
    "an address": (b"GET /", b"a", []),
    "a header": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ", b"a", [408]),
    "headers": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n", [408]),
    "a head behind another request": (head() + b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n", [200, 408]),
    "a body": (post(LENGTH), b" ", [400]),
    "a body in chunks": (post(CHUNKED), b"1\r\n \r\n", [400]),
    "a chunk's size": (post(CHUNKED), b"0", [400]),
    "a chunk's extension": (post(CHUNKED) + b"1;", b"a", [400]),
    "trailers": (post(CHUNKED) + b"0\r\n", b"a: b\r\n", [400]),
    "a body that was refused": (head("POST /api/chat", LENGTH), b" ", [401]),
    "a body for a page": (head("POST /", CHUNKED), b"1\r\n \r\n", [405]),
    "a login": (head("POST /dashboard/login", LENGTH, b"X-Persona-Dashboard: 1"), b" ", [400]),
}


@pytest.fixture(scope="module")
def dripped(hurrying: str) -> dict[str, bytes]:
    """What the server said to each of them, who all came at once."""

    def attack(kind: str) -> bytes:
        begin, byte, _ = DRIPS[kind]
        with connect(hurrying) as connection:
            connection.sendall(begin)
            received = drip(connection, byte)
            with suppress(OSError):  # cut while it still sent: what was said before that counts
                received += read_to_end(connection)
            return received

    with ThreadPoolExecutor(len(DRIPS)) as attackers:
        return dict(zip(DRIPS, attackers.map(attack, DRIPS), strict=True))


@pytest.mark.parametrize("kind", DRIPS)
def test_who_drips_is_cut(dripped: dict[str, bytes], kind: str) -> None:
    """However lively they are: the sum counts, and not the silence between two bytes."""
    expected = DRIPS[kind][2]
    assert statuses(dripped[kind]) in (expected, expected[:-1])  # bytes that cross the close may cost the last words


def test_who_says_nothing_is_cut(hurrying: str) -> None:
    """Before a first request, in the middle of one, and after an answer."""
    silent = {b"": [], b"GET /he": [], head(): [200], post(LENGTH) + b"{": [400]}
    held = {sent: connect(hurrying, BOUND) for sent in silent}
    for sent, connection in held.items():
        connection.sendall(sent)
    for sent, connection in held.items():
        with connection:
            assert statuses(read_to_end(connection)) == silent[sent]


def test_a_body_that_comes_fast_enough_may_take_longer(hurrying: str) -> None:
    """The bound is a rate, and no time: whoever has a slow line gets through."""
    padded = BODY + b" " * 300_000
    with connect(hurrying, BOUND) as connection:
        connection.sendall(post(b"Content-Length: %d" % len(padded), b"Connection: close") + padded[:-10])
        time.sleep(2.5)  # beyond the plain bound, and within what 300 kB are good for
        connection.sendall(padded[-10:])
        assert statuses(read_to_end(connection)) == [200]


ATTACKS: dict[str, Callable[[socket.socket], None]] = {
    "idle": lambda connection: None,
    "half a head": lambda connection: connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n"),
    "half a body": lambda connection: connection.sendall(post(LENGTH) + b"{"),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_hundreds_of_held_connections_delay_nobody_and_are_cut(hurrying: str, kind: str) -> None:
    """Others are served while they are there, and after the bound they are not there any more."""
    held = [connect(hurrying, BOUND) for _ in range(MANY)]
    try:
        for connection in held:
            ATTACKS[kind](connection)
        headers = {"Authorization": f"Bearer {token('somebody else')}"}
        served = [
            requests.post(
                f"{hurrying}/api/chat", json={"username": "quick", "message": "Hi"}, headers=headers, timeout=BOUND
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


def test_who_takes_nothing_of_a_page_is_no_error_of_ours(hurrying: str) -> None:
    """Thousands of asked-for pages that nobody reads: their connection is cut, or closed by the client, and quietly."""
    with connect(hurrying, BOUND) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sender = threading.Thread(target=_ask_for_ever, args=(connection,), daemon=True)
        sender.start()
        assert requests.get(f"{hurrying}/healthz", timeout=BOUND).status_code == 200
    sender.join(BOUND)
    assert not sender.is_alive()
    assert requests.get(f"{hurrying}/healthz", timeout=BOUND).status_code == 200


def _ask_for_ever(connection: socket.socket) -> None:
    with suppress(OSError):  # it has been closed: that is the end
        for _ in range(1000):
            connection.sendall(head("GET /openapi.json"))


def test_connections_leave_files_for_what_the_server_needs_itself() -> None:
    """More than it can hold wait their turn: it does not run out of files, and serves again when some were cut."""
    with running("-m", "tests.http.hurrying", "PORT", "150") as (url, process):
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
def test_ten_thousand_idle_connections_delay_no_stream_and_are_cut() -> None:
    """With the limits that ship; and when they are gone, so is what they held."""
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
        assert max(later - earlier for earlier, later in pairwise(ticks)) < 3.5  # 2 are meant
        assert [read_to_end(connection) for connection in held] == [b""] * crowd
        wait_for(lambda: open_files(served.process.pid) <= files + 5)
        for connection in held:
            connection.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert served.stop() == 0
