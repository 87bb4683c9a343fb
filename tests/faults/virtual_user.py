"""Virtual user: a client that plays a scenario and records the result of its run."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tests.faults.http_exchange import HTTPExchange
from tests.faults.run_ledger import Ending, RunLedger

SCENARIO_TIMEOUT = 90.0  # seconds; longer than any deadline here
_POLL_INTERVAL = 0.3  # seconds
_UNFINISHED = ("queued", "processing")


class Overloaded(Exception):
    """Request rejected at capacity; an expected result."""


class Scenario(NamedTuple):
    """Behaviour of a virtual user.

    Attributes:
        weight: the relative frequency.
        act: the steps.
        endings: the allowed codes of its run, ``none`` for an answer; the first is the usual one.
    """

    name: str
    weight: int
    act: Callable[[VirtualUser], Awaitable[None]]
    endings: tuple[str, ...]


class VirtualUser:
    """User that plays one scenario.

    Attributes:
        rng: the source of random choices.
        number: a unique number.
        is_instant: whether the backend answers at once.
    """

    def __init__(
        self, port: int, token: str, ledger: RunLedger, rng: random.Random, number: int, *, is_instant: bool = False
    ) -> None:
        self._port = port
        self._token = token
        self._ledger = ledger
        self.rng = rng
        self.number = number
        self.is_instant = is_instant

    async def run(self, kind: Scenario) -> None:
        """Play a scenario and record its errors."""
        self._ledger.kinds[kind.name] += 1
        self._kind = kind
        try:
            async with asyncio.timeout(SCENARIO_TIMEOUT):
                await kind.act(self)
        except Overloaded:
            self._ledger.refused()
        except TimeoutError:
            self.report_error(f"no final event within {SCENARIO_TIMEOUT:g} s")
        except (OSError, EOFError, ValueError, LookupError) as error:
            self.report_error(f"{type(error).__name__}: {error}")

    def report_error(self, what: str) -> None:
        """Record an error."""
        self._ledger.errors[f"{self._kind.name}: {what}"] += 1

    async def send(self, path: str, body: object) -> HTTPExchange:
        """Send a request without waiting for the response."""
        return await HTTPExchange.begin(self._port, path, self._token, body)

    async def ask(self, path: str, body: object) -> HTTPExchange:
        """Start a run and read the head of the response, to be closed with ``async with``.

        Raises:
            Overloaded: the server is at capacity.
        """
        exchange = await (await self.send(path, body)).read_head()
        if exchange.status == 429:
            exchange.close()
            raise Overloaded
        self._ledger.began(exchange.headers["x-run-id"])
        return exchange

    async def subscribe(
        self, run_id: str, last_id: str = "", query: str = "", receive_bytes: int | None = None
    ) -> HTTPExchange:
        """Subscribe to a run from a position on; to be closed with ``async with``."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        path = f"/api/runs/{run_id}/events{query}"
        exchange = await HTTPExchange.begin(self._port, path, self._token, None, headers, receive_bytes)
        await exchange.read_head()
        if exchange.status != 200:
            exchange.close()
            raise ValueError(f"cannot subscribe: status {exchange.status}")
        return exchange

    async def call(self, path: str, body: object = None) -> Any:
        """Send a request and return the JSON of its response."""
        async with await (await self.send(path, body)).read_head() as exchange:
            return await exchange.json()

    async def read(self, exchange: HTTPExchange, pace: float = math.inf) -> str | None:
        """Read a native stream to its end, record the end, and return the text of an answer."""
        text = ""
        was_queued = False
        async for event in exchange.events(pace):
            assert event.data is not None
            was_queued |= event.data["status"] == "queued"
            text += event.data["data"] if event.data["status"] == "streaming" else ""
            if event.data.get("is_complete"):
                break
        else:
            raise EOFError("the stream ends without a final event")
        self._ledger.queued += was_queued
        self._ledger.silence = max(self._ledger.silence, exchange.silence)
        return text if self.ended(exchange.headers["x-run-id"], event.data) else None

    def ended(self, run_id: str, event: dict[str, Any]) -> bool:
        """Record the end in a final event or run view; return whether it is an answer."""
        self._ledger.began(run_id)
        ending = Ending(event["status"], event.get("code") or "none")
        self._ledger.ended(run_id, ending)
        if ending.code not in self._kind.endings:
            self.report_error(f"ended with {ending.status} ({ending.code})")
        return ending.status == "complete"

    async def wait_for_end(self, run_id: str) -> bool:
        """Poll a run until it has ended; return whether it has an answer."""
        while (view := await self.call(f"/api/runs/{run_id}"))["status"] in _UNFINISHED:
            await asyncio.sleep(_POLL_INTERVAL)
        return self.ended(run_id, view)

    async def find(self, conversation: str) -> None:
        """Find the run of a request without a response, and wait for its end."""
        while True:
            for run in (await self.call("/api/runs?limit=100"))["runs"]:
                if run["conversation_id"] == conversation:
                    await self.wait_for_end(run["run_id"])
                    return
            await asyncio.sleep(_POLL_INTERVAL)
