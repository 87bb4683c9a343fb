"""What every kind of journal does: the same tests for all of them, each in a world of its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import pytest

from persona_stream.core.facts import Answered, Fact, Failed, ProgressReported, Started
from persona_stream.core.run_id import new_run_id
from persona_stream.errors import Conflict, Gone, NotFound
from persona_stream.journals.base import IdempotencyKey, Journal, JournalStore, run_terms
from tests.fakes import accepted


class World(Protocol):
    """Have a clock, and journals of one kind."""

    def make(self, retention_bytes: int = 10_000) -> JournalStore:
        """Make journals whose retention is one unit of time."""
        ...

    def now(self) -> float:
        """Tell the moment."""
        ...

    def wait(self, units: float) -> None:
        """Let time pass."""
        ...

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true that must be so soon."""
        ...


def begin(world: World, journals: JournalStore, owner: str = "alice", claim: IdempotencyKey | None = None) -> Journal:
    journal, is_new = journals.create(order(world, owner), claim)
    assert is_new
    return journal


def order(world: World, owner: str = "alice") -> object:
    return msgspec.structs.replace(accepted(), run_id=new_run_id(world.now()), owner=owner)


def facts(journal: Journal) -> list[Fact]:
    return [entry.fact for entry in journal.entries]


def write(world: World, journal: Journal, *written: Fact) -> None:
    """Write facts, and wait until they are kept."""
    count = len(journal.entries) + len(written)
    for fact in written:
        assert journal.append(fact)
    world.until(lambda: len(journal.entries) == count)


def names(journals: Sequence[Journal]) -> list[str]:
    return [run_terms(journal).run_id for journal in journals]


def test_a_journal_keeps_facts_with_their_moments(world):
    """Oldest first, and the first is the terms."""
    journal = begin(world, world.make())
    before = world.now()
    write(world, journal, Started())
    assert facts(journal) == [run_terms(journal), Started()]
    assert before <= journal.entries[1].at <= world.now()


def test_who_has_everything_catches_up_with_nothing(world):
    """While it runs and after."""
    journal = begin(world, world.make())
    journal.refresh()
    write(world, journal, Started())
    journal.refresh()
    write(world, journal, Failed("cancelled"))
    journal.refresh()
    assert facts(journal) == [run_terms(journal), Started(), Failed("cancelled")]


def test_the_first_ending_wins(world):
    """Whoever comes later changes nothing, and is told so."""
    journal = begin(world, world.make())
    assert journal.append(Failed("cancelled"))
    assert not journal.append(Answered("too late"))
    assert not journal.append(ProgressReported("", 0.5))
    world.until(lambda: len(journal.entries) == 2)
    assert facts(journal)[1:] == [Failed("cancelled")]
    assert not journal.append(Answered("too late"))


def test_listeners_hear_of_every_fact_until_they_leave(world):
    """And who leaves while being told is not told again."""
    journal, heard = begin(world, world.make()), []

    def once() -> None:
        heard.append("once")
        journal.unsubscribe(once)

    def always() -> None:
        heard.append(len(journal.entries))

    journal.subscribe(once)
    journal.subscribe(always)
    write(world, journal, Started())
    write(world, journal, Answered("Hi."))
    assert heard == ["once", 2, 3]


def test_a_run_is_found_until_its_retention_has_passed(world):
    """Then it is gone: not unknown, and never run again."""
    journals = world.make()
    run_id = run_terms(journal := begin(world, journals)).run_id
    world.wait(2.0)
    assert facts(journals.find(run_id)) == facts(journal), "without an ending it is kept however long it takes"
    write(world, journal, Answered("Hi."))
    world.wait(0.3)
    assert facts(journals.find(run_id)) == facts(journal)
    world.wait(1.1)
    for find in (journals.find, journals.follow):
        with pytest.raises(Gone):
            find(run_id)


def test_a_run_that_nobody_remembers_is_gone_by_its_name_alone(world):
    """Names carry their beginning, so a restart does not turn old runs into unknown ones."""
    journals, now = world.make(), world.now()
    with pytest.raises(Gone):
        journals.find(new_run_id(now - 61.0))
    for name in (new_run_id(now + 100.0), "nonsense", ""):
        for find in (journals.find, journals.follow):
            with pytest.raises(NotFound):
                find(name)


