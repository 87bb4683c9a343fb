"""Test doubles: a transport in virtual time, a terminal, and an HTTP server with scripted handlers."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from persona_stream.client.models import Request
from persona_stream.client.terminal import Terminal
from persona_stream.client.texts import Texts
from persona_stream.client.transport import BodyFinished, Broken, Bytes, Head, Interrupted, ResponsePart

EN = Texts("en")
ZH = Texts("zh")
RUN = "run-1"
STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "x-run-id": RUN}
OPENING = {
    "success": True, "data": "", "status": "initializing", "message": "正在初始化连接...", "progress": 5,
    "run_id": RUN, "conversation_id": "talk-1", "interval": 2, "deadline": 150, "resume_for": 900,
    "events_url": f"/api/runs/{RUN}/events?ticket=x",
}  # fmt: skip
COMPLETE = {"success": True, "data": "", "status": "complete", "is_complete": True, "total_time": 8.2}


def processing(elapsed: float, progress: int = 7, message: str = "正在检索相关信息...", **more: Any) -> dict[str, Any]:
    """Return a progress event."""
    common = {"success": True, "data": "", "status": "processing", "message": message}
    return {**common, "progress": progress, "elapsed_time": elapsed, **more}


def chunk(text: str, **more: Any) -> dict[str, Any]:
    """Return a chunk of the answer."""
    return {"success": True, "data": text, "status": "streaming", "chunk_number": 1, "is_complete": False, **more}


def failure(code: str, error: str = "处理过程中发生错误", status: str = "error") -> dict[str, Any]:
    """Return a terminal event of a failed run, or a refusal."""
    return {"success": False, "error": error, "code": code, "status": status, "is_complete": True}


def frame(payload: object, position: str | None = None) -> bytes:
    """Return an event on the wire; ``position`` is like ``2.76``."""
    data = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return (f"id: {RUN}/{position}\n" if position else "").encode() + f"data: {data}\n\n".encode()


@dataclass
class FakeTransport:
    """Transport with scripted connections in virtual time.

    A script is a list: a number lets seconds pass, ``bytes`` arrive, and ``head``, ``finished`` and ``broken``
    create the other messages. A connection stays open and silent after its script.
    """

    scripts: list[list[Any]]
    interrupt_at: list[float] = field(default_factory=list)
    now: float = 1000.0
    requests: list[Request] = field(default_factory=list)
    opened_at: list[float] = field(default_factory=list)
    _due: list[ResponsePart] = field(default_factory=list)

    def clock(self) -> float:
        """Return the virtual time."""
        return self.now

    def open(self, request: Request) -> None:
        """Start the next script."""
        self.requests.append(request)
        self.opened_at.append(self.now)
        at = self.now
        self._due = []
        for step in self.scripts.pop(0):
            if isinstance(step, int | float):
                at += step
            else:
                self._due.append(Bytes(at, step) if isinstance(step, bytes) else step(at))

    def next(self, timeout: float) -> ResponsePart | None:
        """Advance the time to the next message."""
        until = self.now + timeout
        if self.interrupt_at and self.interrupt_at[0] <= until:
            self.now = max(self.now, self.interrupt_at.pop(0))
            raise Interrupted
        if self._due and self._due[0].at <= until:
            message = self._due.pop(0)
            self.now = max(self.now, message.at)
            return message
        self.now = until
        return None

    def close(self) -> None:
        """Drop the rest of the script."""
        self._due = []


def head(status: int = 200, **headers: str) -> Callable[[float], ResponsePart]:
    """Create the start of a response; without headers, that of a stream."""
    given = {name.replace("_", "-"): value for name, value in headers.items()} or STREAM_HEADERS
    return lambda at: Head(at, status, given)


def json_head(status: int = 200, **headers: str) -> Callable[[float], ResponsePart]:
    """Create the start of a JSON response."""
    return head(status, content_type="application/json", **headers)


def finished(at: float) -> ResponsePart:
    """Create a regular end of a response."""
    return BodyFinished(at)


def broken(reason: Any = "connection_lost") -> Callable[[float], ResponsePart]:
    """Create a broken connection."""
    return lambda at: Broken(at, reason, "Connection reset by peer")


class FakeTerminal(io.StringIO):
    """Stream that claims to be a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]  # StringIO has none that can be set

    def isatty(self) -> bool:
        """Return that it is a terminal."""
        return True


def tty(*, colour: bool = False) -> tuple[Terminal, io.StringIO]:
    """Return a terminal of 80 columns, and the stream that records its output."""
    stream = FakeTerminal()
    return Terminal(stream, {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "" if colour else "1"}), stream


def pipe() -> tuple[Terminal, io.StringIO]:
    """Return the console of a pipe, and the stream that records its output."""
    stream = io.StringIO()
    return Terminal(stream, {"TERM": "xterm"}), stream


class Exchange:
    """Request to the ``FakeServer``, and its response."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self.method, self.path, _ = self._reader.readline().decode().split()
        self.headers: dict[str, str] = {}
        while (line := self._reader.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.body = self._reader.read(int(self.headers.get("content-length", 0)))
        self._chunked = False

    def head(self, status: int = 200, headers: dict[str, str] | None = None, *, chunked: bool = False) -> None:
        """Send the start of the response; without ``chunked``, the body ends with the connection."""
        self._chunked = chunked
        lines = [f"{name}: {value}" for name, value in (headers or STREAM_HEADERS).items()]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        self.send_raw("\r\n".join([f"HTTP/1.1 {status} Status", *lines, "Connection: close", "", ""]).encode())

    def send(self, data: bytes) -> None:
        """Send part of the body."""
        self.send_raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def event(self, payload: object, position: str | None = None) -> None:
        """Send an event."""
        self.send(frame(payload, position))

    def answer(self, status: int, payload: object, headers: dict[str, str] | None = None) -> None:
        """Send a complete JSON response."""
        body = json.dumps(payload).encode()
        length = {"content-type": "application/json", "content-length": str(len(body))}
        self.head(status, {**length, **(headers or {})})
        self.send_raw(body)

    def end(self) -> None:
        """Send the regular end of the body."""
        if self._chunked:
            self.send_raw(b"0\r\n\r\n")

    def send_raw(self, data: bytes) -> None:
        """Send bytes without chunked encoding."""
        self._connection.sendall(data)

    def wait_for_disconnect(self) -> None:
        """Wait until the client disconnects."""
        try:
            while self._connection.recv(1024):
                pass
        except OSError:
            return  # reset

    def reset(self) -> None:
        """Reset the connection when it is closed."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self._connection.close()


Handler = Callable[[Exchange], None]


class FakeServer:
    """HTTP server that calls one handler per connection, in order; a context manager.

    ``__exit__`` raises the first error of a handler.
    """

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._handlers = list(handlers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._errors: list[Exception] = []
        self.requests: list[Exchange] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> FakeServer:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._acceptor, *self._threads]:
            thread.join(20)
            assert not thread.is_alive(), "a handler of the fake server is still running"
        if self._errors:
            raise self._errors[0]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed by __exit__
            thread = threading.Thread(target=self._handle, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _handle(self, connection: socket.socket) -> None:
        exchange = Exchange(connection)
        try:
            handler = self._handlers[len(self.requests)]
            self.requests.append(exchange)
            handler(exchange)
        except (BrokenPipeError, ConnectionResetError):
            return  # the test decides whether the client may disconnect
        except Exception as error:  # noqa: BLE001  raised by __exit__
            self._errors.append(error)
        finally:
            exchange.close()
