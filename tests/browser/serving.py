"""The real server, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """Say where a server is, and what it lets in."""

    address: str
    token: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        """Give the number of the port."""
        return int(self.address.rsplit(":", 1)[1])

    @property
    def page(self) -> str:
        """Give the address that opens the page with one click."""
        return f"{self.address}/#token={self.token}"

    def stop(self) -> None:
        """Kill it, as a crash would."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def serving(folder: Path, *flags: str, port: int = 0) -> Iterator[Server]:
    """Run ``persona-stream serve`` with these flags until the block is left, with its state and log in a folder."""
    command = [sys.executable, "-m", "persona_stream", "serve", "--port", str(port), "--state-dir", str(folder), *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERSONA_STREAM_")}
    log = folder / "server.log"
    with (
        log.open("a") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            yield _greeted(process, log)
        finally:
            process.kill()


def _greeted(process: subprocess.Popen[str], log: Path) -> Server:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if found := re.search(r"(http://\S+?)/#token=(\S+)", said):
            return Server(found[1], found[2], process)
    raise AssertionError(f"the server did not start: {said}{log.read_text()}")
