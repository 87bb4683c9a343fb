"""Tests of the coalescing of text and progress."""

from __future__ import annotations

import time

import gevent
import pytest

from persona_stream.core.content import MAX_SLICE_CHARACTERS, slices
from persona_stream.core.events import TextChunk, Wait
from persona_stream.core.facts import AnswerDelta, Entry, ProgressReported, ReasoningDelta, Started
from persona_stream.core.projection import StreamProjection
from persona_stream.core.query import Query
from persona_stream.runs.buffering import DeltaBuffer, ProgressThrottle
from tests.fakes import FakeClock, accepted, entries, query_with, subscription_options
from tests.large_texts import LARGE_TEXTS
from tests.polling import wait_for

HIGH, LOW = "\ud83d", "\ude00"  # of 😀


class Run:
    """Buffer of one run, with the facts that it writes and the number of overflows."""

    def __init__(self, limit: int = 1000) -> None:
        self.written: list[AnswerDelta | ReasoningDelta] = []
        self.overflows = 0
        self.clock = FakeClock(1000.0)
        self.deltas = DeltaBuffer(self.written.append, limit, self._on_overflow, self.clock)

    def _on_overflow(self) -> None:
        self.overflows += 1


@pytest.fixture
def run() -> Run:
    return Run()


def test_parts_sent_together_are_written_together(run: Run):
    """One entry of the journal, and not one for each token."""
    for letter in "Hello":
        run.deltas.add(AnswerDelta, letter)
    wait_for(lambda: run.written == [AnswerDelta("Hello")], 5.0, sleep=gevent.sleep)


def test_the_next_batch_waits_for_the_interval(run: Run):
    """The first text is written at once, the next after 50 ms."""
    run.deltas.add(AnswerDelta, "a")
    wait_for(lambda: run.written == [AnswerDelta("a")], 5.0, sleep=gevent.sleep)
    run.deltas.add(AnswerDelta, "b")
    gevent.sleep(0.01)  # less than 50 ms, and enough for the first batch
    assert run.written == [AnswerDelta("a")]
    wait_for(lambda: run.written == [AnswerDelta("a"), AnswerDelta("b")], 5.0, sleep=gevent.sleep)


def test_coalesced_parts_wait_for_nothing(run: Run):
    """A worker process has joined the parts of 50 ms; waiting as long again would delay its tokens twice."""
    run.deltas.add(AnswerDelta, "a", is_coalesced=True)
    run.deltas.add(AnswerDelta, f"b{HIGH}", is_coalesced=True)
    assert run.written == [AnswerDelta("a"), AnswerDelta("b")]
    run.deltas.add(AnswerDelta, LOW, is_coalesced=True)
    assert run.written == [AnswerDelta("a"), AnswerDelta("b"), AnswerDelta("😀")]


def test_a_coalesced_part_is_written_after_the_parts_that_wait(run: Run):
    """And with them, in their order."""
    run.deltas.add(ReasoningDelta, "Hm")
    run.deltas.add(AnswerDelta, "Y")
    run.deltas.add(AnswerDelta, "es", is_coalesced=True)
    assert run.written == [ReasoningDelta("Hm"), AnswerDelta("Yes")]


def test_a_long_text_is_written_at_once_in_parts():
    """In the time slice of the code that sends it, and not in one piece by the timer of the batch."""
    run = Run(limit=2**20)
    run.deltas.add(AnswerDelta, "a" * 300)
    run.deltas.add(AnswerDelta, "b" * (2 * MAX_SLICE_CHARACTERS - 200))
    assert [len(delta.text) for delta in run.written] == [MAX_SLICE_CHARACTERS, MAX_SLICE_CHARACTERS, 100]
    assert "".join(delta.text for delta in run.written) == "a" * 300 + "b" * (2 * MAX_SLICE_CHARACTERS - 200)


