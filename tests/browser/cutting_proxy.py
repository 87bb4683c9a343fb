"""A TCP proxy that does to connections what real networks do to them."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset instead of a farewell


class CuttingProxy:
    """Forward every connection to a port of this machine, until told otherwise.

    Attributes:
        slice_bytes: the server's bytes are handed on in pieces of at most this size.
        refusing: new connections are closed as soon as they come.
        pieces: each connection stops, as if its network had, in the middle of this piece of the answer or of the
            reasoning, until it is cut or ``release`` is called; ``None`` lets everything pass.
    """

    def __init__(self, target_port: int, slice_bytes: int = 65536) -> None:
        self.slice_bytes = slice_bytes
        self.refusing = False
        self.pieces: int | None = None
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
        """Give the address that stands for the server's."""
        return f"http://127.0.0.1:{self.port}"

    def release(self) -> None:
        """Let everything pass from now on."""
        self.pieces = None
        self._released.set()

    def cut(self) -> int:
        """Reset every open connection, on both sides, and tell how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for side in pair:
                with contextlib.suppress(OSError):  # the other end may have gone first
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
        with contextlib.suppress(OSError):  # reset by either end, or by us
            passed = b""
            while data := source.recv(slice_bytes):
                allowed = len(data) if self.pieces is None else _allowed(passed, data, self.pieces)
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


def _allowed(passed: bytes, data: bytes, pieces: int) -> int:
    """Tell how many of these bytes come before the end of so many pieces of a text."""
    ends = [found.end() for found in re.finditer(rb'"status":"(?:reasoning|streaming)"', passed + data)]
    return len(data) if len(ends) < pieces else max(0, ends[pieces - 1] - len(passed))
