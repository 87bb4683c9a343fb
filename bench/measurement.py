"""Measurement of one server under one load, and the order of several measurements."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle, islice
from typing import Final

import msgspec

from bench import procfs, profiles
from bench.results import LoadResult
from bench.servers import ROOT, ConfigurationError, Running, Server, started
from bench.workload import Scenario, burst

WARM_UP: Final = burst(20)
"""Load before the measurement, so that one-time costs of a server are not attributed to streams."""
SETTLE_TIME: Final = 1.0
"""Seconds between the warm-up and the measurement."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """Measurement of one server under one load.

    Attributes:
        cpu: the CPU seconds of the server, user and system.
        idle_bytes: the resident memory before the load.
        waiting_bytes: the resident memory while all streams wait; ``None`` without such a moment.
        foreign_share: the share of the machine used by other processes, 0.0 to 1.0.
    """

    result: LoadResult
    cpu: float
    idle_bytes: int
    waiting_bytes: int | None
    foreign_share: float

    @property
    def stream_bytes(self) -> float | None:
        """Memory per waiting stream, in bytes."""
        if self.waiting_bytes is None or not self.result.waiting:
            return None
        return (self.waiting_bytes - self.idle_bytes) / self.result.waiting

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per stream."""
        return 1000 * self.cpu / self.result.streams


def _client(port: int, scenario: Scenario, core: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.client", str(port), msgspec.json.encode(scenario).decode()]
    return subprocess.Popen(["taskset", "-c", str(core), *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _under_load(server: Running, scenario: Scenario, core: int, profiler: str | None) -> Measurement:
    idle = procfs.resident_bytes(server.pid)
    waiting = None
    cpu = 0.0
    busy = 0.0
    cpu_before = procfs.cpu_seconds(server.pid)
    busy_before = procfs.busy_seconds()
    began = time.monotonic()
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
                    busy = procfs.busy_seconds() - busy_before
                    took = time.monotonic() - began
                case text:
                    result = text.encode()
    if not result:
        raise ConfigurationError(f"the client ended with status {client.returncode} and no result")
    tally = msgspec.json.decode(result, type=LoadResult)
    foreign = max(0.0, busy - cpu - tally.client_cpu) / (2 * took)
    return Measurement(result=tally, cpu=cpu, idle_bytes=idle, waiting_bytes=waiting, foreign_share=foreign)


def measure(
    server: Server,
    scenario: Scenario,
    profiler: str | None = None,
    beside: Callable[[Running], AbstractContextManager[object]] = nullcontext,
) -> Measurement:
    """Start a server, warm it up, measure it under a load and stop it; ``beside`` adds other clients meanwhile.

    Raises:
        ConfigurationError: the server did not start or died, or the client failed.
    """
    client_core, server_core = procfs.cores()
    with started(server, server_core) as running:
        try:
            _under_load(running, WARM_UP, client_core, None)
            time.sleep(SETTLE_TIME)
            with beside(running):
                return _under_load(running, scenario, client_core, profiler)
        except (FileNotFoundError, ProcessLookupError) as gone:
            raise ConfigurationError(f"{server.title} died under load") from gone


def turns(servers: Sequence[Server], rounds: int) -> Iterator[Server]:
    """Yield each server once per round, in alternating order, so that drift affects all of them alike."""
    orders = cycle((tuple(servers), tuple(reversed(servers))))
    for order in islice(orders, rounds):
        yield from order
