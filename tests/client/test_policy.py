"""Decisions about responses, and delays between attempts; ``test_session`` shows their effect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.models import ExitCode, parse_reply
from persona_stream.client.policy import (
    Fail,
    FetchResult,
    Finish,
    Retry,
    RetryPolicy,
    after_fetch,
    after_resume,
    after_start,
)
from persona_stream.client.transport import Head
from tests.client.fakes import failure


def test_a_refusal_carries_the_seconds_of_retry_after() -> None:
    """For the hint."""
    busy = parse_reply(failure("busy", "full"))
    step = after_start(Head(0.0, 429, {"retry-after": "7"}), busy, streams=True, is_repeated=False)
    assert step == Fail(ExitCode.REFUSED, "busy", reply=busy, status=429, retry_after=7.0)


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (204, FetchResult()),
        (429, Retry("http_429", wait=2.0)),
        (503, Retry("http_503", wait=2.0)),
        (500, Retry("http_500")),
        (502, Retry("http_502")),
        (504, Retry("http_504")),
        (404, Fail(ExitCode.FAILED, "run_gone", status=404)),
        (410, Fail(ExitCode.FAILED, "run_gone", status=410)),
        (401, Fail(ExitCode.FAILED, "http_401", status=401)),
        (200, Fail(ExitCode.FAILED, "not_ours", status=200)),
    ],
)
def test_a_resume_is_retried_or_fails(status: int, step: object) -> None:
    """Temporary errors are retried; none starts a new run."""
    assert after_resume(Head(0.0, status, {"retry-after": "2"}), None) == step


def test_the_result_of_a_run_adds_only_the_missing_text() -> None:
    """A run that has not ended after all is fetched again."""
    ok = Head(0.0, 200, {})
    done = parse_reply({"status": "complete", "data": "Hello world"})
    assert after_fetch(ok, done, characters=6) == Finish(replace(done, data="world"))
    running = parse_reply({"status": "processing", "data": None})
    assert after_fetch(ok, running, characters=6) == Retry("connection_lost")
    assert after_fetch(Head(0.0, 503, {}), None, characters=6) == Retry("http_503")


POLICY = RetryPolicy(initial_delay=0.5, max_delay=10.0, max_initial_attempts=3, max_resume_attempts=12)


def test_delays_double_up_to_the_maximum() -> None:
    """Half of each is random."""
    assert [POLICY.delay(n, 1.0) for n in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [POLICY.delay(n, 0.0) for n in range(1, 4)] == [0.25, 0.5, 1.0]


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 1e6))
def test_a_delay_is_bounded(failures: int, random: float, at_least: float) -> None:
    """Never above the maximum unless the server asks for more; never below the time it asks for."""
    assert at_least <= POLICY.delay(failures, random, at_least) <= max(10.0, at_least)


def test_a_server_that_never_responded_gets_fewer_attempts() -> None:
    """It is probably not running; one that lost a run in progress may be restarting."""
    assert [POLICY.is_exhausted(n, has_run=False) for n in (2, 3)] == [False, True]
    assert [POLICY.is_exhausted(n, has_run=True) for n in (11, 12)] == [False, True]
