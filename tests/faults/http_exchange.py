"""One request on a connection of its own: a client that knows only HTTP and server-sent events, for asyncio."""

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
    """An event: its id, where it has one, and its data; ``None`` for ``[DONE]``."""

    id: str
    data: dict[str, Any] | None


class Exchange:
    """Ask, and read what comes back.

    Attributes:
        status: of the answer. ``headers``: of the answer, in lower case.
        silence: seconds, the longest time in which nothing came.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._heard_at = time.monotonic()
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
    ) -> Exchange:
        """Connect, and send a request: a POST where there is a body, else a GET.

        Args:
            receive_bytes: how much the kernel takes that is not read; ``None`` leaves that to it.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=_READ_BYTES)
        except BaseException:  # whatever it is, the file is closed
            sock.close()
            raise
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        head += [f"Authorization: Bearer {token}", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        return cls(reader, writer)

    async def __aenter__(self) -> Exchange:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self, *, abruptly: bool = False) -> None:
        """Hang up; ``abruptly`` as one does whose phone lost its network, and what is on its way is lost."""
        if abruptly:
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._writer.transport.abort()
        self._writer.close()

    async def sent(self) -> None:
        """Wait until the kernel has the request."""
        await self._writer.drain()

    async def begun(self) -> Exchange:
        """Wait for the head of the answer."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except BaseException:  # whatever it is, the connection is closed
            self.leave()
            raise
        self._hear()
        self.status = int(head[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return self

    async def json(self) -> Any:
        """Read the answer to its end."""
        if "content-length" in self.headers:
            return json.loads(await self._reader.readexactly(int(self.headers["content-length"])))
        return json.loads(b"".join([data async for data in self._chunks()]))

    async def events(self, pace: float = math.inf) -> AsyncIterator[Event]:
        """Read events to the end of the answer, and no faster than so many bytes a second."""
        text = b""
        async for data in self._chunks(pace):
            *whole, text = (text + data).split(b"\n\n")
            for each in whole:
                yield _event(each.decode())
        if text.strip():
            raise EOFError(f"it ends inside an event: {text[:80]!r}")

    async def _chunks(self, pace: float = math.inf) -> AsyncIterator[bytes]:
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            while size:
                data = await self._reader.read(min(size, _READ_BYTES))
                if not data:
                    raise EOFError("it ends inside a chunk")
                self._hear()
                size -= len(data)
                await asyncio.sleep(len(data) / pace)  # as slow as it is told to be
                yield data
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)

    def _hear(self) -> None:
        now = time.monotonic()
        self.silence, self._heard_at = max(self.silence, now - self._heard_at), now


def _event(text: str) -> Event:
    fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":"))
    data = fields["data"]
    return Event(fields.get("id", ""), None if data == "[DONE]" else json.loads(data))
