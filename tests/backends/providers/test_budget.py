"""The budget of tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.providers.retry import Budget


def test_a_few_may_be_tried_again_at_any_time() -> None:
    """Ten at once, and then none until others were asked."""
    budget = Budget()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2


def test_for_long_it_is_one_query_in_five() -> None:
    """Where every query fails, and would be tried again twice."""
    budget = Budget()
    again = 0
    for _ in range(1000):
        budget.earn()
        again += budget.spend() + budget.spend()
    assert 200 <= again <= 211


@given(st.lists(st.booleans()))
def test_nothing_is_saved_beyond_ten(asked: list[bool]) -> None:
    """After whatever had been, and a quiet time."""
    budget = Budget()
    for each in asked:
        if each:
            budget.earn()
        else:
            budget.spend()
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