def test_an_overflow_of_a_long_text_is_reported_by_the_event_loop():
    """The code that sends it may be a callback of the loop, in which the end of a run cannot wait."""
    run = Run(limit=MAX_SLICE_CHARACTERS + 1)
    run.deltas.add(AnswerDelta, "é" * MAX_SLICE_CHARACTERS)
    assert (run.written, run.overflows) == ([], 0)
    wait_for(lambda: run.overflows == 1, 5.0, sleep=gevent.sleep)
    run.deltas.flush()
    assert (run.written, run.overflows) == ([], 1)


@pytest.mark.parametrize("kind", LARGE_TEXTS)
def test_no_part_of_a_large_text_occupies_the_event_loop(kind: str):
    """Neither its way into the journal nor its projection for a subscriber takes 50 ms of processor time at once."""
    clock = FakeClock(1000.0)
    journal = entries((0.0, accepted()), (0.0, Started()))
    deltas = DeltaBuffer(lambda fact: journal.append(Entry(1000.0, fact)), 2**25, lambda: None, clock)
    steps = iter(StreamProjection(journal, subscription_options(locale="en"), clock))
    read = ""
    longest = 0.0
    for part in slices(LARGE_TEXTS[kind]):
        began = time.thread_time()
        deltas.add(AnswerDelta, part)
        longest = max(longest, time.thread_time() - began)
        while not isinstance(step := next(steps), Wait):
            read += step.text if isinstance(step, TextChunk) else ""
            longest = max(longest, time.thread_time() - began)
            began = time.thread_time()
    assert len(read) > len(LARGE_TEXTS[kind]) - 2 * MAX_SLICE_CHARACTERS
    assert LARGE_TEXTS[kind].startswith(read)
    assert longest < 0.05


def test_reasoning_and_text_keep_their_order(run: Run):
    """Each has facts of its own."""
    for kind, text in ((ReasoningDelta, "Hm"), (ReasoningDelta, "."), (AnswerDelta, "Yes")):
        run.deltas.add(kind, text)
    run.deltas.flush()
    assert run.written == [ReasoningDelta("Hm."), AnswerDelta("Yes")]


def test_empty_parts_are_not_written(run: Run):
    """A delta is never empty."""
    run.deltas.add(AnswerDelta, "")
    run.deltas.flush()
    assert run.written == []


def test_surrogate_halves_in_two_parts_are_joined(run: Run):
    """A provider may split a pair, and a subscriber must not get half of it."""
    run.deltas.add(AnswerDelta, f"ha{HIGH}")
    run.deltas.flush(is_last=False)
    run.deltas.add(AnswerDelta, LOW)
    run.deltas.flush()
    assert run.written == [AnswerDelta("ha"), AnswerDelta("😀")]


def test_a_lone_surrogate_is_replaced(run: Run):
    """And so is NUL: no protocol can carry either."""
    run.deltas.add(AnswerDelta, f"a{HIGH}")
    run.deltas.flush(is_last=False)
    run.deltas.add(ReasoningDelta, "b\0")
    run.deltas.flush()
    assert run.written == [AnswerDelta("a"), AnswerDelta("�"), ReasoningDelta("b�")]


def test_parts_over_the_limit_are_not_written():
    """The limit is that of one large answer; the overflow is reported once, and later parts are discarded."""
    run = Run(limit=10)
    run.deltas.add(AnswerDelta, "12345678")
    run.deltas.flush()
    run.deltas.add(AnswerDelta, "😀")
    run.deltas.flush()
    run.deltas.add(AnswerDelta, "9")
    run.deltas.flush()
    assert (run.written, run.overflows) == ([AnswerDelta("12345678")], 1)


def test_parts_are_counted_when_they_are_sent():
    """Pieces of a flood are not collected until the next write; the result that follows comes after the overflow."""
    run = Run(limit=10)
    for _ in range(1000):
        run.deltas.add(AnswerDelta, "12345678")
    run.deltas.flush()
    assert (run.written, run.overflows) == ([], 1)
    gevent.sleep(0.01)
    assert run.overflows == 1


