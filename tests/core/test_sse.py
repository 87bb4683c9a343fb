"""Tests of the encoder and the decoder of Server-Sent Events, and of Retry-After."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.sse import (
    MAX_RETRY_AFTER,
    EventTooLarge,
    ServerSentEvent,
    SSEDecoder,
    encode,
    parse_retry_after,
)

CASES = {
    "one line": (b"data: a\n\n", [ServerSentEvent(b"a")]),
    "no space after the colon": (b"data:a\n\n", [ServerSentEvent(b"a")]),
    "only one space is dropped": (b"data:  a\n\n", [ServerSentEvent(b" a")]),
    "several lines": (b"data: a\ndata: b\ndata:\n\n", [ServerSentEvent(b"a\nb\n")]),
    "a field without a colon": (b"data\n\n", [ServerSentEvent(b"")]),
    "two empty lines of data": (b"data\ndata\n\n", [ServerSentEvent(b"\n")]),
    "no data, no event": (b"event: x\nid: 1\n\ndata: a\n\n", [ServerSentEvent(b"a", id="1")]),
    "carriage returns": (b"data: a\rdata: b\r\r", [ServerSentEvent(b"a\nb")]),
    "both": (b"data: a\r\ndata: b\r\n\r\n", [ServerSentEvent(b"a\nb")]),
    "all three mixed": (b"data: a\rdata: b\ndata: c\r\n\n", [ServerSentEvent(b"a\nb\nc")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [ServerSentEvent(b"a")]),
    "only one byte order mark": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "a byte order mark later is text": (b"data: \xef\xbb\xbfa\n\n", [ServerSentEvent("\ufeffa".encode())]),
    "comments": (b": hello\n:\ndata: a\n: there\n\n", [ServerSentEvent(b"a")]),
    "unknown fields": (b"foo: bar\ndata: a\nDATA: b\n data: c\n\n", [ServerSentEvent(b"a")]),
    "a type, once": (b"event: ping\ndata: a\n\ndata: b\n\n", [ServerSentEvent(b"a", "ping"), ServerSentEvent(b"b")]),
    "an id, sticky": (
        b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        [ServerSentEvent(b"a", id="1"), ServerSentEvent(b"b", id="1"), ServerSentEvent(b"c")],
    ),
    "an id with NUL is ignored": (b"id: 1\n\nid: 2\x003\ndata: a\n\n", [ServerSentEvent(b"a", id="1")]),
    "the last event is not closed": (b"data: a\n\ndata: b\n", [ServerSentEvent(b"a")]),
    "separators of Unicode are text": (
        "data: a\u2028b\u2029c\x85d\x0be\n\n".encode(),
        [ServerSentEvent("a\u2028b\u2029c\x85d\x0be".encode())],
    ),
    "bytes that are not UTF-8": (b"data: a\xffb\xe6\x88\n\n", [ServerSentEvent("a\ufffdb\ufffd".encode())]),
    "Chinese and emoji": ("data: 你好 👩‍👩‍👧\n\n".encode(), [ServerSentEvent("你好 👩‍👩‍👧".encode())]),
    "empty": (b"", []),
    "only blank lines": (b"\n\n\r\r\n\n", []),
}


@pytest.mark.parametrize(("stream", "events"), CASES.values(), ids=CASES)
def test_the_decoder_follows_the_standard(stream: bytes, events: list[ServerSentEvent]) -> None:
    """Every rule holds, with the stream in one chunk and byte by byte."""
    assert SSEDecoder().feed(stream) == events
    assert _in_steps(SSEDecoder(), stream) == events


SCRAPS = st.sampled_from(
    [b"data", b"id", b"event", b"retry", b":", b": ", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"\x00", b"7",
     b"\xef\xbb\xbf", "你".encode(), "👍".encode(), b"\xff", b"\xe4\xbd", b"\xe2\x80\xa8"]
)  # fmt: skip


@given(st.lists(SCRAPS | st.binary(max_size=4), max_size=40), st.lists(st.integers(0, 200), max_size=8))
def test_chunks_do_not_change_the_events(scraps: list[bytes], cuts: list[int]) -> None:
    """Nor the reconnection time."""
    stream = b"".join(scraps)
    whole, cut, single = SSEDecoder(), SSEDecoder(), SSEDecoder()
    bounds = [0, *sorted(min(at, len(stream)) for at in cuts), len(stream)]
    events = whole.feed(stream)
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    assert [event for part in pieces for event in cut.feed(part)] == events
    assert _in_steps(single, stream) == events
    assert cut.retry == single.retry == whole.retry


@given(st.lists(SCRAPS, max_size=40))
def test_the_decoder_agrees_with_a_line_by_line_reference(scraps: list[bytes]) -> None:
    """The reference takes the steps of the standard one line at a time."""
    stream = b"".join(scraps)
    assert SSEDecoder().feed(stream) == list(
        _decode_line_by_line(stream.decode(errors="replace").removeprefix("\ufeff"))
    )


def _decode_line_by_line(text: str) -> Iterator[ServerSentEvent]:
    data: list[str] = []
    event = ""
    event_id = ""
    # The text after the last line end is not a line.
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield ServerSentEvent("\n".join(data).encode(), event="" if event == "message" else event, id=event_id)
            data = []
            event = ""
        elif name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            event_id = value


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
    """In ASCII, and in milliseconds; absurd numbers are ignored."""
    parser = SSEDecoder()
    parser.feed(line + b"\n")
    assert parser.retry == seconds


def test_an_event_ends_at_its_carriage_return() -> None:
    """The decoder does not wait for a line feed, and a line feed that follows is not a second line end."""
    parser = SSEDecoder()
    assert parser.feed(b"data: a\r\r") == [ServerSentEvent(b"a")]
    assert parser.feed(b"\ndata: b\n\n") == [ServerSentEvent(b"b")]


@pytest.mark.parametrize("step", [1, 7, 64, 10_000])
@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 200, b"data: abc\n" * 50, b": " + b"x" * 200], ids=["line", "lines", "comment"]
)
def test_the_size_of_an_event_is_limited(stream: bytes, step: int) -> None:
    """A larger event or line is an error in any chunking; any number of small events is allowed."""
    parser = SSEDecoder(max_event_characters=100)
    for _ in range(50):
        parser.feed(b"data: abc\n\n: hello\n")
    with pytest.raises(EventTooLarge):
        _in_steps(parser, stream, step)


def _in_steps(parser: SSEDecoder, stream: bytes, step: int = 1) -> list[ServerSentEvent]:
    return [event for at in range(0, len(stream), step) for event in parser.feed(stream[at : at + step])]


LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)


@given(st.lists(st.tuples(LINES, LINES.filter(lambda name: name != "message"), LINES, LINES)))
def test_decoding_an_encoded_message_returns_it(fields: list[tuple[str, str, str, str]]) -> None:
    """Without its comment; an empty id keeps the id of the message before."""
    last_id = ""
    decoder = SSEDecoder()
    for data, event, event_id, comment in fields:
        encoded = encode(ServerSentEvent(data.encode(), event=event, id=event_id, comment=comment))
        if comment and not data:
            assert decoder.feed(encoded) == []
            continue
        last_id = event_id or last_id
        assert decoder.feed(encoded) == [ServerSentEvent(data.encode(), event=event, id=last_id)]


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (ServerSentEvent(b"{}"), b"data: {}\n\n"),
        (ServerSentEvent(b"{}", id="r/2.0"), b"id: r/2.0\ndata: {}\n\n"),
        (ServerSentEvent(b"{}", event="ping"), b"event: ping\ndata: {}\n\n"),
        (ServerSentEvent(b"a\nb"), b"data: a\ndata: b\n\n"),
        (ServerSentEvent(comment="two\nlines"), b": two lines\n"),
        (ServerSentEvent(b"{}", event="ping", id="1", comment="hello"), b": hello\nevent: ping\nid: 1\ndata: {}\n\n"),
    ],
)
def test_messages_are_encoded_as_documented(message: ServerSentEvent, encoded: bytes) -> None:
    """A comment without data has no blank line after it."""
    assert encode(message) == encoded


@pytest.mark.parametrize(
    ("header", "seconds"), [("0", 0.0), ("7", 7.0), (" 120 ", 120.0), ("0.5", 0.5), ("999999999", 999_999_999.0)]
)
def test_retry_after_is_a_number_of_seconds(header: str, seconds: float) -> None:
    """Decimal fractions are not in the standard, but providers send them."""
    assert parse_retry_after(header) == seconds


@pytest.mark.parametrize(
    "date_format",
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S -0000"],
)
def test_retry_after_is_a_date_in_any_form_of_http(date_format: str) -> None:
    """The delay counts from now; a past date means now."""
    now = datetime.now(UTC)
    assert parse_retry_after((now + timedelta(seconds=300)).strftime(date_format)) == pytest.approx(300, abs=20)
    assert parse_retry_after((now - timedelta(days=1)).strftime(date_format)) == 0.0


@pytest.mark.parametrize("skew", [-86_400, 0, 86_400])
def test_a_date_is_compared_with_that_of_its_response(skew: int) -> None:
    """One of the clocks may be wrong (xorbitsai/xllamacpp PR 155, googleworkspace/cli PR 809)."""
    sent_at = datetime.now(UTC) + timedelta(seconds=skew)
    date, until = (each.strftime("%a, %d %b %Y %H:%M:%S GMT") for each in (sent_at, sent_at + timedelta(seconds=7)))
    assert parse_retry_after(until, date) == 7.0
    assert parse_retry_after(date, until) == 0.0
    assert parse_retry_after("7", date) == 7.0
    assert parse_retry_after("soon", date) is None


@pytest.mark.parametrize("date", ["", "today", "1"])
def test_a_malformed_date_of_a_response_is_ignored(date: str) -> None:
    """The delay counts from now."""
    until = (datetime.now(UTC) + timedelta(seconds=300)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert parse_retry_after(until, date) == pytest.approx(300, abs=20)


def test_the_time_zone_of_a_date_counts() -> None:
    """Here an hour ahead of UTC."""
    date = datetime.now(timezone(timedelta(hours=1))) + timedelta(seconds=300)
    assert parse_retry_after(date.strftime("%a, %d %b %Y %H:%M:%S %z")) == pytest.approx(300, abs=20)


@pytest.mark.parametrize(
    "header",
    [
        None, "", " ", "soon", "-1", "+1", "1_0", "1e3", "0x10", ".5", "1.", "nan", "inf", "1e999", "9" * 10,
        "9" * 5000, "\u0663", "²", "Fri, 20 Nov 99999 12:00:00 GMT", "Fri, 20 Nov 2026 12:00:00 -9999999999999999",
    ],
)  # fmt: skip
def test_a_malformed_or_absurd_retry_after_is_ignored(header: str | None) -> None:
    """As if the header were missing."""
    assert parse_retry_after(header) is None


DATE = st.from_regex(r"\A(Fri, )?[0-9]{1,3} (Nov|11) [0-9]{1,6} [0-9:]{1,9} ?([+-]?[0-9]{1,20}|GMT|EST|)\Z")


@given(
    st.text() | DATE | st.lists(st.sampled_from(["Fri,", "20", "Nov", "2026", "12:00:00", "+", "9" * 30])).map(" ".join)
)
def test_no_retry_after_crashes_or_waits_forever(header: str) -> None:
    """Every header gives a bounded number of seconds, or none."""
    seconds = parse_retry_after(header)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
