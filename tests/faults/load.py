"""Have clients of all kinds come, one by one and in crowds, as many a second as a server shall bear."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.faults.accounts import logged, metered
from tests.faults.process_stats import memory_bytes
from tests.faults.run_ledger import Counts, Ledger
from tests.faults.scenarios import ALL, CROWD, WHOLE
from tests.faults.virtual_user import Kind, Visitor
from tests.polling import wait_for
from tests.server_process import ServerProcess, token

_OWNERS: Final = 50
_TOO_MANY: Final = 20.0  # seconds' worth of clients: then the machine does not bear them, and the next ones wait
_EVERY: Final = 10.0  # seconds from one crowd to the next
_CROWD: Final = 7.0  # seconds' worth of clients: more than there are places, and fewer than fit the queue too
_LINE: Final = 5.0  # seconds from one line on the terminal to the next
_PROBES: Final = 150
_PROBING: Final = 5.0  # seconds


class Load:
    """Send clients to a server."""

    def __init__(self, server: ServerProcess, ledger: Ledger, dice: random.Random, rate: float) -> None:
        self._server, self._ledger, self._dice, self._rate = server, ledger, dice, rate
        self._port = int(server.url.rpartition(":")[2])
        self._tokens = [token(f"soak-{owner}", expires=86_400) for owner in range(_OWNERS)]
        self._numbers = itertools.count()
        self._here: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Send them for so long, and wait until the last one has left."""
        began = time.monotonic()
        showing = asyncio.create_task(self._show(began))
        crowding = asyncio.create_task(self._crowd())
        kinds = itertools.chain(ALL, self._chosen())  # each of them comes, however short it is
        sent = 0
        while (now := time.monotonic() - began) < seconds:
            while sent < now * self._rate and len(self._here) < _TOO_MANY * self._rate:
                self._send(next(kinds))
                sent += 1
            sent = max(sent, int(now * self._rate) - 1)
            await asyncio.sleep(min(0.5, 1 / self._rate))  # until the next one comes
        for task in (crowding, showing):
            task.cancel()
        while self._here:
            await asyncio.wait(self._here)

    def _chosen(self) -> Iterator[Kind]:
        while True:
            yield self._dice.choices(ALL, [kind.weight for kind in ALL])[0]

    def _send(self, kind: Kind) -> None:
        number = next(self._numbers)
        mine = random.Random(self._dice.random())
        visitor = Visitor(self._port, self._tokens[number % _OWNERS], self._ledger, mine, number)
        task = asyncio.create_task(visitor.visit(kind))
        self._here.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._here.discard(task)
        if (error := task.exception()) is not None:
            self._ledger.wrong[f"a client itself failed: {error!r}"] += 1

    async def _crowd(self) -> None:
        while True:
            await asyncio.sleep(_EVERY / 2)  # between two crowds
            for _ in range(max(25, round(_CROWD * self._rate))):
                self._send(CROWD)
            await asyncio.sleep(_EVERY / 2)  # the other half

    async def _show(self, began: float) -> None:
        while sys.stdout.isatty():
            await asyncio.sleep(_LINE)  # between two lines
            counts = self._ledger.counts
            print(
                f"  {time.monotonic() - began:6.0f} s  {len(self._here):5} clients  {counts.began:8,} runs"
                f"  {sum(counts.ended.values()):8,} ended  {counts.refused:6,} refused"
                f"  {memory_bytes(self._server.process.pid) / 2**20:6.1f} MiB  {self._ledger.wrong.total()} wrong",
                flush=True,
            )


async def capacity(server: ServerProcess, log: Path, dice: random.Random) -> float:
    """Give how many clients a second get an answer from a backend that takes no time, when as many come as can.

    They are done with when they are in the log: what is put off until later is no capacity.
    """
    ledger = Ledger()
    port, tokens = int(server.url.rpartition(":")[2]), [token(f"soak-{owner}") for owner in range(_OWNERS)]
    began = time.monotonic()
    until, done = began + _PROBING, 0

    async def probe(first: int) -> None:
        nonlocal done
        for number in itertools.count(first, _PROBES):
            kind = dice.choices(WHOLE, [kind.weight for kind in WHOLE])[0]
            visitor = Visitor(
                port, tokens[number % _OWNERS], ledger, random.Random(dice.random()), number, hurries=True
            )
            await visitor.visit(kind)
            if time.monotonic() > until:
                return
            done += 1

    await asyncio.gather(*(probe(number) for number in range(_PROBES)))
    wait_for(lambda: _count(logged(log)) >= _count(metered(server)), 120)
    found = done / (time.monotonic() - began)
    print(f"this machine can take {found:.0f} clients a second", flush=True)
    if ledger.wrong:
        raise AssertionError(f"even then: {dict(ledger.wrong)}")
    return found


def _count(counts: Counts) -> int:
    return sum(counts.ended.values())
