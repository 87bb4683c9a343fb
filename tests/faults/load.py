"""Load of virtual users at a constant rate, with periodic bursts."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.faults.process_stats import memory_bytes
from tests.faults.run_ledger import Counts, RunLedger
from tests.faults.scenarios import ALL, CROWD, WHOLE
from tests.faults.server_counts import counts_from_log, counts_from_metrics
from tests.faults.virtual_user import Scenario, VirtualUser
from tests.polling import wait_for
from tests.server_process import ServerProcess, token

_OWNER_COUNT: Final = 50
_MAX_BACKLOG: Final = 20.0  # seconds of arrivals that may be active; further ones are delayed
_BURST_INTERVAL: Final = 10.0  # seconds
_BURST_SIZE: Final = 7.0  # seconds of arrivals: more than the slots, fewer than slots and queue together
_STATUS_INTERVAL: Final = 5.0  # seconds between two lines on the terminal
_PROBE_CLIENTS: Final = 150
_PROBE_TIME: Final = 5.0  # seconds


class Load:
    """Generator of virtual users for a server."""

    def __init__(self, server: ServerProcess, ledger: RunLedger, rng: random.Random, rate: float) -> None:
        self._server = server
        self._ledger = ledger
        self._rng = rng
        self._rate = rate
        self._port = int(server.url.rpartition(":")[2])
        self._tokens = [token(f"soak-{owner}", expires=86_400) for owner in range(_OWNER_COUNT)]
        self._numbers = itertools.count()
        self._active: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Start users for so many seconds and wait until the last one has finished."""
        began = time.monotonic()
        status = asyncio.create_task(self._show(began))
        bursts = asyncio.create_task(self._send_bursts())
        kinds = itertools.chain(ALL, self._random_kinds())  # each kind occurs at least once
        sent = 0
        while (now := time.monotonic() - began) < seconds:
            while sent < now * self._rate and len(self._active) < _MAX_BACKLOG * self._rate:
                self._send(next(kinds))
                sent += 1
            sent = max(sent, int(now * self._rate) - 1)
            await asyncio.sleep(min(0.5, 1 / self._rate))
        for task in (bursts, status):
            task.cancel()
        while self._active:
            await asyncio.wait(self._active)

    def _random_kinds(self) -> Iterator[Scenario]:
        while True:
            yield self._rng.choices(ALL, [kind.weight for kind in ALL])[0]

    def _send(self, kind: Scenario) -> None:
        number = next(self._numbers)
        rng = random.Random(self._rng.random())
        user = VirtualUser(self._port, self._tokens[number % _OWNER_COUNT], self._ledger, rng, number)
        task = asyncio.create_task(user.run(kind))
        self._active.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._active.discard(task)
        if (error := task.exception()) is not None:
            self._ledger.errors[f"a virtual user failed: {error!r}"] += 1

    async def _send_bursts(self) -> None:
        while True:
            await asyncio.sleep(_BURST_INTERVAL / 2)
            for _ in range(max(25, round(_BURST_SIZE * self._rate))):
                self._send(CROWD)
            await asyncio.sleep(_BURST_INTERVAL / 2)

    async def _show(self, began: float) -> None:
        while sys.stdout.isatty():
            await asyncio.sleep(_STATUS_INTERVAL)
            counts = self._ledger.counts
            print(
                f"  {time.monotonic() - began:6.0f} s  {len(self._active):5} clients  {counts.began:8,} runs"
                f"  {sum(counts.ended.values()):8,} ended  {counts.refused:6,} rejected"
                f"  {memory_bytes(self._server.process.pid) / 2**20:6.1f} MiB  {self._ledger.errors.total()} errors",
                flush=True,
            )


async def capacity(server: ServerProcess, log: Path, rng: random.Random) -> float:
    """Return the number of clients per second that the server can answer with an instant backend.

    The measured time includes the writing of the request log, because deferred work is no capacity.
    """
    ledger = RunLedger()
    port, tokens = int(server.url.rpartition(":")[2]), [token(f"soak-{owner}") for owner in range(_OWNER_COUNT)]
    began = time.monotonic()
    until = began + _PROBE_TIME
    done = 0

    async def probe(first: int) -> None:
        nonlocal done
        for number in itertools.count(first, _PROBE_CLIENTS):
            kind = rng.choices(WHOLE, [kind.weight for kind in WHOLE])[0]
            user = VirtualUser(
                port, tokens[number % _OWNER_COUNT], ledger, random.Random(rng.random()), number, is_instant=True
            )
            await user.run(kind)
            if time.monotonic() > until:
                return
            done += 1

    await asyncio.gather(*(probe(number) for number in range(_PROBE_CLIENTS)))
    wait_for(lambda: _count(counts_from_log(log)) >= _count(counts_from_metrics(server)), 120)
    found = done / (time.monotonic() - began)
    print(f"capacity: {found:.0f} clients per second", flush=True)
    if ledger.errors:
        raise AssertionError(f"errors with an instant backend: {dict(ledger.errors)}")
    return found


def _count(counts: Counts) -> int:
    return sum(counts.ended.values())
