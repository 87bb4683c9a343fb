"""Contract suite of journal stores; each kind of store runs it with a harness of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import pytest

from persona_stream.core.facts import Answered, Fact, Failed, ProgressReported, Started, run_terms
from persona_stream.core.run_id import new_run_id
from persona_stream.errors import Conflict, Gone, NotFound
from persona_stream.journals.base import IdempotencyKey, Journal, JournalStore
from tests.fakes import accepted


class Harness(Protocol):
    """Clock and factory of stores of one kind."""

    def make(self, retention_bytes: int = 10_000) -> JournalStore:
        """Create a store whose retention is one unit of time."""

    def now(self) -> float:
        """Return the current time."""

    def wait(self, units: float) -> None:
        """Advance the time."""

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true; fail if it takes too long."""


def create(harness: Harness, store: JournalStore, owner: str = "alice", key: IdempotencyKey | None = None) -> Journal:
    journal, is_new = store.create(accepted_run(harness, owner), key)
    assert is_new
    return journal


def accepted_run(harness: Harness, owner: str = "alice") -> object:
    return msgspec.structs.replace(accepted(), run_id=new_run_id(harness.now()), owner=owner)


def facts(journal: Journal) -> list[Fact]:
    return [entry.fact for entry in journal.entries]


def write(harness: Harness, journal: Journal, *written: Fact) -> None:
    """Append facts and wait until they are stored."""
    count = len(journal.entries) + len(written)
    for fact in written:
        assert journal.append(fact)
    harness.until(lambda: len(journal.entries) == count)


def run_ids(journals: Sequence[Journal]) -> list[str]:
    return [run_terms(journal.entries).run_id for journal in journals]


def test_a_journal_stores_facts_with_their_times(harness):
    """Oldest first, starting with the terms of the run."""
    journal = create(harness, harness.make())
    before = harness.now()
    write(harness, journal, Started())
    assert facts(journal) == [run_terms(journal.entries), Started()]
    assert before <= journal.entries[1].at <= harness.now()


def test_refreshing_a_complete_journal_changes_nothing(harness):
    """During the run and after its end."""
    journal = create(harness, harness.make())
    journal.refresh()
    write(harness, journal, Started())
    journal.refresh()
    write(harness, journal, Failed("cancelled"))
    journal.refresh()
    assert facts(journal) == [run_terms(journal.entries), Started(), Failed("cancelled")]


def test_the_first_final_fact_wins(harness):
    """Later facts are rejected."""
    journal = create(harness, harness.make())
    assert journal.append(Failed("cancelled"))
    assert not journal.append(Answered("too late"))
    assert not journal.append(ProgressReported("", 0.5))
    harness.until(lambda: len(journal.entries) == 2)
    assert facts(journal)[1:] == [Failed("cancelled")]
    assert not journal.append(Answered("too late"))


def test_listeners_are_called_for_each_fact_until_they_unsubscribe(harness):
    """A listener may unsubscribe while it is called."""
    journal = create(harness, harness.make())
    calls: list[object] = []

    def once() -> None:
        calls.append("once")
        journal.unsubscribe(once)

    def always() -> None:
        calls.append(len(journal.entries))

    journal.subscribe(once)
    journal.subscribe(always)
    write(harness, journal, Started())
    write(harness, journal, Answered("Hi."))
    assert calls == ["once", 2, 3]


def test_a_run_is_found_until_its_retention_ends(harness):
    """Then it is gone, which differs from unknown."""
    store = harness.make()
    run_id = run_terms((journal := create(harness, store)).entries).run_id
    harness.wait(2.0)
    assert facts(store.find(run_id)) == facts(journal), "an unfinished run is kept"
    write(harness, journal, Answered("Hi."))
    harness.wait(0.3)
    assert facts(store.find(run_id)) == facts(journal)
    harness.wait(1.1)
    for find in (store.find, store.follow):
        with pytest.raises(Gone):
            find(run_id)


def test_a_deleted_run_is_gone(harness):
    """With its key and its place in the list of its owner; a second time changes nothing."""
    store = harness.make()
    key = IdempotencyKey("key 1", "digest")
    journal = create(harness, store, key=key)
    other = create(harness, store)
    run_id = run_terms(journal.entries).run_id
    write(harness, journal, Answered("Hi."))
    harness.until(lambda: facts(store.find(run_id)) == facts(journal))
    for _ in range(2):
        store.delete(journal)
        assert _is_gone(store, run_id)
    assert store.find_by_key("alice", key) is None
    assert [run_terms(each.entries).run_id for each in store.list_for_owner("alice", None, 10)] == [
        run_terms(other.entries).run_id
    ]
    # The size of a deleted run does not count any more.
    for _ in range(2):
        write(harness, kept := create(harness, store), Answered("Hi."))
    assert run_terms(store.find(run_terms(kept.entries).run_id).entries) == run_terms(kept.entries)


def test_a_claim_is_released_by_its_holder_only(harness):
    """Then another run may claim the question."""
    answers = harness.make().answers
    assert answers.claim("question", "run 1", 60.0) is None
    answers.release("question", "run 2")
    assert answers.claim("question", "run 2", 60.0) == "run 1"
    answers.release("question", "run 1")
    assert answers.claim("question", "run 2", 60.0) is None
    answers.release("question", "run 2")


