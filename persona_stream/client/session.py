"""One question through as many connections as it takes, as a generator of updates.

Invariants:
    Every character of the answer is reported once.
    The last update is the only ``SessionFinished``.
    The session ends by its deadline, plus ``CANCEL_TIMEOUT`` to cancel the run.
"""

from collections.abc import Callable, Generator, Iterator

from msgspec import Struct

from persona_stream.client import models, policy
from persona_stream.client.transport import Broken, Bytes, Head, HttpTransport, Interrupted, ResponsePart
from persona_stream.core import cursor, sse
from persona_stream.core.clock import Clock
from persona_stream.errors import InvalidRequest

TICK_INTERVAL = 0.2  # seconds
CANCEL_TIMEOUT = 3.0  # seconds
# A connection that lasted so long was a good one, even if it brought nothing new.
MIN_GOOD_CONNECTION = 3.0  # seconds
MAX_BODY_BYTES = 128 * 1024 * 1024
MAX_REFUSAL_BYTES = 1024 * 1024
# A run id has a few dozen characters; a longer one is not put into URLs and headers.
MAX_ID_CHARACTERS = 500


class Update(Struct, frozen=True):
    """Base of the updates of a session."""


class Connecting(Update, frozen=True):
    """Start of the request. Without ``streams``, nothing arrives before the answer."""

    streams: bool = True


class Tick(Update, frozen=True):
    """Silence of ``TICK_INTERVAL`` seconds."""


class Received(Update, frozen=True):
    """Arrival of a reply; ``event`` is its form on the wire, ``None`` for a JSON response."""

    reply: models.Reply
    event: sse.ServerSentEvent | None = None


class Reconnecting(Update, frozen=True):
    """Loss of the connection; the next attempt follows after ``wait`` seconds."""

    code: str
    wait: float


class CancelRequested(Update, frozen=True):
    """Start of the cancellation of the run."""


class SessionFinished(Update, frozen=True):
    """End of the session."""

    end: policy.Fail
    run_id: str  # empty if no run is known
    conversation_id: str  # likewise
    characters: int  # length of the answer received
    seconds: float  # from the question to the last text, by the server if it says so; else of the session
    is_stopped: bool | None = None  # whether the server confirmed the cancellation; ``None`` if no run was cancelled
    answered_after: float | None = None  # seconds from the question to the first text, if the server said so


class DeadlineExceeded(Exception):
    """Deadline of the session, or of the cancellation, exceeded."""


class ResumeState:
    """Identity of the run and the position reached in its stream."""

    def __init__(self) -> None:
        self.run_id = ""  # empty while unknown
        self.conversation_id = ""
        self.last_event_id = ""  # where to resume
        self.characters = 0  # length of the answer received
        self.answered_after: float | None = None  # seconds from the question to the answer, by the server
        self._queued_seconds = 0.0
        self._position = cursor.BEGINNING

    def set_run_id(self, run_id: str) -> None:
        """Set the id of the run, once."""
        if not self.run_id and len(run_id) <= MAX_ID_CHARACTERS:
            self.run_id = run_id

    def accept(self, event: sse.ServerSentEvent, reply: models.Reply) -> bool:
        """Record an event; return whether it is new, that is, not text from a position already reached."""
        self.set_run_id(reply.run_id)
        self.conversation_id = self.conversation_id or reply.conversation_id
        position = self._parse(event.id)
        if (reply.data or reply.reasoning) and position is not None and position <= self._position:
            return False
        if event.id and len(event.id) <= MAX_ID_CHARACTERS:
            self.last_event_id = event.id
        self._position = max(self._position, position or self._position)
        self.characters += len(reply.data)
        if reply.status == "queued" and reply.elapsed_time is not None:
            self._queued_seconds = reply.elapsed_time
        if reply.total_processing_time is not None:
            self.answered_after = self._queued_seconds + reply.total_processing_time
        return True

    def is_progress(self, event_id: str) -> bool:
        """Return whether the position of this id is later than every earlier one."""
        position = self._parse(event_id)
        return position is not None and position > self._position

    def _parse(self, event_id: str) -> cursor.Position | None:
        # A server with other ids is trusted not to repeat itself.
        try:
            return cursor.parse(event_id, self.run_id) if event_id else None
        except InvalidRequest:
            return None


