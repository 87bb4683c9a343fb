"""Server processes for tests, started through the CLI on a free port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jwt
import requests

ROOT = Path(__file__).parent.parent
SECRET = "a secret of the tests, which is long enough"
# Few tests need the database, and the server starts in two thirds of the time without it.
ENVIRON = {"PYTHONUNBUFFERED": "1", "PERSONA_STREAM_DATABASE_URL": "off"}
_PAGE_URL = re.compile(r"Page: +(http://[^/]+)/")


class ServerProcess:
    """Running server process with an HTTP client for it."""

    def __init__(
        self,
        arguments: list[str],
        environ: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        module: str = "persona_stream",
    ) -> None:
        command = [sys.executable, "-m", module, "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **ENVIRON, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.greeting = ""
        for line in self.process.stdout:
            self.greeting += line
            if found := _PAGE_URL.search(line):
                self.url = found[1]
                break
        else:
            self.stop()
            raise RuntimeError(f"the server did not start:\n{self.log}")

    def _read_log(self) -> None:
        for line in self.process.stderr:
            self._lines.append(line)

    @property
    def log(self) -> str:
        """Output of the server on stderr."""
        return "".join(self._lines)

    @contextmanager
    def no_traceback(self) -> Iterator[None]:
        """Assert that the block adds no traceback to the log, which may have tracebacks of earlier tests."""
        before = len(self.log)
        yield
        assert "Traceback" not in self.log[before:]

    def wait_for_log(self, text: str, seconds: float = 10.0) -> None:
        """Wait until the log contains this text."""
        until = time.monotonic() + seconds
        while text not in self.log:
            assert time.monotonic() < until, f"the log does not contain {text!r}:\n{self.log}"
            time.sleep(0.02)

    def headers(self, user: str = "alice") -> dict[str, str]:
        """Return the authorization headers of a user."""
        return {"Authorization": f"Bearer {token(user)}"}

    def post(self, path: str, json: object = None, user: str = "alice", **more: object) -> requests.Response:
        """Send a POST request as a user."""
        headers = {**self.headers(user), **more.pop("headers", {})}
        return requests.post(self.url + path, json=json, headers=headers, timeout=60, **more)

    def get(self, path: str, user: str | None = "alice", **more: object) -> requests.Response:
        """Send a GET request as a user, or without a token."""
        headers = {**(self.headers(user) if user else {}), **more.pop("headers", {})}
        return requests.get(self.url + path, headers=headers, timeout=60, **more)

    def delete(self, path: str, user: str = "alice") -> requests.Response:
        """Send a DELETE request as a user."""
        return requests.delete(self.url + path, headers=self.headers(user), timeout=60)

    def session(self, user: str = "alice") -> requests.Session:
        """Return a session with a persistent connection and the token of a user."""
        session = requests.Session()
        session.headers.update(self.headers(user))
        return session

    def stop(self) -> int:
        """Stop the server without draining and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            time.sleep(0.2)
            if self.process.poll() is None:
                self.process.terminate()
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def token(user: str = "alice", expires: float = 3600.0, **claims: object) -> str:
    """Create a token that the test servers accept."""
    return jwt.encode({"sub": user, "exp": int(time.time() + expires), **claims}, SECRET, algorithm="HS256")


def serve(
    backend: str = "tests.backends_for_tests:quick",
    environ: Mapping[str, str] | None = None,
    module: str = "persona_stream",
    **settings: object,
) -> ServerProcess:
    """Start a server with these command-line settings, and these environment variables besides those of ``ENVIRON``.

    ``module`` has the command line.
    """
    flags = {"backend": backend, "jwt_secret": SECRET, **settings}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    return ServerProcess(arguments, environ, module=module)
