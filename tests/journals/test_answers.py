"""Cached answers in memory."""

from __future__ import annotations

from persona_stream.journals.answers import ANSWER_OVERHEAD_BYTES, MemoryAnswerStore
from tests.fakes import FakeClock


def test_the_least_recently_used_answers_are_dropped() -> None:
    """Beyond the limit; an answer that was read stays longer."""
    store = MemoryAnswerStore(FakeClock(), max_bytes=2 * ANSWER_OVERHEAD_BYTES + 10)
    for key in "abc":
        store.put(key, b"1234", 60.0)
        store.get("a")
    assert [store.get(key) for key in "abc"] == [b"1234", None, b"1234"]
    store.put("large", b"x" * (ANSWER_OVERHEAD_BYTES + 11), 60.0)
    assert [store.get(key) for key in ("a", "c", "large")] == [None, None, None]


def test_a_replaced_answer_counts_once() -> None:
    """And an expired one no more."""
    clock = FakeClock()
    store = MemoryAnswerStore(clock, max_bytes=ANSWER_OVERHEAD_BYTES + 10)
    for _ in range(5):
        store.put("a", b"12345678", 60.0)
    assert store.get("a") == b"12345678"
    clock.now = 60.0
    assert store.get("a") is None
    store.put("b", b"1234567890", 60.0)
    assert store.get("b") == b"1234567890"
