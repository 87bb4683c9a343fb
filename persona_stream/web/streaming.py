"""Answer with a run's stream, from wherever a reader is.

The ordinary driver: a WSGI response that honours what a script says, and writes all that is due at once.

Cut answers for readers, so that neither a huge one nor a faulty chunker stops a stream.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator

from flask import Request, Response

from persona_stream.chunking.base import Chunker
from persona_stream.chunking.chunkers import characters
from persona_stream.chunking.registry import get_chunker
from persona_stream.concurrency import Wakeup, run_in_threadpool
from persona_stream.core import cursor, sse
from persona_stream.core.clock import Clock
from persona_stream.core.cursor import Position
from persona_stream.core.events import Event, Wait
from persona_stream.core.projection import SMART, STYLES, StreamProjection, SubscriptionOptions
from persona_stream.core.query import Locale
from persona_stream.journals.base import Journal, run_terms
from persona_stream.protocols.base import EventEncoder
from persona_stream.protocols.native.encoder import NativeEncoder
from persona_stream.web.connections import DisconnectDetector, StreamRegistry
from persona_stream.web.delivery import DeliveryStats, subscribe
from persona_stream.web.responses import PreparedResponse
from persona_stream.web.services import Services

logger = logging.getLogger("persona_stream.web")

_LARGE = 100_000  # characters: about what takes as long to cut as other streams should wait


def guarded_chunker(name: str) -> Chunker:
    """Give the chunker of this name, fit for use beside other streams.

    A large answer is cut in a native thread. Where a chunker that somebody registered fails, the log says so, and
    the answer is cut by characters: its reader has waited for it, and a stream has its ending whatever happens.
    """
    chunk = get_chunker(name)

    def cut(text: str) -> list[str]:
        try:
            return run_in_threadpool(chunk, text) if len(text) > _LARGE else chunk(text)
        except Exception:
            logger.exception("the chunker %r failed: this answer is cut by characters", name)
            return characters(text)

    return cut


_WRITE_BYTES = 64 * 1024  # a long replay goes out in writes of about this size
_SENT_ON = sse.comment("go on elsewhere: this stream continues where it ended")
_AWAY = sse.comment("what keeps this run is out of reach: nothing is lost, and it goes on when that is back")


class EventStream:
    """Iterate the bytes of one reader's stream. ``close`` must be called, and may be called at any time."""

    __slots__ = ("_alarm", "_clock", "_frames", "_journal", "_leave", "_presence", "_readers", "_sent_on_at", "_tally")

    def __init__(
        self,
        script: StreamProjection,
        dialect: EventEncoder,
        journal: Journal,
        disconnects: DisconnectDetector,
        leave: Callable[[], None],
        stats: DeliveryStats,
        registry: StreamRegistry,
        clock: Clock,
        max_age: float | None = None,
    ) -> None:
        """Begin to read.

        Args:
            leave: called when the reader is gone.
            tally: told of each event.
            sent_on_at: for a reader that goes on elsewhere by itself: the moment when it must, at the latest.
        """
        self._journal, self._presence, self._leave, self._tally = journal, disconnects, leave, stats
        self._readers, self._clock, self._sent_on_at = registry, clock, max_age
        self._alarm = Wakeup()
        journal.subscribe(self._alarm.set)
        registry.opened(self)
        self._frames: Iterator[bytes] | None = self._drive(iter(script), dialect.encode)

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> bytes:
        if self._frames is None:
            raise StopIteration
        return next(self._frames)

    def wake(self) -> None:
        """Look at once whether the reader must go."""
        self._alarm.set()

    def close(self) -> None:
        """Let go of the run and the connection."""
        if self._frames is not None:
            self._frames = None
            self._journal.unsubscribe(self._alarm.set)
            self._presence.restore()
            self._readers.closed(self)
            self._leave()

    def _drive(self, steps: Iterator[Event | Wait], encode: Callable[[Event], bytes]) -> Iterator[bytes]:
        due: list[bytes] = []
        size = 0
        for step in steps:
            if not isinstance(step, Wait):
                if not (frame := encode(step)):
                    continue
                self._tally.record_event(step, frame)
                due.append(frame)
                size += len(frame)
                if size < _WRITE_BYTES:
                    continue
            elif self._journal.is_unavailable:
                due.append(_AWAY)
            if self._must_go():
                yield b"".join((*due, _SENT_ON))
                return
            if due:
                yield b"".join(due)
                due.clear()
                size = 0
            if isinstance(step, Wait):
                if self._presence.is_disconnected():
                    return
                self._alarm.wait(min(step.until, self._sent_on_at or math.inf) - self._clock())
        if due:
            yield b"".join(due)

    def _must_go(self) -> bool:
        at = self._sent_on_at
        return at is not None and (self._readers.is_handing_over or self._clock() >= at)


def run_headers(run_id: str) -> dict[str, str]:
    """Give the headers that name a run."""
    return {"X-Run-Id": run_id, "Location": f"/api/runs/{run_id}/events"}


def disable_buffering(response: Response) -> None:
    """Tell proxies to pass on each byte as it comes, and as it is."""
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"


def _sent_on_at(request: Request, desk: Services) -> float | None:
    """Give the moment when this reader is sent on at the latest, if it has said that it goes on by itself."""
    # Who comes while others are sent on has nowhere else to go.
    if request.headers.get("X-Persona-Resume") != "1" or desk.streams.is_handing_over:
        return None
    age = desk.settings.max_connection_age
    return math.inf if age is None else desk.clock() + age


def stream_response(
    request: Request,
    desk: Services,
    journal: Journal,
    *,
    start: Position = cursor.BEGINNING,
    style_name: str | None = None,
    locale: Locale | None = None,
    dialect: EventEncoder | None = None,
) -> Response:
    """Give the response that streams a run from a position.

    Style and language are the run's own unless given, and so is whether there is reasoning; the dialect is the native
    one. A foreign dialect has reasoning always, and the style smart unless another is given.
    """
    run = run_terms(journal)
    style = STYLES[style_name or (SMART.name if dialect else run.style)]
    locale = locale or run.locale
    cut = run.chunking if style.name == run.style else style.chunking
    reader = SubscriptionOptions(
        style, guarded_chunker(cut), locale, start, reasoning=dialect is not None or run.reasoning
    )
    speak = dialect or NativeEncoder(run.run_id, desk.events_url(run.run_id), style, locale)
    tally, leave = subscribe(request, desk, journal, speak.name)
    events = EventStream(
        StreamProjection(journal.entries, reader, desk.clock),
        speak,
        journal,
        DisconnectDetector(request.environ),
        leave,
        tally,
        desk.streams,
        desk.clock,
        _sent_on_at(request, desk),
    )
    headers = run_headers(run.run_id)
    response = PreparedResponse(events, headers=headers, content_type=sse.CONTENT_TYPE, direct_passthrough=True)
    disable_buffering(response)
    return response
