from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.openai.retries import TRIES, pause_after, retry_after
from persona_stream.backends.openai.trouble import Trouble

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Friday, 20-Nov-26 12:00:30 GMT", 30.0),
        ("Fri Nov 20 12:00:30 2026", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("9" * 400, None),
        ("Fri, 99 Nov 2026 12:00:00 GMT", None),
        ("Fri, 20 Nov 99999 12:00:00 GMT", None),
        ("\u0663", 3.0),
    ],
)
def test_retry_after_is_read_as_seconds_from_now(header: str | None, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood, a date that has passed is now, and nonsense is as good as nothing."""
    assert retry_after(header, NOW) == seconds


@given(st.datetimes(datetime(2026, 11, 20), datetime(2027, 1, 1)))
def test_any_date_in_the_future_is_read_back(moment: datetime) -> None:
    """A date that HTTP writes is read to the second."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    header = format_datetime(moment, usegmt=True)
    assert retry_after(header, NOW) == max(0.0, moment.timestamp() - NOW)


@given(st.text())
def test_no_header_breaks_anything(header: str) -> None:
    """Whatever a provider sends there, it is a finite number of seconds that is not negative, or nothing."""
    seconds = retry_after(header, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


def trouble(again: bool = True, retry_after: float | None = None) -> Trouble:
    return Trouble("busy", "", again=again, retry_after=retry_after)


@pytest.mark.parametrize(
    ("tries", "failed", "left", "jitter", "pause"),
    [
        (1, trouble(), 100.0, 0.0, 0.5),
        (1, trouble(), 100.0, 1.0, 1.5),
        (2, trouble(), 100.0, 0.0, 1.0),
        (2, trouble(), 100.0, 1.0, 3.0),
        (3, trouble(), 100.0, 0.0, None),
        (1, trouble(again=False), 100.0, 0.0, None),
        (1, trouble(again=False, retry_after=1.0), 100.0, 0.0, None),
        (1, trouble(retry_after=0.0), 100.0, 0.0, 0.0),
        (1, trouble(retry_after=7.0), 100.0, 0.0, 7.0),
        (2, trouble(retry_after=7.0), 100.0, 1.0, 7.5),
        (1, trouble(retry_after=60.0), 100.0, 0.0, 60.0),
        (1, trouble(retry_after=60.1), 100.0, 0.0, None),
        (1, trouble(retry_after=30.0), 29.0, 0.0, None),
        (1, trouble(), 0.4, 0.0, None),
        (1, trouble(), -3.0, 0.0, None),
    ],
)
def test_a_pause_fits_what_the_provider_asks_and_the_time_left(
    tries: int, failed: Trouble, left: float, jitter: float, pause: float | None
) -> None:
    """Two more tries, later each time, never sooner than asked, and none that waiting would make useless."""
    assert pause_after(tries, failed, left, jitter) == pause


@given(
    tries=st.integers(1, 10),
    again=st.booleans(),
    asked=st.none() | st.floats(0, 1e6),
    left=st.floats(-10, 1000),
    jitter=st.floats(0, 1),
)
def test_the_laws_of_a_pause(tries: int, again: bool, asked: float | None, left: float, jitter: float) -> None:
    """It ends before the deadline, is not shorter than asked, is bounded, and comes at most twice."""
    pause = pause_after(tries, trouble(again, asked), left, jitter)
    if pause is not None:
        assert again
        assert tries < TRIES
        assert (asked or 0.0) <= pause < left
        assert pause <= 60.5
