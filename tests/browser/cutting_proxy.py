"""TCP proxy that simulates network failures."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class CuttingProxy:
    """Proxy of a local port.

    Attributes:
        slice_bytes: maximum size in which the server's bytes are forwarded.
        refusing: whether new connections are closed at once.
        chunks: number of chunks of the answer or the reasoning after which each connection stalls, until ``cut`` or
            ``release``; ``None``: no limit.
    """

    def __init__(self, target_port: int, slice_bytes: int = 65536) -> None:
        self.slice_bytes = slice_bytes
        self.refusing = False
        self.chunks: int | None = None
        self._released = threading.Event()
        self.connections = 0
        self._target_port = target_port
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> CuttingProxy:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    @property
    def address(self) -> str:
        """Return the URL to use instead of the server's."""
        return f"http://127.0.0.1:{self.port}"

    def release(self) -> None:
        """Forward everything from now on."""
        self.chunks = None
        self._released.set()

    def cut(self) -> int:
        """Reset every open connection on both sides; return how many there were."""
        with self._lock:
            pairs = self._pairs
            self._pairs = set()
        for pair in pairs:
            for side in pair:
                with contextlib.suppress(OSError):  # already closed by the other end
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    side.shutdown(socket.SHUT_RDWR)
                side.close()
        return len(pairs)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            pair = (client, socket.create_connection(("127.0.0.1", self._target_port)))
            for side in pair:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            with self._lock:
                self._pairs.add(pair)
                self.connections += 1
            self._start(self._forward, pair, 65536, *pair)
            self._start(self._forward, pair, self.slice_bytes, *reversed(pair))

    def _forward(
        self,
        pair: tuple[socket.socket, socket.socket],
        slice_bytes: int,
        source: socket.socket,
        sink: socket.socket,
    ) -> None:
        with contextlib.suppress(OSError):  # reset
            passed = b""
            while data := source.recv(slice_bytes):
                allowed = len(data) if self.chunks is None else _allowed(passed, data, self.chunks)
                sink.sendall(data[:allowed])
                if allowed < len(data):
                    self._released.wait()
                    sink.sendall(data[allowed:])
                passed += data
            sink.shutdown(socket.SHUT_WR)
            return
        with self._lock:
            self._pairs.discard(pair)
        for side in pair:
            side.close()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]  # any callable
        self._threads.append(thread)
        thread.start()


def _allowed(passed: bytes, data: bytes, chunks: int) -> int:
    """Return how many of these bytes precede the end of so many chunks."""
    ends = [found.end() for found in re.finditer(rb'"status":"(?:reasoning|streaming)"', passed + data)]
    return len(data) if len(ends) < chunks else max(0, ends[chunks - 1] - len(passed))
