"""Runs on paper: what a store is told of them."""

from __future__ import annotations

from typing import Any

from persona_stream.backends.base import Backend
from persona_stream.core import run_id as runid
from persona_stream.core.facts import Accepted, Answered, Entry, Reasoned, Reported, Started
from persona_stream.core.query import Principal, Query
from persona_stream.db.records import Exchanged, Record, RunBegan, RunEnded, RunRead, RunResponded
from persona_stream.runs.observer import Reading, Responded
from persona_stream.runs.request import Order, Origin

BEGAN = 1_790_000_000.0


def query(message: str = "What?", owner: str = "alice", conversation: str = "c-1", **more: Any) -> Query:
    """Give a question."""
    principal = Principal(owner)
    return Query(username="ada", message=message, conversation_id=conversation, principal=principal, **more)


def order(asked: Query) -> Order:
    """Give an order for it."""
    origin = Origin(
        endpoint="/api/stream_chat_smart",
        method="POST",
        address="192.0.2.7",
        user_agent="curl",
        headers=(("Host", "x"), ("Authorization", "***")),
        body=b'{"message":"What?"}',
    )
    return Order(asked, Backend("demo", lambda query: ""), "smart", "words", origin=origin)


def entries(asked: Query, *facts: tuple[float, Any], at: float = BEGAN, run_id: str | None = None) -> list[Entry]:
    """Write a run down: its facts with their seconds."""
    accepted = Accepted(
        run_id=run_id or runid.new(at),
        owner=asked.principal.subject,
        username=asked.username,
        conversation_id=asked.conversation_id,
        style="smart",
        chunking="words",
        locale="en",
        reasoning=False,
        deadline=150.0,
        resume_for=900.0,
        question_tokens=7,
    )
    return [Entry(at, accepted), *(Entry(at + after, fact) for after, fact in facts)]


def name(run: list[Entry]) -> str:
    """Name a run."""
    return run[0].fact.run_id


def reading(at: float = BEGAN, **more: Any) -> Reading:
    """Say that somebody read it whole."""
    told: dict[str, Any] = {
        "dialect": "native", "resumed": False, "began_at": at, "first_event_at": at + 0.1, "first_text_at": at + 5.5,
        "last_at": at + 9.5, "events": 10, "pieces": 4, "sent_bytes": 1000, "is_whole": True,
    }  # fmt: skip
    return Reading(**told | more)


ANSWERED = ((0.5, Started()), (1.0, Reported("Reading", 0.4)), (5.0, Reasoned("Hm.")), (5.0, Answered("It is so.")))


def records(run: list[Entry], asked: Query, at: float = BEGAN) -> list[Record]:
    """Give all that is kept of a run that somebody has read, and what it says of its conversation."""
    return [
        RunBegan(run[0], order(asked)),
        RunResponded(name(run), Responded(200, (("Content-Type", "text/event-stream"),))),
        RunEnded(run, (), None),
        Exchanged(asked, run),
        RunRead(name(run), reading(at)),
    ]
