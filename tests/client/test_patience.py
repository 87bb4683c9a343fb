"""The waits between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.policy import Patience

PATIENCE = Patience(first=0.5, longest=10.0, at_start=3, in_the_middle=12)


def test_waits_double_up_to_the_longest() -> None:
    """Half of each is chance."""
    assert [PATIENCE.wait(n, lambda: 1.0) for n in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [PATIENCE.wait(n, lambda: 0.0) for n in range(1, 4)] == [0.25, 0.5, 1.0]


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 1e6))
def test_a_wait_has_bounds(failures: int, chance: float, at_least: float) -> None:
    """Never more than the longest, unless the server asks for more; never less than it asks for."""
    assert at_least <= PATIENCE.wait(failures, lambda: chance, at_least) <= max(10.0, at_least)


def test_a_server_that_never_answered_gets_fewer_attempts() -> None:
    """It is probably not running; one in the middle of a run may be starting anew."""
    assert [PATIENCE.exhausted(n, met=False) for n in (2, 3)] == [False, True]
    assert [PATIENCE.exhausted(n, met=True) for n in (11, 12)] == [False, True]
