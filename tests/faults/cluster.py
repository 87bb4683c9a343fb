"""Several servers that share a Redis, as an operator would run them, and a record of how often a query was run."""

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
    """Have servers, each its own process."""

    def __init__(self, folder: Path, count: int = 2, **settings: object) -> None:
        self.redis = RedisServer()
        self._ledger = folder / "ledger"
        self._ledger.touch()
        self._settings = {"backend": "tests.faults.backend:ask", "jwt_secret": SECRET, "lease": LEASE, **settings}
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
        """Start one more server, perhaps with some settings of its own."""
        settings = {"redis_url": self.redis.url, **self._settings, **more}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return ServerProcess(flags, {"LEDGER": str(self._ledger)})

    @property
    def urls(self) -> list[str]:
        """Where the servers are."""
        return [server.url for server in self.servers]

    def shuffled(self, dice: random.Random) -> list[Callable[[], str]]:
        """Where the servers are at each moment, in an order of its own."""
        places = list(range(len(self.servers)))
        dice.shuffle(places)
        return [partial(self._url, place) for place in places]

    def _url(self, place: int) -> str:
        return self.servers[place].url

    def ask(self, message: str, *, at: int = 0, **more: object) -> Follower:
        """Ask one server, and read on at the others when it fails."""
        return Follower(self.urls[at:] + self.urls[:at], {"username": "x", "message": message, "locale": "en"}, **more)

    def read(self, run_id: str, *, at: int = 0, **more: object) -> Follower:
        """Read a run from one server, and on at the others."""
        return Follower(self.urls[at:] + self.urls[:at], run_id=run_id, **more)

    def times_run(self, message: str) -> int:
        """Count how often the backend was asked this."""
        return self._ledger.read_text("utf-8").splitlines().count(message)

    def left_over(self) -> dict[str, object]:
        """Give what Redis holds for runs that have not ended."""
        client = self.redis.client()
        return {key: sorted(client.smembers(key)) for key in client.keys("persona_stream:process:*:runs")}


class Workers:
    """A server with workers, and a client's view of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.server = cluster.servers[0]

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        children = Path(f"/proc/{self.server.process.pid}/task/{self.server.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]
