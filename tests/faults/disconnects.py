"""Hundreds of thousands of clients that connect and disconnect: the second part of ``make chaos``.

They send nothing, an invalid request, half a head, half a body or a valid request for a stream, and close or reset
their connection. Afterwards the server must use the same resources as before.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import Counter
from typing import Final

from tests.faults import process_stats
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve, token

_MAX_OPEN_CONNECTIONS: Final = 500  # of the server; fewer than its accept backlog
_WARM_UP_CLIENTS: Final = 100_000  # until the peak of connections and a garbage collection have occurred
_USER_COUNT: Final = 100
_SOURCE_ADDRESSES: Final = 200  # the ports of a single address would be exhausted
_MAX_MEMORY_GROWTH: Final = 16 * 2**20  # bytes; detects a leak of 170 bytes per client with 100,000 clients
_RESET: Final = struct.pack("ii", 1, 0)
_KINDS: Final = ("nothing", "nonsense", "half a head", "half a body", "a stream", "a stream that is read")
_INVALID_REQUESTS: Final = (b"POST / HTTP/1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n:\r\n\r\n")


class DisconnectingClients:
    """Generator of clients that disconnect early."""

    def __init__(self, server: ServerProcess, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self._tokens = [token(f"vanishing-{user}", expires=86_400) for user in range(_USER_COUNT)]
        self.counts: Counter[str] = Counter()

    def run(self, count: int) -> None:
        """Connect so many clients one after the other, waiting when the server lags behind."""
        for number in range(count):
            if number % 100 == 0:
                self.wait_for_server(_MAX_OPEN_CONNECTIONS)
            self._connect(self._rng.choice(_KINDS))

    def wait_for_server(self, max_files: int) -> None:
        """Wait until the server has at most so many open files."""
        wait_for(lambda: process_stats.open_files(self._server.process.pid) <= max_files, 120)

    def _connect(self, kind: str) -> None:
        self.counts[kind] += 1
        with socket.socket() as connection:
            connection.settimeout(60)
            connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: a port for each pair of ends
            connection.bind((f"127.0.1.{self._rng.randrange(1, _SOURCE_ADDRESSES)}", 0))
            connection.connect(self._address)
            connection.sendall(self._request(kind))
            if kind == "a stream that is read":
                connection.recv(300)
            if self._rng.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _request(self, kind: str) -> bytes:
        body = b'{"username":"anyone","message":"answer 60"}'
        head = (
            "POST /api/stream_chat_smart HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {self._rng.choice(self._tokens)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        match kind:
            case "nothing":
                return b""
            case "nonsense":
                return self._rng.choice(_INVALID_REQUESTS)
            case "half a head":
                return head[: self._rng.randrange(1, len(head))]
            case "half a body":
                return head + body[: self._rng.randrange(len(body))]
            case _:
                return head + body


def run(count: int, seed: int) -> int:
    """Disconnect so many clients and return the exit code."""
    print(f"{count:,} disconnecting clients with --seed {seed}", flush=True)
    server = serve(
        "tests.faults.scripted_backend:work",
        executor="greenlet",  # counts the objects of the server
        max_runs=20_000,
        max_runs_per_user=20_000,
        disconnect_grace=0.2,
        retention=2,
        log_level="error",
    )
    try:
        clients = DisconnectingClients(server, random.Random(seed))
        clients.run(min(_WARM_UP_CLIENTS, count))
        before = _measure_idle(clients, server)
        began = time.monotonic()
        clients.run(count)
        took = time.monotonic() - began
        after = _measure_idle(clients, server)
        errors = list(process_stats.grown(before, after, _MAX_MEMORY_GROWTH))
        if server.log:
            errors.append(f"the log is not empty: {server.log[:2000]}")
    finally:
        code = server.stop()
    if code:
        errors.append(f"the server ended with {code}")
    print(f"{dict(clients.counts)} in {took:.0f} s, {before} before, {after} after")
    for line in errors:
        print(f"ERROR: {line}")
    return 1 if errors else 0


def _measure_idle(clients: DisconnectingClients, server: ServerProcess) -> process_stats.ProcessStats:
    """Return the resources of the server after all disconnects are detected and all runs have expired."""
    clients.wait_for_server(process_stats.MAX_IDLE_FILES)
    process_stats.wait_until_idle(server, 120)
    time.sleep(3)  # the retention, plus a second
    server.get("/api/runs")  # evicts expired runs
    return process_stats.measure(server)[0]
