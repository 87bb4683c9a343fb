"""A client of some kind: it asks, reads, and writes down what became of its run."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tests.faults.http_exchange import Exchange
from tests.faults.run_ledger import Ending, Ledger

PATIENCE = 90.0  # seconds; by then every run here has long met its deadline
_LOOK = 0.3  # seconds between two looks at a run that nobody reads
_UNDER_WAY = ("queued", "processing")


class Refused(Exception):
    """There was no place, and none in the queue: that is an answer too."""


class Kind(NamedTuple):
    """A kind of client.

    Attributes:
        weight: how many of them there are among others.
        act: what one does.
        endings: codes that its run may end with, or ``none`` for an answer; the first is the one it is here for.
    """

    name: str
    weight: int
    act: Callable[[Visitor], Awaitable[None]]
    endings: tuple[str, ...]


class Visitor:
    """Visit the server once.

    Attributes:
        dice: chooses what is left open.
        number: is nobody else's.
        hurries: whether the backend shall take no time.
    """

    def __init__(
        self, port: int, token: str, ledger: Ledger, dice: random.Random, number: int, *, hurries: bool = False
    ) -> None:
        self._port, self._token, self._ledger = port, token, ledger
        self.dice, self.number, self.hurries = dice, number, hurries

    async def visit(self, kind: Kind) -> None:
        """Do what this kind does; whatever must not be is written down."""
        self._ledger.kinds[kind.name] += 1
        self._kind = kind
        try:
            async with asyncio.timeout(PATIENCE):
                await kind.act(self)
        except Refused:
            self._ledger.refused()
        except TimeoutError:
            self.complain(f"no ending within {PATIENCE:g} s")
        except (OSError, EOFError, ValueError, LookupError) as error:
            self.complain(f"{type(error).__name__}: {error}")

    def complain(self, what: str) -> None:
        """Write down what must not be."""
        self._ledger.wrong[f"{self._kind.name}: {what}"] += 1

    async def send(self, path: str, body: object) -> Exchange:
        """Send a request, and do not wait for the answer."""
        return await Exchange.begin(self._port, path, self._token, body)

    async def ask(self, path: str, body: object) -> Exchange:
        """Send a question, and wait for the head of the answer; leave that with ``async with``.

        Raises:
            Refused: there is no place.
        """
        exchange = await (await self.send(path, body)).begun()
        if exchange.status == 429:
            exchange.leave()
            raise Refused
        self._ledger.began(exchange.headers["x-run-id"])
        return exchange

    async def again(
        self, run_id: str, last_id: str = "", query: str = "", receive_bytes: int | None = None
    ) -> Exchange:
        """Read a run from some place on; leave that with ``async with``."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        path = f"/api/runs/{run_id}/events{query}"
        exchange = await (await Exchange.begin(self._port, path, self._token, None, headers, receive_bytes)).begun()
        if exchange.status != 200:
            exchange.leave()
            raise ValueError(f"it cannot be read again: {exchange.status}")
        return exchange

    async def call(self, path: str, body: object = None) -> Any:
        """Ask for JSON."""
        async with await (await self.send(path, body)).begun() as exchange:
            return await exchange.json()

    async def read(self, exchange: Exchange, pace: float = math.inf) -> str | None:
        """Read a stream of ours to its ending, write that down, and give the text if it is an answer."""
        text, waited = "", False
        async for event in exchange.events(pace):
            assert event.data is not None
            waited |= event.data["status"] == "queued"
            text += event.data["data"] if event.data["status"] == "streaming" else ""
            if event.data.get("is_complete"):
                break
        else:
            raise EOFError("it ends without an ending")
        self._ledger.queued += waited
        self._ledger.silence = max(self._ledger.silence, exchange.silence)
        return text if self.ended(exchange.headers["x-run-id"], event.data) else None

    def ended(self, run_id: str, event: dict[str, Any]) -> bool:
        """Write down an ending, which an event or a run's view tells; tell whether it is an answer."""
        self._ledger.began(run_id)
        ending = Ending(event["status"], event.get("code") or "none")
        self._ledger.ended(run_id, ending)
        if ending.code not in self._kind.endings:
            self.complain(f"ended with {ending.status} ({ending.code})")
        return ending.status == "complete"

    async def learn(self, run_id: str) -> bool:
        """Ask until a run has ended; tell whether with an answer."""
        while (view := await self.call(f"/api/runs/{run_id}"))["status"] in _UNDER_WAY:
            await asyncio.sleep(_LOOK)  # nothing tells who does not read
        return self.ended(run_id, view)

    async def find(self, conversation: str) -> None:
        """Find the run of a question whose answer was not waited for, and learn how it ends."""
        while True:
            for run in (await self.call("/api/runs?limit=100"))["runs"]:
                if run["conversation_id"] == conversation:
                    await self.learn(run["run_id"])
                    return
            await asyncio.sleep(_LOOK)  # nothing tells when it arrives
