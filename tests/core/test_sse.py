"""The parser of Server-Sent Events.

When to ask again, whoever says it and however.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.sse import EventTooLarge, ServerSentEvent, SSEDecoder, parse_retry_after

CASES = {
    "one line": (b"data: a\n\n", [ServerSentEvent("a")]),
    "no space after the colon": (b"data:a\n\n", [ServerSentEvent("a")]),
    "only one space is dropped": (b"data:  a\n\n", [ServerSentEvent(" a")]),
    "several lines": (b"data: a\ndata: b\ndata:\n\n", [ServerSentEvent("a\nb\n")]),
    "a field without a colon": (b"data\n\n", [ServerSentEvent("")]),
    "two empty lines of data": (b"data\ndata\n\n", [ServerSentEvent("\n")]),
    "no data, no event": (b"event: x\nid: 1\n\ndata: a\n\n", [ServerSentEvent("a", id="1")]),
    "carriage returns": (b"data: a\rdata: b\r\r", [ServerSentEvent("a\nb")]),
    "both": (b"data: a\r\ndata: b\r\n\r\n", [ServerSentEvent("a\nb")]),
    "all three mixed": (b"data: a\rdata: b\ndata: c\r\n\n", [ServerSentEvent("a\nb\nc")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [ServerSentEvent("a")]),
    "only one byte order mark": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "a byte order mark later is text": (b"data: \xef\xbb\xbfa\n\n", [ServerSentEvent("\ufeffa")]),
    "comments": (b": hello\n:\ndata: a\n: there\n\n", [ServerSentEvent("a")]),
    "unknown fields": (b"foo: bar\ndata: a\nDATA: b\n data: c\n\n", [ServerSentEvent("a")]),
    "a type, once": (b"event: ping\ndata: a\n\ndata: b\n\n", [ServerSentEvent("a", "ping"), ServerSentEvent("b")]),
    "an id, sticky": (
        b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        [ServerSentEvent("a", id="1"), ServerSentEvent("b", id="1"), ServerSentEvent("c")],
    ),
    "an id with NUL is ignored": (b"id: 1\n\nid: 2\x003\ndata: a\n\n", [ServerSentEvent("a", id="1")]),
    "the last event is not closed": (b"data: a\n\ndata: b\n", [ServerSentEvent("a")]),
    "separators of Unicode are text": (
        "data: a\u2028b\u2029c\x85d\x0be\n\n".encode(),
        [ServerSentEvent("a\u2028b\u2029c\x85d\x0be")],
    ),
    "bytes that are not UTF-8": (b"data: a\xffb\xe6\x88\n\n", [ServerSentEvent("a\ufffdb\ufffd")]),
    "Chinese and emoji": ("data: 你好 👩‍👩‍👧\n\n".encode(), [ServerSentEvent("你好 👩‍👩‍👧")]),
    "empty": (b"", []),
    "only blank lines": (b"\n\n\r\r\n\n", []),
}


@pytest.mark.parametrize(("stream", "events"), CASES.values(), ids=CASES)
def test_it_reads_what_the_standard_says(stream: bytes, events: list[ServerSentEvent]) -> None:
    """Every rule of the standard holds, with the stream in one piece and byte by byte."""
    assert SSEDecoder().feed(stream) == events
    assert _in_steps(SSEDecoder(), stream) == events


SCRAPS = st.sampled_from(
    [b"data", b"id", b"event", b"retry", b":", b": ", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"\x00", b"7",
     b"\xef\xbb\xbf", "你".encode(), "👍".encode(), b"\xff", b"\xe4\xbd", b"\xe2\x80\xa8"]
)  # fmt: skip


@given(st.lists(SCRAPS | st.binary(max_size=4), max_size=40), st.lists(st.integers(0, 200), max_size=8))
def test_chunks_do_not_matter(scraps: list[bytes], cuts: list[int]) -> None:
    """However a stream is cut, the events and the reconnection time are the same."""
    stream = b"".join(scraps)
    whole, cut, single = SSEDecoder(), SSEDecoder(), SSEDecoder()
    bounds = [0, *sorted(min(at, len(stream)) for at in cuts), len(stream)]
    events = whole.feed(stream)
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    assert [event for part in pieces for event in cut.feed(part)] == events
    assert _in_steps(single, stream) == events
    assert cut.retry == single.retry == whole.retry


@given(st.lists(SCRAPS, max_size=40))
def test_it_agrees_with_a_plain_reading(scraps: list[bytes]) -> None:
    """The standard's steps, one line at a time, come to the same events."""
    stream = b"".join(scraps)
    assert SSEDecoder().feed(stream) == list(_plain(stream.decode(errors="replace").removeprefix("\ufeff")))


