"""The persona_stream server, driven over HTTP."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from e2e.processes import free_port, running

BACKEND = Path(__file__).parent / "backend.py"
PROGRAM = [sys.executable, "-m", "persona_stream"]


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: its address.
        token: a token for it.
        log: the file with its output.
        environment: the variables that issue further tokens.
    """

    url: str
    token: str
    log: Path
    environment: dict[str, str]

    def runs(self, token: str | None = None) -> list[dict[str, Any]]:
        """Return all runs of this user, or of another; newest first."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        with requests.Session() as session:
            session.trust_env = False
            listed = session.get(f"{self.url}/api/runs?limit=100", headers=headers, timeout=10)
        runs: list[dict[str, Any]] = listed.json()["runs"]
        return runs

    def ask(self, endpoint: str, **fields: object) -> requests.Response:
        """Send a query, by default in English."""
        body = {"username": "ada", "message": "How many?", "locale": "en"} | fields
        headers = {"Authorization": f"Bearer {self.token}"}
        with requests.Session() as session:
            session.trust_env = False
            return session.post(f"{self.url}/api/{endpoint}", json=body, headers=headers, timeout=60)

    def events(self, endpoint: str, **fields: object) -> list[dict[str, Any]]:
        """Send a query; return the events of its stream after its end."""
        response = self.ask(endpoint, **fields)
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        # bytes.splitlines splits at \r and \n only, as the SSE standard does.
        return [json.loads(line[5:]) for line in response.content.splitlines() if line.startswith(b"data:")]


def token(user: str, environment: dict[str, str]) -> str:
    """Issue a token for a user with the command line, as an operator would."""
    made = subprocess.run(
        [*PROGRAM, "token", "--user", user], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", made)
    return made


@contextmanager
def serving(
    folder: Path, *, python: str = sys.executable, files: Iterable[Path] = (BACKEND,), **settings: object
) -> Iterator[Served]:
    """Run a server for the duration of the block, with its state in a folder.

    Args:
        folder: its working directory.
        python: the Python program of its environment.
        files: files that are copied into the folder.
        settings: its settings.
    """
    for file in files:
        if file.is_file():
            shutil.copy(file, folder)
    port = free_port()
    flags = {"port": port, "backend": "openai"} | settings
    command = [
        python,
        "-m",
        "persona_stream",
        "serve",
        *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items()),
    ]
    secret = {"PERSONA_STREAM_JWT_SECRET": secrets.token_hex(32)}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **secret}
    with running(command, f"http://127.0.0.1:{port}/readyz", 60, folder, secret) as log:
        yield Served(f"http://127.0.0.1:{port}", token("e2e", environment), log, environment)
