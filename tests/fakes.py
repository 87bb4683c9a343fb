"""Fakes for unit tests: a clock set by hand, journals of literal facts, and queries with recording contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from persona_stream.chunking.registry import get_chunker
from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.events import Event, Wait
from persona_stream.core.facts import Accepted, Entry, Fact
from persona_stream.core.projection import STYLES, StreamProjection, SubscriptionOptions
from persona_stream.core.query import Locale, Query, QueryContext

RUN_ID = "01kaf0000000000000000000zz"


class FakeClock:
    """Clock that returns the time in ``now``."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def accepted(style: str = "smart", chunking: str = "words", deadline: float = 150.0, locale: Locale = "zh") -> Accepted:
    """Return the terms of a run."""
    return Accepted(
        run_id=RUN_ID,
        owner="alice",
        username="VitalikButerin",
        conversation_id="chat_123",
        style=style,
        chunking=chunking,
        locale=locale,
        reasoning=False,
        deadline=deadline,
        resume_for=900.0,
    )


def entries(*happened: tuple[float, Fact]) -> list[Entry]:
    """Return the entries of a journal."""
    return [Entry(at, fact) for at, fact in happened]


def subscription_options(
    style: str = "smart",
    chunking: str = "words",
    locale: Locale = "zh",
    start: Position = BEGINNING,
    reasoning: bool = False,
) -> SubscriptionOptions:
    """Return the options of a subscription."""
    return SubscriptionOptions(STYLES[style], get_chunker(chunking), locale, start, reasoning)


def read(
    journal: Sequence[Entry], who: SubscriptionOptions, since: float = 0.0, clock_offset: float = 0.0
) -> list[tuple[float, Event]]:
    """Return the events of a subscription that starts at ``since``, each with its time.

    Facts appear at their times, as in a live run. ``clock_offset`` is how far the subscriber's clock is ahead.
    """
    clock = FakeClock(since + clock_offset)
    seen = [entry for entry in journal if entry.at <= since]
    pending = list(journal[len(seen) :])
    events: list[tuple[float, Event]] = []
    waits = 0
    for step in StreamProjection(seen, who, clock):
        if not isinstance(step, Wait):
            events.append((round(clock.now - clock_offset, 6), step))
            continue
        waits += 1
        assert waits < 10_000, "the projection never ends, or waits for a time in the past"
        # A timer never fires before its time, but may fire exactly at it.
        moment = max(step.until, clock.now)
        if pending and pending[0].at + clock_offset <= moment:
            moment = max(clock.now, pending[0].at + clock_offset)
        clock.now = moment
        while pending and pending[0].at + clock_offset <= clock.now:
            seen.append(pending.pop(0))
    assert not pending, "the projection ended before the run"
    return events


def texts(events: Iterable[tuple[float, Event]]) -> str:
    """Return the text of the answer's chunks."""
    return "".join(getattr(event, "text", "") for _, event in events if type(event).__name__ == "TextChunk")


def query_with(query: Query, **callbacks: Callable[..., object]) -> Query:
    """Return the query with a context that calls these functions, named like the methods of ``QueryContext``."""
    methods = {name: staticmethod(function) for name, function in callbacks.items()}
    assert methods.keys() <= set(dir(QueryContext)), "no such method"
    return replace(query, _context=type("FakeContext", (QueryContext,), methods)())
