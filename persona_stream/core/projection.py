"""The projection of a run for one subscriber: ``stream = projection(facts, time)``.

A projection reads the journal of a run and a clock, and yields the events that are due, or ``Wait(until)``. It never
blocks: the caller waits for that moment or for the next fact, whichever comes first. Everything is derived from the
facts, so a subscriber may join at any moment, from any position, with any chunking.

Invariants:
    The chunks of one subscriber, joined, are the answer from its start position on.
    Positions never decrease.
    The first chunk of an answer is due at once, the last within ``MAX_DELIVERY_SECONDS``; the pause after a sentence
    is twice as long, and all pauses of a long answer shrink by the same factor.
    Past progress is not replayed; overdue events are yielded at once.
    The last event is the final one, and there is exactly one.
    A stream ends some seconds after the deadline of its run even if no fact arrives any more, because the store fails.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from persona_stream.chunking import graphemes
from persona_stream.chunking.chunkers import CHUNK_SIZE
from persona_stream.chunking.registry import Chunker
from persona_stream.chunking.sentence_boundaries import ends_sentence
from persona_stream.core import cursor, events, facts, i18n, query, snapshot
from persona_stream.core.clock import Clock

MAX_DELIVERY_SECONDS = 10.0
STORE_GRACE = 5.0
"""Seconds after its deadline in which the end of a run must arrive from the store."""


class StreamStyle(Struct, frozen=True):
    """Parameters of a style of streaming."""

    name: str  # name of the style in requests
    interval: float  # seconds between progress events
    chunking: str  # chunker used unless the request names one
    pause: float  # seconds between chunks of the answer
    chunk_size: int = CHUNK_SIZE  # characters


BASIC = StreamStyle("basic", interval=3.0, chunking="characters", pause=0.05)
ADVANCED = StreamStyle("advanced", interval=2.0, chunking="words", pause=0.1)
SMART = StreamStyle("smart", interval=2.0, chunking="words", pause=0.05)

STYLES = {style.name: style for style in (BASIC, ADVANCED, SMART)}


class SubscriptionOptions(Struct, frozen=True):
    """Options of one subscription."""

    style: StreamStyle
    chunk: Chunker
    locale: query.Locale  # language of status texts
    start: cursor.Position = cursor.BEGINNING  # position after which the stream starts
    reasoning: bool = False  # whether reasoning is sent
    queue_timeout: float = 60.0  # seconds that the run may be queued
    dialect: str = ""  # protocol of the subscriber, whose provider's own fields are sent


class StreamProjection:
    """Events of one run for one subscriber. Iterate once; the journal may grow meanwhile."""

    __slots__ = (
        "_accepted_at",
        "_clock",
        "_clock_offset",
        "_deadline",
        "_delivered",
        "_facts_read",
        "_give_up_at",
        "_has_pauses",
        "_has_sent",
        "_has_text",
        "_held_text",
        "_inputs",
        "_is_started",
        "_journal",
        "_next_progress",
        "_number",
        "_options",
        "_position",
        "_progress",
        "_queued",
        "_started_at",
    )  # fmt: skip

    def __init__(self, journal: Sequence[facts.Entry], options: SubscriptionOptions, clock: Clock) -> None:
        self._journal = journal
        self._options = options
        self._clock = clock
        self._position = options.start
        self._facts_read = 0
        self._delivered = 0  # characters of the answer that the subscriber has
        self._number = 0  # chunks of the answer that the subscriber has
        self._held_text = ""  # end of the last delta: the next one may continue its grapheme
        self._has_sent = False
        self._has_text = False
        self._has_pauses = True
        self._is_started = False
        self._inputs = facts.OpenInputs()
        self._queued: facts.Queued | None = None  # while the run is queued
        self._clock_offset = 0.0
        self._accepted_at = 0.0
        self._started_at = 0.0
        self._next_progress = 0.0
        self._deadline = math.inf
        self._give_up_at = math.inf

    def __iter__(self) -> Iterator[events.Event | events.Wait]:
        """Yield the events that are due, and ``Wait`` when none is, until the final event."""
        while True:
            while self._facts_read < len(self._journal):
                entry = self._journal[self._facts_read]
                self._facts_read += 1
                # An entry from the future was written by a machine whose clock is ahead: follow that clock.
                self._clock_offset = max(self._clock_offset, entry.at - self._clock())
                for event in self._project(entry.at, entry.fact):
                    self._has_sent = True
                    yield event
                if facts.is_ending(entry.fact):
                    return
            if self._clock() >= self._give_up_at:  # by this process's clock alone: the run's may be wrong by hours
                yield from self._flush_held_text(self._facts_read)
                yield self._timed_out()
                return
            if not self._is_started and self._queued is None:
                yield events.Wait(min(self._clock() + self._options.style.interval, self._give_up_at))
                continue
            if not self._has_sent or self._clock() >= self._next_progress - self._clock_offset:
                self._has_sent = True
                yield self._progress_event() if self._queued is None else self._queue_event(self._queued)
            yield events.Wait(min(self._next_progress - self._clock_offset, self._give_up_at))

    def _timed_out(self) -> events.RunFailed:
        """Return the ending of a stream to which the store delivers no more facts."""
        message = i18n.error_text("timeout", "", self._options.locale)
        elapsed = max(0.0, self._now() - self._started_at)
        return events.RunFailed(self._position, "timeout", message, elapsed=elapsed)

    def skip_pauses(self) -> None:
        """Yield the rest of the answer without pauses."""
        self._has_pauses = False

    def _project(self, at: float, fact: object) -> Iterable[events.Event | events.Wait]:
        match fact:
            case facts.AnswerDelta(text=text):
                return self._text_delta(at, text)
            case facts.Answered():
                return self._answer(at, fact)
            case facts.ReasoningDelta(text=text):
                return self._reasoning(text)
            case facts.Accepted():
                self._accepted_at = at
                self._started_at = at
                self._deadline = fact.deadline
                self._give_up_at = self._clock() + self._options.queue_timeout + fact.deadline + STORE_GRACE
                self._progress = snapshot.ProgressTracker(fact.deadline)
                if self._advance():
                    interval = self._options.style.interval
                    terms = {"interval": interval, "deadline": fact.deadline, "resume_for": fact.resume_for}
                    return (events.RunOpened(self._position, fact.conversation_id, **terms),)
            case facts.Queued():
                if self._queued is None:
                    self._next_progress = at
                self._queued = fact
                self._advance()
            case facts.Started():
                self._is_started = True
                self._started_at = at
                self._progress.start(fact)
                self._give_up_at = self._clock() + self._deadline + STORE_GRACE
                self._queued = None
                self._next_progress = at + self._options.style.interval
                if self._advance():
                    message = self._status_text(0, 0.0, self._progress.estimate(0.0)[1])
                    return (events.Progress(self._position, message, snapshot.START_PERCENT, elapsed=0.0),)
            case facts.ProgressReported():
                self._progress.report(fact, at - self._started_at)
                self._advance()
            case facts.InputRequested() | facts.InputClosed():
                self._inputs.add(at, fact)
                self._next_progress = at  # the next event shows the question, or that it is closed
                held = tuple(self._flush_held_text(self._facts_read - 1))
                self._advance()
                return held
            case facts.ProviderDelta(dialect=dialect, fields=fields):
                if self._advance() and dialect == self._options.dialect:
                    return (events.ProviderChunk(self._position, fields),)
            case facts.Failed(code=code, text=text, retry_after=retry_after):
                message = i18n.error_text(code, text, self._options.locale)
                end = cursor.Position(self._facts_read, 0)
                failed = events.RunFailed(end, code, message, at - self._started_at, retry_after)
                return (*self._flush_held_text(self._facts_read - 1), failed)
        return ()

    def _now(self) -> float:
        return self._clock() + self._clock_offset

    def _advance(self) -> bool:
        """Advance past a fact without text; return whether it is new to the subscriber."""
        if self._position >= (self._facts_read, 0):
            return False
        if not self._held_text:  # held text comes before this fact
            self._position = cursor.Position(self._facts_read, 0)
        return True

    def _already_held(self, text: str) -> int:
        """Return how many characters of the current fact's text the subscriber had at the start."""
        known, characters = self._options.start
        if self._facts_read > known + 1:
            return 0
        return characters if self._facts_read == known + 1 else len(text)

    def _queue_event(self, queued: facts.Queued) -> events.QueuePosition:
        now = self._now()
        self._next_progress = now + self._options.style.interval
        elapsed = max(0.0, now - self._accepted_at)
        return events.QueuePosition(self._position, queued.position, elapsed, queued.eta)

    def _progress_event(self) -> events.Progress:
        style = self._options.style
        now = self._now()
        elapsed = max(0.0, now - self._started_at)
        ticks = int(elapsed / style.interval + 1e-6)
        if self._has_text:
            # The answer pauses: an interval after its last text.
            self._next_progress = now + style.interval
        else:
            # At multiples of the interval, the same for all subscribers.
            self._next_progress = self._started_at + (ticks + 1) * style.interval
        percent, eta = (100, None) if self._has_text else self._progress.estimate(elapsed)
        if (asked := self._inputs.oldest) is not None:
            return self._input_event(*asked, percent, elapsed)
        return events.Progress(self._position, self._status_text(ticks, elapsed, eta), percent, elapsed, eta)

    def _input_event(
        self, asked_at: float, request: query.InputRequest, percent: int, elapsed: float
    ) -> events.InputRequired:
        expires_at = snapshot.input_expires_at(asked_at, request, self._started_at + self._deadline)
        return events.InputRequired(
            self._position,
            request.question,
            percent,
            elapsed,
            input_id=request.input_id,
            choices=request.choices,
            expires_in=max(0.0, expires_at - self._now()),
        )

    def _status_text(self, ticks: int, elapsed: float, eta: float | None) -> str:
        locale = self._options.locale
        text = self._progress.message or i18n.status_text(self._options.style.name, ticks, locale)
        return i18n.late_text(text, self._deadline, locale) if self._progress.is_late(elapsed, eta) else text

    def _start_text(self, at: float) -> Iterator[events.Event]:
        """Yield ``AnswerReady`` once, unless the subscriber already has text."""
        if not self._has_text:
            self._has_text = True
            if not self._delivered:
                yield events.AnswerReady(self._position, at - self._started_at)

    def _chunk(self, position: cursor.Position, text: str, total: int | None) -> events.TextChunk:
        self._position = position
        self._number += 1
        self._delivered += len(text)
        return events.TextChunk(position, text, self._number, self._delivered, total)

    def _reasoning(self, text: str) -> Iterator[events.Event]:
        yield from self._flush_held_text(self._facts_read - 1)
        characters = self._already_held(text)
        if self._options.reasoning:
            for chunk in self._options.chunk(text[characters:]):
                characters += len(chunk)
                self._position = cursor.Position(self._facts_read - 1, characters)
                yield events.ReasoningChunk(self._position, chunk)
        self._advance()

    def _text_delta(self, at: float, text: str) -> Iterator[events.Event]:
        """Yield a delta except for its last grapheme, which the next delta may continue."""
        already_held = self._already_held(text)
        if already_held:
            self._delivered += already_held
            if already_held == len(text):
                self._number += 1
                self._has_text = True
                return
        yield from self._start_text(at)
        held_before = len(self._held_text)
        text = self._held_text + text[already_held:]
        cut = graphemes.enclosing_boundaries(text, 0, len(text) - 1)[0] if len(text) > 1 else 0
        self._held_text = text[cut:]
        if cut:
            yield self._chunk(cursor.Position(self._facts_read - 1, already_held + cut - held_before), text[:cut], None)
            self._next_progress = max(self._next_progress, self._now() + self._options.style.interval)

    def _flush_held_text(self, facts_read: int) -> Iterator[events.Event]:
        """Yield the held text, which ends before fact ``facts_read``: nothing can continue it any more."""
        if self._held_text:
            text = self._held_text
            self._held_text = ""
            yield self._chunk(cursor.Position(facts_read, 0), text, None)

    def _answer(self, at: float, fact: facts.Answered) -> Iterator[events.Event | events.Wait]:
        """Yield the rest of the answer in paced chunks, and overdue chunks at once."""
        already_held = self._already_held(fact.text)
        self._delivered += already_held
        yield from self._start_text(at)
        held_before = len(self._held_text)
        text = self._held_text + fact.text
        self._held_text = ""
        total = self._delivered - already_held + len(text)
        chunks = list(self._options.chunk(text))
        end = 0
        delays = schedule_chunks(chunks, self._options.style.pause)
        for chunk, delay in zip(chunks, delays, strict=True):
            end += len(chunk)
            if end <= already_held:
                self._number += 1
                continue
            due = at + delay - self._clock_offset
            while self._has_pauses and self._clock() < due:
                yield events.Wait(due)
            unsent = chunk[-(end - already_held) :]  # the whole chunk unless the subscriber started within it
            yield self._chunk(cursor.Position(self._facts_read - 1, end - held_before), unsent, total)
        for call in fact.calls:
            yield events.ToolCalled(self._position, call)
        # The same for all subscribers of this style and chunking: without text of earlier facts, which they may have.
        if text != fact.text:
            delays = schedule_chunks(list(self._options.chunk(fact.text)), self._options.style.pause)
        delivery = delays[-1] if delays else 0.0
        yield events.Completed(cursor.Position(self._facts_read, 0), at - self._accepted_at + delivery, fact)


def schedule_chunks(chunks: Sequence[str], pause: float, cap: float = MAX_DELIVERY_SECONDS) -> list[float]:
    """Return the seconds, at most ``cap``, from the answer to each chunk, with ``pause`` seconds between two."""
    if not (0 <= pause < math.inf and cap >= 0):
        raise ValueError(f"pause must be finite and, like cap, not negative: pause={pause}, cap={cap}")
    if not chunks:
        return []
    times = list(accumulate((pause * (2 if ends_sentence(chunk) else 1) for chunk in chunks[:-1]), initial=0.0))
    if times[-1] <= cap:
        return times
    scale = cap / times[-1]
    # Rounding could move the last one past the cap.
    return [min(time * scale, cap) for time in times]
