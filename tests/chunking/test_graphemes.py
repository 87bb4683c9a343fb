"""Boundaries are found from nearby, and are those that a walk through the whole text finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.graphemes import enclosing_boundaries, next_boundary
from tests.chunking.fragments import CLUSTERS, LOOSE, boundaries

_texts = st.lists(st.sampled_from([*CLUSTERS, *LOOSE, *"a1中アか😀©।ก각", "\x07", "\u2028"]), min_size=1, max_size=12)


@given(_texts.map("".join), st.data())
def test_as_the_slow_way(text: str, data: st.DataObject) -> None:
    """From any boundary that is known, the boundaries around any place are found."""
    every = boundaries(text)
    at = data.draw(st.integers(1, len(text)))
    known = data.draw(st.sampled_from(sorted(place for place in every if place < at)))
    before, after = enclosing_boundaries(text, known, at)
    assert before == max(place for place in every if place <= at)
    assert after == min(place for place in every if place >= at)
    assert next_boundary(text, known, at) == after


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_clusters(cluster: str) -> None:
    """What a reader sees as one character is one."""
    text = f"x{cluster}x"
    for at in range(2, len(text) - 1):
        assert enclosing_boundaries(text, 0, at) == (1, len(text) - 1)


@pytest.mark.parametrize("marks", ["", "\u0301", "\u094dक"])
def test_a_thousand_flags(marks: str) -> None:
    """Flags are pairs, counted from the first."""
    text = "🇩🇪" * 1000 + marks
    assert enclosing_boundaries(text, 0, 1000) == (1000, 1000)
    assert enclosing_boundaries(text, 400, 1001) == (1000, 1002)
    assert enclosing_boundaries(text + "x", 0, 2000) == ((2000, 2000) if not marks else (1998, 2000 + len(marks)))
