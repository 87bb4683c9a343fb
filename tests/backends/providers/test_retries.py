from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.providers.errors import Trouble
from persona_stream.backends.providers.retry import TRIES, pause_after


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
