"""One question, from the first connection to its end, through as many connections as it takes.

The laws: every character of the answer is told once; the last update is the one ``Ended``; nothing here takes
longer than the timeout, but for a moment in which the run is told to stop.

What the client knows of its run, and how far it has read. With this it goes on where a connection broke.

Wait for what a connection brings, and tell the time meanwhile.

What the session tells those who show it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from persona_stream.client import models as reply
from persona_stream.client.models import ExitCode, Question, Reply
from persona_stream.client.policy import (
    Fail,
    FetchResult,
    Finish,
    Jitter,
    NextStep,
    Retry,
    RetryPolicy,
    after_fetch,
    after_resume,
    after_start,
    ending,
    is_events,
    is_object,
    is_stream,
)
from persona_stream.client.requests import Request, ask, cancel, look, resume
from persona_stream.client.transport import BodyFinished, Broken, Bytes, Head, Message, Transport, TransportInterrupted
from persona_stream.core import cursor
from persona_stream.core.clock import Clock
from persona_stream.core.sse import EventTooLarge, ServerSentEvent, SSEDecoder
from persona_stream.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Connecting:
    """The question is on its way. Without a stream, nothing more will come before the answer."""

    streams: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment has passed and nothing came."""


@dataclass(frozen=True, slots=True)
class Received:
    """Something came. ``event`` is its form on the wire, ``None`` for an answer that came as one object."""

    reply: Reply
    event: ServerSentEvent | None = None


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection is gone; the next attempt follows in so many seconds."""

    code: str
    wait: float
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The run is being cancelled."""


@dataclass(frozen=True, slots=True)
class SessionFinished:
    """It is over.

    Attributes:
        end: how.
        run_id: the run, or an empty string when none was ever known.
        conversation_id: to go on with; empty when unknown.
        characters: how many of the answer came.
        seconds: since the beginning.
        stopped: whether the run was told to stop: ``None`` when there was no reason to, or no run known.
    """

    end: Fail
    run_id: str
    conversation_id: str
    characters: int
    seconds: float
    stopped: bool | None = None


Update = Connecting | Tick | Received | Reconnecting | CancelRequested | SessionFinished

TICK = 0.2
MAX_BODY_BYTES = 128 * 1024 * 1024


class DeadlineExceeded(Exception):
    """Say that the deadline has passed."""


class StopRequested(Exception):
    """Say that somebody wants to stop."""


class MessageReceiver:
    """Take messages from a transport until a deadline.

    Every waiting method is a generator: it yields ``Waited`` a few times a second, so that a clock can be drawn,
    raises ``TimeUpError`` or ``StopError``, and returns what was waited for.

    Attributes:
        deadline: seconds since 1970.
    """

    def __init__(self, transport: Transport, clock: Clock, deadline: float) -> None:
        self._transport, self._clock = transport, clock
        self.deadline = deadline

    def open(self, request: Request) -> None:
        """Begin a request, in place of what is under way."""
        self._transport.open(request)

    def next_message(self) -> Generator[Update, None, Message]:
        """Wait for the next message."""
        while True:
            message = self._transport.next(min(TICK, max(0.0, self.deadline - self._clock())))
            if isinstance(message, TransportInterrupted):
                raise StopRequested
            # What arrived in time counts, also when the reader of our output kept us from taking it.
            if (message.at if message else self._clock()) >= self.deadline:
                raise DeadlineExceeded
            if message is not None:
                return message
            yield Tick()

    def read_body(self) -> Generator[Update, None, bytes | Broken]:
        """Wait for the rest of a response."""
        parts: list[bytes] = []
        size = 0
        while True:
            match (yield from self.next_message()):
                case Bytes(data=data) if size <= MAX_BODY_BYTES:
                    parts.append(data)
                    size += len(data)
                case BodyFinished():
                    return b"".join(parts)
                case Broken() as broken:
                    return broken
                case other:
                    return Broken(other.at, "connection_lost", "the response is too large")

    def sleep(self, seconds: float) -> Generator[Update, None, None]:
        """Let so many seconds pass, without a connection."""
        until = self._clock() + seconds
        # No use in waiting for a moment at which there is no time left.
        if until >= self.deadline:
            raise DeadlineExceeded
        self._transport.close()
        while (left := until - self._clock()) > 0:
            if isinstance(self._transport.next(min(TICK, left)), TransportInterrupted):
                raise StopRequested
            yield Tick()


