"""When to ask again, whoever says it and however."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.sse import retry_after

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
    assert retry_after(header, NOW) == pytest.approx(seconds)


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
    assert retry_after(header, NOW) is None


@given(st.datetimes(datetime(2026, 11, 20), datetime(2027, 1, 1)))
def test_any_date_in_the_future_is_read_back(moment: datetime) -> None:
    """A date that HTTP writes is read to the second."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert retry_after(format_datetime(moment, usegmt=True), NOW) == max(0.0, moment.timestamp() - NOW)


DATE = st.from_regex(r"\A(Fri, )?[0-9]{1,3} (Nov|11) [0-9]{1,6} [0-9:]{1,9} ?([+-]?[0-9]{1,20}|GMT|EST|)\Z")


@given(
    st.text() | DATE | st.lists(st.sampled_from(["Fri,", "20", "Nov", "2026", "12:00:00", "+", "9" * 30])).map(" ".join)
)
def test_no_header_breaks_anything(header: str) -> None:
    """Whatever a server sends there, it is a finite number of seconds that is not negative, or nothing."""
    seconds = retry_after(header, NOW)
    assert seconds is None or 0 <= seconds < float("inf")
