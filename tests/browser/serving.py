"""The real server, with what leads to its page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server_process import SECRET, ServerProcess, token


class Server(ServerProcess):
    """A server that runs, and a token that it takes."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self.token = token()

    @property
    def address(self) -> str:
        """Give the address that the page is told."""
        return self.url

    @property
    def port(self) -> int:
        """Give the number of the port."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def page(self) -> str:
        """Give the address that opens the page with one click."""
        return f"{self.url}/#token={self.token}"

    def crash(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def serving(folder: Path, *flags: str, port: int = 0) -> Iterator[Server]:
    """Run ``persona-stream serve`` with these flags until the block is left, with its state in a folder."""
    server = Server([f"--jwt-secret={SECRET}", f"--state-dir={folder}", f"--port={port}", *flags])
    try:
        yield server
    finally:
        server.stop()
