from __future__ import annotations

import pytest

from bench.workload import ANSWER, PIECE, PIECES, burst, waiting


def test_the_answer_is_paced_alike_everywhere() -> None:
    """500 characters that trim to themselves, with no sentence end, after which a pause would be longer."""
    assert len(ANSWER) == PIECE * PIECES == 500
    assert ANSWER.strip() == ANSWER
    assert not set(ANSWER) & set(".!?;…。！？；\n")


def test_plateau() -> None:
    """All streams wait in the middle of the time from the last one's arrival to the first one's answer."""
    assert waiting(4000).plateau == pytest.approx(9.0)
    assert waiting(4000).has_plateau
    assert not waiting(5000).has_plateau
    assert not burst(2000).has_plateau
