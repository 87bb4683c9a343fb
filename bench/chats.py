"""Client that calls ``/api/chat`` at a constant rate and counts the responses.

Run as ``python -m bench.chats PORT RATE SECONDS``; it prints a ``ChatResult`` as one line of JSON. Connections are
persistent, and a new one is opened when all are busy. The client does little work, because on hyper-threads it competes
with the server.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable

import msgspec

from bench.workload import request_body, tokens

_BODY = request_body(0)
_TIMEOUT = 60.0  # seconds, for the last responses


class ChatResult(msgspec.Struct, frozen=True):
    """Result of the calls.

    Attributes:
        answered: the responses with status 200.
        refused: the other responses.
        seconds: the duration of each call.
    """

    answered: int
    refused: int
    seconds: list[float]


class _Connection(asyncio.Protocol):
    """Persistent connection with one request at a time."""

    def __init__(self, on_answer: Callable[[_Connection, float, bool], None]) -> None:
        self._on_answer = on_answer
        self._transport: asyncio.WriteTransport | None = None
        self._request = b""
        self._received = b""
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._request)

    def ask(self, request: bytes) -> None:
        self._request = request
        self._asked_at = time.monotonic()
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, is_whole, body = self._received.partition(b"\r\n\r\n")
        if is_whole and len(body) >= int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            self._received = b""
            self._answered(head.lower().startswith(b"http/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._asked_at:
            self._answered(False)

    def _answered(self, is_good: bool) -> None:
        asked_at = self._asked_at
        self._asked_at = 0.0
        self._on_answer(self, asked_at, is_good)


class _Client:
    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []
        self._requests = itertools.cycle([_request(token) for token in tokens()])
        self.answered = 0
        self.refused = 0
        self.asked = 0
        self.seconds: list[float] = []

    async def ask(self) -> None:
        self.asked += 1
        is_new = not self._idle
        connection = _Connection(self._on_answer) if is_new else self._idle.pop()
        connection.ask(next(self._requests))
        if is_new:
            await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", self._port)

    def _on_answer(self, connection: _Connection, asked_at: float, is_good: bool) -> None:
        self.seconds.append(time.monotonic() - asked_at)
        if is_good:
            self.answered += 1
            self._idle.append(connection)
        else:
            self.refused += 1


def _request(token: str) -> bytes:
    head = (
        f"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
    )
    return head.encode() + _BODY


async def _main(port: int, rate: float, seconds: float) -> ChatResult:
    client = _Client(port)
    began = time.monotonic()
    for number in range(round(rate * seconds)):
        if (early := began + number / rate - time.monotonic()) > 0:
            await asyncio.sleep(early)
        await client.ask()
    until = time.monotonic() + _TIMEOUT
    while client.answered + client.refused < client.asked and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return ChatResult(client.answered, client.refused, client.seconds)


if __name__ == "__main__":
    found = asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
    print(msgspec.json.encode(found).decode())
