"""Random faults under load, from a seed that is printed: the first act of ``make chaos``.

Servers are killed, told to stop, put to sleep and started again; Redis hangs and loses its connections; readers are
cut and come back elsewhere. In the end every reader has had one ending, every answer is whole, and none was run twice.
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

from tests.faults import vanishing
from tests.faults.backend import answer
from tests.faults.cluster import LEASE, Cluster
from tests.faults.follower import Follower
from tests.server_process import ServerProcess

_SERVERS = 3
_AT_ONCE = 24  # readers that are under way


class Chaos:
    """Do what happens to servers in a year, within minutes."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self._cluster, self._dice = cluster, dice
        self.done: Counter[str] = Counter()
        self._stopping: list[ServerProcess] = []

    def strike(self) -> None:
        """Do one thing of those that happen."""
        faults: list[tuple[int, Callable[[], None]]] = [
            (3, self.kill), (3, self.stop), (3, self.nap), (2, self.sleep), (3, self.hold), (3, self.hang_up),
        ]  # fmt: skip
        fault = self._dice.choices([fault for _, fault in faults], [weight for weight, _ in faults])[0]
        self.done[fault.__name__] += 1
        fault()

    def kill(self) -> None:
        """A server dies."""
        self._replace(lambda server: server.process.kill())

    def stop(self) -> None:
        """A server is told to stop, and drains beside its successor."""
        self._replace(lambda server: server.process.terminate())

    def nap(self) -> None:
        """A server stands still for less than its lease."""
        self._pause(LEASE / 3)

    def sleep(self) -> None:
        """A server stands still for longer than its lease, and is taken for dead."""
        self._pause(LEASE + 1.5)

    def hold(self) -> None:
        """Redis hangs."""
        self._cluster.redis.hold()
        time.sleep(self._dice.uniform(0.2, 5.0))  # for so long it hangs
        self._cluster.redis.release()

    def hang_up(self) -> None:
        """Redis ends all connections."""
        client = self._cluster.redis.client()
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)

    def clean_up(self) -> None:
        """Wait for those that were told to stop."""
        for server in self._stopping:
            server.process.wait(timeout=30)
            server.stop()

    def _replace(self, end: Callable[[ServerProcess], None]) -> None:
        number = self._dice.randrange(len(self._cluster.servers))
        old, self._cluster.servers[number] = self._cluster.servers[number], self._cluster.serve()
        end(old)
        self._stopping.append(old)

    def _pause(self, seconds: float) -> None:
        pid = self._dice.choice(self._cluster.servers).process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)  # for so long it stands still
        os.kill(pid, signal.SIGCONT)


class Load:
    """Have so many readers under way, of runs of all lengths, some of which are cut again and again."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self._cluster, self._dice = cluster, dice
        self.readers: list[Follower] = []
        self._asked = 0

    def keep_up(self) -> None:
        """Ask until enough are under way."""
        while sum(reader.is_alive() for reader in self.readers) < _AT_ONCE:
            self._asked += 1
            message = f"{self._dice.choice((0, 0.5, 1, 2, 4)):g} number {self._asked}"
            leaves = partial(_happens, self._dice.choice((0.0, 0.0, 0.1, 0.5)))
            reader = Follower(
                self._cluster.shuffled(self._dice), {"username": "x", "message": message, "locale": "en"},
                leaves=leaves, resumes=self._dice.random() < 0.7, key=f"key-{self._asked}", patience=120,
            )  # fmt: skip
            self.readers.append(reader)
            if self._dice.random() < 0.3 and reader.opened.wait(2):
                self.readers.append(Follower(self._cluster.shuffled(self._dice), run_id=reader.run_id, patience=120))

    def judge(self) -> tuple[Counter[str], list[str]]:
        """Wait for all endings; give how runs ended, and what is wrong."""
        endings: Counter[str] = Counter()
        wrong = []
        whole = {reader.run_id: answer(reader.body["message"]) for reader in self.readers if reader.body}
        for reader in self.readers:
            try:
                ending = reader.result(150)
            except AssertionError as error:
                wrong.append(f"run {reader.run_id}: {error}")
                continue
            endings[ending["status"] if ending["status"] == "complete" else ending["code"]] += 1
            expected = whole.get(reader.run_id, "")
            if ending["status"] == "complete" and reader.text != expected:
                wrong.append(f"run {reader.run_id}: {len(reader.text)} of {len(expected)} characters, or others")
            if ending["status"] != "complete" and ending["code"] not in ("lost", "draining", "cancelled"):
                wrong.append(f"run {reader.run_id}: ended with {ending}")
        for reader in self.readers:
            if reader.body and (times := self._cluster.times_run(reader.body["message"])) > 1:
                wrong.append(f"run {reader.run_id}: was run {times} times")
        return endings, wrong


def _happens(chance: float) -> bool:
    return random.random() < chance


def run(seconds: float, seed: int) -> int:
    """Strike for so long, and give the exit code."""
    print(f"chaos for {seconds:g} s with --seed {seed}", flush=True)
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder), _SERVERS, retention="5m", drain=8) as cluster:
        chaos, load = Chaos(cluster, dice), Load(cluster, dice)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            load.keep_up()
            time.sleep(dice.uniform(0.0, 2.0))  # faults come when they like
            chaos.strike()
        endings, wrong = load.judge()
        chaos.clean_up()
        patience = time.monotonic() + 3 * LEASE
        while (left := cluster.left_over()) and time.monotonic() < patience:
            time.sleep(0.2)
        if left:
            wrong.append(f"left over in Redis: {left}")
    print(f"{len(load.readers)} readers, faults {dict(chaos.done)}, endings {dict(endings)}")
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong or not endings["complete"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--vanishing", type=int, default=100_000, help="clients of the second act (100000)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    acts = [run(asked.seconds, asked.seed)] if asked.seconds else []
    acts += [vanishing.run(asked.vanishing, asked.seed)] if asked.vanishing else []
    return max(acts, default=0)


if __name__ == "__main__":
    sys.exit(main())
