"""Server-sent events, as WHATWG's HTML standard defines them, written to bytes.

Read Server-Sent Events from bytes, as they come.

The law: how the bytes are cut into chunks never changes the events. The rules are those of the WHATWG HTML
standard, "Interpreting an event stream": an event that is not closed by a blank line never happened.

When to ask again, as a server says it in ``Retry-After``.

Source: RFC 9110, 10.2.3; its dates are read in every form that mail has, too.
"""

from __future__ import annotations

import codecs
import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from msgspec import Struct

CONTENT_TYPE = "text/event-stream; charset=utf-8"

# Legal inside a line, but naive clients split a text on them as on a newline. Inside JSON an escape says the same.
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def escape_line_separators(body: bytes) -> bytes:
    """Escape what naive clients take for the end of a line: U+2028, U+2029 and U+0085."""
    if body.isascii():
        return body
    for raw, escaped in _LINE_ENDS:
        if raw in body:
            body = body.replace(raw, escaped)
    return body


def event(body: bytes, event_id: bytes) -> bytes:
    """Frame one event: ``body`` is JSON, which cannot hold a newline."""
    return b"id: %b\ndata: %b\n\n" % (event_id, body)


def anonymous_event(body: bytes) -> bytes:
    """Frame an event that belongs to no run, as a refusal does."""
    return b"data: %b\n\n" % body


def named_event(body: bytes, name: bytes) -> bytes:
    """Frame an event that has a name, and no id."""
    return b"event: %b\ndata: %b\n\n" % (name, body)


def comment(text: str) -> bytes:
    """Frame a comment of one line, with no blank line after it: some decoders parse an empty event there."""
    return b": %b\n" % " ".join(text.split()).encode("utf-8", "replace")


_BOM = "\ufeff"


class EventTooLarge(ValueError):
    """Say that one event holds more than the reader is ready to keep."""


class ServerSentEvent(Struct, frozen=True):
    """Hold one event.

    Attributes:
        data: its ``data`` lines, joined by newlines.
        type: its ``event`` field, ``message`` when there is none.
        id: the last event id as it stands after this event; it sticks from event to event.
    """

    data: str
    type: str = "message"
    id: str = ""


class SSEDecoder:
    """Turn the bytes of one connection into events. A new connection needs a new parser.

    Args:
        max_event_characters: what one event may hold, in characters.

    Attributes:
        retry: the reconnection time that the stream asked for, in seconds, or ``None``.
    """

    def __init__(self, max_event_characters: int = 32 * 1024 * 1024) -> None:
        self.retry: float | None = None
        self._limit = max_event_characters
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._unfinished: list[str] = []
        self._unfinished_size = 0
        self._data: list[str] = []
        self._data_size = 0
        self._type = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Give the events that these bytes complete.

        Raises:
            EventTooLargeError: an event is over the limit; the parser is of no use after that.
        """
        text = self._decoder.decode(chunk)
        if not text:
            return []
        if self._at_start:
            self._at_start = False
            text = text.removeprefix(_BOM)
        # A line ends at its CR, at once: waiting for a LF that may never come would hold an event back.
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        if "\r" in text:
            self._after_cr = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        events = []
        *lines, rest = text.split("\n")
        if lines and self._unfinished:
            # The parts of an unfinished line are joined once, at its end: adding them up each time is quadratic.
            lines[0] = "".join((*self._unfinished, lines[0]))
            self._unfinished, self._unfinished_size = [], 0
        for line in lines:
            if line:
                self._bound(len(line))
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if rest:
            self._unfinished.append(rest)
            self._unfinished_size += len(rest)
            self._bound(self._unfinished_size)
        return events

    def _bound(self, line_size: int) -> None:
        if self._data_size + line_size > self._limit:
            raise EventTooLarge(f"an event of more than {self._limit:,} characters")

    def _field(self, line: str) -> None:
        # A comment has an empty name, and falls through like every unknown field.
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._data_size += len(value) + 1
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            # int() refuses thousands of digits, and nobody waits for the eleven days that ten of them mean.
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:
                self.retry = int(value) / 1000

    def _dispatch(self) -> ServerSentEvent | None:
        if not self._data:
            self._type = ""
            return None
        event = ServerSentEvent("\n".join(self._data), self._type or "message", self._id)
        self._data, self._data_size, self._type = [], 0, ""
        return event


# No longer than thirty years; fractions are no part of the standard, and are sent all the same.
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


def parse_retry_after(header: str | None, now: float) -> float | None:
    """Read the header as seconds from ``now``, or ``None`` where it is missing or makes no sense.

    Args:
        now: seconds since 1970.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a zone can be too large for C's own numbers
        return None
    # The form of asctime names no zone, nor does "-0000", and both mean UTC.
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
