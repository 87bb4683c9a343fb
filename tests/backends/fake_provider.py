"""Fake providers: one on a real socket, which sends exactly the given bytes, and a fake response without I/O."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, TypeVar

from hypothesis import strategies as st

from persona_stream.core.query import Query
from tests.fakes import query_with

Reply = bytes | Callable[[socket.socket], None]


def http(status: int, body: bytes | str | object, *headers: str) -> bytes:
    """Return a whole HTTP response; a body that is not a string is sent as JSON."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Reason", *headers, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def completion(content: object = "Forty-two.", **more: Any) -> dict[str, Any]:
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": content} | more.pop("message", {})
    choice = {"index": 0, "finish_reason": more.pop("finish_reason", "stop"), "message": message}
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]} | more


def message(*content: object, **more: Any) -> dict[str, Any]:
    """Return the body of a message of Anthropic's API; a string stands for a text block."""
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m1", "content": blocks}
    return head | {"stop_reason": "end_turn", "stop_sequence": None} | more


def chunk(content: object = None, **more: Any) -> dict[str, Any]:
    """Return a chunk of a chat completion."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta | more.pop("delta", {}), "finish_reason": more.pop("finish_reason", None)}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]} | more


DONE = b"data: [DONE]\n\n"


def chunks(*frames: object) -> bytes:
    """Encode chunks as events; a string becomes a chunk with content, and bytes are inserted as they are."""
    made = (chunk(frame) if isinstance(frame, str) else frame for frame in frames)
    return b"".join(frame if isinstance(frame, bytes) else b"data: %s\n\n" % _json(frame) for frame in made)


def parts(*frames: object) -> bytes:
    """Encode events of Anthropic's API; a string becomes a delta of the first block, and bytes are left as they are."""
    made = (part(frame) if isinstance(frame, str) else frame for frame in frames)
    return b"".join(
        frame if isinstance(frame, bytes) else b"event: %s\ndata: %s\n\n" % (frame["type"].encode(), _json(frame))
        for frame in made
    )


def part(text: str, index: int = 0, kind: str = "text") -> dict[str, Any]:
    """Return an event with a delta of a block."""
    field = {"input_json": "partial_json"}.get(kind, kind)
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", field: text}}


def block(index: int = 0, **fields: Any) -> dict[str, Any]:
    """Return the event that starts a block, by default a text block."""
    return {"type": "content_block_start", "index": index, "content_block": fields or {"type": "text", "text": ""}}


def begun(**usage: int) -> dict[str, Any]:
    """Return the event that starts a message."""
    return {"type": "message_start", "message": message(stop_reason=None, usage=usage)}


def ended(reason: object = "end_turn", **usage: int) -> dict[str, Any]:
    """Return the event with the stop reason of a message."""
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOPPED = {"type": "message_stop"}
PING = {"type": "ping"}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def stream(*chunks: bytes, is_whole: bool = True) -> bytes:
    """Return an HTTP response with these chunks; the last chunk is missing if it is not whole."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    return head + body + (b"0\r\n\r\n" if is_whole else b"")


def cut(*chunks: bytes) -> Callable[[socket.socket], None]:
    """Return a reply that sends the beginning of a stream and closes the connection."""

    def send(connection: socket.socket) -> None:
        connection.sendall(stream(*chunks, is_whole=False))

    return send


def steps(*chunks: bytes | threading.Event) -> Callable[[socket.socket], None]:
    """Return a reply that sends a stream, and waits for the events in it before it goes on."""

    def send(connection: socket.socket) -> None:
        connection.sendall(stream(is_whole=False))
        for chunk in chunks:
            if isinstance(chunk, bytes):
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            else:
                assert chunk.wait(30)
        connection.sendall(b"0\r\n\r\n")

    return send


def hold(*chunks: bytes, again: bytes = b"") -> Callable[[socket.socket], None]:
    """Return a reply that sends the beginning of a stream, and then nothing, or the same bytes again and again."""

    def send(connection: socket.socket) -> None:
        connection.sendall(stream(*chunks, is_whole=False))
        connection.settimeout(0.01 if again else None)
        while True:
            try:
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                connection.sendall(b"%x\r\n%s\r\n" % (len(again), again))

    return send


T = TypeVar("T", str, bytes)


def cuts(data: st.DataObject, whole: T) -> list[T]:
    """Split a string or bytes at arbitrary positions."""
    bounds = [0, *sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5))), len(whole)]
    return [whole[start:end] for start, end in pairwise(bounds)]


class FakeResponse:
    """Fake of a streamed response whose chunks are all there."""

    status = 200
    is_success = True

    def __init__(
        self,
        *chunks: bytes,
        error: Exception | None = None,
        kind: str = "text/event-stream",
        is_buffered: bool = False,
    ) -> None:
        self.headers = {"Content-Type": kind}
        self._is_buffered = is_buffered
        self.chunks = self._read(chunks, error)

    def has_buffered_data(self) -> bool:
        """Return whether more chunks seem to have arrived."""
        return self._is_buffered

    def abort(self) -> None:
        """Do nothing."""

    def _read(self, chunks: Iterable[bytes], error: Exception | None) -> Iterator[bytes]:
        yield from chunks
        if error is not None:
            raise error


class Recorder:
    """Recorder of the texts that a query sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def query(self, **fields: Any) -> Query:
        """Create a query whose texts are recorded."""
        return query_with(
            Query(**{"username": "ada", "message": "How many?", "locale": "en"} | fields),
            on_text=lambda text: self.sent.append(("text", text)),
            on_reasoning=lambda text: self.sent.append(("reasoning", text)),
        )

    @property
    def joined(self) -> list[tuple[str, str]]:
        """Return the recorded texts, with neighbours of the same kind joined."""
        return [(kind, "".join(text for _, text in group)) for kind, group in groupby(self.sent, key=itemgetter(0))]

    @property
    def text(self) -> str:
        return "".join(text for kind, text in self.sent if kind == "text")

    @property
    def reasoning(self) -> str:
        return "".join(text for kind, text in self.sent if kind == "reasoning")


class FakeSleep:
    """Fake of ``sleep`` that records the durations."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@dataclass
class Request:
    """Request as it was received."""

    target: str
    headers: dict[str, str]
    body: Any


@dataclass
class Provider:
    """Fake provider that sends the replies in turn, the last one repeatedly, and records the requests."""

    port: int
    replies: list[Reply]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests on one connection until it ends."""
        # A client that closes with unread bytes resets the connection, which is a normal end here.
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
    """Run a fake provider on a free port until the end of the block."""
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
