"""Clients that connect and vanish, by the hundred thousand: the second act of ``make chaos``.

They say nothing, nonsense, half a head, half a body, or ask for a stream as they should, and hang up, or their
connection is reset. Afterwards the server holds what it held before.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import Counter
from typing import Final

from tests.faults import process_stats as vitals
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve, token

_AT_ONCE: Final = 500  # connections that the server may have open: fewer than wait for it to accept them
_WARM_UP: Final = 100_000  # clients before these: until there were as many at once as ever, and garbage was collected
_USERS: Final = 100
_ADDRESSES: Final = 200  # that they come from, or the ports of one would run out
_MEMORY: Final = 16 * 2**20  # bytes; 170 of them lost with each of a hundred thousand would show
_RESET: Final = struct.pack("ii", 1, 0)
_KINDS: Final = ("nothing", "nonsense", "half a head", "half a body", "a stream", "a stream that is read")
_NONSENSE: Final = (b"POST / HTTP/1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n:\r\n\r\n")


class Vanishing:
    """Come and vanish."""

    def __init__(self, server: ServerProcess, dice: random.Random) -> None:
        self._server, self._dice = server, dice
        self._address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self._tokens = [token(f"vanishing-{user}", expires=86_400) for user in range(_USERS)]
        self.done: Counter[str] = Counter()

    def come(self, count: int) -> None:
        """Have so many come, one after the other, and wait where the server is behind."""
        for number in range(count):
            if number % 100 == 0:
                self.wait_for_server(_AT_ONCE)
            self._one(self._dice.choice(_KINDS))

    def wait_for_server(self, most: int) -> None:
        """Wait until the server has no more than so many files open."""
        wait_for(lambda: vitals.open_files(self._server.process.pid) <= most, 120)

    def _one(self, kind: str) -> None:
        self.done[kind] += 1
        with socket.socket() as connection:
            connection.settimeout(60)
            connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: a port for each pair of ends
            connection.bind((f"127.0.1.{self._dice.randrange(1, _ADDRESSES)}", 0))
            connection.connect(self._address)
            connection.sendall(self._said(kind))
            if kind == "a stream that is read":
                connection.recv(300)
            if self._dice.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _said(self, kind: str) -> bytes:
        body = b'{"username":"anybody","message":"answer 60"}'
        head = (
            "POST /api/stream_chat_smart HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {self._dice.choice(self._tokens)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        match kind:
            case "nothing":
                return b""
            case "nonsense":
                return self._dice.choice(_NONSENSE)
            case "half a head":
                return head[: self._dice.randrange(1, len(head))]
            case "half a body":
                return head + body[: self._dice.randrange(len(body))]
            case _:
                return head + body


def run(count: int, seed: int) -> int:
    """Have so many clients vanish, and give the exit code."""
    print(f"{count:,} clients that vanish, with --seed {seed}", flush=True)
    server = serve(
        "tests.faults.tasks:work",
        max_runs=20_000,
        max_runs_per_user=20_000,
        disconnect_grace=0.2,
        retention=2,
        log_level="error",
    )
    try:
        vanishing = Vanishing(server, random.Random(seed))
        vanishing.come(min(_WARM_UP, count))
        before = _settled(vanishing, server)
        began = time.monotonic()
        vanishing.come(count)
        took = time.monotonic() - began
        after = _settled(vanishing, server)
        wrong = list(vitals.grown(before, after, _MEMORY))
        if server.log:
            wrong.append(f"the log says: {server.log[:2000]}")
    finally:
        code = server.stop()
    if code:
        wrong.append(f"the server ended with {code}")
    print(f"{dict(vanishing.done)} in {took:.0f} s, {before} before, {after} after")
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


def _settled(vanishing: Vanishing, server: ServerProcess) -> vitals.Vitals:
    """Count what the server holds, once the last one has been noticed and what is kept of runs has passed."""
    vanishing.wait_for_server(vitals.IDLE_FILES)
    vitals.wait_until_quiet(server, 120)
    time.sleep(3)  # retention, and a second
    server.get("/api/runs")  # whoever looks has what has passed thrown away
    return vitals.look(server)[0]
