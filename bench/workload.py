"""What the client and every server agree on: the question, the answer, the pace, and who asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import jwt
import msgspec

PATH: Final = "/api/stream_chat_smart"
SECRET: Final = "a secret of the benchmark: never used elsewhere"
"""The HS256 secret of the tokens."""

PIECE: Final = 20
"""Characters in a piece."""
PIECES: Final = 25
PAUSE: Final = 0.05
INTERVAL: Final = 2.0
DEADLINE: Final = 150.0
RESUME_FOR: Final = 900.0

USERS: Final = 100
"""How many callers share the streams, so that no limit on one caller is met and tokens are seen again."""


def _answer() -> str:
    """Give 500 characters in 25 pieces: no sentence ends, because the pause after one is longer."""
    words = (
        "streams carry what is known so far and every reader sees the same facts at its own pace while "
        "一个回答来自缓慢的后端 the waiting is told honestly "
    )
    size = PIECE * PIECES
    # A space at the end could be taken for something to trim.
    return (words * 5)[: size - 1] + "x"


ANSWER: Final = _answer()


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Say what load a server is put under.

    Attributes:
        streams: how many queries are asked.
        rate: how many of them arrive in a second; 0 is all at once.
        seconds: how long the backend takes over each.
    """

    name: str
    streams: int
    rate: float
    seconds: float

    @property
    def load(self) -> str:
        """Say how the queries come, and what each of them asks, in a sentence."""
        when = f"{self.rate:,.0f} a second" if self.rate else "all in the same moment"
        what = f"answered after {self.seconds:g} s" if self.seconds else "answered in no time"
        return f"{self.streams:,} queries, {when}, each {what}."

    @property
    def arriving(self) -> float:
        """Seconds from the first query to the last."""
        return self.streams / self.rate if self.rate else 0.0

    @property
    def plateau(self) -> float:
        """The moment, in seconds after the first query, at which all of them are waiting."""
        return (self.arriving + self.seconds) / 2

    @property
    def has_plateau(self) -> bool:
        """Whether there is a moment at which all of them wait."""
        return self.seconds > self.arriving


def waiting(streams: int, *, seconds: float = 10.0, rate: float = 500.0) -> Scenario:
    """Make a scenario of slow queries that wait at the same time."""
    return Scenario(name=f"{streams:,} waiting streams", streams=streams, rate=rate, seconds=seconds)


def burst(streams: int) -> Scenario:
    """Make a scenario of queries that come at the same moment, and are answered in no time."""
    return Scenario(name=f"burst of {streams:,} instant queries", streams=streams, rate=0.0, seconds=0.0)


def request_body(seconds: float) -> bytes:
    """Write the question: its text is how long the backend shall take."""
    return msgspec.json.encode({"username": "bench", "message": f"{seconds:g}", "chunking": "characters"})


def claims(user: int, now: float) -> Mapping[str, object]:
    """Give the claims of the token of one of the callers, good for an hour."""
    return {"sub": f"bench-{user}", "iat": int(now), "exp": int(now) + 3600}


def tokens() -> list[str]:
    """Sign one token for each caller."""
    now = time.time()
    return [jwt.encode(dict(claims(user, now)), SECRET, algorithm="HS256") for user in range(USERS)]
