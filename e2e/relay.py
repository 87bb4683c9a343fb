"""TCP relay that records which side closed a connection, and whether a response had arrived."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Relay:
    """Relay of bytes in both directions.

    Attributes:
        port: where to connect to.
        given_up: set when a client closed its connection before the provider had answered.
    """

    port: int
    given_up: threading.Event = field(default_factory=threading.Event)

    def pass_on(self, client: socket.socket, provider_port: int) -> None:
        answered = threading.Event()
        with client, socket.create_connection(("127.0.0.1", provider_port)) as provider:
            back = threading.Thread(target=_copy, args=(provider, client, answered), daemon=True)
            back.start()
            _copy(client, provider, threading.Event())
            if not answered.is_set():
                self.given_up.set()
            with suppress(OSError):
                provider.shutdown(socket.SHUT_RDWR)
            back.join()


def _copy(source: socket.socket, target: socket.socket, copied: threading.Event) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
            copied.set()
        target.shutdown(socket.SHUT_WR)


@contextmanager
def relay(provider_port: int) -> Iterator[Relay]:
    """Relay connections to a free port for the duration of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Relay(listener.getsockname()[1])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=made.pass_on, args=(client, provider_port), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