def test_the_oldest_endings_are_trimmed_when_memory_is_short(world):
    """The bound holds for ended runs; what was trimmed is gone, though its time had not come."""
    journals = world.make(retention_bytes=6_000)
    trimmed = []
    for _ in range(5):
        journal = begin(world, journals, claim=IdempotencyKey(f"key {len(trimmed)}", "digest"))
        write(world, journal, Answered("x" * 2_000))
        trimmed.append(run_terms(journal).run_id)
    running = run_terms(begin(world, journals)).run_id
    world.until(lambda: _is_gone(journals, trimmed[2]))
    assert all(_is_gone(journals, name) for name in trimmed[:3])
    for name in (*trimmed[3:], running):
        assert run_terms(journals.find(name)).run_id == name
    assert journals.find_by_key("alice", IdempotencyKey("key 0", "digest")) is None
    assert journals.find_by_key("alice", IdempotencyKey("key 4", "digest")) is not None


def _is_gone(journals: JournalStore, name: str) -> bool:
    try:
        journals.find(name)
    except Gone:
        return True
    return False


def test_the_same_claim_is_the_same_run(world):
    """While it runs and after; for its owner alone; and for the same request alone."""
    journals, claim = world.make(), IdempotencyKey("key", "digest")
    assert journals.find_by_key("alice", claim) is None
    journal = begin(world, journals, claim=claim)

    def is_known() -> None:
        for known, is_new in (journals.create(order(world), claim), (journals.find_by_key("alice", claim), False)):
            assert known is not None
            assert not is_new
            assert run_terms(known) == run_terms(journal)

    is_known()
    assert journals.find_by_key("bob", claim) is None
    for claims in (journals.find_by_key, lambda owner, claim: journals.create(order(world, owner), claim)):
        with pytest.raises(Conflict, match="Idempotency-Key"):
            claims("alice", IdempotencyKey("key", "another digest"))
    write(world, journal, Answered("Hi."))
    is_known()
    world.wait(1.4)
    assert journals.find_by_key("alice", claim) is None
    begin(world, journals, claim=claim)


def test_a_claim_that_does_not_join_takes_its_key_over(world):
    """Then whoever joins under that key is given the newest run."""
    journals = world.make()
    taking, joining = IdempotencyKey("key", "digest", joins=False), IdempotencyKey("key", "digest")
    first = begin(world, journals, claim=taking)
    second = begin(world, journals, claim=taking)
    assert journals.find_by_key("alice", taking) is None
    assert run_terms(journals.create(order(world), joining)[0]) == run_terms(second)
    write(world, first, Answered("Hi."))
    world.wait(1.4)
    assert _is_gone(journals, run_terms(first).run_id)
    assert run_terms(journals.create(order(world), joining)[0]) == run_terms(second)


def test_a_key_may_be_forgotten_before_the_run_that_had_it_first(world):
    """The later run ends first, and goes first."""
    journals, taking = world.make(), IdempotencyKey("key", "digest", joins=False)
    first, second = begin(world, journals, claim=taking), begin(world, journals, claim=taking)
    write(world, second, Answered("Hi."))
    world.wait(1.4)
    assert _is_gone(journals, run_terms(second).run_id)
    write(world, first, Answered("Hi."))
    world.wait(1.4)
    assert _is_gone(journals, run_terms(first).run_id)
    begin(world, journals, claim=IdempotencyKey("key", "digest"))


def test_an_owner_sees_its_own_runs_newest_first(world):
    """Page by page, and nobody else's."""
    journals = world.make()
    mine: list[str] = []
    for owner in ("alice", "bob", "alice", "alice"):
        world.wait(0.01)
        journal = begin(world, journals, owner=owner)
        if owner == "alice":
            mine.insert(0, run_terms(journal).run_id)
    assert names(journals.list_for_owner("alice", None, 9)) == mine
    assert names(journals.list_for_owner("alice", None, 2)) == mine[:2]
    assert names(journals.list_for_owner("alice", mine[0], 9)) == mine[1:]
    assert list(journals.list_for_owner("carol", None, 9)) == []


def test_nothing_is_missing_and_nobody_else_reads(world):
    """All is well."""
    journals = world.make()
    assert list(journals.unavailable_services()) == []
    journal = begin(world, journals)
    assert not journal.is_unavailable
    assert not journal.has_remote_subscribers()
