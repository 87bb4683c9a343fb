"""A stand-in for a provider that streams: every token says when it was sent.

Run as ``python -m bench.provider``; it writes its port, and serves until it is stopped. It speaks OpenAI's chat wire:
after ``FIRST`` seconds it sends ``TOKENS`` tokens, ``RATE`` a second. A token is the moment, in microseconds of the
machine's monotonic clock, in ``WIDTH`` digits, and a space.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

FIRST: Final = 0.5
RATE: Final = 100.0
TOKENS: Final = 1000
WIDTH: Final = 15

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK: Final = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{%b},"finish_reason":%b}]}\n\n'
)


def now() -> int:
    """Give the moment, the same in every process of this machine."""
    return time.monotonic_ns() // 1000


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Connection(asyncio.Protocol):
    """Answer one request after the other. Bare callbacks: streams and tasks would take this core half of its time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked = b""
        self._begun = 0.0
        self._said = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked += data
        head, found, body = self._asked.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            self._asked = b""
            self._transport.write(_HEAD)
            self._begun, self._said = self._loop.time() + FIRST, 0
            self._loop.call_at(self._begun, self._say)

    def _say(self) -> None:
        if self._transport.is_closing():
            return
        if self._said < TOKENS:
            self._transport.write(_framed(_CHUNK % (b'"content":"%0*d "' % (WIDTH, now()), b"null")))
            self._said += 1
            self._loop.call_at(self._begun + self._said / RATE, self._say)
        else:
            self._transport.write(_framed(_CHUNK % (b"", b'"stop"')) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _length(head: bytes) -> int:
    return next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))


async def main() -> None:
    """Serve."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
