"""A backend's reports: from any thread, at most ten a second, the latest wins."""

from __future__ import annotations

import gevent
import pytest
from gevent.threadpool import ThreadPool

from persona_stream.concurrency import Home
from persona_stream.core.facts import Reported
from persona_stream.core.query import Query
from persona_stream.runs.buffering import Reports
from tests.fakes import FakeClock
from tests.waiting import wait_for


@pytest.fixture
def written() -> list[Reported]:
    return []


@pytest.fixture
def reports(written: list[Reported]) -> Reports:
    return Reports(written.append, FakeClock(1000.0), Home())


def told(written: list[Reported], count: int) -> list[Reported]:
    """Wait until so many are written."""
    wait_for(lambda: len(written) >= count, 5.0, sleep=gevent.sleep)
    return written


def test_the_latest_of_many_is_written(reports: Reports, written: list[Reported]):
    """However often a backend reports, its readers are told at a human pace."""
    for number in range(1000):
        reports.report(f"Page {number}", number / 1000)
    assert told(written, 1) == [Reported("Page 999", 0.999)]


def test_what_a_report_leaves_out_stays_as_the_one_before_said(reports: Reports, written: list[Reported]):
    """An empty message, or no share, says nothing about the other."""
    reports.report("Reading", 0.2)
    reports.report("", 0.4)
    reports.report("Writing", None)
    assert told(written, 1) == [Reported("Writing", 0.4)]


def test_a_second_one_waits_its_turn(written: list[Reported]):
    """A tenth of a second after the first."""
    clock = FakeClock(1000.0)
    reports = Reports(written.append, clock, Home())
    reports.report("First", None)
    told(written, 1)
    reports.report("Second", None)
    gevent.sleep(0.01)
    assert written == [Reported("First", None)]
    assert told(written, 2) == [Reported("First", None), Reported("Second", None)]


def test_a_native_thread_may_report(reports: Reports, written: list[Reported]):
    """The fact is written in the hub's thread all the same."""
    ThreadPool(1).apply(reports.report, ("From a thread", 0.5))
    assert told(written, 1) == [Reported("From a thread", 0.5)]


def test_after_the_end_nothing_is_written(reports: Reports, written: list[Reported]):
    """What was still waiting is let go."""
    reports.report("Too late", 0.9)
    reports.cancel()
    gevent.sleep(0.01)
    assert written == []


def test_texts_of_strangers_are_made_fit_and_short(reports: Reports, written: list[Reported]):
    """As answers are."""
    reports.report("half \ud83d and \x00" + "x" * 1000, None)
    gevent.sleep(0.01)
    assert written == [Reported("half \ufffd and \ufffd" + "x" * 488, None)]


@pytest.mark.parametrize(
    ("fraction", "taken"), [(0.37, 0.37), (-1, 0.0), (7, 1.0), (float("nan"), None), (True, 1.0), (None, None)]
)
def test_shares_are_brought_into_range(fraction, taken):
    """A slip of a backend's arithmetic must not end its query."""
    told = []
    Query(username="x", message="Hi", on_report=lambda message, share: told.append(share)).report("", fraction)
    assert told == [taken]


@pytest.mark.parametrize(("message", "fraction"), [(None, 0.5), (5, None), ("", "half")])
def test_what_is_no_report_is_the_authors_mistake(message, fraction):
    """And is said where it is made."""
    with pytest.raises((TypeError, ValueError)):
        Query(username="x", message="Hi").report(message, fraction)
