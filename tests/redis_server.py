"""A private Redis for tests: on a free port, with nothing kept on disk."""

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
    """A Redis that runs, and can be stopped, started empty, and held up."""

    def __init__(self, *options: str, scheme: str = "redis", credentials: str = "", query: str = "") -> None:
        self._folder = tempfile.mkdtemp(prefix="persona-stream-redis-")
        self.port = free_port()
        self._options: Sequence[str] = options
        self._scheme, self._credentials, self._query = scheme, credentials, query
        self._client = redis.Redis.from_url(self.url, decode_responses=True)
        self._raw = redis.Redis.from_url(self.url)
        self.process: subprocess.Popen[bytes]
        self.start()

    @property
    def url(self) -> str:
        """Its address, as the setting redis_url has it."""
        return f"{self._scheme}://{self._credentials}127.0.0.1:{self.port}/0{self._query}"

    def client(self) -> redis.Redis:
        """Ask it something."""
        return self._client

    def raw(self) -> redis.Redis:
        """Ask it something, and have bytes for an answer."""
        return self._raw

    def start(self) -> None:
        """Start it, empty."""
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
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def hold(self) -> None:
        """Let it answer nothing, with its connections open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, and remove what it left."""
        self.release()
        self.kill()
        self._client.close()
        self._raw.close()
        shutil.rmtree(Path(self._folder), ignore_errors=True)
