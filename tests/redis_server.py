"""Private Redis server for tests, on a free port and without persistence."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from tests.ports import free_port

PROGRAM = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(
    PROGRAM is None and os.environ.get("CI") != "true", reason="needs redis-server: apt-get install redis-server"
)


class RedisServer:
    """Redis process that can be killed, restarted empty and suspended."""

    def __init__(self, *options: str, scheme: str = "redis", credentials: str = "", query: str = "") -> None:
        self._folder = tempfile.mkdtemp(prefix="persona-stream-redis-")
        self.port = free_port()
        self._options: Sequence[str] = options
        self._scheme = scheme
        self._credentials = credentials
        self._query = query
        self._client = redis.Redis.from_url(self.url, decode_responses=True)
        self._raw = redis.Redis.from_url(self.url)
        self.process: subprocess.Popen[bytes]
        self.start()

    @property
    def url(self) -> str:
        """Value for the setting ``redis_url``."""
        return f"{self._scheme}://{self._credentials}127.0.0.1:{self.port}/0{self._query}"

    def client(self) -> redis.Redis:
        """Return a client that decodes replies."""
        return self._client

    def raw(self) -> redis.Redis:
        """Return a client that returns bytes."""
        return self._raw

    def start(self) -> None:
        """Start the server without data."""
        port = ["--port", str(self.port)] if self._scheme == "redis" else ["--port", "0", "--tls-port", str(self.port)]
        self.process = subprocess.Popen(
            [PROGRAM, *port, "--bind", "127.0.0.1", "--save", "", "--dir", self._folder, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while True:
            try:
                self.client().ping()
                return
            except redis.exceptions.ConnectionError:
                assert time.monotonic() < until, "redis-server did not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill the server."""
        self.process.kill()
        self.process.wait()

    def hold(self) -> None:
        """Suspend the server; its connections stay open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def release(self) -> None:
        """Resume the server."""
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove its directory."""
        self.release()
        self.kill()
        self._client.close()
        self._raw.close()
        shutil.rmtree(Path(self._folder), ignore_errors=True)
