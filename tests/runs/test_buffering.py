"""A backend's parts of an answer: from any thread, in order, joined to batches, and never half a character.

A backend's reports: from any thread, at most ten a second, the latest wins.
"""

from __future__ import annotations

import gevent
import pytest

from persona_stream.core.facts import ProgressReported, ReasoningDelta, TextDelta
from persona_stream.core.query import Query
from persona_stream.runs.buffering import DeltaBuffer, ProgressThrottle
from tests.fakes import FakeClock, query_with
from tests.polling import wait_for

HIGH, LOW = "\ud83d", "\ude00"  # of 😀


class Run:
    """What is written of one run, and when it was too much."""

    def __init__(self, limit: int = 1000) -> None:
        self.written: list[TextDelta | ReasoningDelta] = []
        self.excesses = 0
        self.clock = FakeClock(1000.0)
        self.deltas = DeltaBuffer(self.written.append, limit, self._exceeded, self.clock)

    def _exceeded(self) -> None:
        self.excesses += 1


@pytest.fixture
def run() -> Run:
    return Run()


def test_what_comes_together_is_written_together(run: Run):
    """A batch a moment, and not an entry a token."""
    for letter in "Hello":
        run.deltas.add(TextDelta, letter)
    wait_for(lambda: run.written == [TextDelta("Hello")], 5.0, sleep=gevent.sleep)


def test_the_next_batch_waits_its_turn(run: Run):
    """The first text is there at once; what follows comes every 50 ms, which nobody's eye can tell from at once."""
    run.deltas.add(TextDelta, "a")
    wait_for(lambda: run.written == [TextDelta("a")], 5.0, sleep=gevent.sleep)
    run.deltas.add(TextDelta, "b")
    gevent.sleep(0.01)  # less than 50 ms, and enough for what comes at once
    assert run.written == [TextDelta("a")]
    wait_for(lambda: run.written == [TextDelta("a"), TextDelta("b")], 5.0, sleep=gevent.sleep)


def test_thoughts_and_text_keep_their_order(run: Run):
    """Each kind is a fact of its own."""
    for kind, text in ((ReasoningDelta, "Hm"), (ReasoningDelta, "."), (TextDelta, "Yes")):
        run.deltas.add(kind, text)
    run.deltas.flush()
    assert run.written == [ReasoningDelta("Hm."), TextDelta("Yes")]


def test_nothing_is_written_of_nothing(run: Run):
    """A delta is never empty."""
    run.deltas.add(TextDelta, "")
    run.deltas.flush()
    assert run.written == []


def test_a_character_in_two_halves_is_one(run: Run):
    """JSON may escape a pair of surrogates in two texts, and a reader must not get half of it."""
    run.deltas.add(TextDelta, f"ha{HIGH}")
    run.deltas.flush(is_last=False)
    run.deltas.add(TextDelta, LOW)
    run.deltas.flush()
    assert run.written == [TextDelta("ha"), TextDelta("😀")]


def test_a_half_that_stays_alone_is_replaced(run: Run):
    """No wire can carry it; NUL neither."""
    run.deltas.add(TextDelta, f"a{HIGH}")
    run.deltas.flush(is_last=False)
    run.deltas.add(ReasoningDelta, "b\0")
    run.deltas.flush()
    assert run.written == [TextDelta("a"), TextDelta("�"), ReasoningDelta("b�")]


def test_what_is_too_much_is_not_written():
    """Thousands of small parts have a bound like one large answer; it is said once, and then nothing is taken."""
    run = Run(limit=10)
    run.deltas.add(TextDelta, "12345678")
    run.deltas.flush()
    run.deltas.add(TextDelta, "😀")
    run.deltas.flush()
    run.deltas.add(TextDelta, "9")
    run.deltas.flush()
    assert (run.written, run.excesses) == ([TextDelta("12345678")], 1)


def test_after_the_end_nothing_is_written(run: Run):
    """What was still waiting is let go, and so is what comes later."""
    run.deltas.add(TextDelta, "late")
    run.deltas.cancel()
    run.deltas.add(TextDelta, "later")
    gevent.sleep(0.06)  # longer than a batch takes
    run.deltas.flush()
    assert run.written == []


@pytest.mark.parametrize("name", ["send", "send_reasoning"])
def test_only_texts_are_sent(name: str):
    """The mistake shows where it is made, and not in a reader's stream."""
    with pytest.raises(TypeError, match=rf"{name}\(\) takes a string, not bytes"):
        getattr(Query(username="ada", message="Hi"), name)(b"x")


@pytest.fixture
def written() -> list[ProgressReported]:
    return []


@pytest.fixture
def reports(written: list[ProgressReported]) -> ProgressThrottle:
    return ProgressThrottle(written.append, FakeClock(1000.0))


def told(written: list[ProgressReported], count: int) -> list[ProgressReported]:
    """Wait until so many are written."""
    wait_for(lambda: len(written) >= count, 5.0, sleep=gevent.sleep)
    return written


def test_the_latest_of_many_is_written(reports: ProgressThrottle, written: list[ProgressReported]):
    """However often a backend reports, its readers are told at a human pace."""
    for number in range(1000):
        reports.report(f"Page {number}", number / 1000)
    assert told(written, 1) == [ProgressReported("Page 999", 0.999)]


def test_what_a_report_leaves_out_stays_as_the_one_before_said(
    reports: ProgressThrottle, written: list[ProgressReported]
):
    """An empty message, or no share, says nothing about the other."""
    reports.report("SubscriptionClosed", 0.2)
    reports.report("", 0.4)
    reports.report("Writing", None)
    assert told(written, 1) == [ProgressReported("Writing", 0.4)]


def test_a_second_one_waits_its_turn(written: list[ProgressReported]):
    """A tenth of a second after the first."""
    clock = FakeClock(1000.0)
    reports = ProgressThrottle(written.append, clock)
    reports.report("First", None)
    told(written, 1)
    reports.report("Second", None)
    gevent.sleep(0.01)
    assert written == [ProgressReported("First", None)]
    assert told(written, 2) == [ProgressReported("First", None), ProgressReported("Second", None)]


def test_reports_after_the_end_nothing_is_written(reports: ProgressThrottle, written: list[ProgressReported]):
    """What was still waiting is let go."""
    reports.report("Too late", 0.9)
    reports.cancel()
    gevent.sleep(0.01)
    assert written == []


def test_texts_of_strangers_are_made_fit_and_short(reports: ProgressThrottle, written: list[ProgressReported]):
    """As answers are."""
    reports.report("half \ud83d and \x00" + "x" * 1000, None)
    gevent.sleep(0.01)
    assert written == [ProgressReported("half \ufffd and \ufffd" + "x" * 488, None)]


@pytest.mark.parametrize(
    ("fraction", "taken"), [(0.37, 0.37), (-1, 0.0), (7, 1.0), (float("nan"), None), (True, 1.0), (None, None)]
)
def test_shares_are_brought_into_range(fraction, taken):
    """A slip of a backend's arithmetic must not end its query."""
    told = []
    query_with(Query(username="x", message="Hi"), on_progress=lambda message, share: told.append(share)).report(
        "", fraction
    )
    assert told == [taken]


@pytest.mark.parametrize(("message", "fraction"), [(None, 0.5), (5, None), ("", "half")])
def test_what_is_no_report_is_the_authors_mistake(message, fraction):
    """And is said where it is made."""
    with pytest.raises((TypeError, ValueError)):
        Query(username="x", message="Hi").report(message, fraction)
