"""Tests of the scheduler of slots, and of the queue that acts on its decisions."""

from __future__ import annotations

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.facts import Fact, Failed, Queued
from persona_stream.errors import Overloaded
from persona_stream.runs import queue as queue_module
from persona_stream.runs.queue import Reservation, RunQueue, Scheduler
from tests.polling import wait_for


def end(scheduler: Scheduler, reservation: Reservation) -> list[Reservation]:
    """End a run and release its slot; return the reservations that have a slot now."""
    return [*scheduler.finish(reservation), *scheduler.release(reservation)]


def test_slots_run_out_and_are_released():
    """For all owners and for one; without a queue, a run over a limit is refused and takes nothing."""
    scheduler = Scheduler(max_runs=3, max_per_owner=2)
    first, second = Reservation("alice"), Reservation("alice")
    assert [scheduler.enter(first), scheduler.enter(second)] == [True, True]
    with pytest.raises(Overloaded, match="your limit of concurrent runs"):
        scheduler.enter(Reservation("alice"))
    bob, carol = Reservation("bob"), Reservation("carol")
    assert scheduler.enter(bob)
    with pytest.raises(Overloaded, match="at capacity"):
        scheduler.enter(carol)
    assert (scheduler.slots_in_use, scheduler.waiting) == (3, 0)
    end(scheduler, first)
    assert scheduler.enter(carol)
    for reservation in (second, bob, carol):
        end(scheduler, reservation)
    assert scheduler.slots_in_use == 0


def test_owners_take_turns():
    """An owner with many runs does not delay the others."""
    scheduler = Scheduler(max_runs=1, max_per_owner=9, max_queued=9)
    running = Reservation("alice")
    assert scheduler.enter(running)
    many = [Reservation("alice") for _ in range(3)]
    bob, carol = Reservation("bob"), Reservation("carol")
    assert not any(scheduler.enter(each) for each in (*many, bob, carol))
    assert list(scheduler.queued()) == [many[0], bob, carol, many[1], many[2]]
    order = []
    while admitted := end(scheduler, running):
        (running,) = admitted
        order.append(running)
    assert order == [many[0], bob, carol, many[1], many[2]]


def test_an_owner_at_its_limit_delays_no_other():
    """Its runs wait in the queue, and others overtake them."""
    scheduler = Scheduler(max_runs=2, max_per_owner=1, max_queued=9)
    running, waiting = Reservation("alice"), Reservation("alice")
    assert scheduler.enter(running)
    assert not scheduler.enter(waiting)
    assert scheduler.enter(Reservation("bob"))
    assert end(scheduler, running) == [waiting]


def test_runs_of_one_conversation_start_one_after_another():
    """The second question waits for the first answer only; names of conversations belong to their owner."""
    scheduler = Scheduler(max_runs=9, max_per_owner=9, max_queued=9)
    first, second, third = (Reservation("alice", "c-1") for _ in range(3))
    assert scheduler.enter(first)
    assert not scheduler.enter(second)
    assert not scheduler.enter(third)
    assert scheduler.enter(Reservation("alice", "c-2"))
    assert scheduler.enter(Reservation("bob", "c-1"))
    assert scheduler.finish(second) == []  # cancelled while it waited
    assert scheduler.finish(first) == [third]  # though its task may still hold its slot


@pytest.mark.parametrize("count", [0, 1])
def test_a_task_may_end_before_its_run(count: int):
    """The journal store may confirm the ending late, while others wait or none does."""
    scheduler = Scheduler(max_runs=1, max_per_owner=9, max_queued=9)
    first, others = Reservation("alice", "talk"), [Reservation("alice") for _ in range(count)]
    assert scheduler.enter(first)
    assert not any(scheduler.enter(each) for each in others)
    assert scheduler.release(first) == others
    assert scheduler.finish(first) == []
    assert (scheduler.slots_in_use, scheduler.waiting) == (count, 0)


def test_the_queue_has_a_limit():
    """A run over it is refused."""
    scheduler = Scheduler(max_runs=1, max_per_owner=1, max_queued=1)
    assert scheduler.enter(Reservation("alice"))
    assert not scheduler.enter(Reservation("bob"))
    with pytest.raises(Overloaded):
        scheduler.enter(Reservation("carol"))


Step = tuple[str, str | None]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "x", "y"]))), st.data())
def test_the_invariants_hold_for_every_order_of_events(arrivals: list[Step], data: st.DataObject):
    """No limit is exceeded, no run waits that could start, every slot is released, and every run starts."""
    scheduler = Scheduler(max_runs=3, max_per_owner=2, max_queued=5)
    present: list[Reservation] = []
    for owner, conversation in arrivals:
        reservation = Reservation(owner, conversation)
        try:
            scheduler.enter(reservation)
            present.append(reservation)
        except Overloaded:
            assert scheduler.waiting == 5
        if present and data.draw(st.booleans()):
            leaving = data.draw(st.sampled_from(present))
            scheduler.finish(leaving)
            if data.draw(st.booleans()):
                scheduler.release(leaving)
                present.remove(leaving)
        check_invariants(scheduler, present)
    while present:
        reservation = next(each for each in present if each.has_slot or each.is_over)
        end(scheduler, reservation)
        present.remove(reservation)
        check_invariants(scheduler, present)
    assert (scheduler.slots_in_use, scheduler.waiting) == (0, 0)


