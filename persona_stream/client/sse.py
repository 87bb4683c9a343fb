"""Read Server-Sent Events from bytes, as they come.

The law: how the bytes are cut into chunks never changes the events. The rules are those of the WHATWG HTML
standard, "Interpreting an event stream": an event that is not closed by a blank line never happened.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = "\ufeff"


class EventTooLargeError(ValueError):
    """Say that one event holds more than the reader is ready to keep."""


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event.

    Attributes:
        data: its ``data`` lines, joined by newlines.
        type: its ``event`` field, ``message`` when there is none.
        id: the last event id as it stands after this event; it sticks from event to event.
    """

    data: str
    type: str = "message"
    id: str = ""


class Parser:
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

    def feed(self, chunk: bytes) -> list[Event]:
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
        self._after_cr = text.endswith("\r")
        events = []
        # The parts of an unfinished line are joined once, at its end: adding them up each time is quadratic.
        *ended, rest = _LINE_END.split(text)
        for part in ended:
            self._keep(part)
            event = self._line("".join(self._unfinished))
            self._unfinished, self._unfinished_size = [], 0
            if event is not None:
                events.append(event)
        self._keep(rest)
        return events

    def _keep(self, part: str) -> None:
        if part:
            self._unfinished.append(part)
            self._unfinished_size += len(part)
            if self._data_size + self._unfinished_size > self._limit:
                raise EventTooLargeError(f"an event of more than {self._limit:,} characters")

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
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
        return None

    def _dispatch(self) -> Event | None:
        event = Event("\n".join(self._data), self._type or "message", self._id) if self._data else None
        self._data, self._data_size, self._type = [], 0, ""
        return event
