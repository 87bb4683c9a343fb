"""A provider on a real socket, which sends exactly the bytes it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Reply = bytes | Callable[[socket.socket], None]


def http(status: int, body: bytes | str | object, *headers: str) -> bytes:
    """Give a whole reply; a body that is no text becomes JSON."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Reason", *headers, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def completion(content: object = "Forty-two.", **more: Any) -> dict[str, Any]:
    """Give what a provider sends for an answer."""
    message = {"role": "assistant", "content": content} | more.pop("message", {})
    choice = {"index": 0, "finish_reason": more.pop("finish_reason", "stop"), "message": message}
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]} | more


@dataclass
class Request:
    """One request, as it came in."""

    target: str
    headers: dict[str, str]
    body: Any


@dataclass
class Provider:
    """Send the replies in turn, the last one again and again; keep what was asked."""

    port: int
    replies: list[Reply]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def serve(self, connection: socket.socket) -> None:
        """Answer on one connection until it ends."""
        # Whoever closes with bytes unread resets the connection: that is an end like any other.
        with connection, connection.makefile("rb") as stream, suppress(OSError):
            while (request := _read(stream)) is not None:
                self.requests.append(request)
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                if callable(reply):
                    reply(connection)
                    break
                connection.sendall(reply)
        self.ended.set()


def _read(stream: Any) -> Request | None:
    line = stream.readline().split()
    if not line:
        return None
    headers = {}
    while header := stream.readline().strip():
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(line[1].decode(), headers, json.loads(body) if body else None)


@contextmanager
def provider(*replies: Reply) -> Iterator[Provider]:
    """Serve on a free port until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Provider(listener.getsockname()[1], list(replies))

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                served.connections += 1
                threading.Thread(target=served.serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
