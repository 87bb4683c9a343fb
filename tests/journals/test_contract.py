"""What every kind of journal does: the same tests for all of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from persona_stream import runid
from persona_stream.errors import Conflict, Gone, NotFound
from persona_stream.facts import Answered, Failed, Reported, Started
from persona_stream.journals import Claim, Journal, Journals, terms
from persona_stream.journals.memory import MemoryJournals
from tests.fakes import FakeClock, accepted

START = 1_790_000_000.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture(params=["memory"])
def make(request: pytest.FixtureRequest, clock: FakeClock) -> Callable[..., Journals]:
    """Make journals of the kind under test."""
    return lambda retention=60.0, retention_bytes=10_000: MemoryJournals(clock, retention, retention_bytes)


def begin(journals: Journals, clock: FakeClock, owner: str = "alice", claim: Claim | None = None) -> Journal:
    terms = msgspec.structs.replace(accepted(), run_id=runid.new(clock()), owner=owner)
    return journals.create(terms, claim)


def facts(journal: Journal) -> list[object]:
    return [entry.fact for entry in journal.entries]


def test_a_journal_keeps_facts_with_their_moments(make, clock):
    """Oldest first, and the first is the terms."""
    journal = begin(make(), clock)
    clock.now += 2.5
    assert journal.append(Started())
    assert [entry.at for entry in journal.entries] == [START, START + 2.5]
    assert facts(journal) == [terms(journal), Started()]


def test_the_first_ending_wins(make, clock):
    """Whoever comes later changes nothing, and is told so."""
    journal = begin(make(), clock)
    assert journal.append(Failed("cancelled"))
    assert not journal.append(Answered("too late"))
    assert not journal.append(Reported("", 0.5))
    assert facts(journal)[1:] == [Failed("cancelled")]


def test_listeners_hear_of_every_fact_until_they_leave(make, clock):
    """And who leaves while being told is not told again."""
    journal, heard = begin(make(), clock), []

    def once() -> None:
        heard.append("once")
        journal.unlisten(once)

    def always() -> None:
        heard.append(len(journal.entries))

    journal.listen(once)
    journal.listen(always)
    journal.append(Started())
    journal.append(Answered("Hi."))
    assert heard == ["once", 2, 3]


def test_a_run_is_found_until_its_retention_has_passed(make, clock):
    """Then it is gone: not unknown, and never run again."""
    journals = make()
    run_id = terms(journal := begin(journals, clock)).run_id
    clock.now += 1000.0
    assert journals.find(run_id) is journal, "a run that has not ended is kept however long it takes"
    journal.append(Answered("Hi."))
    clock.now += 59.9
    assert journals.find(run_id) is journal
    clock.now += 0.2
    with pytest.raises(Gone):
        journals.find(run_id)


def test_a_run_that_nobody_remembers_is_gone_by_its_name_alone(make, clock):
    """Names carry their beginning, so a restart does not turn old runs into unknown ones."""
    with pytest.raises(Gone):
        make().find(runid.new(START - 61.0))
    for name in (runid.new(START - 1.0), runid.new(START + 100.0), "nonsense", ""):
        with pytest.raises(NotFound):
            make().find(name)


def test_the_oldest_endings_are_trimmed_when_memory_is_short(make, clock):
    """The bound holds for ended runs; what was trimmed is gone, though its time had not come."""
    journals = make(retention_bytes=5_000)
    names = []
    for _ in range(5):
        clock.now += 0.01
        journal = begin(journals, clock)
        journal.append(Answered("x" * 2_000))
        names.append(terms(journal).run_id)
    running = terms(begin(journals, clock)).run_id
    for name in names[:3]:
        with pytest.raises(Gone):
            journals.find(name)
    for name in (*names[3:], running):
        assert terms(journals.find(name)).run_id == name


def test_the_same_claim_is_the_same_run(make, clock):
    """While it runs and after; for its owner alone; and for the same request alone."""
    journals, claim = make(), Claim("key", "digest")
    assert journals.claimed("alice", claim) is None
    journal = begin(journals, clock, claim=claim)
    assert journals.claimed("alice", claim) is journal
    assert journals.claimed("bob", claim) is None
    with pytest.raises(Conflict, match="Idempotency-Key"):
        journals.claimed("alice", Claim("key", "another digest"))
    journal.append(Answered("Hi."))
    assert journals.claimed("alice", claim) is journal
    clock.now += 61.0
    assert journals.claimed("alice", claim) is None


def test_an_owner_sees_its_own_runs_newest_first(make, clock):
    """Page by page, and nobody else's."""
    journals = make()
    mine = []
    for owner in ("alice", "bob", "alice", "alice"):
        clock.now += 1.0
        journal = begin(journals, clock, owner=owner)
        if owner == "alice":
            mine.insert(0, terms(journal).run_id)
    assert [terms(journal).run_id for journal in journals.of_owner("alice", None)] == mine
    assert [terms(journal).run_id for journal in journals.of_owner("alice", mine[0])] == mine[1:]
    assert list(journals.of_owner("carol", None)) == []
