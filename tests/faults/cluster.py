"""Cluster of servers that share a Redis, with a record of how often each query was run."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType

from tests.faults.follower import Follower
from tests.redis_server import RedisServer
from tests.server_process import SECRET, ServerProcess

LEASE = 3.0


class Cluster:
    """Servers in processes of their own, sharing a Redis."""

    def __init__(self, folder: Path, count: int = 2, **settings: object) -> None:
        self.redis = RedisServer()
        self._ledger = folder / "ledger"
        self._ledger.touch()
        backend = "tests.faults.recording_backend:ask"
        self._settings = {"backend": backend, "jwt_secret": SECRET, "lease": LEASE, **settings}
        self.servers = [self.serve() for _ in range(count)]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            if server.process.poll() is None:
                os.kill(server.process.pid, signal.SIGCONT)
            server.stop()
        self.redis.close()

    def serve(self, **more: object) -> ServerProcess:
        """Start another server, with additional settings."""
        settings = {"redis_url": self.redis.url, **self._settings, **more}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return ServerProcess(flags, {"LEDGER": str(self._ledger)})

    @property
    def urls(self) -> list[str]:
        """URLs of the servers."""
        return [server.url for server in self.servers]

    def shuffled(self, rng: random.Random) -> list[Callable[[], str]]:
        """Return functions that return the current URLs of the servers, in random order."""
        indexes = list(range(len(self.servers)))
        rng.shuffle(indexes)
        return [partial(self._url, index) for index in indexes]

    def _url(self, index: int) -> str:
        return self.servers[index].url

    def ask(self, message: str, *, at: int = 0, **more: object) -> Follower:
        """Start a run at one server; the client resumes at the others."""
        return Follower(self.urls[at:] + self.urls[:at], {"username": "x", "message": message, "locale": "en"}, **more)

    def read(self, run_id: str, *, at: int = 0, **more: object) -> Follower:
        """Read a run at one server; the client resumes at the others."""
        return Follower(self.urls[at:] + self.urls[:at], run_id=run_id, **more)

    def times_run(self, message: str) -> int:
        """Return how often the backend received this message."""
        return self._ledger.read_text("utf-8").splitlines().count(message)

    def left_over(self) -> dict[str, object]:
        """Return the unfinished runs in Redis, by key."""
        client = self.redis.client()
        return {key: sorted(client.smembers(key)) for key in client.keys("persona_stream:process:*:runs")}


class Workers:
    """Worker processes of the first server of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.server = cluster.servers[0]

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        children = Path(f"/proc/{self.server.process.pid}/task/{self.server.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]
