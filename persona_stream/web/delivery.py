"""Delivery of a run to one client: as a stream of events, or as one JSON body when the run has ended.

A stream drives the projection of the run over one HTTP connection. A blocking response waits however long the run
takes, but proxies close a connection that is silent for too long. Until the commit window is over nothing is sent, so
that a failure has its true HTTP status. After it the status is 200, and white space, with which JSON may start, keeps
the connection alive until the body is sent.

Invariants:

- Everything that is due is sent in one write.
- A stream always ends with its final event, unless the client disconnects or is handed over.
- Chunking never stops a stream: large answers are chunked in a native thread, and a chunker that fails is replaced.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from http import HTTPStatus

from flask import Request, Response
from msgspec import structs

from persona_stream.chunking import chunkers, registry
from persona_stream.concurrency import Wakeup, compute_in_threadpool
from persona_stream.core import cursor, events, facts, query, sse
from persona_stream.core.projection import (
    MAX_DELIVERY_SECONDS,
    SMART,
    STORE_GRACE,
    StreamProjection,
    StreamStyle,
    SubscriptionOptions,
    schedule_chunks,
)
from persona_stream.journals.base import Journal
from persona_stream.logging import current_run_id
from persona_stream.protocols.base import (
    EncoderOptions,
    Heartbeat,
    WireProtocol,
    dump_json,
    dump_long_json,
    http_status_for,
)
from persona_stream.runs.base import RunRequest, SubscriptionClosed
from persona_stream.runs.manager import wait_until_finished
from persona_stream.web import negotiation, responses, run_requests
from persona_stream.web.connections import DisconnectDetector
from persona_stream.web.services import Services

logger = logging.getLogger("persona_stream.web")

_WRITE_BYTES = 64 * 1024  # size at which a long replay is written
_HANDED_OVER = sse.ServerSentEvent(comment="connection hand-over: reconnect with Last-Event-ID to resume this stream")
_JOURNAL_UNAVAILABLE = sse.ServerSentEvent(
    comment="the journal store is unavailable: no data is lost, and the stream resumes when it is back"
)
_FINAL_EVENTS = (events.Completed, events.RunFailed)
_POLL_INTERVAL = SMART.interval  # of a blocking response
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for its log; no client receives it
_RETRY_AFTER = "2"  # seconds
_RETRYABLE_STATUSES = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Subscription:
    """Subscription that keeps a run alive and is reported when it closes. ``close`` must be called, and may be again.

    Attributes:
        journal: Journal of the run.
        protocol: Protocol of the response.
        is_disconnected: Returns whether the client has disconnected.
    """

    __slots__ = (
        "_chunks", "_clock", "_disconnects", "_events", "_first_event_at", "_first_text_at", "_give_up_at",
        "_is_complete", "_last_at",
        "_resumed", "_runs", "_sent_bytes", "_subscribed_at", "_unsubscribe", "is_disconnected", "journal",
        "protocol",
    )  # fmt: skip

    def __init__(self, request: Request, services: Services, journal: Journal, protocol: WireProtocol) -> None:
        self.journal = journal
        self.protocol = protocol
        self._disconnects = DisconnectDetector(request.environ)
        self.is_disconnected = self._disconnects.is_disconnected
        self._runs = services.runs
        self._clock = services.clock
        self._resumed = request.method == "GET"  # a POST starts the run
        self._subscribed_at = services.clock()
        self._first_event_at: float | None = None
        self._first_text_at: float | None = None
        self._last_at: float | None = None
        self._events = 0
        self._chunks = 0
        self._sent_bytes = 0
        self._is_complete = False
        self._unsubscribe: Callable[[], None] | None = services.runs.subscribe(journal)
        # Also if the store fails and delivers no ending; by this process's clock, as others may be wrong.
        deadline = facts.run_terms(journal.entries).deadline
        self._give_up_at = self._subscribed_at + services.settings.queue_timeout + deadline + STORE_GRACE

    def record_event(self, event: events.Event, size: int) -> None:
        """Record an event of so many bytes that is about to be sent."""
        self._record_bytes(size)
        self._events += 1
        if isinstance(event, events.TextChunk):
            self._chunks += 1
            if self._first_text_at is None:
                self._first_text_at = self._last_at
        elif isinstance(event, _FINAL_EVENTS):
            self._is_complete = True

    def record_body(self, size: int, *, has_text: bool) -> None:
        """Record a whole response of so many bytes."""
        self._record_bytes(size)
        self._is_complete = True
        if has_text:
            self._chunks = 1
            self._first_text_at = self._last_at

    def _record_bytes(self, size: int) -> None:
        self._last_at = self._clock()
        if self._first_event_at is None:
            self._first_event_at = self._last_at
        self._sent_bytes += size

    def wait_until_ended(self, seconds: float) -> bool:
        """Wait until the run ends, the client disconnects or the time is over; return whether the run has ended."""
        journal = self.journal
        seconds = min(seconds, self._give_up_at - self._clock())
        wait_until_finished(journal, seconds, self.is_disconnected, poll_interval=_POLL_INTERVAL)
        return facts.has_ended(journal.entries) or self._clock() >= self._give_up_at

    @property
    def entries(self) -> Sequence[facts.Entry]:
        """The journal, ended by a timeout if ``wait_until_ended`` gave it up."""
        entries = self.journal.entries
        if facts.has_ended(entries):
            return entries
        return [*entries, facts.Entry(self._clock(), facts.Failed("timeout"))]

    def close(self) -> None:
        """Release the run and the connection, and notify the observers."""
        if self._unsubscribe is None:
            return
        unsubscribe = self._unsubscribe
        self._unsubscribe = None
        self._disconnects.restore()
        unsubscribe()
        report = SubscriptionClosed(
            protocol=self.protocol.name,
            resumed=self._resumed,
            began_at=self._subscribed_at,
            first_event_at=self._first_event_at,
            first_text_at=self._first_text_at,
            last_at=self._last_at,
            events=self._events,
            chunks=self._chunks,
            sent_bytes=self._sent_bytes,
            is_whole=self._is_complete,
            ended_at=self.journal.entries[-1].at if facts.has_ended(self.journal.entries) else None,
        )
        self._runs.notify(facts.run_terms(self.journal.entries).run_id, report)


class GuardedChunker:
    """Chunker for one run that neither blocks the event loop nor fails.

    If a registered chunker raises, the error is logged and the answer is chunked by characters.
    """

    __slots__ = ("_name", "_run_id", "_size")

    def __init__(self, name: str, size: int, run_id: str) -> None:
        self._name = name
        self._size = size
        self._run_id = run_id

    def __call__(self, text: str) -> list[str]:
        """Return the chunks of a text."""
        current_run_id.set(self._run_id)  # one greenlet advances many streams
        try:
            chunker = registry.get_chunker(self._name, self._size)
            is_long = len(text) > responses.MAX_INLINE_CHARACTERS
            return compute_in_threadpool(len(text), chunker, text) if is_long else chunker(text)
        except Exception:
            logger.exception("chunker %r failed; chunking this answer by characters", self._name)
            return chunkers.characters(text)


class EventStream:
    """Stream of one subscriber. ``close`` must be called, and may be called at any time.

    A server takes the bytes that are due from ``advance``, whenever ``until`` has come or ``on_wake`` was called. The
    server of this package does so for all its streams in one greenlet; any other one iterates over the stream, as over
    the body of a WSGI response, which waits in the greenlet of the request.

    The subscription is closed with the stream. ``hand_over_at`` is the moment at which a client that resumes by itself
    is handed over at the latest, and ``None`` for a client that does not.

    Attributes:
        until: Moment at which more is due, unless ``on_wake`` is called before; ``None`` after the end of the stream.
        on_wake: Called when there may be more to send. Must not block.
        frame: Framing of a message; a WebSocket replaces it before the first ``advance``.
        is_disconnected: Returns whether the client has disconnected.
    """

    __slots__ = (
        "_chars_read", "_clock", "_encode", "_facts_seen", "_hand_over_at", "_journal", "_projection", "_registry",
        "_steps", "_subscription", "_wakeup", "frame", "is_disconnected", "on_wake", "until",
    )  # fmt: skip

    def __init__(
        self,
        projection: StreamProjection,
        *,
        encode: Callable[[events.Event], Sequence[sse.ServerSentEvent]],
        frame: Callable[[sse.ServerSentEvent], bytes],
        subscription: Subscription,
        services: Services,
        hand_over_at: float | None,
    ) -> None:
        self._encode = encode
        self.frame = frame
        self._journal = subscription.journal
        self._subscription = subscription
        self._registry = services.streams
        self._clock = services.clock
        self._hand_over_at = hand_over_at
        self._projection = projection
        self._steps: Iterator[events.Event | events.Wait] | None = iter(projection)
        self._wakeup: Wakeup | None = None
        self._facts_seen = 0
        self._chars_read = 0
        self.is_disconnected = subscription.is_disconnected
        self.on_wake: Callable[[], None] = _ignore
        self.until: float | None = -math.inf
        self._journal.subscribe(self._wake)
        self._registry.add(self._wake)

    def advance(self) -> bytes:
        """Return the bytes that are due, perhaps none, and set ``until``. Of a replay, about 64 KiB are due at once.

        May wait for a native thread if ``may_block``, but for nothing else.
        """
        pending: list[bytes] = []
        size = 0
        if self._registry.is_hurrying:
            self._projection.skip_pauses()
        if self._steps is None:
            return b""
        self.until = None
        for step in self._steps:
            if isinstance(step, events.Wait):
                self.until = step.until
                if self._journal.is_unavailable:
                    pending.append(self.frame(_JOURNAL_UNAVAILABLE))
                break
            framed = b"".join(map(self.frame, self._encode(step)))
            if framed:
                self._subscription.record_event(step, len(framed))
                pending.append(framed)
                size += len(framed)
                if size >= _WRITE_BYTES:
                    self.until = -math.inf
                    break
        if self.until is not None and (at := self._hand_over_at) is not None:
            if self._registry.is_handing_over or self._clock() >= at:
                pending.append(self.frame(_HANDED_OVER))
                self.until = None
            else:
                self.until = min(self.until, at)
        return b"".join(pending)

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return facts.run_terms(self._journal.entries).run_id

    @property
    def may_block(self) -> bool:
        """Whether ``advance`` may wait for a native thread: once the answer so far is long."""
        entries = self._journal.entries
        while self._facts_seen < len(entries):
            self._chars_read += len(facts.text_of(entries[self._facts_seen].fact))
            self._facts_seen += 1
        return self._chars_read > responses.MAX_INLINE_CHARACTERS

    def _wake(self) -> None:
        self.on_wake()

    def __iter__(self) -> "EventStream":
        return self

    def __next__(self) -> bytes:
        if self._wakeup is None:
            self._wakeup = Wakeup()
            self.on_wake = self._wakeup.set
            if body := self.advance():
                return body
        while self.until is not None and not self.is_disconnected():
            # A long replay to a fast client never blocks: this lets others run.
            self._wakeup.wait(self.until - self._clock())
            if body := self.advance():
                return body
        raise StopIteration

    def close(self) -> None:
        """Release the run and the connection."""
        if self._steps is not None:
            self._steps = None
            self.until = None
            self.on_wake = _ignore  # without the cycle, memory is freed at once and not by the collector
            self._journal.unsubscribe(self._wake)
            self._registry.remove(self._wake)
            self._subscription.close()


def _ignore() -> None:
    """Do nothing."""


def start_run(services: Services, run_request: RunRequest) -> Journal:
    """Start a run, or return the one that the request joins by its idempotency key; raises as ``RunManager.start``.

    SDKs repeat a request after 429 and 503, as ``Retry-After`` tells them to. Such a retry gets a new run: the one that
    it would join has failed for a reason that has passed.
    """
    journal = services.runs.start(run_request)
    key = run_request.idempotency_key
    match journal.entries[-1].fact:
        case facts.Failed(code=code) if (
            key and run_requests.is_sdk_retry(key) and http_status_for(code) in _RETRYABLE_STATUSES
        ):
            return services.runs.start(structs.replace(run_request, idempotency_key=structs.replace(key, joins=False)))
    return journal


def run_headers(request: Request, journal: Journal) -> dict[str, str]:
    """Return the response headers that identify a run, and say whether its answer is a cached one."""
    run_id = facts.run_terms(journal.entries).run_id
    headers = {"X-Run-Id": run_id, "Location": f"{responses.url_prefix(request)}/api/runs/{run_id}/events"}
    match journal.entries[-1].fact:
        case facts.Answered(cached=True):
            headers["X-Persona-Cache"] = "hit"
    return headers


def disable_buffering(response: Response) -> None:
    """Add the headers that make proxies forward each byte at once and unchanged."""
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"


def stream_response(
    request: Request,
    services: Services,
    journal: Journal,
    *,
    protocol: WireProtocol,
    transport: negotiation.Transport,
    start: cursor.Position = cursor.BEGINNING,
    style: StreamStyle | None = None,
    locale: query.Locale | None = None,
    heartbeat: Heartbeat = "comment",
    include_usage: bool = False,
    return_progress: bool = False,
    starting_after: int | None = None,
    message_id: str = "",
) -> Response:
    """Return the response that streams a run after the position ``start``.

    Style and locale are the run's own by default, and ``smart`` for protocols without styles. ``heartbeat`` is the form
    of progress on protocols without progress events, to which ``return_progress`` adds numbers; ``include_usage`` adds
    token counts. ``starting_after`` is the number of the last event that the client has, on protocols that number their
    events, and ``message_id`` the client's message that the answer continues.
    """
    run = facts.run_terms(journal.entries)
    styles = services.styles
    style = style or styles[run.style if protocol.has_styles else SMART.name]
    locale = locale or run.locale
    options = SubscriptionOptions(
        style=style,
        chunk=GuardedChunker(run.chunking if style.name == run.style else style.chunking, style.chunk_size, run.run_id),
        locale=locale,
        start=start,
        reasoning=run.reasoning or not protocol.has_styles,
        queue_timeout=services.settings.queue_timeout,
        dialect=protocol.name,
    )
    events_url = services.url_signer.events_url(run.run_id, responses.url_prefix(request))
    encoder_options = EncoderOptions(
        style=style,
        locale=locale,
        events_url=events_url,
        heartbeat=heartbeat,
        include_usage=include_usage,
        return_progress=return_progress,
        starting_after=starting_after,
        message_id=message_id,
    )
    stream = EventStream(
        StreamProjection(journal.entries, options, services.clock),
        encode=protocol.encoder(journal.entries, encoder_options).encode,
        frame=transport.frame,
        subscription=Subscription(request, services, journal, protocol),
        services=services,
        hand_over_at=_hand_over_at(request, services),
    )
    response = responses.PreparedResponse(
        stream,
        headers={**run_headers(request, journal), **dict(protocol.stream_headers)},
        content_type=transport.content_type,
        direct_passthrough=True,
    )
    disable_buffering(response)
    return response


def is_delivered(services: Services, entries: Sequence[facts.Entry]) -> bool:
    """Return whether a run has ended, and a subscriber without delay has its whole answer in style ``smart``."""
    last = entries[-1]
    if not isinstance(last.fact, facts.Answered):
        return facts.has_ended(entries)
    elapsed = services.clock() - last.at
    if elapsed >= MAX_DELIVERY_SECONDS:
        return True
    style = services.styles[SMART.name]
    chunk = GuardedChunker(style.chunking, style.chunk_size, facts.run_terms(entries).run_id)
    delays = schedule_chunks(list(chunk(last.fact.text)), style.pause)
    return elapsed >= (delays[-1] if delays else 0.0)


def _hand_over_at(request: Request, services: Services) -> float | None:
    # A client that connects during the hand-over has no other process to go to.
    if request.headers.get("X-Persona-Resume") != "1" or services.streams.is_handing_over:
        return None
    max_age = services.settings.max_connection_age
    return math.inf if max_age is None else services.clock() + max_age


def blocking_response(request: Request, services: Services, journal: Journal, protocol: WireProtocol) -> Response:
    """Return the response of a run that has ended, or one that waits for its end."""
    window = services.settings.commit_window
    subscription = Subscription(request, services, journal, protocol)
    with ExitStack() as closing:  # also if the process ends: the subscriber must be removed
        closing.callback(subscription.close)
        if subscription.wait_until_ended(math.inf if window is None else window):
            return _final_response(subscription, run_headers(request, journal))
        headers = run_headers(request, journal)
        if subscription.is_disconnected():
            return responses.PreparedResponse(b"", _CLIENT_CLOSED_REQUEST, headers)
        body = _keepalive_body(subscription)
        response = responses.PreparedResponse(body, headers=headers, content_type="application/json")
        response.call_on_close(closing.pop_all().close)
        disable_buffering(response)
        return response


def long_poll(request: Request, services: Services, journal: Journal, seconds: float) -> None:
    """Wait as a subscriber until a run has ended, at most so many seconds.

    The wait also ends when the client disconnects, and at a connection hand-over: another process answers the next one.
    """
    disconnects = DisconnectDetector(request.environ)
    streams = services.streams
    wakeup = Wakeup()
    with ExitStack() as closing:
        closing.callback(disconnects.restore)
        closing.callback(services.runs.subscribe(journal))
        streams.add(wakeup.set)
        closing.callback(streams.remove, wakeup.set)
        wait_until_finished(
            journal,
            seconds,
            lambda: streams.is_handing_over or disconnects.is_disconnected(),
            poll_interval=_POLL_INTERVAL,
            wakeup=wakeup,
        )


def _final_response(subscription: Subscription, headers: dict[str, str]) -> responses.PreparedResponse:
    status, body = _encode_response(subscription)
    if status in _RETRYABLE_STATUSES:
        ending = subscription.entries[-1].fact
        delay = ending.retry_after if isinstance(ending, facts.Failed) else None
        headers["Retry-After"] = _RETRY_AFTER if delay is None else str(math.ceil(delay))
    elif status != HTTPStatus.OK:
        # Official clients would retry twice and run the backend three times for the same failure.
        headers["x-should-retry"] = "false"
    return responses.PreparedResponse(body, status, headers, content_type="application/json")


def _keepalive_body(subscription: Subscription) -> Iterator[bytes]:
    yield b" "
    while not subscription.wait_until_ended(_POLL_INTERVAL):
        if subscription.is_disconnected():
            return
        yield b" "
    yield _encode_response(subscription)[1]


def _encode_response(subscription: Subscription) -> tuple[int, bytes]:
    entries = subscription.entries
    encode = subscription.protocol.response
    characters = sum(len(facts.text_of(entry.fact)) for entry in entries)
    if characters > responses.MAX_INLINE_CHARACTERS:
        status, body = compute_in_threadpool(characters, encode, entries)
        encoded = compute_in_threadpool(characters, dump_long_json, body)
    else:
        status, body = encode(entries)
        encoded = dump_json(body)
    subscription.record_body(len(encoded), has_text=status == HTTPStatus.OK)
    return status, encoded