# A run id is a few dozen characters; whatever else calls itself one does not get into our addresses.
_MAX_ID_CHARACTERS = 500


class ResumeState:
    """Remember a run, and let every character through once.

    Attributes:
        run_id: the run, or an empty string while it is not known.
        last_event_id: where to resume.
        characters: how many of the answer have come.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self.conversation_id = ""
        self.last_event_id = ""
        self.characters = 0
        self._position = cursor.BEGINNING

    def set_run_id(self, run_id: str) -> None:
        """Take the id of the run, from wherever it is told first. It never changes after that."""
        if not self.run_id and len(run_id) <= _MAX_ID_CHARACTERS:
            self.run_id = run_id

    def accept(self, event: ServerSentEvent, reply: Reply) -> bool:
        """Note an event. Tell whether it is new: one that brings text which the reader has is not."""
        self.set_run_id(reply.run_id)
        self.conversation_id = self.conversation_id or reply.conversation_id
        position = self._read(event.id)
        if (reply.text or reply.reasoning) and position is not None and position <= self._position:
            return False
        if event.id and len(event.id) <= _MAX_ID_CHARACTERS:
            self.last_event_id = event.id
        self._position = max(self._position, position or self._position)
        self.characters += len(reply.text)
        return True

    def is_progress(self, event_id: str) -> bool:
        """Tell whether this id is of a later position than every one before."""
        position = self._read(event_id)
        return position is not None and position > self._position

    def _read(self, event_id: str) -> cursor.Position | None:
        # A server that numbers its events otherwise is still read; it is then trusted not to repeat itself.
        try:
            return cursor.parse(event_id, self.run_id) if event_id else None
        except InvalidRequest:
            return None


SILENCE = 20.0
CANCEL_TIMEOUT = 3.0
# A connection that held for so long was a good one, even when nothing new happened on it.
GOOD_CONNECTION = 3.0
MAX_REFUSAL_BYTES = 1024 * 1024


class Session:
    """Lead one question to its end. Iterate ``updates()`` once.

    Args:
        key: the idempotency key, a new one for each question.
        timeout: seconds for everything together, from now.
        jitter: gives a number from 0.0 to 1.0, another each time.
    """

    def __init__(
        self,
        question: Question,
        transport: Transport,
        *,
        key: str,
        clock: Clock,
        timeout: float,
        jitter: Jitter,
        patience: RetryPolicy | None = None,
    ) -> None:
        self._question, self._key = question, key
        self._clock, self._jitter, self._patience = clock, jitter, patience or RetryPolicy()
        self._started, self._timeout = clock(), timeout
        self._listening = MessageReceiver(transport, clock, self._started + timeout)
        self._trail = ResumeState()
        self._posts = self._failures = 0
        self._retry = 0.0  # the reconnection time that the server asked for
        self._is_over = False  # the server said that there is nothing more to read

    def updates(self) -> Iterator[Update]:
        """Tell what happens, until ``Ended``."""
        stopped = None
        yield Connecting(self._question.streams)
        try:
            end = yield from self._to_the_end()
        except DeadlineExceeded:
            end = Fail(ExitCode.TIMEOUT, "client_timeout", f"{self._timeout:g}")
            stopped = yield from self._cancel()
        except StopRequested:
            end = Fail(ExitCode.CANCELLED, "cancelled")
            yield CancelRequested()
            stopped = yield from self._cancel()
        trail, seconds = self._trail, self._clock() - self._started
        yield SessionFinished(end, trail.run_id, trail.conversation_id, trail.characters, seconds, stopped)

    def _to_the_end(self) -> Generator[Update, None, Fail]:
        while True:
            match (yield from self._connection()):
                case Fail() as end:
                    return end
                case Finish(reply=whole):
                    self._trail.accept(ServerSentEvent(""), whole)
                    yield Received(whole)
                    return ending(whole)
                case FetchResult():
                    self._is_over = True
                case Retry() as again:
                    self._failures += 1
                    if again.code == "tls" or self._patience.is_exhausted(self._failures, met=bool(self._trail.run_id)):
                        return Fail(again.outcome, again.code, again.detail, again.reply)
                    wait = self._patience.delay(self._failures, self._jitter, max(again.wait, self._retry))
                    yield Reconnecting(again.code, wait, self._failures)
                    yield from self._listening.sleep(wait)

    def _connection(self) -> Generator[Update, None, NextStep]:
        """Make the next request, and follow its response as far as it goes."""
        self._listening.open(self._next_request())
        head = yield from self._listening.next_message()
        if not isinstance(head, Head):
            return _again(head)
        if self._question.streams and is_stream(head):
            self._trail.set_run_id(head.headers.get("x-run-id", ""))
            return (yield from self._stream(head.at))
        body = yield from self._listening.read_body()
        if isinstance(body, Broken):
            return _again(body)
        said, now = _object(head, body), self._clock()
        if not self._trail.run_id:
            repeated = self._posts > 1
            return after_start(head, said, streams=self._question.streams, repeated=repeated, now=now)
        if self._is_over:
            return after_fetch(head, said, characters=self._trail.characters, now=now)
        return after_resume(head, said, now=now)

    def _next_request(self) -> Request:
        run_id, locale = self._trail.run_id, self._question.locale
        if not run_id:
            self._posts += 1
            silence = SILENCE if self._question.streams else None
            return ask(self._question, idempotency_key=self._key, silence=silence)
        if self._is_over:
            return look(run_id, locale=locale)
        return resume(run_id, self._trail.last_event_id, locale=locale, silence=SILENCE)

    def _stream(self, opened: float) -> Generator[Update, None, NextStep]:
        parser = SSEDecoder()
        while isinstance(message := (yield from self._listening.next_message()), Bytes):
            try:
                events = parser.feed(message.data)
            except EventTooLarge as error:
                return Fail(ExitCode.FAILED, "not_ours", str(error))
            self._retry = parser.retry or self._retry
            for event in events:
                # A named event is not of this protocol: some proxies have pings of their own.
                if event.type != "message":
                    continue
                said = reply.parse_json(event.data)
                if said is None:
                    # Damaged on its way. Its id is not taken, so the next connection brings it again.
                    return Retry("garbled")
                if self._trail.is_progress(event.id) or message.at - opened >= GOOD_CONNECTION:
                    self._failures = 0
                if self._trail.accept(event, said):
                    yield Received(said, event)
                if said.is_last:
                    return ending(said)
        # Also an end in good order is none, when the terminal event is missing.
        return _again(message)

    def _cancel(self) -> Generator[Update, None, bool | None]:
        """Tell the server that nobody waits any more; give up soon if it does not listen."""
        if not self._trail.run_id:
            return None
        self._listening.open(cancel(self._trail.run_id, locale=self._question.locale))
        self._listening.deadline = self._clock() + CANCEL_TIMEOUT
        try:
            message = yield from self._listening.next_message()
        except (DeadlineExceeded, StopRequested):
            return False
        return isinstance(message, Head) and message.status == 200


def _again(message: object) -> Retry:
    return Retry(message.by, message.detail) if isinstance(message, Broken) else Retry("connection_lost")


def _object(head: Head, body: bytes) -> reply.Reply | None:
    if is_object(head):
        return reply.parse_json(body)
    events = SSEDecoder().feed(body[:MAX_REFUSAL_BYTES]) if is_events(head) else []
    return reply.parse_json(events[0].data) if events else None
