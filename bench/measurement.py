"""One measurement, and many of them in turns."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Final

import msgspec

from bench import procfs, profiles
from bench.results import Tally
from bench.servers import ROOT, ConfigurationError, Running, Server, started
from bench.workload import Scenario, burst

WARM_UP: Final = burst(20)
"""Before anything is measured, so that what a server imports or builds once is not counted for a stream."""
SETTLE: Final = 1.0


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what one server did under one load.

    Attributes:
        cpu: CPU seconds of the server, user and system.
        idle_bytes: its resident memory before the load.
        waiting_bytes: the same while all streams wait; ``None`` when there is no such moment.
        foreign_share: how much of the machine was taken by neither server nor client, 0.0 to 1.0.
    """

    tally: Tally
    cpu: float
    idle_bytes: int
    waiting_bytes: int | None
    foreign_share: float

    @property
    def stream_bytes(self) -> float | None:
        """Memory for each stream that waits."""
        if self.waiting_bytes is None or not self.tally.waiting:
            return None
        return (self.waiting_bytes - self.idle_bytes) / self.tally.waiting

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds for each stream."""
        return 1000 * self.cpu / self.tally.streams


def _client(port: int, scenario: Scenario, core: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.client", str(port), msgspec.json.encode(scenario).decode()]
    return subprocess.Popen(["taskset", "-c", str(core), *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _under_load(server: Running, scenario: Scenario, core: int, profiler: str | None) -> Measurement:
    idle, waiting = procfs.resident_bytes(server.pid), None
    cpu = busy = 0.0
    cpu_before, busy_before, began = procfs.cpu_seconds(server.pid), procfs.busy_seconds(), time.monotonic()
    took = 0.0
    result = b""
    with profiles.profiled(server.pid, profiler), _client(server.port, scenario, core) as client:
        assert client.stdout is not None
        for line in client.stdout:
            match line.strip():
                case "plateau":
                    waiting = procfs.resident_bytes(server.pid)
                case "ended":
                    cpu = procfs.cpu_seconds(server.pid) - cpu_before
                    busy, took = procfs.busy_seconds() - busy_before, time.monotonic() - began
                case text:
                    result = text.encode()
    if not result:
        raise ConfigurationError(f"the client ended with status {client.returncode} and no result")
    tally = msgspec.json.decode(result, type=Tally)
    foreign = max(0.0, busy - cpu - tally.client_cpu) / (2 * took)
    return Measurement(tally=tally, cpu=cpu, idle_bytes=idle, waiting_bytes=waiting, foreign_share=foreign)


def measure(server: Server, scenario: Scenario, profiler: str | None = None) -> Measurement:
    """Start a server, warm it up, put it under load, stop it.

    Raises:
        ConfigurationError: it did not start, or died under the load, or the client failed.
    """
    client_core, server_core = procfs.cores()
    with started(server, server_core) as running:
        try:
            _under_load(running, WARM_UP, client_core, None)
            time.sleep(SETTLE)
            return _under_load(running, scenario, client_core, profiler)
        except (FileNotFoundError, ProcessLookupError) as gone:
            raise ConfigurationError(f"{server.title} died under the load") from gone


def turns(servers: Sequence[Server], rounds: int) -> Iterator[Server]:
    """Yield every server once a round, forwards and backwards in turn: what drifts hits each of them alike."""
    orders = cycle((tuple(servers), tuple(reversed(servers))))
    for order in islice(orders, rounds):
        yield from order
