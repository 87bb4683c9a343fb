"""The product on one page: stream = script(facts, time).

A script reads a run's journal and a clock, and says what a reader gets and when. It never blocks: it yields an
event to send now, or ``Wait(until)``, and whoever drives it waits for that moment or for the next fact, whichever
is first. Everything is derived, so any reader may join at any moment, from any position, with any chunking.

Its laws: the texts of a reader's pieces, joined, are the rest of the answer from its position; positions never
fall; past progress is never replayed; what is overdue comes at once; the last event is the ending, and there is one.

The three manners of streaming, which differ by their numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from persona_stream.chunking import graphemes
from persona_stream.chunking.base import Chunker
from persona_stream.core.clock import Clock
from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.events import (
    AnswerReady,
    Completed,
    Event,
    Progress,
    QueuePosition,
    ReasoningChunk,
    RunFailed,
    RunOpened,
    TextChunk,
    Wait,
)
from persona_stream.core.facts import (
    Accepted,
    Answered,
    Entry,
    Failed,
    ProgressReported,
    Queued,
    ReasoningDelta,
    Started,
    TextDelta,
    is_ending,
)
from persona_stream.core.i18n import error_text, status_text
from persona_stream.core.progress import START_PERCENT, ProgressTracker, schedule_chunks
from persona_stream.core.query import Locale


class StreamStyle(Struct, frozen=True):
    """Hold the numbers of one manner of streaming.

    Attributes:
        name: what clients call it.
        interval: seconds between two progress events.
        chunking: the chunker used unless the request names one.
        pause: seconds between two pieces of the answer.
    """

    name: str
    interval: float
    chunking: str
    pause: float


BASIC = StreamStyle("basic", interval=3.0, chunking="characters", pause=0.05)
ADVANCED = StreamStyle("advanced", interval=2.0, chunking="words", pause=0.1)
SMART = StreamStyle("smart", interval=2.0, chunking="words", pause=0.05)

STYLES = {style.name: style for style in (BASIC, ADVANCED, SMART)}


class SubscriptionOptions(Struct, frozen=True):
    """Say how somebody reads a run: in what style, cut how, in which language, and from where."""

    style: StreamStyle
    chunk: Chunker
    locale: Locale
    start: Position = BEGINNING
    reasoning: bool = False


class StreamProjection:
    """Tell one run to one reader. Iterate it once; ``journal`` may grow meanwhile."""

    __slots__ = (
        "_accepted_at", "_clock", "_delivered", "_estimate", "_held", "_journal", "_next_tick",
        "_number", "_position", "_queued", "_reader", "_sent", "_shift", "_started", "_started_at", "_taken",
        "_text_began",
    )  # fmt: skip

    def __init__(self, journal: Sequence[Entry], reader: SubscriptionOptions, clock: Clock) -> None:
        self._journal, self._reader, self._clock = journal, reader, clock
        self._position = reader.start
        self._taken = 0  # facts looked at
        self._delivered = self._number = 0  # characters and pieces of the answer that the reader has
        self._held = ""  # the end of the last delta: the next one may belong to the same grapheme
        self._sent = self._started = self._text_began = False
        self._queued: Queued | None = None  # while it waits for a place
        self._shift = self._accepted_at = self._started_at = self._next_tick = 0.0

    def __iter__(self) -> Iterator[Event | Wait]:
        """Yield what is due, and ``Wait`` when nothing is, until the ending."""
        while True:
            while self._taken < len(self._journal):
                entry, self._taken = self._journal[self._taken], self._taken + 1
                # A moment from our future was written by a machine whose clock is ahead: follow that clock.
                self._shift = max(self._shift, entry.at - self._clock())
                for event in self._project(entry.at, entry.fact):
                    self._sent = True
                    yield event
                if is_ending(entry.fact):
                    return
            if not self._started and self._queued is None:
                yield Wait(self._clock() + self._reader.style.interval)
                continue
            if not self._sent or self._clock() >= self._next_tick - self._shift:
                self._sent = True
                yield self._tick() if self._queued is None else self._queuing(self._queued)
            yield Wait(self._next_tick - self._shift)

    def _project(self, at: float, fact: object) -> Iterator[Event | Wait]:
        match fact:
            case Accepted():
                self._accepted_at = self._started_at = at
                self._estimate = ProgressTracker(fact.deadline)
                if self._advance():
                    interval = self._reader.style.interval
                    yield RunOpened(self._position, fact.conversation_id, interval, fact.deadline, fact.resume_for)
            case Queued():
                first, self._queued = self._queued is None, fact
                self._advance()
                if first:
                    self._next_tick = at
            case Started():
                self._started, self._started_at, self._queued = True, at, None
                self._next_tick = at + self._reader.style.interval
                if self._advance():
                    message = status_text(self._reader.style.name, 0, self._reader.locale)
                    yield Progress(self._position, message, START_PERCENT, 0.0)
            case ProgressReported():
                self._estimate.report(fact, at - self._started_at)
                self._advance()
            case ReasoningDelta(text=text):
                yield from self._release()
                yield from self._thoughts(text)
            case TextDelta(text=text):
                yield from self._delta(at, text)
            case Answered():
                yield from self._answer(at, fact)
                yield Completed(Position(self._taken, 0), at - self._accepted_at, fact)
            case Failed(code=code, text=text):
                yield from self._release()
                message = error_text(code, text, self._reader.locale)
                yield RunFailed(Position(self._taken, 0), code, message, at - self._started_at)

    def _now(self) -> float:
        return self._clock() + self._shift

    def _advance(self) -> bool:
        """Move on past a fact without text; tell whether the reader did not have it yet."""
        if self._position >= (self._taken, 0):
            return False
        if not self._held:  # text that is held back has its place before this fact
            self._position = Position(self._taken, 0)
        return True

    def _had(self, text: str) -> int:
        """Count the characters of the current fact's text that the reader came with."""
        facts, characters = self._reader.start
        if self._taken > facts + 1:
            return 0
        return characters if self._taken == facts + 1 else len(text)

    def _queuing(self, queued: Queued) -> QueuePosition:
        self._next_tick = self._now() + self._reader.style.interval
        return QueuePosition(self._position, queued.position, max(0.0, self._now() - self._accepted_at), queued.eta)

    def _tick(self) -> Progress:
        style, elapsed = self._reader.style, max(0.0, self._now() - self._started_at)
        steps = int(elapsed / style.interval + 1e-6)
        # On the beat that every reader shares; but in a pause of a text, an interval after it.
        self._next_tick = (
            self._now() + style.interval if self._text_began else (self._started_at + (steps + 1) * style.interval)
        )
        message = self._estimate.message or status_text(style.name, steps, self._reader.locale)
        percent = 100 if self._text_began else self._estimate.percent(elapsed)
        return Progress(self._position, message, percent, elapsed, self._estimate.eta(elapsed))

    def _begin_text(self, at: float) -> Iterator[Event]:
        """Say once that the answer begins, to a reader that has none of it."""
        if not self._text_began:
            self._text_began = True
            if not self._delivered:
                yield AnswerReady(self._position, at - self._started_at)

    def _piece(self, position: Position, text: str, total: int | None) -> TextChunk:
        self._position = position
        self._number += 1
        self._delivered += len(text)
        return TextChunk(position, text, self._number, self._delivered, total)

    def _thoughts(self, text: str) -> Iterator[Event]:
        had = self._had(text)
        if self._reader.reasoning:
            for piece in self._reader.chunk(text[had:]):
                had += len(piece)
                self._position = Position(self._taken - 1, had)
                yield ReasoningChunk(self._position, piece)
        self._advance()

    def _delta(self, at: float, text: str) -> Iterator[Event]:
        """Send a delta as it comes, but for its last grapheme, which the next delta may still change."""
        had = self._had(text)
        if had:
            self._delivered += had
            if had == len(text):
                self._number += 1
                self._text_began = True
                return
        yield from self._begin_text(at)
        before = len(self._held)
        text = self._held + text[had:]
        cut = graphemes.enclosing_boundaries(text, 0, len(text) - 1)[0] if len(text) > 1 else 0
        self._held = text[cut:]
        if cut:
            yield self._piece(Position(self._taken - 1, had + cut - before), text[:cut], None)
            self._next_tick = max(self._next_tick, self._now() + self._reader.style.interval)

    def _release(self) -> Iterator[Event]:
        """Send what was held back, since nothing can join it any more."""
        if self._held:
            text, self._held = self._held, ""
            yield self._piece(Position(self._taken - 1, 0), text, None)

    def _answer(self, at: float, fact: Answered) -> Iterator[Event | Wait]:
        """Deliver what is left of the answer piece by piece, at its pace, and all that is overdue at once."""
        had = self._had(fact.text)
        self._delivered += had
        yield from self._begin_text(at)
        before = len(self._held)
        text, self._held = self._held + fact.text, ""
        total = self._delivered - had + len(text)
        pieces = list(self._reader.chunk(text))
        end = 0
        for piece, moment in zip(pieces, schedule_chunks(pieces, self._reader.style.pause), strict=True):
            end += len(piece)
            if end <= had:
                self._number += 1
                continue
            due = at + moment - self._shift
            while self._clock() < due:
                yield Wait(due)
            new = piece[-(end - had) :]  # all of it, unless the reader came with a part
            yield self._piece(Position(self._taken - 1, end - before), new, total)
