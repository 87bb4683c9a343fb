"""Load generator: one process with an epoll loop that only records reads; they are parsed afterwards.

Run as ``python -m bench.client PORT SCENARIO`` (JSON). It prints ``plateau`` when all streams are waiting, ``ended``
after the last stream, and then a ``LoadResult`` as one line of JSON.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import sys
import time
from typing import NamedTuple

import msgspec

from bench.results import LoadResult, evaluate
from bench.transcript import Transcript, WebSocketTranscript
from bench.workload import PATH, Scenario, request_body, tokens

STREAM_TIMEOUT = 120.0
"""Seconds beyond its planned duration after which a stream counts as lost."""

READ_BYTES = 64 * 1024
LAST_EVENT = b'"is_complete":true'
CLOSE_FRAME = b"\x88\x82\0\0\0\0\x03\xe8"


class Stream:
    """Connection of one stream, with each read and its time."""

    __slots__ = ("asked", "message", "reads", "request", "sock", "tail", "why")

    def __init__(self, request: bytes, message: bytes = b"") -> None:
        self.request = request
        self.message = message  # to be sent when the WebSocket is open
        self.sock: socket.socket | None = None
        self.asked = 0.0
        self.reads: list[tuple[float, bytes]] = []
        self.tail = b""
        self.why = ""

    def open(self, port: int, poller: select.epoll, streams: dict[int, Stream]) -> None:
        """Connect and send the request; the loop completes a connection that is not established at once."""
        self.asked = time.perf_counter()
        sock = self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        streams[sock.fileno()] = self
        status = sock.connect_ex(("127.0.0.1", port))
        if status == 0:
            sock.sendall(self.request)
            poller.register(sock, select.EPOLLIN)
        elif status == errno.EINPROGRESS:
            poller.register(sock, select.EPOLLOUT)
        else:
            raise OSError(status, os.strerror(status))

    def close(self, poller: select.epoll, streams: dict[int, Stream]) -> None:
        """Close the connection."""
        if self.sock is not None:
            del streams[self.sock.fileno()]
            self.sock.close()
            self.sock = None


def _requests(port: int, scenario: Scenario) -> list[bytes]:
    body = request_body(scenario.seconds)
    return [
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: persona-stream-bench\r\nAccept: text/event-stream\r\n"
        b"Accept-Encoding: identity\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Authorization: Bearer %b\r\n\r\n%b" % (PATH.encode(), port, len(body), token.encode(), body)
        for token in tokens()
    ]


def _handshakes(port: int) -> list[bytes]:
    return [
        b"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: persona-stream-bench\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Authorization: Bearer %b\r\n\r\n" % (port, token.encode())
        for token in tokens()
    ]


def _start_message(scenario: Scenario) -> bytes:
    payload = b'{"type":"start","request":%b}' % request_body(scenario.seconds)
    size = b"%c" % (0x80 | len(payload)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return b"\x81%b\0\0\0\0%b" % (size, payload)  # the mask changes nothing


def _receive(stream: Stream, sock: socket.socket) -> bool:
    """Read the available data; return whether the response has ended."""
    try:
        data = sock.recv(READ_BYTES)
    except BlockingIOError:
        return False
    except OSError as broken:
        stream.why = f"connection broken: {broken.strerror}"
        return True
    if not data:
        return True
    stream.reads.append((time.perf_counter(), data))
    if stream.message:
        sock.sendall(stream.message)
        stream.message = b""
        stream.tail = CLOSE_FRAME
        return False
    if stream.tail == CLOSE_FRAME:
        if LAST_EVENT in data:
            sock.sendall(CLOSE_FRAME)  # the server answers it and closes the connection
        return False
    # The last chunk of the body marks the end; it may arrive in two reads.
    stream.tail = data[-5:] if len(data) >= 5 else (stream.tail + data)[-5:]
    return stream.tail == b"0\r\n\r\n"


class Load(NamedTuple):
    """All streams, the time when all should be waiting, and the CPU seconds of the client."""

    streams: list[Stream]
    plateau: float | None
    cpu: float


def load(port: int, scenario: Scenario) -> Load:
    """Run a scenario against the server."""
    requests = _handshakes(port) if scenario.websocket else _requests(port, scenario)
    message = _start_message(scenario) if scenario.websocket else b""
    todo = [Stream(requests[n % len(requests)], message) for n in range(scenario.streams)]
    streams: dict[int, Stream] = {}
    poller = select.epoll()
    gap = 1 / scenario.rate if scenario.rate else 0.0
    gc.collect()
    gc.disable()  # its pauses would be attributed to the server

    cpu = time.process_time()
    begun = time.perf_counter()
    plateau = begun + scenario.plateau if scenario.has_plateau else None
    announced = plateau is None
    until = begun + scenario.arriving + scenario.seconds + STREAM_TIMEOUT
    opened = 0
    while opened < len(todo) or streams:
        now = time.perf_counter()
        while opened < len(todo) and begun + opened * gap <= now:
            todo[opened].open(port, poller, streams)
            opened += 1
        if not announced and plateau is not None and now >= plateau:
            announced = True
            plateau = now
            print("plateau", flush=True)
        if now >= until:
            break
        wait = begun + opened * gap - now if opened < len(todo) else 0.1
        for descriptor, happened in poller.poll(max(0.0, wait), 256):
            stream = streams[descriptor]
            sock = stream.sock
            assert sock is not None
            if happened & select.EPOLLOUT:
                status = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if status:
                    stream.why = f"not connected: {os.strerror(status)}"
                    stream.close(poller, streams)
                    continue
                sock.sendall(stream.request)
                poller.modify(descriptor, select.EPOLLIN)
            elif _receive(stream, sock):
                stream.close(poller, streams)
    cpu = time.process_time() - cpu
    gc.enable()
    for stream in list(streams.values()):
        stream.why = f"no end within {STREAM_TIMEOUT:.0f} s after the planned time"
        stream.close(poller, streams)
    return Load(todo, plateau, cpu)


def measure(port: int, scenario: Scenario) -> LoadResult:
    """Run a scenario and evaluate its streams."""
    streams, plateau, cpu = load(port, scenario)
    print("ended", flush=True)
    kind = WebSocketTranscript if scenario.websocket else Transcript
    transcripts = [kind(stream.asked, stream.reads, stream.why) for stream in streams]
    return evaluate(transcripts, scenario, plateau, cpu)


def main() -> None:
    """Run the scenario of the command line and print its result."""
    port = int(sys.argv[1])
    scenario = msgspec.json.decode(sys.argv[2], type=Scenario)
    print(msgspec.json.encode(measure(port, scenario)).decode(), flush=True)


if __name__ == "__main__":
    main()
