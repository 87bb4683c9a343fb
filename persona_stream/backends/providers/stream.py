"""Read a stream, and pass on what it says as it says it.

End a stream that has fallen silent.

A socket's own timeout does not do: it is set before the provider says whether it streams at all, and a keep-alive
that says nothing starts it anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from types import TracebackType

from persona_stream.backends.providers.base import ErrorObject, ProviderAdapter, StreamDelta
from persona_stream.backends.providers.errors import ProviderError, quote
from persona_stream.backends.providers.responses import error_from_response, loads_lenient
from persona_stream.backends.providers.transport import Response, StreamedResponse
from persona_stream.core.clock import Clock
from persona_stream.core.query import Answer, Query
from persona_stream.core.sse import EventTooLarge, ServerSentEvent, SSEDecoder


class IdleTimeout:
    """Watch over one stream, in a thread of its own (under gevent a greenlet) from the first ``allow`` on.

    Attributes:
        struck: whether the stream was ended.
    """

    def __init__(self, stop: Callable[[], object], clock: Clock) -> None:
        """Begin without a limit.

        Args:
            stop: ends the stream.
            clock: tells the moment.
        """
        self._stop, self._clock = stop, clock
        self._until = 0.0
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()
        self._left = False
        self.expired = False

    def __enter__(self) -> IdleTimeout:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._changed.set()
        # In a native thread a greenlet that nobody waits for does not run until somebody does.
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def reset(self, seconds: float) -> None:
        """Let the stream go on for so long from now, whatever was allowed before."""
        until = self._clock() + seconds
        is_sooner, self._until = until < self._until, until
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="silence", daemon=True)
            self._thread.start()
        elif is_sooner:
            self._changed.set()

    def _watch(self) -> None:
        while not self._left:
            left = self._until - self._clock()
            if left <= 0:
                self.expired = True
                self._stop()
                return
            self._changed.wait(left)
            self._changed.clear()


_LONGEST_EVENT = 4 * 2**20  # characters
_OVERHEAD = 32  # of what is kept, in characters: many short parts are much too

# After the reason why the answer ends there may be the count of its tokens, and the mark of the end.
_TRAILER_TIMEOUT = 5.0  # seconds
# After that mark comes the end of the body, at once: who waits for it can use the connection again.
_CLOSING = 0.25  # seconds

# Readers get parts no more often: reading every token on its own would only cost.
_COALESCE_INTERVAL = 0.05  # seconds

_BLANK = b"\xef\xbb\xbf \t\r\n"


def beginning(pieces: Iterator[bytes]) -> bytes:
    """Take pieces of a body until there is more than white space in them, and give what is behind that."""
    for piece in pieces:
        if begun := piece.lstrip(_BLANK):
            return begun
    return b""


def is_stream(begun: bytes) -> bool:
    """Tell whether a body can be a stream, by how it begins: JSON and HTML cannot."""
    return bool(begun) and begun[:1] not in b"{[<"


class StreamReader:
    """Listen to one stream for one query."""

    def __init__(
        self,
        dialect: ProviderAdapter,
        query: Query,
        clock: Clock,
        idle: float,
        limit: int,
        rest: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        """Begin.

        Args:
            dialect: what the provider speaks.
            query: who gets what it says.
            clock: tells the moment.
            idle: how long it may say nothing once it has said something, in seconds.
            limit: how many characters of it are kept.
            rest: waits for more of it to come.
        """
        self._dialect, self._query, self._clock, self._idle, self._rest = dialect, query, clock, idle, rest
        self._reading = dialect.stream_decoder()
        self._room = limit
        self._has_heard = False  # anything that is an event
        self._has_spoken = False  # to a reader

    def read(self, incoming: StreamedResponse, begun: bytes) -> Answer:
        """Listen until the stream has ended, and give what it did not say on the way.

        Args:
            incoming: the stream.
            begun: what of it was read before.

        Raises:
            Trouble: it failed, broke off, fell silent, cannot be understood, or was no answer.
        """
        try:
            with IdleTimeout(incoming.abort, self._clock) as silence:
                self._on_event(incoming, begun, silence)
            return self._reading.result()
        except ProviderError as trouble:
            raise (trouble.after_partial_output() if self._has_spoken else trouble) from None

    def _on_event(self, incoming: StreamedResponse, begun: bytes, silence: IdleTimeout) -> None:
        parser, patience = SSEDecoder(_LONGEST_EVENT), self._idle
        for piece in self._pieces(incoming, begun, silence):
            if self._reading.is_over:
                continue
            said: list[StreamDelta] = []
            try:
                for event in parser.feed(piece):
                    said += self._take(event)
            except EventTooLarge as error:
                raise ProviderError("too_large", str(error)) from None
            finally:
                self._pass_on(said)
            before, patience = patience, self._patience()
            if said or patience != before:
                silence.reset(patience)
            if said and not (self._reading.is_complete or incoming.has_buffered_data()):
                self._rest(_COALESCE_INTERVAL)

    def _pieces(self, incoming: StreamedResponse, begun: bytes, silence: IdleTimeout) -> Iterator[bytes]:
        yield begun
        try:
            for piece in incoming.pieces:
                # What is still read then may not have been deciphered.
                if silence.expired:
                    break
                yield piece
        except ProviderError:
            if not (self._reading.is_complete or silence.expired):
                raise
        if self._reading.is_complete:
            return
        if silence.expired:
            raise ProviderError("timeout", f"silent for {self._idle:.0f} s")
        if not self._has_heard and "event-stream" not in incoming.headers.get("Content-Type", ""):
            raise ProviderError("unreadable", f"no stream: {quote(begun)}")
        raise ProviderError(
            "broken_off", "the stream ended before the answer did", retryable=True, fallback_allowed=True
        )

    def _take(self, event: ServerSentEvent) -> Iterable[StreamDelta]:
        self._has_heard = True
        data = event.data.strip()
        if self._reading.is_over or not data:
            return ()
        if data == "[DONE]":
            self._reading.close()
            return ()
        parsed = loads_lenient(data)
        fault = self._dialect.parse_error(parsed)
        if fault is None and event.type == "error":
            fault = ErrorObject()
        if fault is not None:
            reply = Response(200, {}, data.encode(errors="replace"))
            raise error_from_response(reply, fault.status, fault, self._dialect, self._clock())
        if not isinstance(parsed, dict):
            raise ProviderError("unreadable", f"no event of this dialect: {quote(data.encode(errors='replace'))}")
        return self._reading.feed(parsed)

    def _pass_on(self, said: Sequence[StreamDelta]) -> None:
        for kind, together in groupby(said, key=attrgetter("kind")):
            texts = [each.text for each in together]
            text = "".join(texts)
            self._room -= len(text) + _OVERHEAD * len(texts)
            if self._room < 0:
                raise ProviderError("too_large", "more of the stream would have to be kept than may be")
            if kind != "rest":
                self._has_spoken = True
                send = self._query.send if kind == "text" else self._query.send_reasoning
                send(text)

    def _patience(self) -> float:
        if self._reading.is_over:
            return _CLOSING
        return min(_TRAILER_TIMEOUT, self._idle) if self._reading.is_complete else self._idle
