"""Who may run, and who waits: bounds, turns, and places that are given back once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.errors import Overloaded
from persona_stream.runs.queue import Reservation, Scheduler


def gone(admission: Scheduler, ticket: Reservation) -> list[Reservation]:
    """Let a run end, and its work too."""
    return [*admission.finish(ticket), *admission.release(ticket)]


def test_places_run_out_and_come_back():
    """For all, and for one owner; without a queue, whoever is over a bound is refused and took nothing."""
    admission = Scheduler(max_runs=3, max_per_owner=2)
    alices = [Reservation("alice", "b"), Reservation("alice", "b")]
    assert [admission.enter(ticket) for ticket in alices] == [True, True]
    with pytest.raises(Overloaded, match="your limit of concurrent runs"):
        admission.enter(Reservation("alice", "b"))
    bob, carol = Reservation("bob", "b"), Reservation("carol", "b")
    assert admission.enter(bob)
    with pytest.raises(Overloaded, match="at capacity"):
        admission.enter(carol)
    assert (admission.slots_in_use, admission.waiting) == (3, 0)
    gone(admission, alices[0])
    assert admission.enter(carol)
    for ticket in (alices[1], bob, carol):
        gone(admission, ticket)
    assert admission.slots_in_use == 0


def test_owners_take_turns():
    """One who asks for much keeps nobody else waiting."""
    admission = Scheduler(max_runs=1, max_per_owner=9, max_queued=9)
    first = Reservation("alice", "b")
    assert admission.enter(first)
    many = [Reservation("alice", "b") for _ in range(3)]
    bob, carol = Reservation("bob", "b"), Reservation("carol", "b")
    assert not any(admission.enter(ticket) for ticket in (*many, bob, carol))
    assert list(admission.queued()) == [many[0], bob, carol, many[1], many[2]]
    order, running = [], first
    while following := gone(admission, running):
        (running,) = following
        order.append(running)
    assert order == [many[0], bob, carol, many[1], many[2]]


def test_a_full_backend_keeps_nobody_from_another_one():
    """Also not the same owner."""
    admission = Scheduler(max_runs=9, max_per_owner=9, max_queued=9, max_per_backend=lambda backend: 1)
    slow, waits = Reservation("alice", "slow"), Reservation("alice", "slow")
    assert admission.enter(slow)
    assert not admission.enter(waits)
    assert admission.enter(Reservation("alice", "quick"))
    assert gone(admission, slow) == [waits]


def test_one_conversation_goes_one_step_at_a_time():
    """The second question waits for the first answer, and for nothing else; another owner's of that name is another."""
    admission = Scheduler(max_runs=9, max_per_owner=9, max_queued=9)
    first, second, third = (Reservation("alice", "b", "c-1") for _ in range(3))
    assert admission.enter(first)
    assert not admission.enter(second)
    assert not admission.enter(third)
    assert admission.enter(Reservation("alice", "b", "c-2"))
    assert admission.enter(Reservation("bob", "b", "c-1"))
    assert admission.finish(second) == []  # cancelled while it waited
    assert admission.finish(first) == [third]  # though its work may still hold its place


@pytest.mark.parametrize("more", [0, 1])
def test_work_may_end_before_its_run(more: int):
    """What keeps the journal may be slow to say that it has the ending; others wait meanwhile, or nobody does."""
    admission = Scheduler(max_runs=1, max_per_owner=9, max_queued=9)
    first, others = Reservation("alice", "b", "talk"), [Reservation("alice", "b") for _ in range(more)]
    assert admission.enter(first)
    assert not any(admission.enter(ticket) for ticket in others)
    assert admission.release(first) == others
    assert admission.finish(first) == []
    assert (admission.slots_in_use, admission.waiting) == (more, 0)


def test_the_queue_has_a_bound():
    """Over it a request is refused."""
    admission = Scheduler(max_runs=1, max_per_owner=1, max_queued=1)
    assert admission.enter(Reservation("alice", "b"))
    assert not admission.enter(Reservation("bob", "b"))
    with pytest.raises(Overloaded):
        admission.enter(Reservation("carol", "b"))


Step = tuple[str, int, str | None]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from([None, "x", "y"]))), st.data())
def test_the_laws_hold_whatever_happens(arrivals: list[Step], data: st.DataObject):
    """No bound is broken, nobody waits who could run, every place comes back, and everybody has a turn."""
    admission = Scheduler(max_runs=3, max_per_owner=2, max_queued=5, max_per_backend=lambda backend: 2)
    here: list[Reservation] = []
    for owner, backend, conversation in arrivals:
        ticket = Reservation(owner, str(backend % 2), conversation)
        try:
            admission.enter(ticket)
            here.append(ticket)
        except Overloaded:
            assert admission.waiting == 5
        if here and data.draw(st.booleans()):
            leaving = data.draw(st.sampled_from(here))
            admission.finish(leaving)
            if data.draw(st.booleans()):
                admission.release(leaving)
                here.remove(leaving)
        _check(admission, here)
    while here:
        ticket = next(each for each in here if each.has_slot or each.is_over)
        gone(admission, ticket)
        here.remove(ticket)
        _check(admission, here)
    assert (admission.slots_in_use, admission.waiting) == (0, 0)


def _check(admission: Scheduler, here: list[Reservation]) -> None:
    placed = [ticket for ticket in here if ticket.has_slot]
    waiting = [ticket for ticket in here if not ticket.has_slot and not ticket.is_over]
    assert admission.slots_in_use == len(placed) <= 3
    assert admission.waiting == len(waiting) <= 5
    assert sorted(map(id, admission.queued())) == sorted(map(id, waiting))
    for name, most in (("owner", 2), ("backend", 2)):
        names = [getattr(ticket, name) for ticket in placed]
        assert all(names.count(each) <= most for each in names)
    talks = [ticket.conversation_key for ticket in placed if ticket.conversation_key and not ticket.is_over]
    assert len(talks) == len(set(talks))
    for ticket in waiting:
        full = len(placed) == 3 or sum(each.owner == ticket.owner for each in placed) == 2
        full = full or sum(each.backend == ticket.backend for each in placed) == 2
        ahead = [
            each
            for each in here
            if each.conversation_key == ticket.conversation_key and not each.is_over and each is not ticket
        ]
        assert full or (ticket.conversation_key is not None and ahead)


def test_a_share_grows_and_shrinks():
    """Who runs keeps a place when there are fewer, and who waits gets one when there are more."""
    shares = [2]
    admission = Scheduler(max_runs=9, max_per_owner=9, max_queued=9, share=lambda: shares[0])
    first, second, third, fourth = (Reservation("alice", "b") for _ in range(4))
    assert [admission.enter(each) for each in (first, second, third, fourth)] == [True, True, False, False]
    shares[0] = 1
    assert gone(admission, first) == []
    assert (admission.slots_in_use, admission.capacity) == (1, 1)
    shares[0] = 3
    assert admission.admit() == [third, fourth]
    shares[0] = 100
    assert admission.capacity == 9
