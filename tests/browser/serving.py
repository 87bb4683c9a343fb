"""Real server and the URL of its page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server_process import SECRET, ServerProcess, token


class Server(ServerProcess):
    """Server process and a token that it accepts."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self.token = token()

    @property
    def address(self) -> str:
        """Return the server address."""
        return self.url

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def page(self) -> str:
        """Return the URL of the page with the token in it."""
        return f"{self.url}/#token={self.token}"

    def crash(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def serving(folder: Path, *flags: str, port: int = 0) -> Iterator[Server]:
    """Run ``persona-stream serve`` with these flags for the block, with its state in a folder."""
    server = Server([f"--jwt-secret={SECRET}", f"--state-dir={folder}", f"--port={port}", *flags])
    try:
        yield server
    finally:
        server.stop()
