"""Minimal HTTP and SSE client for asyncio, with one connection for each request."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple

_READ_BYTES = 16 * 1024
_RESET = struct.pack("ii", 1, 0)


class Event(NamedTuple):
    """Event with its id, if any, and its data; ``None`` for ``[DONE]``."""

    id: str
    data: dict[str, Any] | None


class HTTPExchange:
    """Request and its response.

    Attributes:
        status: the status of the response.
        headers: the headers of the response, with names in lower case.
        silence: the longest time without data, in seconds.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._active_at = time.monotonic()
        self.silence = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}

    @classmethod
    async def begin(
        cls,
        port: int,
        path: str,
        token: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        receive_bytes: int | None = None,
    ) -> HTTPExchange:
        """Connect and send a request: a POST with a body, else a GET.

        Args:
            receive_bytes: the size of the kernel's receive buffer; ``None`` for its default.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=_READ_BYTES)
        except BaseException:
            sock.close()
            raise
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        head += [f"Authorization: Bearer {token}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        return cls(reader, writer)

    async def __aenter__(self) -> HTTPExchange:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, *, abruptly: bool = False) -> None:
        """Close the connection; ``abruptly`` with a reset, like a phone that loses its network."""
        if abruptly:
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._writer.transport.abort()
        self._writer.close()

    async def drain(self) -> None:
        """Wait until the request is in the kernel's buffer."""
        await self._writer.drain()

    async def read_head(self) -> HTTPExchange:
        """Read the head of the response."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except BaseException:
            self.close()
            raise
        self._mark_activity()
        self.status = int(head[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return self

    async def json(self) -> Any:
        """Read the whole response as JSON."""
        if "content-length" in self.headers:
            return json.loads(await self._reader.readexactly(int(self.headers["content-length"])))
        return json.loads(b"".join([data async for data in self._chunks()]))

    async def events(self, pace: float = math.inf) -> AsyncIterator[Event]:
        """Yield the events of the response, reading at most ``pace`` bytes per second."""
        text = b""
        async for data in self._chunks(pace):
            *whole, text = (text + data).split(b"\n\n")
            for each in whole:
                yield _event(each.decode())
        if text.strip():
            raise EOFError(f"the stream ends inside an event: {text[:80]!r}")

    async def _chunks(self, pace: float = math.inf) -> AsyncIterator[bytes]:
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            while size:
                data = await self._reader.read(min(size, _READ_BYTES))
                if not data:
                    raise EOFError("the response ends inside a chunk")
                self._mark_activity()
                size -= len(data)
                await asyncio.sleep(len(data) / pace)
                yield data
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)

    def _mark_activity(self) -> None:
        now = time.monotonic()
        self.silence = max(self.silence, now - self._active_at)
        self._active_at = now


def _event(text: str) -> Event:
    fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":"))
    data = fields["data"]
    return Event(fields.get("id", ""), None if data == "[DONE]" else json.loads(data))
