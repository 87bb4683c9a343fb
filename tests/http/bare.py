"""HTTP over a plain socket, for requests that an HTTP library refuses to send."""

from __future__ import annotations

import re
import socket

from tests.server_process import token

_STATUS = re.compile(rb"(?:^|(?<=[}\n]))HTTP/1\.[01] (\d{3}) ")


def connect(url: str, seconds: float = 30.0) -> socket.socket:
    """Connect to a server, with a timeout for each read."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=seconds)


def head(request: str = "GET /healthz", *fields: bytes) -> bytes:
    """Write a head, with its end."""
    return b"".join((request.encode(), b" HTTP/1.1\r\nHost: x\r\n", *(field + b"\r\n" for field in fields), b"\r\n"))


def post(*fields: bytes, path: str = "/api/chat", user: str = "alice") -> bytes:
    """Write the head of a request with a token."""
    return head(f"POST {path}", b"Authorization: Bearer " + token(user).encode(), *fields)


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the server closes or resets the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:  # it may not have read all that was sent
        pass
    return b"".join(parts)


def exchange(url: str, sent: bytes) -> bytes:
    """Send bytes, and read until the server closes."""
    with connect(url) as connection:
        connection.sendall(sent)
        return read_to_end(connection)


def statuses(received: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(found) for found in _STATUS.findall(received)]
