"""TCP proxy between servers and Redis that delays data, and pub/sub messages on demand."""

from __future__ import annotations

import socket
import threading
import time

from tests.ports import free_port


class SlowProxy:
    """Proxy that delays all data by ``seconds`` and can hold pub/sub messages back."""

    def __init__(self, port: int, seconds: float = 0.0) -> None:
        self._target_port = port
        self._seconds = seconds
        self._port = free_port()
        self._messages_pass = threading.Event()
        self._messages_pass.set()
        self._subscribed: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """URL of Redis through this proxy."""
        return f"redis://127.0.0.1:{self._port}/0"

    def hold_messages(self) -> None:
        """Delay pub/sub messages."""
        self._messages_pass.clear()

    def release_messages(self) -> None:
        """Deliver pub/sub messages again."""
        self._messages_pass.set()

    def close(self) -> None:
        """Accept no more connections."""
        self._messages_pass.set()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target_port))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if b"SUBSCRIBE" in data:
                    self._subscribed.add(sink)
                if source in self._subscribed:
                    self._messages_pass.wait()
                time.sleep(self._seconds)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()
