"""Grapheme boundaries are found locally and equal those of a scan of the whole text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.graphemes import enclosing_boundaries, next_boundary
from tests.chunking.fragments import CLUSTERS, LOOSE, boundaries

_texts = st.lists(st.sampled_from([*CLUSTERS, *LOOSE, *"a1中アか😀©।ก각", "\x07", "\u2028"]), min_size=1, max_size=12)


@given(_texts.map("".join), st.data())
def test_local_search_equals_a_full_scan(text: str, data: st.DataObject) -> None:
    """From any known boundary and for any index."""
    every = boundaries(text)
    at = data.draw(st.integers(1, len(text)))
    known = data.draw(st.sampled_from(sorted(boundary for boundary in every if boundary < at)))
    before, after = enclosing_boundaries(text, known, at)
    assert before == max(boundary for boundary in every if boundary <= at)
    assert after == min(boundary for boundary in every if boundary >= at)
    assert next_boundary(text, known, at) == after


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_cluster_has_no_inner_boundary(cluster: str) -> None:
    """The enclosing boundaries of each index are those of the cluster."""
    text = f"x{cluster}x"
    for at in range(2, len(text) - 1):
        assert enclosing_boundaries(text, 0, at) == (1, len(text) - 1)


@pytest.mark.parametrize("marks", ["", "\u0301", "\u094dक"])
def test_a_long_run_of_flags_is_split_into_pairs(marks: str) -> None:
    """Pairs are counted from the first flag."""
    text = "🇩🇪" * 1000 + marks
    assert enclosing_boundaries(text, 0, 1000) == (1000, 1000)
    assert enclosing_boundaries(text, 400, 1001) == (1000, 1002)
    assert enclosing_boundaries(text + "x", 0, 2000) == ((2000, 2000) if not marks else (1998, 2000 + len(marks)))
