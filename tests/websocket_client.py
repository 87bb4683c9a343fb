"""WebSocket client for tests, which can also send malformed frames."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from tests.server_process import token

TIMEOUT = 60.0  # seconds
UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip
"""Headers of a handshake."""


class Refused(Exception):
    """Handshake that was answered with an HTTP error."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class WebSocketClient:
    """Open connection to a server.

    Attributes:
        subprotocol: the subprotocol that the server selected.
        close_code: code of the server's close frame, once it has arrived.
    """

    def __init__(
        self,
        url: str,
        path: str = "/api/ws",
        *,
        user: str | None = "alice",
        subprotocols: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT)
        self._websocket = WSConnection(ConnectionType.CLIENT)
        self._messages: deque[dict[str, Any]] = deque()
        self._parts: list[str] = []
        self.pongs: list[bytes] = []
        self.close_code: int | None = None
        self.is_over = False
        if user is not None:
            headers = [*headers, ("Authorization", f"Bearer {token(user)}")]
        opening = Request(
            host=parts.netloc,
            target=path,
            subprotocols=list(subprotocols),
            extra_headers=[(name.encode(), value.encode()) for name, value in headers],
        )
        self.socket.sendall(self._websocket.send(opening))
        self.subprotocol: str | None = None
        self._is_open = False
        self._refusal = Refused(0, {})
        self._body = b""
        while not self._is_open:
            self._read()

    def __enter__(self) -> WebSocketClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def _read(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            self.is_over = True
            return
        self._websocket.receive_data(data)
        for event in self._websocket.events():
            match event:
                case AcceptConnection(subprotocol=subprotocol):
                    self.subprotocol = subprotocol
                    self._is_open = True
                case RejectConnection(status_code=status):
                    self._refusal.status = status
                case RejectData(data=data, body_finished=is_finished):
                    self._body += data
                    if is_finished:
                        self.socket.close()
                        raise Refused(self._refusal.status, json.loads(self._body))
                case TextMessage(data=text, message_finished=is_finished):
                    self._parts.append(text)
                    if is_finished:
                        self._messages.append(json.loads("".join(self._parts)))
                        self._parts.clear()
                case Ping():
                    self.socket.sendall(self._websocket.send(event.response()))
                case Pong(payload=payload):
                    self.pongs.append(bytes(payload))
                case CloseConnection(code=code):
                    self.close_code = int(code)
                    if self._websocket.state is ConnectionState.REMOTE_CLOSING:
                        with suppress(OSError):  # the server may have closed already
                            self.socket.sendall(self._websocket.send(event.response()))

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message."""
        self.send_text(json.dumps({"type": kind, **fields}))

    def send_text(self, text: str) -> None:
        """Send a text message as it is."""
        self.socket.sendall(self._websocket.send(TextMessage(text)))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        while not self._messages:
            assert not self.is_over, f"the connection is over (close code {self.close_code})"
            assert self.close_code is None, f"closed with {self.close_code}"
            self._read()
        return self._messages.popleft()

    def receive_until(self, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Return the next messages up to one that is the last."""
        messages = [self.receive()]
        while not is_last(messages[-1]):
            messages.append(self.receive())
        return messages

    def receive_run(self) -> list[dict[str, Any]]:
        """Return the next messages up to the end of a run or a refusal."""
        return self.receive_until(lambda message: message.get("is_complete") is True)

    def read_close(self) -> int | None:
        """Read to the end of the connection, and return the code of the close frame."""
        while not self.is_over:
            try:
                self._read()
            except ConnectionResetError:
                break
        return self.close_code

    def close(self, code: int = 1000) -> int | None:
        """Close the connection, and return the code of the server's close frame."""
        self.socket.sendall(self._websocket.send(CloseConnection(code)))
        return self.read_close()


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """Return a frame of a client, possibly one that is not allowed."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | opcode
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 65536:
        head = bytes([first, mask | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, mask | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
