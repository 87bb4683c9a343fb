"""Run ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.run_id import new_run_id, timestamp_of


@given(st.integers(0, 2**48 - 1))
def test_a_run_id_contains_its_creation_time(milliseconds):
    """To the millisecond, for all times that fit into 48 bits."""
    assert timestamp_of(new_run_id(milliseconds / 1000 + 0.0001)) == pytest.approx(milliseconds / 1000, abs=0.0011)


def test_run_ids_sort_by_time_and_are_unique():
    """Ids of later times are greater."""
    run_ids = [new_run_id(at) for at in range(1_700_000_000, 1_700_001_000)]
    assert run_ids == sorted(run_ids)
    assert len({new_run_id(1.0) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 25, "0" * 27, "8" + "0" * 25, "0" * 25 + "u", "0" * 25 + "/", "０" * 26, "O" * 26]
)
def test_other_text_has_no_creation_time(text):
    """Untrusted text is not taken for a run id."""
    assert timestamp_of(text) is None
