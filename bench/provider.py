"""Fake streaming provider whose tokens contain the time at which they were sent.

Run as ``python -m bench.provider``; it prints its port and serves until it is stopped. It implements the OpenAI chat
protocol: after ``FIRST_DELAY`` seconds it sends ``TOKENS`` tokens, ``RATE`` per second. A token is the time in
microseconds of the machine's monotonic clock in ``WIDTH`` digits, and a space.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

FIRST_DELAY: Final = 0.5
RATE: Final = 100.0
TOKENS: Final = 1000
WIDTH: Final = 15

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK: Final = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{%b},"finish_reason":%b}]}\n\n'
)


def now() -> int:
    """Return the time in microseconds; all processes of the machine share this clock."""
    return time.monotonic_ns() // 1000


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Connection(asyncio.Protocol):
    """Connection that serves one request after the other, with plain callbacks to save CPU time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._begun = 0.0
        self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            self._received = b""
            self._transport.write(_HEAD)
            self._begun = self._loop.time() + FIRST_DELAY
            self._sent = 0
            self._loop.call_at(self._begun, self._send)

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        if self._sent < TOKENS:
            self._transport.write(_framed(_CHUNK % (b'"content":"%0*d "' % (WIDTH, now()), b"null")))
            self._sent += 1
            self._loop.call_at(self._begun + self._sent / RATE, self._send)
        else:
            self._transport.write(_framed(_CHUNK % (b"", b'"stop"')) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _length(head: bytes) -> int:
    return next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))


async def main() -> None:
    """Serve until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
