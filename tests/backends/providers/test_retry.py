"""The breaker: a dead provider is left alone, looked at now and then, and asked again as soon as it lives.

The budget of tries.
"""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.retry import MAX_ATTEMPTS, CircuitBreaker, RetryBudget, retry_delay
from tests.fakes import FakeClock


def dead(clock: FakeClock) -> CircuitBreaker:
    """Give one that has just been struck for the fifth time."""
    breaker = CircuitBreaker("it", clock)
    for _ in range(5):
        assert breaker.acquire() == 0.0
        breaker.record_failure()
    return breaker


def test_a_few_failures_may_be_chance() -> None:
    """And one answer between them says that all is well."""
    breaker = CircuitBreaker("it", FakeClock())
    for _ in range(10):
        for _ in range(4):
            breaker.record_failure()
        assert breaker.acquire() == breaker.open_for == 0.0
        breaker.record_success()


def test_after_five_in_a_row_nobody_asks_for_a_while() -> None:
    """Each that would is told for how long."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    assert [breaker.acquire(), breaker.acquire()] == [5.0, 5.0]
    clock.now += 2.0
    assert breaker.acquire() == breaker.open_for == 3.0


def test_then_one_looks_whether_it_lives() -> None:
    """Not all who wait at once; and where that one hears nothing for as long, another one."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    for _ in range(3):
        clock.now += 5.0
        assert breaker.open_for == 0.0
        assert [breaker.acquire(), breaker.acquire()] == [0.0, 5.0]


def test_a_look_is_not_used_up_by_who_only_wants_to_know() -> None:
    """Whether one may ask is asked before a run begins, and again when it does."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    clock.now += 5.0
    assert [breaker.open_for, breaker.open_for, breaker.acquire()] == [0.0, 0.0, 0.0]


def test_each_failure_more_doubles_the_pause_up_to_a_minute() -> None:
    """So a provider that is away for an hour is asked once in a minute."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.open_for)
        clock.now += breaker.open_for
        assert breaker.acquire() == 0.0
        breaker.record_failure()
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_one_sign_of_life_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever had been: the next failures are chance again. The log has both moments."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    clock.now += 5.0
    breaker.acquire()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        breaker.record_failure()
        breaker.record_success()
    assert [breaker.acquire() for _ in range(100)] == [0.0] * 100
    assert [record.message for record in caplog.records] == [
        "it failed 6 times in a row: circuit breaker open for 10 s",
        "it responds again: circuit breaker closed",
    ]
    for _ in range(5):
        breaker.record_failure()
    assert breaker.open_for == 5.0


@given(st.lists(st.sampled_from(["ask", "fail", "answer"]) | st.floats(0.0, 100.0)))
def test_it_never_closes_for_good(happens: list[str | float]) -> None:
    """Whatever happens: it may be asked again after a minute at most, and at once after an answer."""
    clock = FakeClock(100.0)
    breaker = CircuitBreaker("it", clock)
    for one in happens:
        match one:
            case "ask":
                assert 0.0 <= breaker.acquire() <= 60.0
            case "fail":
                breaker.record_failure()
            case "answer":
                breaker.record_success()
                assert breaker.open_for == 0.0
            case float():
                clock.now += one
    clock.now += breaker.open_for
    assert breaker.open_for == pytest.approx(0.0, abs=1e-9)


def test_a_few_may_be_tried_again_at_any_time() -> None:
    """Ten at once, and then none until others were asked."""
    budget = RetryBudget()
    assert [budget.withdraw() for _ in range(12)] == [True] * 10 + [False] * 2


def test_for_long_it_is_one_query_in_five() -> None:
    """Where every query fails, and would be tried again twice."""
    budget = RetryBudget()
    again = 0
    for _ in range(1000):
        budget.deposit()
        again += budget.withdraw() + budget.withdraw()
    assert 200 <= again <= 211


@given(st.lists(st.booleans()))
def test_nothing_is_saved_beyond_ten(asked: list[bool]) -> None:
    """After whatever had been, and a quiet time."""
    budget = RetryBudget()
    for each in asked:
        if each:
            budget.deposit()
        else:
            budget.withdraw()
    for _ in range(1000):
        budget.deposit()
    assert [budget.withdraw() for _ in range(12)] == [True] * 10 + [False] * 2


def trouble(again: bool = True, retry_after: float | None = None) -> ProviderError:
    return ProviderError("busy", "", retryable=again, retry_after=retry_after)


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
    tries: int, failed: ProviderError, left: float, jitter: float, pause: float | None
) -> None:
    """Two more tries, later each time, never sooner than asked, and none that waiting would make useless."""
    assert retry_delay(tries, failed, left, jitter) == pause


@given(
    tries=st.integers(1, 10),
    again=st.booleans(),
    asked=st.none() | st.floats(0, 1e6),
    left=st.floats(-10, 1000),
    jitter=st.floats(0, 1),
)
def test_the_laws_of_a_pause(tries: int, again: bool, asked: float | None, left: float, jitter: float) -> None:
    """It ends before the deadline, is not shorter than asked, is bounded, and comes at most twice."""
    pause = retry_delay(tries, trouble(again, asked), left, jitter)
    if pause is not None:
        assert again
        assert tries < MAX_ATTEMPTS
        assert (asked or 0.0) <= pause < left
        assert pause <= 60.5
