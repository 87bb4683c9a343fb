"""Streams of providers: decoded events are forwarded to the query as they arrive, under an idle timeout."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from persona_stream.backends.providers import base, errors, responses, transport
from persona_stream.core.clock import Clock
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Answer, Query
from persona_stream.core.sse import EventTooLarge, ServerSentEvent, SSEDecoder

MAX_EVENT_CHARS = 4 * 2**20
DELTA_OVERHEAD_CHARS = 32  # memory of each delta beside its text, so that many short ones reach the limit too

# After the finish reason only the usage and the end mark may follow.
TRAILER_TIMEOUT = 5.0  # seconds
# After the end mark the body ends at once; waiting for that lets the connection be reused.
CLOSE_TIMEOUT = 0.25  # seconds

# Forwarding each token on its own would only cost CPU time.
COALESCE_INTERVAL = 0.05  # seconds

_END_MARKS = (b"[DONE]", b"DONE")
# Comments that a gateway forwards as data, and keep-alive messages of others.
_KEEP_ALIVE = re.compile(rb":|(?:ping|keep-?alive|heartbeat)\Z", re.IGNORECASE)

_BLANK = b"\xef\xbb\xbf \t\r\n"


class IdleTimeout:
    """Timer that aborts a stream, in a thread of its own (under gevent: a greenlet) from the first ``reset`` on.

    The socket's timeout does not serve: it is set before the provider decides whether to stream, and keep-alive
    comments restart it.

    Attributes:
        expired: whether the stream was aborted.
    """

    def __init__(self, abort: Callable[[], object], clock: Clock) -> None:
        self._abort = abort
        self._clock = clock
        self._expires_at = 0.0
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()
        self._is_stopped = False
        self.expired = False

    def __enter__(self) -> "IdleTimeout":
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_stopped = True
        self._changed.set()
        # In a native thread, a greenlet that nothing waits for would not run any more.
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def reset(self, seconds: float) -> None:
        """Restart the timer."""
        expires_at = self._clock() + seconds
        is_sooner = expires_at < self._expires_at
        self._expires_at = expires_at
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="idle-timeout", daemon=True)
            self._thread.start()
        elif is_sooner:
            self._changed.set()

    def _watch(self) -> None:
        while not self._is_stopped:
            time_left = self._expires_at - self._clock()
            if time_left <= 0:
                self.expired = True
                self._abort()
                return
            self._changed.wait(time_left)
            self._changed.clear()


def read_prefix(chunks: Iterator[bytes]) -> bytes:
    """Read chunks of a body until one contains more than white space; return it without leading white space."""
    for chunk in chunks:
        if prefix := chunk.lstrip(_BLANK):
            return prefix
    return b""


def is_stream(prefix: bytes) -> bool:
    """Return whether a body can be an event stream, by its first character: JSON and HTML cannot."""
    return bool(prefix) and prefix[:1] not in b"{[<"


class _LenientSSEDecoder(SSEDecoder):
    """Decoder that also accepts an ``error`` field, as llama.cpp had it, and JSON in place of a field."""

    def _process_field(self, line: str) -> None:
        if line.startswith("error:"):
            super()._process_field("event: error")
            line = f"data: {line.removeprefix('error:')}"
        elif line.startswith("{"):
            line = f"data: {line}"
        super()._process_field(line)


@dataclass(slots=True)
class StreamReader:
    """Reader of one stream for one query.

    Attributes:
        adapter: the API format.
        query: receives the text and the reasoning.
        clock: returns the time in seconds.
        idle_timeout: how long the stream may stay silent after its first content, in seconds.
        max_chars: how much more of the stream may be kept.
        coalesce: waits for more of the stream.
    """

    adapter: base.ProviderAdapter
    query: Query
    clock: Clock
    _: KW_ONLY
    idle_timeout: float
    max_chars: int
    coalesce: Callable[[float], object] = lambda seconds: None
    _decoder: base.StreamDecoder = field(init=False)
    _has_ended: bool = field(init=False, default=False)
    _has_events: bool = field(init=False, default=False)
    _has_output: bool = field(init=False, default=False)
    _extras: list[Mapping[str, Any]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._decoder = self.adapter.stream_decoder(responses.requested_choices(self.query))

    def read(self, response: transport.StreamedResponse, prefix: bytes) -> Answer:
        """Read the stream to its end and return the part of the answer that was not forwarded.

        ``prefix`` is the part of the body that was read before.

        Raises:
            ProviderError: the stream failed, broke off, timed out, cannot be parsed, or contained no answer.
        """
        try:
            with IdleTimeout(response.abort, self.clock) as timer:
                self._forward(response, prefix, timer)
            return self._decoder.result()
        except errors.ProviderError as error:
            raise (error.after_partial_output() if self._has_output else error) from None

    def _forward(self, response: transport.StreamedResponse, prefix: bytes, timer: IdleTimeout) -> None:
        events = _LenientSSEDecoder(MAX_EVENT_CHARS)
        timeout = self.idle_timeout
        for chunk in self._iter_chunks(response, prefix, timer):
            if self._decoder.is_closed:
                continue
            deltas: list[base.StreamDelta] = []
            try:
                for event in events.feed(chunk):
                    deltas += self._decode(event)
            except EventTooLarge as error:
                raise errors.ProviderError("too_large", str(error)) from None
            finally:
                self._send(deltas)
            previous_timeout = timeout
            timeout = self._current_timeout()
            if deltas or timeout != previous_timeout:
                timer.reset(timeout)
            if deltas and not (self._decoder.is_complete or response.has_buffered_data()):
                self.coalesce(COALESCE_INTERVAL)

    def _iter_chunks(self, response: transport.StreamedResponse, prefix: bytes, timer: IdleTimeout) -> Iterator[bytes]:
        yield prefix
        try:
            for chunk in response.chunks:
                # Bytes that are read after an abort may not have been decrypted.
                if timer.expired:
                    break
                yield chunk
        except errors.ProviderError:
            if not (self._decoder.is_complete or timer.expired):
                raise
        if not (self._decoder.is_complete or timer.expired):
            self._has_ended = True
            yield b"\n\n"  # some providers end the body without the blank line of its last event
        if self._decoder.is_complete:
            return
        if timer.expired:
            raise errors.ProviderError("timeout", f"silent for {self.idle_timeout:.0f} s")
        if not self._has_events and "event-stream" not in response.headers.get("Content-Type", ""):
            raise errors.ProviderError("unreadable", f"not an event stream: {errors.quote(prefix)}")
        raise errors.ProviderError(
            "broken_off", "the stream ended before the answer did", retryable=True, fallback_allowed=True
        )

    def _decode(self, event: ServerSentEvent) -> Iterable[base.StreamDelta]:
        self._has_events = True
        data = event.data.strip()
        if self._decoder.is_closed or not data or _KEEP_ALIVE.match(data):
            return ()
        if data.strip(b'"') in _END_MARKS:
            self._decoder.close()
            return ()
        parsed = responses.loads_lenient(data)
        if parsed is None and b"\n" in data:
            # Events without blank lines between them.
            return [delta for line in data.split(b"\n") for delta in self._decode(ServerSentEvent(line, event.event))]
        error = self.adapter.parse_error(parsed)
        if error is None and event.event == "error":
            error = errors.ProviderErrorObject()
        if error is not None:
            response = transport.Response(200, {}, data)
            raise responses.error_from_response(response, error.status, error, self.adapter)
        if not isinstance(parsed, dict) and self._has_ended:
            return ()  # cut
        if not isinstance(parsed, dict):
            raise errors.ProviderError("unreadable", f"unexpected event: {errors.quote(data)}")
        return self._decoder.feed(parsed)

    def _send(self, deltas: Sequence[base.StreamDelta]) -> None:
        for kind, group in groupby(deltas, key=attrgetter("kind")):
            group_list = list(group)
            texts = [delta.text for delta in group_list]
            text = "".join(texts)
            self.max_chars -= len(text) + DELTA_OVERHEAD_CHARS * len(texts)
            if self.max_chars < 0:
                raise errors.ProviderError("too_large", "the stream exceeds the size limit")
            self._extras += [delta.fields for delta in group_list if delta.fields]
            if kind != "rest":
                self._has_output = True
            # Before the first output another attempt may follow, with fields of its own.
            if self._has_output:
                for fields in self._extras:
                    self.query.send_extras(ProviderFields(self.adapter.name, fields))
                self._extras.clear()
            if kind != "rest":
                send = self.query.send if kind == "text" else self.query.send_reasoning
                send(text)

    def _current_timeout(self) -> float:
        if self._decoder.is_closed:
            return CLOSE_TIMEOUT
        return min(TRAILER_TIMEOUT, self.idle_timeout) if self._decoder.is_complete else self.idle_timeout
