"""The breaker: a dead provider is left alone, looked at now and then, and asked again as soon as it lives."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.providers.retry import Breaker
from tests.fakes import FakeClock


def dead(clock: FakeClock) -> Breaker:
    """Give one that has just been struck for the fifth time."""
    breaker = Breaker("it", clock)
    for _ in range(5):
        assert breaker.enter() == 0.0
        breaker.failed()
    return breaker


def test_a_few_failures_may_be_chance() -> None:
    """And one answer between them says that all is well."""
    breaker = Breaker("it", FakeClock())
    for _ in range(10):
        for _ in range(4):
            breaker.failed()
        assert breaker.enter() == breaker.rest == 0.0
        breaker.answered()


def test_after_five_in_a_row_nobody_asks_for_a_while() -> None:
    """Each that would is told for how long."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    assert [breaker.enter(), breaker.enter()] == [5.0, 5.0]
    clock.now += 2.0
    assert breaker.enter() == breaker.rest == 3.0


def test_then_one_looks_whether_it_lives() -> None:
    """Not all who wait at once; and where that one hears nothing for as long, another one."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    for _ in range(3):
        clock.now += 5.0
        assert breaker.rest == 0.0
        assert [breaker.enter(), breaker.enter()] == [0.0, 5.0]


def test_a_look_is_not_used_up_by_who_only_wants_to_know() -> None:
    """Whether one may ask is asked before a run begins, and again when it does."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    clock.now += 5.0
    assert [breaker.rest, breaker.rest, breaker.enter()] == [0.0, 0.0, 0.0]


def test_each_failure_more_doubles_the_pause_up_to_a_minute() -> None:
    """So a provider that is away for an hour is asked once in a minute."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.rest)
        clock.now += breaker.rest
        assert breaker.enter() == 0.0
        breaker.failed()
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_one_sign_of_life_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever had been: the next failures are chance again. The log has both moments."""
    clock = FakeClock(100.0)
    breaker = dead(clock)
    clock.now += 5.0
    breaker.enter()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        breaker.failed()
        breaker.answered()
    assert [breaker.enter() for _ in range(100)] == [0.0] * 100
    assert [record.message for record in caplog.records] == [
        "it failed 6 times in a row: it is asked nothing for 10 s",
        "it answers again",
    ]
    for _ in range(5):
        breaker.failed()
    assert breaker.rest == 5.0


@given(st.lists(st.sampled_from(["ask", "fail", "answer"]) | st.floats(0.0, 100.0)))
def test_it_never_closes_for_good(happens: list[str | float]) -> None:
    """Whatever happens: it may be asked again after a minute at most, and at once after an answer."""
    clock = FakeClock(100.0)
    breaker = Breaker("it", clock)
    for one in happens:
        match one:
            case "ask":
                assert 0.0 <= breaker.enter() <= 60.0
            case "fail":
                breaker.failed()
            case "answer":
                breaker.answered()
                assert breaker.rest == 0.0
            case float():
                clock.now += one
    clock.now += breaker.rest
    assert breaker.rest == pytest.approx(0.0, abs=1e-9)
