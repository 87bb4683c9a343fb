"""Server-Sent Events: encoder and incremental decoder, and the Retry-After header.

Invariants:
    Decoding: how the bytes are split into chunks never changes the events.
    Decoding: an event without its closing blank line is never dispatched.

Sources: WHATWG HTML, "Interpreting an event stream"; RFC 9110, 10.2.3 (Retry-After).
"""

import codecs
import re
from collections.abc import Iterable
from email.utils import mktime_tz, parsedate_tz

import urllib3
from msgspec import Struct

CONTENT_TYPE = "text/event-stream; charset=utf-8"
MEDIA_TYPE = "text/event-stream"

_LINE_FEED = 0x0A  # an int: searching bytes for one is several times faster than for b"\n"

# Legal within a line, but simple clients split lines on them. In JSON, an escape means the same character.
_LINE_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


class EventTooLarge(ValueError):
    """An event that exceeds the decoder's size limit."""


class ServerSentEvent(Struct, frozen=True, gc=False):
    """One message of an event stream."""

    data: bytes = b""  # UTF-8, without carriage returns
    event: str = ""  # empty for the default name, ``message``
    id: str = ""  # when decoded, the last event id after this event: ids persist
    comment: str = ""  # line before the event; without ``data``, the comment alone is sent; decoders drop comments


def encode(message: ServerSentEvent) -> bytes:
    """Return the bytes of one message.

    No blank line follows a comment without data: some decoders parse an empty event there.
    """
    data = message.data
    if _LINE_FEED in data:
        data = data.replace(b"\n", b"\ndata: ")
    if message.comment:
        fields = f": {' '.join(message.comment.split())}\n"
        if not data:
            return fields.encode("utf-8", "replace")
        if message.event:
            fields += f"event: {message.event}\n"
    elif message.event:
        fields = f"event: {message.event}\n"
    elif message.id:
        return b"id: %b\ndata: %b\n\n" % (message.id.encode(), data)
    else:
        return b"data: %b\n\n" % data
    if message.id:
        fields += f"id: {message.id}\n"
    return b"%bdata: %b\n\n" % (fields.encode("utf-8", "replace"), data)


def encode_all(messages: Iterable[ServerSentEvent]) -> bytes:
    """Return the bytes of several messages."""
    return b"".join(map(encode, messages))


def escape_line_separators(body: bytes) -> bytes:
    """Return JSON with U+2028, U+2029 and U+0085 escaped: simple clients split lines on them."""
    if 0xE2 not in body and 0xC2 not in body:  # their first bytes
        return body
    for raw, escaped in _LINE_SEPARATORS:
        if raw in body:
            body = body.replace(raw, escaped)
    return body


_BYTE_ORDER_MARK = "\ufeff"
_MAX_RETRY_DIGITS = 9  # of milliseconds: int() rejects thousands of digits, and ten digits are eleven days


class SSEDecoder:
    """Incremental decoder of the events of one connection."""

    def __init__(self, max_event_characters: int = 32 * 1024 * 1024) -> None:
        self.retry: float | None = None  # reconnection time that the stream requested, in seconds
        self._max_event_characters = max_event_characters
        self._text_decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_carriage_return = False
        self._partial_line: list[str] = []
        self._partial_line_size = 0
        self._data: list[str] = []
        self._data_size = 0
        self._event = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that these bytes complete; raise ``EventTooLarge``, after which the decoder is unusable."""
        text = self._text_decoder.decode(chunk)
        if not text:
            return []
        if self._at_start:
            self._at_start = False
            text = text.removeprefix(_BYTE_ORDER_MARK)
        # A line ends at its CR: waiting for an LF that may never come would delay the event.
        if self._after_carriage_return and text:
            self._after_carriage_return = False
            text = text.removeprefix("\n")
        if "\r" in text:
            self._after_carriage_return = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        events = []
        *lines, rest = text.split("\n")
        if lines and self._partial_line:
            # Joined once, at the end of the line: repeated concatenation is quadratic.
            lines[0] = "".join((*self._partial_line, lines[0]))
            self._partial_line = []
            self._partial_line_size = 0
        for line in lines:
            if line:
                self._check_size(len(line))
                self._process_field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        if rest:
            self._partial_line.append(rest)
            self._partial_line_size += len(rest)
            self._check_size(self._partial_line_size)
        return events

    def _check_size(self, line_size: int) -> None:
        if self._data_size + line_size > self._max_event_characters:
            raise EventTooLarge(f"an event of more than {self._max_event_characters:,} characters")

    def _process_field(self, line: str) -> None:
        # A comment has an empty field name and is ignored like every unknown field.
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._data_size += len(value) + 1
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self.retry = int(value) / 1000

    def _dispatch(self) -> ServerSentEvent | None:
        name = "" if self._event == "message" else self._event
        self._event = ""
        if not self._data:
            return None
        data = "\n".join(self._data).encode()
        self._data = []
        self._data_size = 0
        return ServerSentEvent(data, event=name, id=self._id)


MAX_RETRY_AFTER = 999_999_999  # seconds: a longer delay is treated as malformed
_parser = urllib3.Retry(retry_after_max=MAX_RETRY_AFTER + 1)
_DECIMAL = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")


def parse_retry_after(header: str | None, date: str | None = None) -> float | None:
    """Return the delay of a Retry-After header, in seconds; ``None`` if it is missing, malformed or absurd.

    A date is compared with ``date``, the header of the same response, since one of the clocks may be wrong; without it,
    with the system clock. Decimal fractions are accepted: they are not in the standard, but providers send them.
    """
    text = (header or "").strip()
    if _DECIMAL.fullmatch(text):
        return float(text)
    try:
        seconds = float(_parser.parse_retry_after(text))
        until, sent_at = parsedate_tz(text), parsedate_tz(date or "")
        if until is not None and sent_at is not None:
            seconds = max(0.0, float(mktime_tz(until) - mktime_tz(sent_at)))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError, TypeError, IndexError):
        return None
    return seconds if seconds <= MAX_RETRY_AFTER else None
