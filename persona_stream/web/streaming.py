"""The streaming response: drives the projection of a run over one HTTP connection.

Invariants:

- Everything that is due is sent in one write.
- A stream always ends with its final event, unless the client disconnects or is handed over.
- Chunking never stops a stream: large answers are chunked in a native thread, and a chunker that fails is replaced.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence

from flask import Request, Response

from persona_stream.chunking.chunkers import characters
from persona_stream.chunking.registry import Chunker, get_chunker
from persona_stream.concurrency import Wakeup, run_in_threadpool
from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.events import Event, Wait
from persona_stream.core.facts import run_terms
from persona_stream.core.projection import SMART, STYLES, StreamProjection, StreamStyle, SubscriptionOptions
from persona_stream.core.query import Locale
from persona_stream.core.sse import ServerSentEvent
from persona_stream.journals.base import Journal
from persona_stream.protocols.base import EncoderOptions, Heartbeat, WireProtocol
from persona_stream.web.delivery import Subscription
from persona_stream.web.negotiation import Transport
from persona_stream.web.responses import PreparedResponse
from persona_stream.web.services import Services

logger = logging.getLogger("persona_stream.web")

MAX_INLINE_CHARACTERS = 100_000
"""Length from which an answer is chunked in a native thread, so that other streams do not wait for it."""


def guarded_chunker(name: str) -> Chunker:
    """Return a chunker that neither blocks the event loop nor fails.

    If a registered chunker raises, the error is logged and the answer is chunked by characters.
    """
    chunker = get_chunker(name)

    def chunk(text: str) -> list[str]:
        try:
            return run_in_threadpool(chunker, text) if len(text) > MAX_INLINE_CHARACTERS else chunker(text)
        except Exception:
            logger.exception("chunker %r failed; chunking this answer by characters", name)
            return characters(text)

    return chunk


_WRITE_BYTES = 64 * 1024  # size at which a long replay is written
_HANDED_OVER = ServerSentEvent(comment="connection hand-over: reconnect with Last-Event-ID to resume this stream")
_JOURNAL_UNAVAILABLE = ServerSentEvent(
    comment="the journal store is unavailable: no data is lost, and the stream resumes when it is back"
)


class EventStream:
    """WSGI iterable of one subscriber's stream. ``close`` must be called, and may be called at any time.

    The subscription is closed with the stream. ``hand_over_at`` is the moment at which a client that resumes by itself
    is handed over at the latest, and ``None`` for a client that does not.
    """

    __slots__ = (
        "_chunks", "_clock", "_encode", "_frame", "_hand_over_at", "_journal", "_registry", "_subscription", "_wakeup",
    )  # fmt: skip

    def __init__(
        self,
        projection: StreamProjection,
        *,
        encode: Callable[[Event], Sequence[ServerSentEvent]],
        frame: Callable[[ServerSentEvent], bytes],
        subscription: Subscription,
        services: Services,
        hand_over_at: float | None,
    ) -> None:
        self._encode = encode
        self._frame = frame
        self._journal = subscription.journal
        self._subscription = subscription
        self._registry = services.streams
        self._clock = services.clock
        self._hand_over_at = hand_over_at
        self._wakeup = Wakeup()
        self._journal.subscribe(self._wakeup.set)
        self._registry.add(self._wakeup.set)
        self._chunks: Iterator[bytes] | None = self._drive(projection)

    def __iter__(self) -> "EventStream":
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            raise StopIteration
        return next(self._chunks)

    def close(self) -> None:
        """Release the run and the connection."""
        if self._chunks is not None:
            self._chunks = None
            self._journal.unsubscribe(self._wakeup.set)
            self._registry.remove(self._wakeup.set)
            self._subscription.close()

    def _drive(self, projection: StreamProjection) -> Iterator[bytes]:
        encode = self._encode
        frame = self._frame
        record_event = self._subscription.record_event
        pending: list[bytes] = []
        pending_bytes = 0
        for step in projection:
            if not isinstance(step, Wait):
                size = 0
                for message in encode(step):
                    framed = frame(message)
                    pending.append(framed)
                    size += len(framed)
                if size == 0:
                    continue
                record_event(step, size)
                pending_bytes += size
                if pending_bytes < _WRITE_BYTES:
                    continue
            elif self._journal.is_unavailable:
                pending.append(frame(_JOURNAL_UNAVAILABLE))
            if self._must_hand_over():
                pending.append(frame(_HANDED_OVER))
                break
            if body := b"".join(pending):
                yield body
                pending.clear()
                pending_bytes = 0
            if isinstance(step, Wait):
                if self._subscription.is_disconnected():
                    return
                self._wakeup.wait(min(step.until, self._hand_over_at or math.inf) - self._clock())
        if body := b"".join(pending):
            yield body

    def _must_hand_over(self) -> bool:
        at = self._hand_over_at
        return at is not None and (self._registry.is_handing_over or self._clock() >= at)


def run_headers(run_id: str) -> dict[str, str]:
    """Return the response headers that identify a run."""
    return {"X-Run-Id": run_id, "Location": f"/api/runs/{run_id}/events"}


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
    transport: Transport,
    start: Position = BEGINNING,
    style: StreamStyle | None = None,
    locale: Locale | None = None,
    heartbeat: Heartbeat = "comment",
    include_usage: bool = False,
) -> Response:
    """Return the response that streams a run after the position ``start``.

    Style and locale are the run's own by default, and ``smart`` for protocols without styles. ``heartbeat`` is the form
    of progress on protocols without progress events, and ``include_usage`` adds token counts.
    """
    run = run_terms(journal.entries)
    style = style or (STYLES[run.style] if protocol.has_styles else SMART)
    locale = locale or run.locale
    options = SubscriptionOptions(
        style=style,
        chunk=guarded_chunker(run.chunking if style.name == run.style else style.chunking),
        locale=locale,
        start=start,
        reasoning=run.reasoning or not protocol.has_styles,
    )
    events_url = services.url_signer.events_url(run.run_id)
    encoder_options = EncoderOptions(
        style=style, locale=locale, events_url=events_url, heartbeat=heartbeat, include_usage=include_usage
    )
    stream = EventStream(
        StreamProjection(journal.entries, options, services.clock),
        encode=protocol.encoder(journal.entries, encoder_options).encode,
        frame=transport.frame,
        subscription=Subscription(request, services, journal, protocol),
        services=services,
        hand_over_at=_hand_over_at(request, services),
    )
    response = PreparedResponse(
        stream, headers=run_headers(run.run_id), content_type=transport.content_type, direct_passthrough=True
    )
    disable_buffering(response)
    return response


def _hand_over_at(request: Request, services: Services) -> float | None:
    # A client that connects during the hand-over has no other process to go to.
    if request.headers.get("X-Persona-Resume") != "1" or services.streams.is_handing_over:
        return None
    max_age = services.settings.max_connection_age
    return math.inf if max_age is None else services.clock() + max_age
