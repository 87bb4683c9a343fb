"""One question, from the first connection to its end, through as many connections as it takes.

The laws: every character of the answer is told once; the last update is the one ``Ended``; nothing here takes
longer than the timeout, but for a moment in which the run is told to stop.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from persona_stream.client import judgement, reply, requesting
from persona_stream.client.judgement import Again, Deliver, End, Look, Verdict
from persona_stream.client.listening import Listening, StopError, TimeUpError
from persona_stream.client.outcome import Outcome
from persona_stream.client.patience import Jitter, Patience
from persona_stream.client.question import Question
from persona_stream.client.requesting import Request
from persona_stream.client.trail import Trail
from persona_stream.client.transport import Broken, Bytes, Head, Transport
from persona_stream.client.updates import Came, Cancelling, Connecting, Ended, Reconnecting, Update
from persona_stream.core.clock import Clock
from persona_stream.core.sse import Event, EventTooLargeError, Parser

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
        patience: Patience | None = None,
    ) -> None:
        self._question, self._key = question, key
        self._clock, self._jitter, self._patience = clock, jitter, patience or Patience()
        self._started, self._timeout = clock(), timeout
        self._listening = Listening(transport, clock, self._started + timeout)
        self._trail = Trail()
        self._posts = self._failures = 0
        self._retry = 0.0  # the reconnection time that the server asked for
        self._is_over = False  # the server said that there is nothing more to read

    def updates(self) -> Iterator[Update]:
        """Tell what happens, until ``Ended``."""
        stopped = None
        yield Connecting(self._question.streams)
        try:
            end = yield from self._to_the_end()
        except TimeUpError:
            end = End(Outcome.TIMEOUT, "client_timeout", f"{self._timeout:g}")
            stopped = yield from self._cancel()
        except StopError:
            end = End(Outcome.CANCELLED, "cancelled")
            yield Cancelling()
            stopped = yield from self._cancel()
        trail, seconds = self._trail, self._clock() - self._started
        yield Ended(end, trail.run_id, trail.conversation_id, trail.characters, seconds, stopped)

    def _to_the_end(self) -> Generator[Update, None, End]:
        while True:
            match (yield from self._connection()):
                case End() as end:
                    return end
                case Deliver(reply=whole):
                    self._trail.take(Event(""), whole)
                    yield Came(whole)
                    return judgement.ending(whole)
                case Look():
                    self._is_over = True
                case Again() as again:
                    self._failures += 1
                    if again.code == "tls" or self._patience.exhausted(self._failures, met=bool(self._trail.run_id)):
                        return End(again.outcome, again.code, again.detail, again.reply)
                    wait = self._patience.wait(self._failures, self._jitter, max(again.wait, self._retry))
                    yield Reconnecting(again.code, wait, self._failures)
                    yield from self._listening.pause(wait)

    def _connection(self) -> Generator[Update, None, Verdict]:
        """Make the next request, and follow its response as far as it goes."""
        self._listening.open(self._next_request())
        head = yield from self._listening.message()
        if not isinstance(head, Head):
            return _again(head)
        if self._question.streams and judgement.is_stream(head):
            self._trail.met(head.headers.get("x-run-id", ""))
            return (yield from self._stream(head.at))
        body = yield from self._listening.body()
        if isinstance(body, Broken):
            return _again(body)
        said, now = _object(head, body), self._clock()
        if not self._trail.run_id:
            repeated = self._posts > 1
            return judgement.judge_start(head, said, streams=self._question.streams, repeated=repeated, now=now)
        if self._is_over:
            return judgement.judge_look(head, said, characters=self._trail.characters, now=now)
        return judgement.judge_resumption(head, said, now=now)

    def _next_request(self) -> Request:
        run_id, locale = self._trail.run_id, self._question.locale
        if not run_id:
            self._posts += 1
            silence = SILENCE if self._question.streams else None
            return requesting.ask(self._question, idempotency_key=self._key, silence=silence)
        if self._is_over:
            return requesting.look(run_id, locale=locale)
        return requesting.resume(run_id, self._trail.last_event_id, locale=locale, silence=SILENCE)

    def _stream(self, opened: float) -> Generator[Update, None, Verdict]:
        parser = Parser()
        while isinstance(message := (yield from self._listening.message()), Bytes):
            try:
                events = parser.feed(message.data)
            except EventTooLargeError as error:
                return End(Outcome.FAILED, "not_ours", str(error))
            self._retry = parser.retry or self._retry
            for event in events:
                # A named event is not of this protocol: some proxies have pings of their own.
                if event.type != "message":
                    continue
                said = reply.parse(event.data)
                if said is None:
                    # Damaged on its way. Its id is not taken, so the next connection brings it again.
                    return Again("garbled")
                if self._trail.has_moved(event.id) or message.at - opened >= GOOD_CONNECTION:
                    self._failures = 0
                if self._trail.take(event, said):
                    yield Came(said, event)
                if said.is_last:
                    return judgement.ending(said)
        # Also an end in good order is none, when the terminal event is missing.
        return _again(message)

    def _cancel(self) -> Generator[Update, None, bool | None]:
        """Tell the server that nobody waits any more; give up soon if it does not listen."""
        if not self._trail.run_id:
            return None
        self._listening.open(requesting.cancel(self._trail.run_id, locale=self._question.locale))
        self._listening.deadline = self._clock() + CANCEL_TIMEOUT
        try:
            message = yield from self._listening.message()
        except (TimeUpError, StopError):
            return False
        return isinstance(message, Head) and message.status == 200


def _again(message: object) -> Again:
    return Again(message.by, message.detail) if isinstance(message, Broken) else Again("connection_lost")


def _object(head: Head, body: bytes) -> reply.Reply | None:
    if judgement.is_object(head):
        return reply.parse(body)
    events = Parser().feed(body[:MAX_REFUSAL_BYTES]) if judgement.is_events(head) else []
    return reply.parse(events[0].data) if events else None
