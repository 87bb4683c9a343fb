"""Random faults under load, from a printed seed: the first part of ``make chaos``, which has three.

Servers are killed, terminated, suspended and restarted; Redis hangs and closes its connections; clients disconnect and
resume at other servers. At the end each client has received one final event, each answer is complete, and no query was
run twice.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.faults import backend_check, disconnects
from tests.faults.cluster import LEASE, Cluster
from tests.faults.follower import Follower
from tests.faults.recording_backend import answer
from tests.server_process import ServerProcess

_SERVER_COUNT = 3
_CONCURRENT_CLIENTS = 24


class FaultInjector:
    """Injector of random faults into a cluster."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self._cluster = cluster
        self._rng = rng
        self.injected: Counter[str] = Counter()
        self._stopping: list[ServerProcess] = []

    def inject(self) -> None:
        """Inject a random fault."""
        faults: list[tuple[int, Callable[[], None]]] = [
            (3, self.kill), (3, self.stop), (3, self.nap), (2, self.sleep), (3, self.hold), (3, self.hang_up),
        ]  # fmt: skip
        fault = self._rng.choices([fault for _, fault in faults], [weight for weight, _ in faults])[0]
        self.injected[fault.__name__] += 1
        fault()

    def kill(self) -> None:
        """Kill a server."""
        self._replace(lambda server: server.process.kill())

    def stop(self) -> None:
        """Terminate a server, which drains while its successor starts."""
        self._replace(lambda server: server.process.terminate())

    def nap(self) -> None:
        """Suspend a server for less than its lease."""
        self._pause(LEASE / 3)

    def sleep(self) -> None:
        """Suspend a server for longer than its lease, so that it is considered dead."""
        self._pause(LEASE + 1.5)

    def hold(self) -> None:
        """Suspend Redis."""
        self._cluster.redis.hold()
        time.sleep(self._rng.uniform(0.2, 5.0))
        self._cluster.redis.release()

    def hang_up(self) -> None:
        """Close all connections of Redis."""
        client = self._cluster.redis.client()
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)

    def clean_up(self) -> None:
        """Wait for the terminated servers."""
        for server in self._stopping:
            server.process.wait(timeout=30)
            server.stop()

    def _replace(self, end: Callable[[ServerProcess], None]) -> None:
        number = self._rng.randrange(len(self._cluster.servers))
        old, self._cluster.servers[number] = self._cluster.servers[number], self._cluster.serve()
        end(old)
        self._stopping.append(old)

    def _pause(self, seconds: float) -> None:
        pid = self._rng.choice(self._cluster.servers).process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)


class Load:
    """Load of concurrent clients with runs of different lengths; some disconnect repeatedly."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self._cluster = cluster
        self._rng = rng
        self.clients: list[Follower] = []
        self._started_count = 0

    def replenish(self) -> None:
        """Start clients until the target number is reached."""
        while sum(client.is_alive() for client in self.clients) < _CONCURRENT_CLIENTS:
            self._started_count += 1
            message = f"{self._rng.choice((0, 0.5, 1, 2, 4)):g} number {self._started_count}"
            leaves = partial(_happens, self._rng.choice((0.0, 0.0, 0.1, 0.5)))
            client = Follower(
                self._cluster.shuffled(self._rng), {"username": "x", "message": message, "locale": "en"},
                leaves=leaves, resumes=self._rng.random() < 0.7, key=f"key-{self._started_count}", timeout=120,
            )  # fmt: skip
            self.clients.append(client)
            if self._rng.random() < 0.3 and client.opened.wait(2):
                self.clients.append(Follower(self._cluster.shuffled(self._rng), run_id=client.run_id, timeout=120))

    def results(self) -> tuple[Counter[str], list[str]]:
        """Wait for all clients; return the final statuses and the errors."""
        endings: Counter[str] = Counter()
        errors = []
        whole = {client.run_id: answer(client.body["message"]) for client in self.clients if client.body}
        for client in self.clients:
            try:
                ending = client.result(150)
            except AssertionError as error:
                errors.append(f"run {client.run_id}: {error}")
                continue
            endings[ending["status"] if ending["status"] == "complete" else ending["code"]] += 1
            expected = whole.get(client.run_id, "")
            if ending["status"] == "complete" and client.text != expected:
                errors.append(
                    f"run {client.run_id}: {len(client.text)} of {len(expected)} characters, or different ones"
                )
            if ending["status"] != "complete" and ending["code"] not in ("lost", "draining", "cancelled"):
                errors.append(f"run {client.run_id}: ended with {ending}")
        for client in self.clients:
            if client.body and (times := self._cluster.times_run(client.body["message"])) > 1:
                errors.append(f"run {client.run_id}: was run {times} times")
        return endings, errors


def _happens(chance: float) -> bool:
    return random.random() < chance


def run(seconds: float, seed: int) -> int:
    """Inject faults for so many seconds and return the exit code."""
    print(f"chaos for {seconds:g} s with --seed {seed}", flush=True)
    rng = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder), _SERVER_COUNT, retention="5m", drain=8) as cluster,
    ):
        injector = FaultInjector(cluster, rng)
        load = Load(cluster, rng)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            load.replenish()
            time.sleep(rng.uniform(0.0, 2.0))
            injector.inject()
        endings, errors = load.results()
        injector.clean_up()
        deadline = time.monotonic() + 3 * LEASE
        while (left := cluster.left_over()) and time.monotonic() < deadline:
            time.sleep(0.2)
        if left:
            errors.append(f"left over in Redis: {left}")
    print(f"{len(load.clients)} clients, faults {dict(injector.injected)}, endings {dict(endings)}")
    for line in errors:
        print(f"ERROR: {line}")
    return 1 if errors or not endings["complete"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--vanishing", type=int, default=100_000, help="clients of the second part (100000)")
    parser.add_argument("--backends", type=int, default=1, help="0 leaves out the third part, of faulty backends (1)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    exit_codes = [run(options.seconds, options.seed)] if options.seconds else []
    exit_codes += [disconnects.run(options.vanishing, options.seed)] if options.vanishing else []
    exit_codes += [backend_check.run()] if options.backends else []
    return max(exit_codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
