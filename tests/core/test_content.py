"""Tests of the sanitising of untrusted text."""

from __future__ import annotations

import pytest

from persona_stream.core.content import MAX_SLICE_CHARACTERS, join_surrogates, replace_unencodable, slices

LONG = "é" * (2 * MAX_SLICE_CHARACTERS + 1)


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a\0b", "a\ufffdb"),
        ("é\0\ud83d", "é\ufffd\ufffd"),
        ("\udc00😀", "\ufffd😀"),
        (LONG, LONG),
        (f"{LONG}\ud83d{LONG}", f"{LONG}\ufffd{LONG}"),
    ],
)
def test_only_what_no_wire_carries_is_replaced(text: str, replaced: str) -> None:
    """One character by one, so that positions stay."""
    assert replace_unencodable(text) == replaced


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("plain", "plain"),
        ("é", "é"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ude00\ud83d"),
        ("\ud83d\ud83d\ude00\0\ude00é😀", "\ud83d😀\0\ude00é😀"),
    ],
)
def test_pairs_of_surrogates_are_joined(text: str, joined: str) -> None:
    """Lone ones stay."""
    assert join_surrogates(text) == joined


@pytest.mark.parametrize("text", ["", "short", LONG])
def test_slices_join_to_the_text(text: str) -> None:
    """An empty text has one, which is empty."""
    parts = list(slices(text))
    assert "".join(parts) == text
    assert [len(part) for part in parts[:-1]] == [MAX_SLICE_CHARACTERS] * (len(parts) - 1)
    assert len(parts[-1]) <= MAX_SLICE_CHARACTERS