def test_an_old_run_id_is_gone_without_a_tombstone(harness):
    """Run ids contain their creation time, so old runs stay gone after a restart."""
    store = harness.make()
    now = harness.now()
    with pytest.raises(Gone):
        store.find(new_run_id(now - 61.0))
    for name in (new_run_id(now + 100.0), "nonsense", ""):
        for find in (store.find, store.follow):
            with pytest.raises(NotFound):
                find(name)


def test_the_runs_with_the_oldest_end_are_evicted_above_the_memory_limit(harness):
    """The limit applies to finished runs; evicted runs are gone before their retention ends."""
    store = harness.make(retention_bytes=6_000)
    evicted = []
    for _ in range(5):
        journal = create(harness, store, key=IdempotencyKey(f"key {len(evicted)}", "digest"))
        write(harness, journal, Answered("x" * 2_000))
        evicted.append(run_terms(journal.entries).run_id)
    running = run_terms(create(harness, store).entries).run_id
    harness.until(lambda: _is_gone(store, evicted[2]))
    assert all(_is_gone(store, name) for name in evicted[:3])
    for name in (*evicted[3:], running):
        assert run_terms(store.find(name).entries).run_id == name
    assert store.find_by_key("alice", IdempotencyKey("key 0", "digest")) is None
    assert store.find_by_key("alice", IdempotencyKey("key 4", "digest")) is not None


def _is_gone(store: JournalStore, name: str) -> bool:
    try:
        store.find(name)
    except Gone:
        return True
    return False


def test_the_same_key_returns_the_same_run(harness):
    """During the run and after its end, but only for its owner and the same request."""
    store = harness.make()
    key = IdempotencyKey("key", "digest")
    assert store.find_by_key("alice", key) is None
    journal = create(harness, store, key=key)

    def is_known() -> None:
        for known, is_new in (store.create(accepted_run(harness), key), (store.find_by_key("alice", key), False)):
            assert known is not None
            assert not is_new
            assert run_terms(known.entries) == run_terms(journal.entries)

    is_known()
    assert store.find_by_key("bob", key) is None
    for claims in (store.find_by_key, lambda owner, key: store.create(accepted_run(harness, owner), key)):
        with pytest.raises(Conflict, match="Idempotency-Key"):
            claims("alice", IdempotencyKey("key", "another digest"))
    write(harness, journal, Answered("Hi."))
    is_known()
    harness.wait(1.4)
    assert store.find_by_key("alice", key) is None
    create(harness, store, key=key)


def test_a_key_that_does_not_join_is_taken_over_by_the_new_run(harness):
    """A later request that joins receives the newest run."""
    store = harness.make()
    taking = IdempotencyKey("key", "digest", joins=False)
    joining = IdempotencyKey("key", "digest")
    first = create(harness, store, key=taking)
    second = create(harness, store, key=taking)
    assert store.find_by_key("alice", taking) is None
    assert run_terms(store.create(accepted_run(harness), joining)[0].entries) == run_terms(second.entries)
    write(harness, first, Answered("Hi."))
    harness.wait(1.4)
    assert _is_gone(store, run_terms(first.entries).run_id)
    assert run_terms(store.create(accepted_run(harness), joining)[0].entries) == run_terms(second.entries)


def test_a_key_may_expire_before_its_first_run(harness):
    """The later run ends and expires first."""
    store = harness.make()
    taking = IdempotencyKey("key", "digest", joins=False)
    first = create(harness, store, key=taking)
    second = create(harness, store, key=taking)
    write(harness, second, Answered("Hi."))
    harness.wait(1.4)
    assert _is_gone(store, run_terms(second.entries).run_id)
    write(harness, first, Answered("Hi."))
    harness.wait(1.4)
    assert _is_gone(store, run_terms(first.entries).run_id)
    create(harness, store, key=IdempotencyKey("key", "digest"))


def test_the_runs_of_an_owner_are_listed_newest_first(harness):
    """In pages, without the runs of other owners."""
    store = harness.make()
    mine: list[str] = []
    for owner in ("alice", "bob", "alice", "alice"):
        harness.wait(0.01)
        journal = create(harness, store, owner=owner)
        if owner == "alice":
            mine.insert(0, run_terms(journal.entries).run_id)
    assert run_ids(store.list_for_owner("alice", None, 9)) == mine
    assert run_ids(store.list_for_owner("alice", None, 2)) == mine[:2]
    assert run_ids(store.list_for_owner("alice", mine[0], 9)) == mine[1:]
    assert list(store.list_for_owner("carol", None, 9)) == []


def test_a_healthy_store_has_no_unavailable_services_and_no_remote_subscribers(harness):
    """A new journal is available and has no remote subscribers."""
    store = harness.make()
    assert list(store.unavailable_services()) == []
    journal = create(harness, store)
    harness.until(lambda: not journal.is_unavailable)  # its connections are opened one after the other
    assert not journal.has_remote_subscribers()