def check_invariants(scheduler: Scheduler, present: list[Reservation]) -> None:
    """Assert the limits, and that each waiting reservation has a reason to wait."""
    running = [each for each in present if each.has_slot]
    waiting = [each for each in present if not each.has_slot and not each.is_over]
    assert scheduler.slots_in_use == len(running) <= 3
    assert scheduler.waiting == len(waiting) <= 5
    assert sorted(map(id, scheduler.queued())) == sorted(map(id, waiting))
    owners = [each.owner for each in running]
    assert all(owners.count(owner) <= 2 for owner in owners)
    conversations = [each.conversation_key for each in running if each.conversation_key and not each.is_over]
    assert len(conversations) == len(set(conversations))
    for reservation in waiting:
        is_full = len(running) == 3 or owners.count(reservation.owner) == 2
        key = reservation.conversation_key
        ahead = [
            each for each in present if each.conversation_key == key and not each.is_over and each is not reservation
        ]
        assert is_full or (key is not None and ahead)


def test_a_share_grows_and_shrinks():
    """Running runs keep their slots when it shrinks, and waiting runs get slots when it grows."""
    shares = [2]
    scheduler = Scheduler(max_runs=9, max_per_owner=9, max_queued=9, share=lambda: shares[0])
    first, second, third, fourth = (Reservation("alice") for _ in range(4))
    assert [scheduler.enter(each) for each in (first, second, third, fourth)] == [True, True, False, False]
    shares[0] = 1
    assert end(scheduler, first) == []
    assert (scheduler.slots_in_use, scheduler.capacity) == (1, 1)
    shares[0] = 3
    assert scheduler.admit() == [third, fourth]
    shares[0] = 100
    assert scheduler.capacity == 9


class QueuedRun:
    """Run that records the calls of the queue."""

    def __init__(self, owner: str) -> None:
        self.reservation = Reservation(owner)
        self.journal = self
        self.events: list[object] = []
        self.seconds: float | None = None
        self.estimates = 0

    def expected_seconds(self) -> float | None:
        self.estimates += 1
        return self.seconds

    def append(self, fact: Fact) -> None:
        self.events.append(fact)

    def start(self) -> None:
        self.events.append("start")

    def finish(self, ending: Failed) -> None:
        self.events.append(ending)


def submit(queue: RunQueue, owner: str, seconds: float | None = None) -> QueuedRun:
    """Reserve and submit a run that is expected to take so many seconds."""
    run = QueuedRun(owner)
    run.seconds = seconds
    queue.reserve(run.reservation)
    queue.submit(run)
    return run


def end_run(queue: RunQueue, run: QueuedRun) -> None:
    """End a run and its task."""
    queue.finish(run.reservation)
    queue.release(run.reservation)


def test_runs_start_as_slots_become_free_and_learn_their_positions():
    """The estimated time is the sum of the expected durations up to a run, divided by the slots."""
    queue = RunQueue(Scheduler(1, 9, 9), 60.0)
    first, second, third = (submit(queue, owner, 10.0) for owner in ("alice", "bob", "carol"))
    assert [first.events, second.events, third.events] == [["start"], [Queued(1, 10.0)], [Queued(2, 20.0)]]
    end_run(queue, first)
    wait_for(lambda: second.events == [Queued(1, 10.0), "start"], sleep=gevent.sleep)
    fourth = submit(queue, "dave", 5.0)
    fifth = submit(queue, "eve")
    sixth = submit(queue, "frank", 10.0)
    assert third.events == [Queued(2, 20.0), Queued(1, 10.0)]
    assert [run.events for run in (fourth, fifth, sixth)] == [[Queued(2, 15.0)], [Queued(3)], [Queued(4)]]


def test_the_estimated_time_falls_with_the_number_of_slots():
    """Two slots are free twice as often."""
    queue = RunQueue(Scheduler(2, 9, 9), 60.0)
    runs = [submit(queue, owner, 10.0) for owner in ("alice", "bob", "carol", "dave")]
    assert [run.events for run in runs[2:]] == [[Queued(1, 5.0)], [Queued(2, 10.0)]]


def test_the_expected_duration_is_estimated_at_the_submission_and_with_the_positions(monkeypatch):
    """Not for all waiting runs at each submission: its time would grow with the queue."""
    monkeypatch.setattr(queue_module, "POSITION_INTERVAL", 0.2)
    queue = RunQueue(Scheduler(1, 9, 9), 60.0)
    _, second, third = (submit(queue, owner, 10.0) for owner in ("alice", "bob", "carol"))
    assert second.estimates == third.estimates == 1
    second.seconds = 30.0
    wait_for(lambda: second.estimates == 2, sleep=gevent.sleep)
    assert submit(queue, "dave", 5.0).events == [Queued(3, 45.0)]


def test_a_run_that_waits_for_too_long_fails():
    """The timeout does not apply to runs that have started."""
    queue = RunQueue(Scheduler(1, 9, 9), 0.05)
    first, second = submit(queue, "alice"), submit(queue, "bob")
    wait_for(lambda: second.events == [Queued(1), Failed("timeout")], sleep=gevent.sleep)
    assert first.events == ["start"]


def test_a_run_that_ends_while_it_waits_never_starts():
    """Its place goes to the next one."""
    queue = RunQueue(Scheduler(1, 9, 9), 60.0)
    first, second, third = (submit(queue, owner) for owner in ("alice", "bob", "carol"))
    end_run(queue, second)
    end_run(queue, first)
    wait_for(lambda: "start" in third.events, sleep=gevent.sleep)
    assert second.events == [Queued(1)]


def test_a_slot_may_come_between_reservation_and_submission():
    """Creating the journal may block meanwhile."""
    queue = RunQueue(Scheduler(1, 9, 9), 60.0)
    first, second = submit(queue, "alice"), QueuedRun("bob")
    queue.reserve(second.reservation)
    end_run(queue, first)
    queue.submit(second)
    assert second.events == ["start"]
