"""Tests of the load that all servers get."""

from __future__ import annotations

import pytest

from bench.workload import ANSWER, CHUNK_COUNT, CHUNK_SIZE, burst, waiting


def test_the_answer_has_the_same_pace_on_all_servers() -> None:
    """500 characters without surrounding whitespace and without a sentence end, after which the pause is longer."""
    assert len(ANSWER) == CHUNK_SIZE * CHUNK_COUNT == 500
    assert ANSWER.strip() == ANSWER
    assert not set(ANSWER) & set(".!?;…。！？；\n")


def test_all_streams_wait_at_the_plateau() -> None:
    """The plateau is the middle between the last arrival and the first answer."""
    assert waiting(4000).plateau == pytest.approx(9.0)
    assert waiting(4000).has_plateau
    assert not waiting(5000).has_plateau
    assert not burst(2000).has_plateau
