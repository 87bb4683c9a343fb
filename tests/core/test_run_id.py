"""Names of runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.run_id import new_run_id, timestamp_of


@given(st.integers(0, 2**48 - 1))
def test_a_name_carries_its_beginning(milliseconds):
    """To the millisecond, for the next eight thousand years."""
    assert timestamp_of(new_run_id(milliseconds / 1000 + 0.0001)) == pytest.approx(milliseconds / 1000, abs=0.0011)


def test_names_sort_by_time_and_do_not_repeat():
    """The newest is the greatest."""
    names = [new_run_id(at) for at in range(1_700_000_000, 1_700_001_000)]
    assert names == sorted(names)
    assert len({new_run_id(1.0) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 25, "0" * 27, "8" + "0" * 25, "0" * 25 + "u", "0" * 25 + "/", "０" * 26, "O" * 26]
)
def test_what_is_no_name_has_no_beginning(text):
    """Strangers' texts are nobody's runs."""
    assert timestamp_of(text) is None