class ChatSession:
    """Exchange of one question and its answer. Iterate ``updates()`` once.

    Private generators yield a ``Tick`` every ``TICK_INTERVAL`` while they wait, so that the clock can be redrawn, and
    raise ``DeadlineExceeded`` or ``Interrupted``.

    Args:
        key: idempotency key, a new one for each question.
        timeout: seconds for the whole session, from now.
        jitter: returns a random number from 0.0 to 1.0.
    """

    def __init__(
        self,
        question: models.Question,
        transport: HttpTransport,
        *,
        key: str,
        clock: Clock,
        timeout: float,
        jitter: Callable[[], float],
        retry_policy: policy.RetryPolicy | None = None,
    ) -> None:
        self._question = question
        self._transport = transport
        self._key = key
        self._clock = clock
        self._jitter = jitter
        self._retry_policy = retry_policy or policy.RetryPolicy()
        self._started_at = clock()
        self._timeout = timeout
        self._deadline = self._started_at + timeout
        self._state = ResumeState()
        self._starts = 0
        self._failures = 0
        self._min_delay = 0.0  # the stream's "retry" field
        self._has_ended = False  # the server reported that the stream has nothing more

    def updates(self) -> Iterator[Update]:
        """Yield what happens, until ``SessionFinished``."""
        is_stopped = None
        yield Connecting(self._question.streams)
        try:
            end = yield from self._run()
        except DeadlineExceeded:
            end = policy.Fail(models.ExitCode.TIMEOUT, "client_timeout", f"{self._timeout:g}")
            is_stopped = yield from self._cancel()
        except Interrupted:
            end = policy.Fail(models.ExitCode.CANCELLED, "cancelled")
            yield CancelRequested()
            is_stopped = yield from self._cancel()
        state = self._state
        seconds = self._clock() - self._started_at
        if end.reply is not None and end.reply.total_time is not None:
            seconds = end.reply.total_time
        yield SessionFinished(
            end,
            state.run_id,
            state.conversation_id,
            state.characters,
            seconds=seconds,
            is_stopped=is_stopped,
            answered_after=state.answered_after,
        )

    def _run(self) -> Generator[Update, None, policy.Fail]:
        while True:
            match (yield from self._exchange()):
                case policy.Fail() as end:
                    return end
                case policy.Finish(reply=reply):
                    self._state.accept(sse.ServerSentEvent(), reply)
                    yield Received(reply)
                    return policy.conclude(reply)
                case policy.FetchResult():
                    self._has_ended = True
                case policy.Retry() as retry:
                    self._failures += 1
                    has_run = bool(self._state.run_id)
                    if retry.code == "tls" or self._retry_policy.is_exhausted(self._failures, has_run=has_run):
                        return policy.Fail(retry.outcome, retry.code, retry.detail, retry.reply)
                    at_least = max(retry.wait, self._min_delay)
                    wait = self._retry_policy.delay(self._failures, self._jitter(), at_least)
                    yield Reconnecting(retry.code, wait)
                    yield from self._sleep(wait)

    def _exchange(self) -> Generator[Update, None, policy.NextStep]:
        """Send the next request and read its response."""
        state = self._state
        question = self._question
        has_run = bool(state.run_id)
        if not has_run:
            self._starts += 1
            self._transport.open(models.build_start(question, self._key))
        elif self._has_ended:
            self._transport.open(models.build_fetch(state.run_id, locale=question.locale))
        else:
            self._transport.open(models.build_resume(state.run_id, state.last_event_id, locale=question.locale))
        head = yield from self._next_message()
        if not isinstance(head, Head):
            return _retry(head)
        if question.streams and head.is_stream:
            state.set_run_id(head.headers.get("x-run-id", ""))
            return (yield from self._read_stream(head.at))
        body = yield from self._read_body()
        if isinstance(body, Broken):
            return _retry(body)
        reply = _parse_body(head, body)
        if not has_run:
            return policy.after_start(head, reply, streams=question.streams, is_repeated=self._starts > 1)
        if self._has_ended:
            return policy.after_fetch(head, reply, characters=state.characters)
        return policy.after_resume(head, reply)

    def _next_message(self) -> Generator[Update, None, ResponsePart]:
        while True:
            message = self._transport.next(min(TICK_INTERVAL, max(0.0, self._deadline - self._clock())))
            # A message that arrived in time counts, even if a slow terminal delayed its reading.
            if (message.at if message else self._clock()) >= self._deadline:
                raise DeadlineExceeded
            if message is not None:
                return message
            yield Tick()

    def _read_body(self) -> Generator[Update, None, bytes | Broken]:
        body = bytearray()
        while isinstance(message := (yield from self._next_message()), Bytes):
            body += message.data
            if len(body) > MAX_BODY_BYTES:
                return Broken(message.at, "connection_lost", "the response is too large")
        return message if isinstance(message, Broken) else bytes(body)

    def _sleep(self, seconds: float) -> Generator[Update, None, None]:
        """Wait without a connection; raise at once if the deadline is earlier."""
        end = self._clock() + seconds
        if end >= self._deadline:
            raise DeadlineExceeded
        self._transport.close()
        while (left := end - self._clock()) > 0:
            self._transport.next(min(TICK_INTERVAL, left))
            yield Tick()

    def _read_stream(self, opened_at: float) -> Generator[Update, None, policy.NextStep]:
        decoder = sse.SSEDecoder()
        while isinstance(message := (yield from self._next_message()), Bytes):
            try:
                events = decoder.feed(message.data)
            except sse.EventTooLarge as error:
                return policy.Fail(models.ExitCode.FAILED, "not_ours", str(error))
            self._min_delay = decoder.retry or self._min_delay
            for event in events:
                # The protocol has no named events; some proxies send pings as such.
                if event.event:
                    continue
                reply = models.parse_json(event.data)
                if reply is None:
                    # Damaged in transit. Its id is not recorded, so the next connection repeats the event.
                    return policy.Retry("garbled")
                if self._state.is_progress(event.id) or message.at - opened_at >= MIN_GOOD_CONNECTION:
                    self._failures = 0
                if self._state.accept(event, reply):
                    yield Received(reply, event)
                if reply.is_complete:
                    return policy.conclude(reply)
        # A regular end without the terminal event is a broken connection too.
        return _retry(message)

    def _cancel(self) -> Generator[Update, None, bool | None]:
        """Cancel the run; return whether the server confirmed it in time."""
        if not self._state.run_id:
            return None
        self._transport.open(models.build_cancel(self._state.run_id, locale=self._question.locale))
        self._deadline = self._clock() + CANCEL_TIMEOUT
        try:
            message = yield from self._next_message()
        except (DeadlineExceeded, Interrupted):
            return False
        return isinstance(message, Head) and message.status == 200


def _retry(message: ResponsePart) -> policy.Retry:
    if isinstance(message, Broken):
        return policy.Retry(message.reason, message.detail)
    return policy.Retry("connection_lost")


def _parse_body(head: Head, body: bytes) -> models.Reply | None:
    if head.media_type == models.JSON:
        return models.parse_json(body)
    # A stream refuses with a single event.
    events = sse.SSEDecoder().feed(body[:MAX_REFUSAL_BYTES]) if head.media_type == models.EVENT_STREAM else []
    return models.parse_json(events[0].data) if events else None
