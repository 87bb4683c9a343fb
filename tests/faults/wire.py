"""What stands between servers and their Redis: a network that takes its time."""

from __future__ import annotations

import socket
import threading
import time

from tests.ports import free_port


class Wire:
    """Hold every byte back for ``seconds``, and news for as long as is asked."""

    def __init__(self, port: int, seconds: float = 0.0) -> None:
        self._to, self._seconds = port, seconds
        self._port = free_port()
        self._news_pass = threading.Event()
        self._news_pass.set()
        self._subscribed: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """The address of Redis for who is to use this wire."""
        return f"redis://127.0.0.1:{self._port}/0"

    def hold_news(self) -> None:
        """Let nobody hear what Redis tells its subscribers."""
        self._news_pass.clear()

    def pass_news(self) -> None:
        """Let them hear it."""
        self._news_pass.set()

    def close(self) -> None:
        """Take no more connections."""
        self._news_pass.set()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if b"SUBSCRIBE" in data:
                    self._subscribed.add(sink)
                if source in self._subscribed:
                    self._news_pass.wait()
                time.sleep(self._seconds)  # what makes it slow
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()
