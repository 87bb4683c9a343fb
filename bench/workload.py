"""Workload shared by the client and all servers: request, answer, pace and tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import jwt
import msgspec

PATH: Final = "/api/stream_chat_smart"
SECRET: Final = "a secret of the benchmark: never used elsewhere"
"""HS256 secret of the tokens."""

CHUNK_SIZE: Final = 20
"""Characters in a chunk."""
CHUNK_COUNT: Final = 25
PAUSE: Final = 0.05
INTERVAL: Final = 2.0
DEADLINE: Final = 150.0
RESUME_FOR: Final = 900.0

USERS: Final = 100
"""Number of users that share the streams, so that no limit per user applies and tokens are reused."""


def _answer() -> str:
    """Return 500 characters for 25 chunks, without a sentence end, after which the pause would be longer."""
    words = (
        "streams carry what is known so far and every reader sees the same facts at its own pace while "
        "一个回答来自缓慢的后端 the waiting is told honestly "
    )
    size = CHUNK_SIZE * CHUNK_COUNT
    # A trailing space might be trimmed.
    return (words * 5)[: size - 1] + "x"


ANSWER: Final = _answer()


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Load for a server.

    Attributes:
        streams: the number of queries.
        rate: the arrivals per second; 0 for all at once.
        seconds: the seconds that the backend takes.
        websocket: whether each query has a WebSocket instead of a stream of Server-Sent Events.
    """

    name: str
    streams: int
    rate: float
    seconds: float
    websocket: bool = False

    @property
    def load(self) -> str:
        """Description of the load in a sentence."""
        when = f"{self.rate:,.0f} per second" if self.rate else "all at once"
        what = f"answered after {self.seconds:g} s" if self.seconds else "answered immediately"
        return f"{self.streams:,} queries, {when}, each {what}."

    @property
    def arriving(self) -> float:
        """Seconds from the first query to the last."""
        return self.streams / self.rate if self.rate else 0.0

    @property
    def plateau(self) -> float:
        """Seconds after the first query at which all streams are waiting."""
        return (self.arriving + self.seconds) / 2

    @property
    def has_plateau(self) -> bool:
        """Whether all streams wait concurrently at some moment."""
        return self.seconds > self.arriving


def waiting(streams: int, *, seconds: float = 10.0, rate: float = 500.0, websocket: bool = False) -> Scenario:
    """Create a scenario of slow queries that wait concurrently."""
    return Scenario(
        name=f"{streams:,} waiting streams", streams=streams, rate=rate, seconds=seconds, websocket=websocket
    )


def burst(streams: int) -> Scenario:
    """Create a scenario of simultaneous queries that are answered immediately."""
    return Scenario(name=f"burst of {streams:,} instant queries", streams=streams, rate=0.0, seconds=0.0)


def request_body(seconds: float) -> bytes:
    """Return the request body; the message is the number of seconds that the backend takes."""
    return msgspec.json.encode({"username": "bench", "message": f"{seconds:g}", "chunking": "characters"})


def claims(user: int, now: float) -> Mapping[str, object]:
    """Return the claims of a user's token, valid for an hour."""
    return {"sub": f"bench-{user}", "iat": int(now), "exp": int(now) + 3600}


def tokens() -> list[str]:
    """Return a signed token for each user."""
    now = time.time()
    return [jwt.encode(dict(claims(user, now)), SECRET, algorithm="HS256") for user in range(USERS)]