def _plain(text: str) -> Iterator[ServerSentEvent]:
    data, type_, id_ = [], "", ""
    # What follows the last line's end is no line.
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield ServerSentEvent("\n".join(data), type_ or "message", id_)
            data, type_ = [], ""
        elif name == "data":
            data.append(value)
        elif name == "event":
            type_ = value
        elif name == "id" and "\0" not in value:
            id_ = value


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"retry: 1500", 1.5),
        (b"retry:0", 0.0),
        (b"retry: 1s", None),
        (b"retry: -1", None),
        (b"retry:", None),
        ("retry: ١٢".encode(), None),
        (b"retry: " + b"9" * 5000, None),
    ],
)
def test_the_reconnection_time_is_digits_only(line: bytes, seconds: float | None) -> None:
    """Only ASCII digits count, they are milliseconds, and absurd ones are ignored."""
    parser = SSEDecoder()
    parser.feed(line + b"\n")
    assert parser.retry == seconds


def test_an_event_ends_at_its_carriage_return() -> None:
    """Nobody waits for a line feed that may never come, and if it does come it is no second line."""
    parser = SSEDecoder()
    assert parser.feed(b"data: a\r\r") == [ServerSentEvent("a")]
    assert parser.feed(b"\ndata: b\n\n") == [ServerSentEvent("b")]


@pytest.mark.parametrize("step", [1, 7, 64, 10_000])
@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 200, b"data: abc\n" * 50, b": " + b"x" * 200], ids=["line", "lines", "comment"]
)
def test_an_event_has_a_bound(stream: bytes, step: int) -> None:
    """An event, or a line, that outgrows the limit is an error however it comes; many small events are none."""
    parser = SSEDecoder(max_event_characters=100)
    for _ in range(50):
        parser.feed(b"data: abc\n\n: hello\n")
    with pytest.raises(EventTooLarge):
        _in_steps(parser, stream, step)


def _in_steps(parser: SSEDecoder, stream: bytes, step: int = 1) -> list[ServerSentEvent]:
    return [event for at in range(0, len(stream), step) for event in parser.feed(stream[at : at + step])]


NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0.5", 0.5),
        ("999999999", 999_999_999.0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Friday, 20-Nov-26 12:00:30 GMT", 30.0),
        ("Fri Nov 20 12:00:30 2026", 30.0),
        ("Fri, 20 Nov 2026 12:00:30 -0000", 30.0),
        ("Fri, 20 Nov 2026 13:00:30 +0100", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +1200", 0.0),
    ],
)
def test_it_is_seconds_or_a_date(header: str, seconds: float) -> None:
    """As seconds from now; a date that has passed is now."""
    assert parse_retry_after(header, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "header",
    [
        None, "", " ", "soon", "-1", "+1", "1_0", "1e3", "0x10", ".5", "1.", "nan", "inf", "1e999", "9" * 10,
        "9" * 5000, "\u0663", "²", "Fri, 99 Nov 2026 12:00:00 GMT", "Fri, 20 Nov 99999 12:00:00 GMT",
        "Fri, 20 Nov 2026 12:00:00 +9999", "Fri, 20 Nov 2026 12:00:00 +9999999999999999",
    ],
)  # fmt: skip
def test_nonsense_is_as_good_as_nothing(header: str | None) -> None:
    """So is a number that nobody would wait for, and a zone that is none."""
    assert parse_retry_after(header, NOW) is None


@given(st.datetimes(datetime(2026, 11, 20), datetime(2027, 1, 1)))
def test_any_date_in_the_future_is_read_back(moment: datetime) -> None:
    """A date that HTTP writes is read to the second."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert parse_retry_after(format_datetime(moment, usegmt=True), NOW) == max(0.0, moment.timestamp() - NOW)


DATE = st.from_regex(r"\A(Fri, )?[0-9]{1,3} (Nov|11) [0-9]{1,6} [0-9:]{1,9} ?([+-]?[0-9]{1,20}|GMT|EST|)\Z")


@given(
    st.text() | DATE | st.lists(st.sampled_from(["Fri,", "20", "Nov", "2026", "12:00:00", "+", "9" * 30])).map(" ".join)
)
def test_no_header_breaks_anything(header: str) -> None:
    """Whatever a server sends there, it is a finite number of seconds that is not negative, or nothing."""
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or 0 <= seconds < float("inf")