def test_nothing_is_written_after_the_buffer_is_cancelled(run: Run):
    """Neither buffered nor later parts."""
    run.deltas.add(AnswerDelta, "late")
    run.deltas.cancel()
    run.deltas.add(AnswerDelta, "later")
    gevent.sleep(0.06)  # longer than a batch takes
    run.deltas.flush()
    assert run.written == []


@pytest.mark.parametrize("name", ["send", "send_reasoning"])
def test_only_strings_can_be_sent(name: str):
    """The error is raised in the backend's code, and not in a stream."""
    with pytest.raises(TypeError, match=rf"{name}\(\) takes a string, not bytes"):
        getattr(Query(username="ada", message="Hi"), name)(b"x")


@pytest.fixture
def written() -> list[ProgressReported]:
    return []


@pytest.fixture
def reports(written: list[ProgressReported]) -> ProgressThrottle:
    return ProgressThrottle(written.append, FakeClock(1000.0))


def wait_for_reports(written: list[ProgressReported], count: int) -> list[ProgressReported]:
    """Wait until so many reports are written, and return them."""
    wait_for(lambda: len(written) >= count, 5.0, sleep=gevent.sleep)
    return written


def test_the_latest_of_many_reports_is_written(reports: ProgressThrottle, written: list[ProgressReported]):
    """At most ten times a second."""
    for number in range(1000):
        reports.report(f"Page {number}", number / 1000)
    assert wait_for_reports(written, 1) == [ProgressReported("Page 999", 0.999)]


def test_a_report_keeps_the_fields_that_it_omits(reports: ProgressThrottle, written: list[ProgressReported]):
    """An empty message, or no fraction, leaves that of the pending report."""
    reports.report("SubscriptionClosed", 0.2)
    reports.report("", 0.4)
    reports.report("Writing", None)
    assert wait_for_reports(written, 1) == [ProgressReported("Writing", 0.4)]


def test_the_second_report_waits_for_the_interval(written: list[ProgressReported]):
    """It is written 100 ms after the first."""
    clock = FakeClock(1000.0)
    reports = ProgressThrottle(written.append, clock)
    reports.report("First", None)
    wait_for_reports(written, 1)
    reports.report("Second", None)
    gevent.sleep(0.01)
    assert written == [ProgressReported("First", None)]
    assert wait_for_reports(written, 2) == [ProgressReported("First", None), ProgressReported("Second", None)]


def test_no_report_is_written_after_the_throttle_is_cancelled(
    reports: ProgressThrottle, written: list[ProgressReported]
):
    """Not even a pending one."""
    reports.report("Too late", 0.9)
    reports.cancel()
    gevent.sleep(0.01)
    assert written == []


def test_status_texts_are_sanitised_and_truncated(reports: ProgressThrottle, written: list[ProgressReported]):
    """To 500 characters."""
    reports.report("half \ud83d and \x00" + "x" * 1000, None)
    gevent.sleep(0.01)
    assert written == [ProgressReported("half \ufffd and \ufffd" + "x" * 488, None)]


@pytest.mark.parametrize(
    ("fraction", "taken"), [(0.37, 0.37), (-1, 0.0), (7, 1.0), (float("nan"), None), (True, 1.0), (None, None)]
)
def test_fractions_are_clamped(fraction, taken):
    """An arithmetic error of the backend must not fail its query."""
    reported = []
    query_with(
        Query(username="x", message="Hi"), on_progress=lambda message, fraction: reported.append(fraction)
    ).report("", fraction)
    assert reported == [taken]


@pytest.mark.parametrize(("message", "fraction"), [(None, 0.5), (5, None), ("", "half")])
def test_invalid_reports_raise_in_the_backend(message, fraction):
    """With the type that was expected."""
    with pytest.raises((TypeError, ValueError)):
        Query(username="x", message="Hi").report(message, fraction)
