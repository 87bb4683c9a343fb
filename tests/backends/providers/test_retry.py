"""Tests of the circuit breaker, the retry budget and the retry policy."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.retry import MAX_ATTEMPTS, CircuitBreaker, RetryBudget, retry_delay
from tests.fakes import FakeClock


def open_breaker(clock: FakeClock) -> CircuitBreaker:
    """Return a circuit breaker that has just opened after five failures."""
    breaker = CircuitBreaker("it", clock)
    for _ in range(5):
        assert breaker.acquire() == 0.0
        breaker.record_failure()
    return breaker


def test_four_failures_in_a_row_leave_the_circuit_closed() -> None:
    """A success resets the count."""
    breaker = CircuitBreaker("it", FakeClock())
    for _ in range(10):
        for _ in range(4):
            breaker.record_failure()
        assert breaker.acquire() == breaker.open_for == 0.0
        breaker.record_success()


def test_five_failures_in_a_row_open_the_circuit() -> None:
    """Callers get the remaining open time."""
    clock = FakeClock(100.0)
    breaker = open_breaker(clock)
    assert [breaker.acquire(), breaker.acquire()] == [5.0, 5.0]
    clock.now += 2.0
    assert breaker.acquire() == breaker.open_for == 3.0


def test_one_probe_is_allowed_per_open_time() -> None:
    """Another one follows if the first has no outcome yet."""
    clock = FakeClock(100.0)
    breaker = open_breaker(clock)
    for _ in range(3):
        clock.now += 5.0
        assert breaker.open_for == 0.0
        assert [breaker.acquire(), breaker.acquire()] == [0.0, 5.0]


def test_reading_open_for_does_not_use_up_the_probe() -> None:
    """It is read before a run begins, and the probe is taken when the run asks the provider."""
    clock = FakeClock(100.0)
    breaker = open_breaker(clock)
    clock.now += 5.0
    assert [breaker.open_for, breaker.open_for, breaker.acquire()] == [0.0, 0.0, 0.0]


def test_each_further_failure_doubles_the_open_time_up_to_a_minute() -> None:
    """A provider that is down for an hour is probed once a minute."""
    clock = FakeClock(100.0)
    breaker = open_breaker(clock)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.open_for)
        clock.now += breaker.open_for
        assert breaker.acquire() == 0.0
        breaker.record_failure()
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_success_closes_the_circuit(caplog: pytest.LogCaptureFixture) -> None:
    """Both transitions are logged, and the open time starts over."""
    clock = FakeClock(100.0)
    breaker = open_breaker(clock)
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
def test_the_circuit_never_stays_open_for_good(happens: list[str | float]) -> None:
    """After any sequence of events the provider may be asked within a minute, and at once after a success."""
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


def test_the_budget_allows_ten_retries_at_once() -> None:
    """Further ones need new queries."""
    budget = RetryBudget()
    assert [budget.withdraw() for _ in range(12)] == [True] * 10 + [False] * 2


def test_the_budget_allows_one_retry_per_five_queries_in_the_long_run() -> None:
    """If every query fails and would be retried twice."""
    budget = RetryBudget()
    again = 0
    for _ in range(1000):
        budget.deposit()
        again += budget.withdraw() + budget.withdraw()
    assert 200 <= again <= 211


@given(st.lists(st.booleans()))
def test_the_budget_saves_at_most_ten_retries(asked: list[bool]) -> None:
    """After any sequence of queries and retries."""
    budget = RetryBudget()
    for each in asked:
        if each:
            budget.deposit()
        else:
            budget.withdraw()
    for _ in range(1000):
        budget.deposit()
    assert [budget.withdraw() for _ in range(12)] == [True] * 10 + [False] * 2


def error(retryable: bool = True, retry_after: float | None = None) -> ProviderError:
    return ProviderError("busy", "", retryable=retryable, retry_after=retry_after)


@pytest.mark.parametrize(
    ("tries", "failure", "left", "jitter", "pause"),
    [
        (1, error(), 100.0, 0.0, 0.5),
        (1, error(), 100.0, 1.0, 1.5),
        (2, error(), 100.0, 0.0, 1.0),
        (2, error(), 100.0, 1.0, 3.0),
        (3, error(), 100.0, 0.0, None),
        (1, error(retryable=False), 100.0, 0.0, None),
        (1, error(retryable=False, retry_after=1.0), 100.0, 0.0, None),
        (1, error(retry_after=0.0), 100.0, 0.0, 0.0),
        (1, error(retry_after=7.0), 100.0, 0.0, 7.0),
        (2, error(retry_after=7.0), 100.0, 1.0, 7.5),
        (1, error(retry_after=60.0), 100.0, 0.0, 60.0),
        (1, error(retry_after=60.1), 100.0, 0.0, None),
        (1, error(retry_after=30.0), 29.0, 0.0, None),
        (1, error(), 0.4, 0.0, None),
        (1, error(), -3.0, 0.0, None),
    ],
)
def test_the_delay_follows_retry_after_or_the_backoff_within_the_deadline(
    tries: int, failure: ProviderError, left: float, jitter: float, pause: float | None
) -> None:
    """Two retries at most, each after a longer delay, and none that the deadline would end."""
    assert retry_delay(tries, failure, left, jitter) == pause


@given(
    tries=st.integers(1, 10),
    again=st.booleans(),
    asked=st.none() | st.floats(0, 1e6),
    left=st.floats(-10, 1000),
    jitter=st.floats(0, 1),
)
def test_invariants_of_the_delay(tries: int, again: bool, asked: float | None, left: float, jitter: float) -> None:
    """It ends before the deadline, respects Retry-After, is bounded, and there are at most two retries."""
    pause = retry_delay(tries, error(again, asked), left, jitter)
    if pause is not None:
        assert again
        assert tries < MAX_ATTEMPTS
        assert (asked or 0.0) <= pause < left
        assert pause <= 60.5
